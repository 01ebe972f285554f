#include "tls/verdict.h"

#include "base/clock.h"
#include "certificate/bundle.h"
#include "certificate/x509.h"
#include "tls/shown.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* What openssl on Debian asks of keys: 112 bits, as RSA has with 2048. */
#define AUTHENTICATION_LEVEL 2
#define NAME_MISMATCH        "name-mismatch"
#define OTHER                "verification"

/* What the sentence is about. */
enum about { ABOUT_NOTHING, ABOUT_SUBJECT, ABOUT_ISSUER, ABOUT_BEGIN, ABOUT_END, ABOUT_NAMES };

/* libcrypto's findings in people's words, the worst first. */
static const struct finding {
    int error;
    const char *code;
    enum about about;
    const char *sentence; /* with one %s, but for ABOUT_NOTHING */
} findings[] = {
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "signature", ABOUT_SUBJECT, "the signature on the certificate %s is wrong"},
    {X509_V_ERR_CERT_REVOKED, "revoked", ABOUT_SUBJECT, "the certificate %s was revoked"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "self-signed", ABOUT_NOTHING,
     "the certificate is self-signed, and is not among those that this system trusts"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "unknown-root", ABOUT_SUBJECT,
     "the authority at the end of the certificate's path, %s, is not among those that this system trusts"},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, OTHER, ABOUT_NOTHING,
     "certificate chain too long: no path of so many authorities is followed"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "unknown-issuer", ABOUT_ISSUER,
     "unable to get local issuer certificate: %s is not among those that this system trusts, and the server did not "
     "send its certificate"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "unknown-issuer", ABOUT_ISSUER,
     "unable to get issuer certificate: that of %s is not known here"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "unknown-issuer", ABOUT_ISSUER,
     "the certificate of %s, which issued the server's, is not known here"},
    {X509_V_ERR_HOSTNAME_MISMATCH, NAME_MISMATCH, ABOUT_NAMES, "the certificate is not for this name, but for %s"},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, NAME_MISMATCH, ABOUT_NAMES, "the certificate is not for this address, but for %s"},
    {X509_V_ERR_CERT_HAS_EXPIRED, "expired", ABOUT_END, "the certificate expired: it was valid until %s"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "not-yet-valid", ABOUT_BEGIN, "the certificate is not valid before %s"},
    {X509_V_ERR_INVALID_CA, "purpose", ABOUT_SUBJECT, "the certificate %s is not one of an authority"},
    {X509_V_ERR_INVALID_PURPOSE, "purpose", ABOUT_SUBJECT, "the certificate %s is not one for TLS servers"},
    {X509_V_ERR_EE_KEY_TOO_SMALL, "weak", ABOUT_SUBJECT, "the key of the certificate %s is too short"},
    {X509_V_ERR_CA_KEY_TOO_SMALL, "weak", ABOUT_SUBJECT, "the key of the authority %s is too short"},
    {X509_V_ERR_CA_MD_TOO_WEAK, "weak", ABOUT_SUBJECT, "the certificate %s was signed with a hash that is too weak"},
};
#define FINDING_COUNT (sizeof(findings) / sizeof(findings[0]))

/* ---- Stores ---- */

static kw_status add_more(struct crypto *crypto, const char *path, X509_STORE *store, kw_error *error)
{
    STACK_OF(X509) *certificates = NULL;
    kw_status status = bundle_read_file(crypto, path, &certificates, error);
    crypto_enter();
    for (int i = 0; status == KW_OK && i < sk_X509_num(certificates); i++)
        if (X509_STORE_add_cert(store, sk_X509_value(certificates, i)) != 1)
            status = crypto_error(error, KW_FAILED, "a certificate of %s cannot be used", path);
    crypto_leave();
    bundle_free(certificates);
    return status;
}

static kw_status new_store(struct crypto *crypto, bool system, X509_STORE **store, kw_error *error)
{
    kw_status status = KW_OK;
    crypto_enter();
    *store = X509_STORE_new();
    if (*store == NULL)
        status = error_memory(error);
    else if (system && X509_STORE_set_default_paths_ex(*store, crypto->library, NULL) != 1)
        status = crypto_error(error, KW_FAILED, "the certificates that this system trusts cannot be read");
    crypto_leave();
    return status;
}

void verdict_store_free(X509_STORE *store)
{
    crypto_enter();
    X509_STORE_free(store);
    crypto_leave();
}

