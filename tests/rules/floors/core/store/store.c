#include "catalogue/catalogue.h"
#include "store/key.h"
#include "local.h"
#include "openssl/pkey.h"  /* BAD: one floor above, though libcrypto has a folder of that name */
#include "../base/error.h" /* BAD */
#include "core/base/error.h" /* BAD */
#include "context.h"       /* BAD */
#include "else/where.h"    /* BAD */
#include <openssl/evp.h>
