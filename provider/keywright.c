/*
 * keywright.so, the module that OpenSSL loads by name: any program then uses the key of a store as keywright:ADDRESS, such as
 * `openssl dgst -sha256 -sign keywright:database/sales -provider keywright -provider default FILE`. The library does all of it.
 */
#include <keywright/keywright.h>

#include <openssl/core.h>

KW_PLUGIN_EXPORT int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                                        const OSSL_DISPATCH **out, void **context)
{
    return kw_openssl_provider_init(handle, in, out, context);
}
