#include "certificate/trust.h"

#include "certificate/bundle.h"

#include <string.h>

/* Moves the certificates of one file behind those that there are. */
static kw_status read_file(struct crypto *crypto, const char *path, STACK_OF(X509) *into, kw_error *error)
{
    STACK_OF(X509) *read = NULL;
    kw_status status = bundle_read_file(crypto, path, &read, error);
    while (status == KW_OK && sk_X509_num(read) > 0) {
        X509 *next = sk_X509_shift(read);
        if (sk_X509_push(into, next) <= 0) {
            crypto_x509_free(next);
            status = error_memory(error);
        }
    }
    bundle_free(read);
    return status;
}

static kw_status read_files(struct crypto *crypto, const struct settings *settings, const char *name,
                            struct place place, char *const *paths, size_t count, STACK_OF(X509) *into, kw_error *error)
{
    for (size_t i = 0; i < count; i++) {
        kw_error reason = {0};
        kw_status status = read_file(crypto, paths[i], into, &reason);
        if (status == KW_OUT_OF_MEMORY)
            return error_memory(error);
        if (status == KW_OK)
            continue;
        const bool named = strstr(reason.message, paths[i]) != NULL;
        status = settings_error(settings, place, error, "'trust: %s': %s%s%s", name, named ? "" : paths[i],
                                named ? "" : ": ", reason.message);
        error_remedy(error, "name files with certificates, in PEM or DER");
        return status;
    }
    return KW_OK;
}

kw_status trust_read(struct crypto *crypto, const struct settings *settings, struct trust *trust, kw_error *error)
{
    const struct trust_settings *wanted = &settings->trust;
    struct trust made = {
        .authorities = sk_X509_new_null(),
        .intermediates = sk_X509_new_null(),
        .system_roots = wanted->system_roots != 0,
        .crl.timeout = wanted->crl_timeout > 0 ? wanted->crl_timeout : CRL_TIMEOUT,
        .crl.maximum = wanted->crl_maximum_bytes > 0 ? (size_t)wanted->crl_maximum_bytes : CRL_MAXIMUM,
    };
    kw_status status = made.authorities == NULL || made.intermediates == NULL ? error_memory(error) : KW_OK;
    if (status == KW_OK)
        status = read_files(crypto, settings, "authorities", wanted->authorities_place, wanted->authorities,
                            wanted->authority_count, made.authorities, error);
    if (status == KW_OK)
        status = read_files(crypto, settings, "intermediates", wanted->intermediates_place, wanted->intermediates,
                            wanted->intermediate_count, made.intermediates, error);
    if (status == KW_OK)
        *trust = made;
    else
        trust_clear(&made);
    return status;
}

void trust_clear(struct trust *trust)
{
    sk_X509_pop_free(trust->authorities, crypto_x509_free);
    sk_X509_pop_free(trust->intermediates, crypto_x509_free);
    *trust = (struct trust){0};
}
