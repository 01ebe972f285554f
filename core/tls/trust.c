/* The certificate that clients must trust: given out, and looked at as a client sees it (S4, S7). */
#include "tls/trust.h"
#include "base/options.h"
#include "certificate/bundle.h"
#include "certificate/chain.h"
#include "certificate/manager.h"
#include "tls/probe.h"
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

struct report {
    kw_trust_report report;
    struct arena arena;
    kw_certificate_info certificate;
    struct verdict verdict;
};

static const kw_input *copy_chain(const struct probe *probe, struct arena *arena, size_t *count, kw_error *error)
{
    const int sent = sk_X509_num(probe->chain);
    kw_input *chain = arena_allocate(arena, ((size_t)(sent > 0 ? sent : 0) + 1) * sizeof(*chain));
    *count = 0;
    for (int i = 0; chain != NULL && i < sent; i++) {
        kw_bytes der = {0};
        if (x509_to_der(sk_X509_value(probe->chain, i), &der, error) != KW_OK)
            return NULL;
        chain[*count] = (kw_input){arena_copy(arena, der.data, der.length), der.length};
        ++*count;
        kw_bytes_free(&der);
    }
    if (chain == NULL)
        (void)error_memory(error);
    return chain;
}

/* It is one more reason not to trust it, and what can be read of it is shown. */
static kw_status note_malformed(struct report *report, const kw_error *why, kw_error *error)
{
    struct verdict *verdict = &report->verdict;
    if (verdict->count == VERDICT_PROBLEMS_MAXIMUM)
        return KW_OK;
    verdict->problems[verdict->count++] =
        (kw_trust_problem){.code = "malformed",
                           .sentence = arena_format(&report->arena, "the certificate is malformed: %s", why->message)};
    return report->arena.failed ? error_memory(error) : KW_OK;
}

/* What a certificate of a server's has not, since it is in no catalogue, is empty. */
static kw_status describe(struct crypto *crypto, const struct probe *probe, struct report *report, kw_error *error)
{
    kw_error why = {0};
    report->certificate = (kw_certificate_info){.address = "",
                                                .kind = "",
                                                .name = "",
                                                .use = "",
                                                .store = "",
                                                .store_id = "",
                                                .plugin = "",
                                                .key = "",
                                                .key_id = "",
                                                .certificate_id = "",
                                                .locator = "",
                                                .not_before_text = "unreadable",
                                                .not_after_text = "unreadable"};
    kw_status status = x509_describe(crypto, probe->certificate, &report->arena, &report->certificate, &why);
    if (status == KW_CORRUPT)
        status = note_malformed(report, &why, error);
    else if (status != KW_OK && error != NULL)
        *error = why;
    if (status != KW_OK)
        return status;
    report->certificate.chain = copy_chain(probe, &report->arena, &report->certificate.chain_count, error);
    return report->certificate.chain != NULL ? KW_OK : KW_OUT_OF_MEMORY;
}

static void fill(const struct probe_target *target, const struct probe *probe, struct report *report)
{
    struct arena *arena = &report->arena;
    report->report = (kw_trust_report){
        .trusted = report->verdict.count == 0,
        .host = arena_text(arena, target->host),
        .port = arena_text(arena, target->port),
        .address = arena_text(arena, probe->address),
        .protocol = arena_text(arena, probe->protocol),
        .cipher = arena_text(arena, probe->cipher),
        .certificate = &report->certificate,
        .problems = report->verdict.problems,
        .problem_count = report->verdict.count,
    };
}

kw_status kw_trust_check(const kw_trust_check_options *given, kw_trust_report **report, kw_error *error)
{
    kw_trust_check_options options;
    struct probe_target target;
    struct probe probe = {0};
    struct crypto *crypto = NULL;
    X509_STORE *store = NULL;
    struct report *made = calloc(1, sizeof(*made));
    kw_status status = made != NULL ? options_take(&options, sizeof(options), given, error) : error_memory(error);
    if (status == KW_OK)
        status = probe_parse(options.target != NULL ? options.target : "", &target, error);
    if (status == KW_OK)
        status = crypto_open(&crypto, error);
    if (status == KW_OK)
        status = verdict_store(crypto, options.ca_file, &store, error);
    if (status == KW_OK)
        status = probe_run(crypto, &target, options.timeout_ms != 0 ? options.timeout_ms : TIMEOUT_DEFAULT_MS, &probe,
                           error);
    if (status == KW_OK)
        status = verdict_find(crypto, store, probe.certificate, probe.chain, target.host, target.is_address,
                              &made->arena, &made->verdict, error);
    if (status == KW_OK)
        status = describe(crypto, &probe, made, error);
    if (status != KW_OK)
        goto out;
    fill(&target, &probe, made);
    if (made->arena.failed) {
        status = error_memory(error);
        goto out;
    }
    *report = &made->report;
    made = NULL;
out:
    if (made != NULL)
        kw_trust_report_free(&made->report);
    probe_clear(&probe);
    X509_STORE_free(store);
    crypto_close(crypto);
    return status;
}

void kw_trust_report_free(kw_trust_report *report)
{
    struct report *made = (struct report *)report;
    if (made == NULL)
        return;
    arena_free(&made->arena);
    free(made);
}
