#include "tls/report_private.h"

#include "certificate/x509.h"
#include "tls/verdict.h"

#include <stdlib.h>

struct report {
    kw_trust_report report; /* first: what the caller has */
    struct arena arena;
    kw_certificate_info certificate;
    struct verdict verdict;
};

static const kw_input *copy_chain(const STACK_OF(X509) *sent, struct arena *arena, size_t *count, kw_error *error)
{
    const int length = sent != NULL ? sk_X509_num(sent) : 0;
    kw_input *chain = arena_allocate(arena, ((size_t)(length > 0 ? length : 0) + 1) * sizeof(*chain));
    *count = 0;
    for (int i = 0; chain != NULL && i < length; i++) {
        kw_bytes der = {0};
        if (x509_to_der(sk_X509_value(sent, i), &der, error) != KW_OK)
            return NULL;
        chain[*count] = (kw_input){arena_copy(arena, der.data, der.length), der.length};
        ++*count;
        kw_bytes_free(&der);
    }
    if (chain == NULL)
        (void)error_memory(error);
    return chain;
}

/* One more reason not to trust it. */
static kw_status note(struct report *report, const char *code, const char *sentence, kw_error *error)
{
    struct verdict *verdict = &report->verdict;
    if (sentence == NULL)
        return error_memory(error);
    if (verdict->count < VERDICT_PROBLEMS_MAXIMUM)
        verdict->problems[verdict->count++] = (kw_trust_problem){.code = code, .sentence = sentence};
    return KW_OK;
}

/* What a certificate of a server's has not, since it is in no catalogue, is empty. */
static kw_status describe(struct crypto *crypto, const struct seen *seen, struct report *report, kw_error *error)
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
    kw_status status = x509_describe(crypto, seen->certificate, &report->arena, &report->certificate, &why);
    if (status == KW_CORRUPT)
        /* What can be read of it is shown. */
        status = note(report, "malformed",
                      arena_format(&report->arena, "the certificate is malformed: %s", why.message), error);
    else if (status != KW_OK && error != NULL)
        *error = why;
    if (status != KW_OK)
        return status;
    report->certificate.chain = copy_chain(seen->chain, &report->arena, &report->certificate.chain_count, error);
    return report->certificate.chain != NULL ? KW_OK : KW_OUT_OF_MEMORY;
}

static void fill(const struct seen *seen, struct report *report)
{
    struct arena *arena = &report->arena;
    report->report = (kw_trust_report){
        .trusted = report->verdict.count == 0,
        .host = arena_text(arena, seen->host),
        .port = arena_text(arena, seen->port),
        .address = arena_text(arena, seen->address),
        .protocol = arena_text(arena, seen->protocol),
        .cipher = arena_text(arena, seen->cipher),
        .certificate = &report->certificate,
        .problems = report->verdict.problems,
        .problem_count = report->verdict.count,
    };
    report_write(&report->report, arena);
}

kw_status report_make(struct crypto *crypto, X509_STORE *store, const struct seen *seen, kw_trust_report **report,
                      kw_error *error)
{
    struct report *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    const struct verdict_wanted wanted = {
        .certificate = seen->certificate,
        .others = seen->chain,
        .host = seen->host[0] != '\0' ? seen->host : NULL,
        .is_address = seen->is_address,
        .deadline = seen->deadline,
    };
    kw_status status = verdict_find(crypto, store, &wanted, &made->arena, &made->verdict, error);
    if (status == KW_OK && made->verdict.count == 0 && seen->refused != NULL)
        status = note(made, "verification", arena_text(&made->arena, seen->refused), error);
    if (status == KW_OK)
        status = describe(crypto, seen, made, error);
    if (status == KW_OK) {
        fill(seen, made);
        if (made->arena.failed)
            status = error_memory(error);
    }
    if (status == KW_OK)
        *report = &made->report;
    else
        kw_trust_report_free(&made->report);
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
