/* Connecting as a client with a profile would, up to where it would log in, and what came of it (S30-S33). */
#include "tls/connection.h"

#include "base/arena.h"
#include "base/clock.h"
#include "tls/profile.h"
#include "tls/shown.h"
#include "tls/verdict.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a server of TLS 1.3 is given to say that it does not take the client's certificate, where nothing else is said next. */
#define LISTEN_MS 1000

struct report {
    kw_connection_report report;
    struct arena arena;
    struct verdict verdict;
};

/* ---- One check ---- */

struct check {
    kw_context *context;
    struct profile profile;
    SSL_CTX *tls;      /* NULL: mode disable */
    X509_STORE *store; /* what the profile trusts; of `tls` */
    uint64_t deadline; /* clock_milliseconds; of all attempts together */
    struct report *made;
    /* of the present attempt */
    struct verdict refusal; /* what the mode has against the server's certificate; no problems: nothing */
    bool wants_ours;        /* the server asks for a certificate */
    kw_status judging;      /* of the judging itself */
    kw_error judging_why;
    const struct cause *cause;
    kw_error why; /* more of the cause */
    bool refused; /* by the protocol, for a reason that has nothing to do with TLS */
};

static enum cause_client client_state(const struct check *check)
{
    return !check->wants_ours                             ? CLIENT_UNASKED
           : SSL_CTX_get0_certificate(check->tls) == NULL ? CLIENT_HAS_NONE
                                                          : CLIENT_HAS_SENT;
}

static kw_status fail(struct check *check, const struct cause *cause)
{
    check->cause = cause;
    return KW_FAILED;
}

/* ---- The server's certificate ---- */

/* Judged as in verify-full, for the report, whatever the mode; and as the mode does, for the handshake. */
static int judge(X509_STORE_CTX *store, void *user)
{
    struct check *check = user;
    const struct profile *profile = &check->profile;
    const struct verdict_wanted wanted = {
        .certificate = X509_STORE_CTX_get0_cert(store),
        .others = X509_STORE_CTX_get0_untrusted(store),
        .host = profile->settings->host,
        .is_address = profile->is_address,
        .deadline = check->deadline,
    };
    check->made->report.certificate =
        shown_certificate(check->context->crypto, wanted.certificate, &check->made->arena);
    check->judging = verdict_find(check->context->crypto, check->store, &wanted, &check->made->arena,
                                  &check->made->verdict, &check->judging_why);
    check->refusal = check->made->verdict;
    if (!profile->verifies_host)
        verdict_forget_name(&check->refusal);
    if (check->judging != KW_OK) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
        return 0;
    }
    if (!profile->verifies)
        check->refusal.count = 0;
    X509_STORE_CTX_set_error(store, check->refusal.count == 0 ? X509_V_OK : check->refusal.places[0].error);
    return check->refusal.count == 0 ? 1 : 0;
}

/* Called when the server asks for a certificate. */
static int note_wanted(SSL *ssl, void *user)
{
    struct check *check = user;
    (void)ssl;
    check->wants_ours = true;
    return 1;
}

/* ---- Why it failed ---- */

static kw_status diagnose_wire(struct check *check, kw_status status)
{
    check->cause = cause_own(status == KW_TIMEOUT ? CAUSE_TIMEOUT : CAUSE_UNREACHABLE);
    return status;
}

static kw_status diagnose_certificate(struct check *check)
{
    const struct verdict_place *worst = &check->refusal.places[0];
    check->made->report.failing = worst->concerned;
    check->made->report.failing_position = worst->depth > 0 ? (unsigned)worst->depth : 0;
    error_set(&check->why, KW_FAILED, "%s", X509_verify_cert_error_string(worst->error));
    return fail(check, cause_of_certificate(worst->error));
}

