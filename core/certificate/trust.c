#include "certificate/trust.h"

#include "base/file.h"
#include "certificate/pkcs12.h"

#include <string.h>

#define FILE_LIMIT (16u * 1024u * 1024u)

/* Moves the certificates of one file behind those that there are. Private keys have no place here. */
static kw_status read_file(struct crypto *crypto, const char *path, STACK_OF(X509) *into, kw_error *error)
{
    kw_bytes content = {0};
    struct pfx_item item = {0};
    kw_status status = file_read(path, FILE_LIMIT, &content, error);
    if (status == KW_OK)
        status = pem_read(crypto, (kw_input){content.data, content.length}, NULL, NULL, &item, error);
    if (status == KW_OK && item.certificate == NULL)
        status = error_set(error, KW_INVALID_ARGUMENT, "it has no certificate");
    if (status != KW_OK)
        goto out;
    if (sk_X509_push(into, item.certificate) <= 0) {
        status = error_memory(error);
        goto out;
    }
    item.certificate = NULL;
    while (sk_X509_num(item.chain) > 0) {
        X509 *next = sk_X509_shift(item.chain);
        if (sk_X509_push(into, next) <= 0) {
            X509_free(next);
            status = error_memory(error);
            goto out;
        }
    }
out:
    pfx_item_clear(&item);
    kw_bytes_free(&content);
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
    sk_X509_pop_free(trust->authorities, X509_free);
    sk_X509_pop_free(trust->intermediates, X509_free);
    *trust = (struct trust){0};
}
