#include "tls/identity.h"

#include "certificate/leaf.h"
#include "openssl/pkey.h"

#include <openssl/x509v3.h>
#include <stdlib.h>

void identity_free(struct identity *identity)
{
    if (identity == NULL)
        return;
    crypto_pkey_free(identity->key);
    sk_X509_pop_free(identity->chain, crypto_x509_free);
    crypto_x509_free(identity->leaf);
    free(identity);
}

static kw_status check_client(X509 *certificate, kw_error *error)
{
    crypto_enter();
    const bool right = X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) == 1 &&
                       (X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE) != 0;
    crypto_leave();
    if (right)
        return KW_OK;
    error_set(error, KW_REFUSED,
              "it is not a TLS client's certificate: its extended key usage lacks clientAuth, or its key usage "
              "digitalSignature");
    error_remedy(error, "create a certificate of the kind general for it, or import one of a CA for TLS clients");
    return KW_REFUSED;
}

static kw_status read_chain(struct crypto *crypto, kw_input der, struct identity *identity, kw_error *error)
{
    kw_status status = x509_read(crypto, &der, &identity->leaf, error);
    while (status == KW_OK && der.length > 0) {
        X509 *issuer = NULL;
        status = x509_read(crypto, &der, &issuer, error);
        if (status == KW_OK && sk_X509_push(identity->chain, issuer) <= 0) {
            crypto_x509_free(issuer);
            status = error_memory(error);
        }
    }
    return status;
}

static kw_status open_key(kw_context *context, const struct found *found, EVP_PKEY **key, kw_error *error)
{
    kw_key *opened = NULL;
    kw_status status = manager_open_key(context, found, &opened, error);
    if (status == KW_OK && (kw_key_get_capabilities(opened)->operations & KW_CAN_SIGN) == 0)
        status = error_set(error, KW_UNSUPPORTED, "its key cannot sign, as TLS needs it");
    if (status == KW_OK)
        status = pkey_from_key(context->crypto, opened, key, error);
    kw_key_free(opened);
    return status;
}

kw_status identity_read(kw_context *context, const struct identity_wanted *wanted, struct identity **identity,
                        kw_error *error)
{
    struct found found = {0};
    struct identity *made = calloc(1, sizeof(*made));
    kw_status status = made != NULL ? manager_find(context, wanted->address, &found, error) : error_memory(error);
    if (status != KW_OK)
        goto out;
    if (wanted->known != NULL && id_equal(wanted->known, &found.certificate.id)) {
        *identity = NULL;
        goto out;
    }
    made->certificate = found.certificate.id;
    made->chain = sk_X509_new_null();
    if (made->chain == NULL) {
        status = error_memory(error);
        goto out;
    }
    status = read_chain(context->crypto, (kw_input){found.certificate.chain.data, found.certificate.chain.length}, made,
                        error);
    if (status == KW_OK)
        status =
            wanted->use == IDENTITY_OF_SERVER ? leaf_check_server(made->leaf, error) : check_client(made->leaf, error);
    if (status == KW_OK)
        status = open_key(context, &found, &made->key, error);
    if (status == KW_OK) {
        *identity = made;
        made = NULL;
    }
out:
    if (status != KW_OK)
        error_where(error, "%s", wanted->address);
    found_clear(&found);
    identity_free(made);
    return status;
}