kw_status verdict_store(struct crypto *crypto, const char *const *files, size_t count, bool system, X509_STORE **store,
                        kw_error *error)
{
    X509_STORE *made = NULL;
    kw_status status = new_store(crypto, system, &made, error);
    for (size_t i = 0; status == KW_OK && i < count; i++)
        status = add_more(crypto, files[i], made, error);
    if (status == KW_OK) {
        *store = made;
        made = NULL;
    }
    ERR_clear_error();
    verdict_store_free(made);
    return status;
}

/* ---- Judging ---- */

struct judging {
    struct crypto *crypto;
    X509 *certificate; /* the server's */
    struct arena *arena;
    uint64_t deadline;
    bool late, long_path;
    bool found[FINDING_COUNT];
    const char *sentences[FINDING_COUNT];
    struct verdict_place places[FINDING_COUNT];
    const char *other; /* what the table does not know */
    struct verdict_place other_place;
    /* What stands in the certificates that were asked about, each read once. */
    struct {
        const X509 *certificate;
        const kw_certificate_info *info;
    } read[VERDICT_DEPTH_MAXIMUM + 2];
    size_t read_count;
};

/* NULL: there is none. */
static const kw_certificate_info *describe(struct judging *judging, X509 *certificate)
{
    const size_t room = sizeof(judging->read) / sizeof(judging->read[0]);
    for (size_t i = 0; i < judging->read_count; i++)
        if (judging->read[i].certificate == certificate)
            return judging->read[i].info;
    const kw_certificate_info *info = shown_certificate(judging->crypto, certificate, judging->arena);
    if (judging->read_count < room) {
        judging->read[judging->read_count].certificate = certificate;
        judging->read[judging->read_count++].info = info;
    }
    return info;
}

static const char *date_of(const struct judging *judging, const kw_certificate_info *info, const char *date, bool own)
{
    return own ? date
               : arena_format(judging->arena, "%s (this is the one of %s)", date,
                              shown_text(judging->arena, info->subject));
}

static const char *subject_of_sentence(struct judging *judging, enum about about, X509 *concerned)
{
    const bool own = concerned == NULL || concerned == judging->certificate || about == ABOUT_NAMES;
    const kw_certificate_info *info = describe(judging, own ? judging->certificate : concerned);
    const char *names;
    if (info == NULL)
        return "what cannot be read";
    switch (about) {
    case ABOUT_ISSUER:
        return shown_text(judging->arena, info->issuer);
    case ABOUT_BEGIN:
        return date_of(judging, info, info->not_before_text, own);
    case ABOUT_END:
        return date_of(judging, info, info->not_after_text, own);
    case ABOUT_NAMES:
        names = shown_names(judging->arena, info);
        return names != NULL ? names : "none: it has no subject alternative names, and clients look at nothing else";
    default:
        return shown_text(judging->arena, info->subject);
    }
}

static const char *sentence_of(const struct finding *finding, const char *subject, struct arena *arena)
{
    const char *hole = strstr(finding->sentence, "%s");
    if (hole == NULL)
        return finding->sentence;
    return arena_format(arena, "%.*s%s%s", (int)(hole - finding->sentence), finding->sentence,
                        subject != NULL ? subject : "", hole + 2);
}

static struct verdict_place place_of(struct judging *judging, X509_STORE_CTX *context)
{
    return (struct verdict_place){.error = X509_STORE_CTX_get_error(context),
                                  .depth = X509_STORE_CTX_get_error_depth(context),
                                  .concerned = describe(judging, X509_STORE_CTX_get_current_cert(context))};
}

