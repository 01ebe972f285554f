/*
 * Inside the loadable OpenSSL module: the provider of core/openssl in any program's library context, and how that program names keys: the
 * loader of URIs, the decoders of reference files, and the encoders that write them.
 */
#ifndef KEYWRIGHT_OPENSSL_MODULE_H
#define KEYWRIGHT_OPENSSL_MODULE_H

#include "context.h"

#include "openssl/provider.h"

#include <openssl/bio.h>
#include <openssl/core_object.h>

struct module_provider {
    struct provider provider;      /* first: what the algorithms are given */
    struct crypto *crypto;         /* with a default provider of its own, whatever the program has loaded */
    char *configuration;           /* of the program's openssl.cnf, absolute; NULL: as for kw_open */
    _Atomic(kw_context *) context; /* NULL: not opened yet */
};

/* The context, opened at the first use; it is the module's. */
KW_MUST_USE kw_status module_context(struct module_provider *module, kw_context **context, kw_error *error);
/* The private key at an address, as the keymgmt takes it. keydata_free it. */
KW_MUST_USE kw_status module_key(struct module_provider *module, const char *address, struct keydata **data,
                                 kw_error *error);
/*
 * Until it is called with NULL: what asks for a PIN or a passphrase on this thread asks so, as libcrypto has it of the program. Elsewhere
 * there is nobody to ask.
 */
void module_ask_by(OSSL_PASSPHRASE_CALLBACK *ask, void *argument);
/* The provider's `generate`; `user` is the module. */
KW_MUST_USE kw_status module_generate(void *user, const struct generation *wanted, struct keydata **made,
                                      kw_error *error);
/* Hands it to libcrypto, which may take it: then `*data` becomes NULL. Returns what `object` did. */
int module_give_key(struct keydata **data, OSSL_CALLBACK *object, void *argument);
/* The program's BIO as one of the library's; NULL when memory ran out. crypto_bio_free it. */
BIO *module_bio(const struct module_provider *module, OSSL_CORE_BIO *bio);

extern const OSSL_ALGORITHM module_loaders[], module_decoders[], module_encoders[];

#endif
