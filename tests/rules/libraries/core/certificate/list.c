#include <jansson.h> /* BAD */
