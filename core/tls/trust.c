/* The certificate that clients must trust: given out, and looked at as a client sees it (S4, S7). */
#include "tls/trust.h"
#include "base/clock.h"
#include "base/options.h"
#include "certificate/bundle.h"
#include "certificate/chain.h"
#include "certificate/manager.h"
#include "tls/probe.h"
#include "tls/report.h"
#include "tls/verdict.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESS            "ssl-connection"
#define TIMEOUT_DEFAULT_MS 10000u

/* ---- Giving out ---- */

static kw_status chain_of(kw_context *context, STACK_OF(X509) *chain, kw_error *error)
{
    struct found found = {0};
    kw_status status = manager_find(context, ADDRESS, &found, error);
    kw_input rest = {found.certificate.chain.data, found.certificate.chain.length};
    while (status == KW_OK && rest.length > 0) {
        X509 *certificate = NULL;
        status = x509_read(context->crypto, &rest, &certificate, error);
        if (status == KW_OK && sk_X509_push(chain, certificate) <= 0) {
            crypto_x509_free(certificate);
            status = error_memory(error);
        }
    }
    found_clear(&found);
    return status;
}

/* Clients anchor their trust in the root, which no server sends and no path of ours keeps. */
static kw_status add_root(kw_context *context, STACK_OF(X509) *chain, kw_error *error)
{
    struct trust trust = {0};
    if (x509_is_self_signed(sk_X509_value(chain, sk_X509_num(chain) - 1), false))
        return KW_OK;
    kw_status status = trust_read(context->crypto, context->settings, &trust, error);
    if (status == KW_OK)
        status = chain_complete(context->crypto, &trust, chain, error);
    trust_clear(&trust);
    return status;
}

kw_status trust_export(kw_context *context, kw_trust_format format, kw_bytes *content, kw_error *error)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    kw_status status = chain != NULL ? chain_of(context, chain, error) : error_memory(error);
    if (status == KW_OK && format != KW_TRUST_DER)
        status = add_root(context, chain, error);
    if (status != KW_OK)
        goto out;
    switch (format) {
    case KW_TRUST_PEM:
        status = bundle_to_pem(chain, content, error);
        break;
    case KW_TRUST_DER:
        status = x509_to_der(sk_X509_value(chain, 0), content, error);
        break;
    case KW_TRUST_PKCS7:
        status = bundle_to_pkcs7(chain, content, error);
        break;
    default:
        status = error_set(error, KW_INVALID_ARGUMENT, "there is no such format: %d", (int)format);
    }
out:
    bundle_free(chain);
    return status;
}

/* ---- Looking ---- */

kw_status kw_trust_check(const kw_trust_check_options *given, kw_trust_report **report, kw_error *error)
{
    kw_trust_check_options options = {0};
    struct probe_target target;
    struct probe probe = {0};
    struct crypto *crypto = NULL;
    X509_STORE *store = NULL;
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (options.timeout_ms == 0)
        options.timeout_ms = TIMEOUT_DEFAULT_MS;
    if (status == KW_OK)
        status = probe_parse(options.target != NULL ? options.target : "", &target, error);
    if (status == KW_OK)
        status = crypto_open(&crypto, error);
    if (status == KW_OK)
        status = verdict_store(crypto, &options.ca_file, options.ca_file != NULL ? 1 : 0, true, &store, error);
    const uint64_t deadline = clock_milliseconds() + options.timeout_ms;
    if (status == KW_OK)
        status = probe_run(crypto, &target, options.timeout_ms, &probe, error);
    if (status == KW_OK) {
        const struct seen seen = {
            .host = target.host,
            .is_address = target.is_address,
            .port = target.port,
            .address = probe.address,
            .protocol = probe.protocol,
            .cipher = probe.cipher,
            .certificate = probe.certificate,
            .chain = probe.chain,
            .deadline = deadline,
        };
        status = report_make(crypto, store, &seen, report, error);
    }
    probe_clear(&probe);
    verdict_store_free(store);
    crypto_close(crypto);
    return status;
}
