#include <libsmartcols/libsmartcols.h> /* BAD */