/* What stands in `why`, and how the stream ended. */
static kw_status diagnose_stream(struct check *check, const struct stream *stream, kw_status status)
{
    static const enum cause_own ends[] = {
        [STREAM_GOES_ON] = CAUSE_PROTOCOL, [STREAM_TIMED_OUT] = CAUSE_TIMEOUT,     [STREAM_ENDED] = CAUSE_ENDED,
        [STREAM_NO_TLS] = CAUSE_NOT_TLS,   [STREAM_TLS_FAILED] = CAUSE_TLS_FAILED, [STREAM_MALFORMED] = CAUSE_PROTOCOL,
    };
    if (status == KW_OUT_OF_MEMORY)
        return status;
    if (check->refusal.count > 0 && !stream->shaken)
        return diagnose_certificate(check);
    if (stream->end == STREAM_TLS_FAILED) {
        /* Of the client's key: what its store says is no finding about the server. */
        const kw_status told = pkey_error(&check->why, KW_FAILED, "the TLS handshake failed");
        if (told != KW_FAILED)
            return told;
        return fail(check, cause_of_tls(stream->reason, client_state(check)));
    }
    if (stream->end == STREAM_ENDED && check->wants_ours)
        return fail(check, cause_own(CAUSE_ENDED_ON_US));
    check->cause = cause_own(ends[stream->end]);
    return status;
}

/* ---- The ways of connecting ---- */

static kw_status dial(struct check *check, struct wire *wire)
{
    const struct connection_settings *settings = check->profile.settings;
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)settings->port);
    wire_begin(wire, (unsigned)settings->timeout);
    wire->deadline = check->deadline;
    const kw_status status = wire_connect(wire, settings->host, port, &check->why);
    if (wire->address[0] != '\0')
        check->made->report.address = arena_text(&check->made->arena, wire->address);
    return status == KW_OK ? KW_OK : diagnose_wire(check, status);
}

static struct conversation converse(const struct check *check, struct stream *stream)
{
    return (struct conversation){
        .stream = stream, .user = check->profile.settings->user, .database = check->profile.settings->database};
}

static kw_status take_greeting(struct check *check, enum greeting greeting, bool encrypted,
                               const char words[PRELUDE_WORDS_MAXIMUM])
{
    kw_connection_report *report = &check->made->report;
    check->refused = greeting == GREETING_REFUSED;
    if (words[0] != '\0')
        report->notice = arena_text(&check->made->arena, words);
    if (greeting == GREETING_WANTS_CERTIFICATE)
        return fail(check, cause_own(CAUSE_CLIENT_REQUIRED));
    if (greeting == GREETING_WANTS_TLS && !encrypted)
        return fail(check, cause_own(CAUSE_TLS_REQUIRED));
    report->encrypted = encrypted;
    report->verified = encrypted && check->profile.verifies;
    return KW_OK;
}

/* Bytes of somebody who cannot encrypt must not count as said by the server that can (as in CVE-2021-23222). */
static kw_status offer_tls(struct check *check, struct conversation *conversation)
{
    const struct prelude *prelude = check->profile.prelude;
    bool offered = true;
    kw_status status = prelude->offer != NULL ? prelude->offer(conversation, &offered, &check->why) : KW_OK;
    if (status != KW_OK)
        return diagnose_stream(check, conversation->stream, status);
    if (!offered)
        return fail(check, cause_own(CAUSE_NO_TLS));
    if (prelude->offer != NULL && wire_has_more(conversation->stream->wire))
        return fail(check, cause_own(CAUSE_INJECTED));
    return KW_OK;
}

static kw_status shake_hands(struct check *check, struct stream *stream)
{
    kw_connection_report *report = &check->made->report;
    kw_status status = stream_begin_tls(stream, check->tls, &check->why);
    if (status != KW_OK)
        return status;
    stream->framing = check->profile.prelude->framing;
    if (!check->profile.is_address && SSL_set_tlsext_host_name(stream->ssl, check->profile.settings->host) != 1)
        return crypto_error(&check->why, KW_OUT_OF_MEMORY, "libssl cannot begin a TLS session");
    status = stream_shake_hands(stream, &check->why);
    if (check->judging != KW_OK) {
        check->why = check->judging_why;
        return check->judging == KW_TIMEOUT ? diagnose_wire(check, KW_TIMEOUT) : check->judging;
    }
    report->client_certificate_wanted = check->wants_ours;
    report->client_certificate_sent = client_state(check) == CLIENT_HAS_SENT;
    if (status != KW_OK)
        return diagnose_stream(check, stream, status);
    report->protocol = arena_text(&check->made->arena, SSL_get_version(stream->ssl));
    report->cipher = arena_text(&check->made->arena, SSL_get_cipher_name(stream->ssl));
    return KW_OK;
}

