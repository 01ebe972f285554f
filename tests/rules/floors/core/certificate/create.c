#include "base/error.h"
#include "certificate/manager.h"
#include "store/key.h"
#include <openssl/x509.h>
#include "tls/probe.h" /* BAD */
