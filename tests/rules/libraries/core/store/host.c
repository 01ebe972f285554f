#include <ltdl.h>    /* BAD */
#include <sqlite3.h> /* BAD */
