#include <core/base/error.h> /* BAD */
