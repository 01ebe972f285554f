#include <keywright/keywright.h>
#include <openssl/core_dispatch.h>
#include <base/error.h> /* BAD */
