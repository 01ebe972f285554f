/* Handles on the keys of certificates. */
#include "certificate/calls.h"
#include "certificate/manager.h"

kw_status manager_key_open(kw_context *context, const char *address, kw_key **key, kw_error *error)
{
    struct found found = {0};
    kw_status status = manager_find(context, address, &found, error);
    if (status == KW_OK)
        status = manager_open_key(context, &found, key, error);
    if (status == KW_OK && settings_certificate(context->settings, found.address.text).pkcs1_decrypt == 1)
        key_allow_pkcs1_decrypt(*key);
    found_clear(&found);
    return status;
}

kw_status manager_key_open_public(kw_context *context, const char *address, kw_key **key, kw_error *error)
{
    struct found found = {0};
    X509 *certificate = NULL;
    unsigned char *spki = NULL;
    kw_status status = manager_find(context, address, &found, error);
    if (status != KW_OK)
        return status;
    kw_input chain = {found.certificate.chain.data, found.certificate.chain.length};
    status = x509_read(context->crypto, &chain, &certificate, error);
    if (status == KW_OK) {
        const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
        if (length <= 0)
            status = crypto_error(error, KW_CORRUPT, "the certificate of %s has no readable public key", address);
        else
            status = key_open_public(context->crypto, (kw_input){spki, (size_t)length}, key, error);
    }
    OPENSSL_free(spki);
    crypto_x509_free(certificate);
    found_clear(&found);
    return status;
}