static kw_status attempt_tls(struct check *check)
{
    struct wire wire;
    struct stream stream = {.wire = &wire};
    struct conversation conversation = converse(check, &stream);
    const struct prelude *prelude = check->profile.prelude;
    char words[PRELUDE_WORDS_MAXIMUM] = "";
    enum greeting greeting = GREETING_TAKEN;
    kw_status status = dial(check, &wire);
    if (status == KW_OK)
        status = offer_tls(check, &conversation);
    if (status == KW_OK)
        status = shake_hands(check, &stream);
    if (status != KW_OK)
        goto out;
    if (prelude->greet_tls != NULL)
        status = prelude->greet_tls(&conversation, &greeting, words, &check->why);
    else if (check->wants_ours && SSL_version(stream.ssl) >= TLS1_3_VERSION)
        status = stream_listen(&stream, LISTEN_MS, &check->why);
    status = status != KW_OK ? diagnose_stream(check, &stream, status) : take_greeting(check, greeting, true, words);
out:
    stream_clear(&stream);
    wire_close(&wire);
    return status;
}

static kw_status attempt_plain(struct check *check)
{
    struct wire wire;
    struct stream stream = {.wire = &wire};
    struct conversation conversation = converse(check, &stream);
    char words[PRELUDE_WORDS_MAXIMUM] = "";
    enum greeting greeting = GREETING_TAKEN;
    kw_status status = dial(check, &wire);
    if (status == KW_OK) {
        status = check->profile.prelude->greet_plain(&conversation, &greeting, words, &check->why);
        status =
            status != KW_OK ? diagnose_stream(check, &stream, status) : take_greeting(check, greeting, false, words);
    }
    stream_clear(&stream);
    wire_close(&wire);
    return status;
}

/* ---- In which order ---- */

/* An attempt leaves nothing to the next but what the report is to keep. */
static kw_status attempt(struct check *check, bool encrypted)
{
    kw_connection_report *report = &check->made->report;
    *report = (kw_connection_report){.fallback = report->fallback, .address = report->address};
    check->made->verdict = (struct verdict){0};
    check->refusal = (struct verdict){0};
    check->wants_ours = check->refused = false;
    check->judging = KW_OK;
    check->cause = NULL;
    (void)pkey_take_error(&check->why); /* of an operation before */
    check->why = (kw_error){0};
    ERR_clear_error();
    return encrypted ? attempt_tls(check) : attempt_plain(check);
}

/* Where TLS comes first it is not asked for, and a server that has none just says nothing of it: in plaintext it answers. */
static kw_status tell_no_tls(struct check *check, kw_status status)
{
    const struct cause *const cause = check->cause;
    const struct prelude *prelude = check->profile.prelude;
    const kw_error why = check->why;
    if (prelude->offer != NULL || prelude->greet_plain == NULL ||
        (cause != cause_own(CAUSE_ENDED) && cause != cause_own(CAUSE_NOT_TLS)))
        return status;
    const kw_status plain = attempt(check, false);
    if (plain == KW_OUT_OF_MEMORY)
        return plain;
    check->cause = plain == KW_OK ? cause_own(CAUSE_NO_TLS) : cause;
    check->why = why;
    check->made->report.encrypted = false;
    return status;
}

static const char *reason_of(const struct check *check)
{
    return check->cause->reason != NULL ? check->cause->reason : check->why.message;
}

/* Whether another way may lead further. A mistake here, or nobody at the other end, fails every way. */
static bool may_fall_back(const struct check *check, kw_status status)
{
    return status == KW_FAILED && check->cause != NULL && check->cause != cause_own(CAUSE_UNREACHABLE) &&
           check->cause != cause_own(CAUSE_TIMEOUT);
}

static kw_status fall_back(struct check *check, bool encrypted)
{
    check->made->report.fallback = arena_format(
        &check->made->arena, encrypted ? "plaintext was tried first: %s" : "TLS was tried first: %s", reason_of(check));
    return attempt(check, encrypted);
}

static kw_status run_allow(struct check *check)
{
    kw_status status = attempt(check, false);
    if (status == KW_OK && check->refused)
        status = fail(check, cause_own(CAUSE_TLS_REQUIRED));
    return may_fall_back(check, status) ? fall_back(check, true) : status;
}

