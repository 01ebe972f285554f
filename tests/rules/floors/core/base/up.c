#include "base/error.h"
#include "config/settings.h" /* BAD */
#include <store/store.h>     // BAD
#  include "certificate/manager.h" /* BAD */
/* #include "store/store.h" in a comment is none. */
