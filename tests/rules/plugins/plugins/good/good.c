#include "good.h"
#include <keywright/plugin.h>
#include <openssl/evp.h>
