#include "base/error.h"
#include "certificate/manager.h"
