#include "certificate/manager.h"
#include "config/settings.h"
