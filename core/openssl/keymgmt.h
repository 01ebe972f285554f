/* What libcrypto asks of a key, whatever its type (keymgmt.c), for the tables of the types (keymgmt_types.c). */
#ifndef KEYWRIGHT_OPENSSL_KEYMGMT_H
#define KEYWRIGHT_OPENSSL_KEYMGMT_H

#include "openssl/provider.h"

#include <openssl/core_dispatch.h>

OSSL_FUNC_keymgmt_free_fn keymgmt_free;
OSSL_FUNC_keymgmt_load_fn keymgmt_load;
OSSL_FUNC_keymgmt_has_fn keymgmt_has;
OSSL_FUNC_keymgmt_match_fn keymgmt_match;
OSSL_FUNC_keymgmt_validate_fn keymgmt_validate;
OSSL_FUNC_keymgmt_dup_fn keymgmt_dup;
OSSL_FUNC_keymgmt_import_fn keymgmt_import;
OSSL_FUNC_keymgmt_export_fn keymgmt_export;
OSSL_FUNC_keymgmt_get_params_fn keymgmt_get_params;
OSSL_FUNC_keymgmt_set_params_fn keymgmt_set_params;

#endif