/* Where a path is not followed to its end, nobody has looked who issued the last one. */
static bool is_of_a_long_path(const struct judging *judging, int error)
{
    return judging->long_path &&
           (error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT || error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
}

/* Called for each certificate and each fault. Takes note and goes on, so that one look finds everything, as long as there is time. */
static int note(int ok, X509_STORE_CTX *context)
{
    struct judging *judging = X509_STORE_CTX_get_app_data(context);
    const int error = X509_STORE_CTX_get_error(context);
    if (judging->deadline != 0 && clock_milliseconds() >= judging->deadline) {
        judging->late = true;
        return 0;
    }
    if (ok == 1 || error == X509_V_OK || is_of_a_long_path(judging, error))
        return 1;
    judging->long_path = judging->long_path || error == X509_V_ERR_CERT_CHAIN_TOO_LONG;
    for (size_t i = 0; i < FINDING_COUNT; i++) {
        if (findings[i].error != error)
            continue;
        if (!judging->found[i]) {
            const char *subject =
                subject_of_sentence(judging, findings[i].about, X509_STORE_CTX_get_current_cert(context));
            judging->sentences[i] = sentence_of(&findings[i], subject, judging->arena);
            judging->places[i] = place_of(judging, context);
        }
        judging->found[i] = true;
        return 1;
    }
    if (judging->other == NULL) {
        judging->other = arena_text(judging->arena, X509_verify_cert_error_string(error));
        judging->other_place = place_of(judging, context);
    }
    return 1;
}

/* Each code once. */
static void tell(struct verdict *verdict, const char *code, const char *sentence, struct verdict_place place)
{
    for (size_t i = 0; i < verdict->count; i++)
        if (strcmp(verdict->problems[i].code, code) == 0)
            return;
    verdict->places[verdict->count] = place;
    verdict->problems[verdict->count++] = (kw_trust_problem){.code = code, .sentence = sentence};
}

static void collect(const struct judging *judging, struct verdict *verdict)
{
    for (size_t i = 0; i < FINDING_COUNT && verdict->count < VERDICT_PROBLEMS_MAXIMUM - 1; i++)
        if (judging->found[i])
            tell(verdict, findings[i].code, judging->sentences[i], judging->places[i]);
    if (judging->other != NULL)
        tell(verdict, OTHER, judging->other, judging->other_place);
}

void verdict_forget_name(struct verdict *verdict)
{
    size_t kept = 0;
    for (size_t i = 0; i < verdict->count; i++) {
        if (strcmp(verdict->problems[i].code, NAME_MISMATCH) == 0)
            continue;
        verdict->problems[kept] = verdict->problems[i];
        verdict->places[kept++] = verdict->places[i];
    }
    verdict->count = kept;
}

bool verdict_set_host(X509_VERIFY_PARAM *parameters, const char *host, bool is_address)
{
    char plain[64];
    if (host == NULL)
        return true;
    /* As clients do, which look for no host in the subject; and for a wildcard in place of a whole label alone. */
    X509_VERIFY_PARAM_set_hostflags(parameters,
                                    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (!is_address)
        return X509_VERIFY_PARAM_set1_host(parameters, host, 0) == 1;
    const size_t length = strcspn(host, "%");
    if (length >= sizeof(plain))
        return false;
    memcpy(plain, host, length);
    plain[length] = '\0';
    return X509_VERIFY_PARAM_set1_ip_asc(parameters, plain) == 1;
}

static kw_status find_within(struct crypto *crypto, X509_STORE *store, const struct verdict_wanted *wanted,
                             struct arena *arena, struct verdict *verdict, kw_error *error)
{
    struct judging judging = {
        .crypto = crypto, .certificate = wanted->certificate, .arena = arena, .deadline = wanted->deadline};
    struct verdict made = {0};
    X509_STORE_CTX *context = X509_STORE_CTX_new_ex(crypto->library, NULL);
    kw_status status = KW_OK;
    if (context == NULL || X509_STORE_CTX_init(context, store, wanted->certificate, wanted->others) != 1 ||
        X509_STORE_CTX_set_default(context, "ssl_server") != 1 || X509_STORE_CTX_set_app_data(context, &judging) != 1) {
        status = crypto_error(error, KW_FAILED, "the certificate cannot be judged");
        goto out;
    }
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_auth_level(parameters, AUTHENTICATION_LEVEL);
    X509_VERIFY_PARAM_set_depth(parameters, VERDICT_DEPTH_MAXIMUM);
    X509_STORE_CTX_set_verify_cb(context, note);
    if (!verdict_set_host(parameters, wanted->host, wanted->is_address)) {
        status = crypto_error(error, KW_INVALID_ARGUMENT, "'%s' can be in no certificate", wanted->host);
        goto out;
    }
    const int passed = X509_verify_cert(context);
    if (judging.late) {
        status = error_set(error, KW_TIMEOUT, "the time was up before the server's certificate was judged");
        goto out;
    }
    if (passed != 1 && judging.other == NULL) {
        judging.other_place.error = X509_STORE_CTX_get_error(context);
        judging.other = arena_text(arena, X509_verify_cert_error_string(judging.other_place.error));
    }
    collect(&judging, &made);
    if (arena->failed)
        status = error_memory(error);
    else
        *verdict = made;
out:
    ERR_clear_error();
    X509_STORE_CTX_free(context);
    return status;
}

kw_status verdict_find(struct crypto *crypto, X509_STORE *store, const struct verdict_wanted *wanted,
                       struct arena *arena, struct verdict *verdict, kw_error *error)
{
    crypto_enter();
    const kw_status status = find_within(crypto, store, wanted, arena, verdict, error);
    crypto_leave();
    return status;
}