/* Where both fail, what is wrong with TLS is what there is to say. */
static kw_status run_prefer(struct check *check)
{
    kw_status status = tell_no_tls(check, attempt(check, true));
    if (!may_fall_back(check, status))
        return status;
    const struct check first = *check;
    const kw_connection_report told = check->made->report;
    const struct verdict verdict = check->made->verdict;
    status = fall_back(check, false);
    if (!may_fall_back(check, status))
        return status;
    check->cause = first.cause;
    check->why = first.why;
    check->made->report = told;
    check->made->verdict = verdict;
    return status;
}

static kw_status run(struct check *check)
{
    switch (check->profile.mode) {
    case CONNECTION_DISABLE:
        return attempt(check, false);
    case CONNECTION_ALLOW:
        return run_allow(check);
    case CONNECTION_PREFER:
        return run_prefer(check);
    default:
        return tell_no_tls(check, attempt(check, true));
    }
}

/* ---- The report ---- */

/* What a file holds that the profile names is a matter of the configuration; that it is not there, or may not be read, is told as that. */
static kw_status status_of_file(kw_status status)
{
    return status == KW_INVALID_ARGUMENT || status == KW_CORRUPT || status == KW_UNSUPPORTED || status == KW_REFUSED
               ? KW_CONFIGURATION
               : status;
}

static void fill(struct check *check, kw_status status)
{
    struct report *made = check->made;
    struct arena *arena = &made->arena;
    kw_connection_report *report = &made->report;
    report->problems = made->verdict.problems;
    report->problem_count = made->verdict.count;
    report->connected = status == KW_OK;
    if (report->connected)
        return;
    const struct cause *cause = check->cause;
    report->encrypted = report->verified = false;
    report->status = cause->status != KW_OK ? cause->status : status_of_file(status);
    report->cause = cause->code;
    report->message = arena_format(arena, "Failed to connect - %s", reason_of(check));
    if (check->refusal.count > 0)
        report->detail = check->refusal.problems[0].sentence;
    else if (cause->reason != NULL && check->why.message[0] != '\0' && strcmp(check->why.message, cause->reason) != 0)
        report->detail = check->why.where[0] != '\0'
                             ? arena_format(arena, "%s: %s", check->why.where, check->why.message)
                             : arena_text(arena, check->why.message);
    else if (cause->reason == NULL && check->why.where[0] != '\0' &&
             strstr(check->why.message, check->why.where) == NULL)
        report->detail = arena_text(arena, check->why.where);
    report->remedy = arena_text(arena, cause->remedy != NULL ? cause->remedy : check->why.remedy);
}

/* What the profile itself lacks fails the check before anything is connected. */
static kw_status prepare(struct check *check, kw_error *error)
{
    kw_status status = KW_OK;
    if (check->profile.mode == CONNECTION_DISABLE)
        return KW_OK;
    status = profile_context(check->context, &check->profile, &check->cause, &check->tls, &check->why);
    if (status == KW_OK) {
        check->store = SSL_CTX_get_cert_store(check->tls);
        SSL_CTX_set_cert_verify_callback(check->tls, judge, check);
        SSL_CTX_set_cert_cb(check->tls, note_wanted, check);
    } else if (check->cause == NULL && error != NULL) {
        *error = check->why;
    }
    return status;
}

kw_status connection_check(kw_context *context, const char *name, kw_connection_report **report, kw_error *error)
{
    struct report *made = calloc(1, sizeof(*made));
    struct check check = {.context = context, .made = made};
    kw_status status = made != NULL ? profile_find(context, name, &check.profile, error) : error_memory(error);
    if (status != KW_OK)
        goto out;
    status = prepare(&check, error);
    if (status != KW_OK && check.cause == NULL)
        goto out;
    check.deadline = clock_milliseconds() + (uint64_t)check.profile.settings->timeout;
    if (status == KW_OK)
        status = run(&check);
    if (status != KW_OK && check.cause == NULL) {
        if (error != NULL)
            *error = check.why;
        goto out;
    }
    fill(&check, status);
    status = made->arena.failed ? error_memory(error) : KW_OK;
    if (status != KW_OK)
        goto out;
    *report = &made->report;
    made = NULL;
out:
    ERR_clear_error();
    profile_context_free(check.tls);
    if (made != NULL)
        kw_connection_report_free(&made->report);
    return status;
}

void kw_connection_report_free(kw_connection_report *report)
{
    struct report *made = (struct report *)report;
    if (made == NULL)
        return;
    arena_free(&made->arena);
    free(made);
}
