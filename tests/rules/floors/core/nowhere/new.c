#include <string.h> /* BAD: a folder that is no floor */
