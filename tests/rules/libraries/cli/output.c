#include <jansson.h>
#include <libsmartcols/libsmartcols.h>
