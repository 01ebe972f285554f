#include "base/error.h"
#include <keywright/keywright.h>
#include <string.h>
