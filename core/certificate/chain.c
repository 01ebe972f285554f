#include "certificate/chain.h"

#include "certificate/name.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAXIMUM  10
#define SECURITY_LEVEL 2 /* libcrypto's: 112 bits, so RSA from 2048, EC from 224, SHA-224 and up */
#define POINTS_MAXIMUM 8 /* places of lists that are tried for one certificate */

struct search {
    struct crypto *crypto;
    const struct chain_wanted *wanted;
    X509 *certificate;
    STACK_OF(X509) *others; /* what is not trusted: of the file and of the configuration */
    X509_STORE *store;
    STACK_OF(X509_CRL) *crls;
};

/* ---- Verdicts ----------------------------------------------------------------------------------------------------- */

/* What libcrypto's codes mean for people. "%s" in a sentence is the certificate's subject; `issuer`: a second one is its issuer. */
static const struct verdict {
    int code;
    bool issuer;
    const char *sentence, *remedy;
} verdicts[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, true,
     "there is no complete path to a trusted CA: of the certificate '%s' the issuer '%s' is not known",
     "put the issuer's certificate into the file, or name its file in the configuration: an intermediate CA under "
     "'trust: intermediates', a root that you trust under 'trust: authorities'"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, true,
     "there is no complete path to a trusted CA: of the certificate '%s' the issuer '%s' is not known",
     "name the root's file in the configuration under 'trust: authorities'"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, true,
     "there is no complete path to a trusted CA: of the certificate '%s' the issuer '%s' is not known",
     "put the issuer's certificate into the file, or name its file under 'trust: intermediates'"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, false, "the root '%s' is not trusted here",
     "if you trust this CA, name its file in the configuration under 'trust: authorities'"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, false, "the certificate '%s' is self-signed: no CA vouches for it",
     "import one that a CA issued; `keywright request` makes the request for it"},
    {X509_V_ERR_CERT_NOT_YET_VALID, false, "the certificate '%s' is not valid yet", "look at this host's clock"},
    {X509_V_ERR_CERT_HAS_EXPIRED, false, "the certificate '%s' has expired",
     "get the CA's present certificate; and look at this host's clock"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, false, "the signature of the certificate '%s' is wrong",
     "get the certificate anew; if that is no help, the file holds another CA of the same name"},
    {X509_V_ERR_INVALID_PURPOSE, false,
     "the certificate '%s' may not be part of a TLS server's path: its (extended) key usage does not allow it",
     "ask the CA for a certificate from an issuer that may issue those of TLS servers"},
    {X509_V_ERR_INVALID_CA, false, "the certificate '%s' has issued the one before it, but is no CA's", NULL},
    {X509_V_ERR_INVALID_NON_CA, false, "the certificate '%s' is a CA's", NULL},
    {X509_V_ERR_KEYUSAGE_NO_CERTSIGN, false,
     "the certificate '%s' may not issue others: its key usage lacks keyCertSign", NULL},
    {X509_V_ERR_PATH_LENGTH_EXCEEDED, false,
     "the certificate '%s' allows fewer intermediate CAs below it than there are (path length)", NULL},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, false, "the path is too long at the certificate '%s'", NULL},
    {X509_V_ERR_PERMITTED_VIOLATION, false,
     "the certificate '%s' has a name that the name constraints of its CA do not permit",
     "ask a CA that may issue for these names, or for a certificate without them"},
    {X509_V_ERR_EXCLUDED_VIOLATION, false,
     "the certificate '%s' has a name that the name constraints of its CA exclude",
     "ask a CA that may issue for these names, or for a certificate without them"},
    {X509_V_ERR_SUBTREE_MINMAX, false, "name constraints above the certificate '%s' use minimum or maximum", NULL},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, false,
     "name constraints above the certificate '%s' are for a type of name that is not supported", NULL},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, false, "name constraints above the certificate '%s' are malformed",
     NULL},
    {X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, false, "the certificate '%s' has a name that is malformed", NULL},
    {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, false,
     "the certificate '%s' has a critical extension that is not supported", NULL},
    {X509_V_ERR_INVALID_EXTENSION, false, "the certificate '%s' has an extension that is malformed", NULL},
    {X509_V_ERR_EE_KEY_TOO_SMALL, false, "the key of the certificate '%s' is too short",
     "use RSA from 2048 bits, or EC from P-256"},
    {X509_V_ERR_CA_KEY_TOO_SMALL, false, "the key of the CA's certificate '%s' is too short",
     "ask a CA with RSA from 2048 bits, or EC from P-256"},
    {X509_V_ERR_CA_MD_TOO_WEAK, false, "the certificate '%s' is signed by means of a hash that is broken (SHA-1, MD5)",
     "ask the CA to sign with SHA-256 or better"},
    {X509_V_ERR_CERT_REVOKED, false, "the certificate '%s' is revoked",
     "make a new key (delete, and create or apply), and have a new certificate issued for it"},
    {X509_V_ERR_UNABLE_TO_GET_CRL, false,
     "the revocation list that the certificate '%s' leads to is another CA's, or is not for this kind of certificate",
     "tell the CA"},
    {X509_V_ERR_DIFFERENT_CRL_SCOPE, false,
     "the revocation list that the certificate '%s' leads to is not for this kind of certificate", "tell the CA"},
    {X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, false, "who issued the revocation list of the certificate '%s' is not known",
     "tell the CA"},
    {X509_V_ERR_CRL_PATH_VALIDATION_ERROR, false,
     "who issued the revocation list of the certificate '%s' is not trusted", "tell the CA"},
    {X509_V_ERR_CRL_SIGNATURE_FAILURE, false, "the signature of the revocation list of the certificate '%s' is wrong",
     "tell the CA"},
    {X509_V_ERR_KEYUSAGE_NO_CRL_SIGN, false,
     "the issuer of the certificate '%s' may not sign revocation lists: its key usage lacks cRLSign", "tell the CA"},
    {X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, false,
     "the revocation list of the certificate '%s' has a critical extension that is not supported", "tell the CA"},
    {X509_V_ERR_CRL_HAS_EXPIRED, false, "the revocation list of the certificate '%s' has expired", "tell the CA"},
    {X509_V_ERR_CRL_NOT_YET_VALID, false, "the revocation list of the certificate '%s' is not valid yet",
     "look at this host's clock"},
};

static const char *or_unnamed(const char *text)
{
    return text == NULL ? "?" : text[0] == '\0' ? "(no name)" : text;
}

static kw_status pass_verdict(int code, const X509 *certificate, kw_error *error)
{
    char *subject = name_text(X509_get_subject_name(certificate)),
         *issuer = name_text(X509_get_issuer_name(certificate));
    const char *who = or_unnamed(subject), *by = or_unnamed(issuer);
    const struct verdict *verdict = NULL;
    kw_status status = KW_OK;
    for (size_t i = 0; verdict == NULL && i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
        if (verdicts[i].code == code)
            verdict = &verdicts[i];
    if (verdict == NULL) {
        status = error_set(error, KW_REFUSED, "the certificate '%s': %s", who, X509_verify_cert_error_string(code));
    } else {
        const char *hole = strstr(verdict->sentence, "%s"), *rest = hole + 2;
        const char *second = strstr(rest, "%s");
        status = error_set(error, KW_REFUSED, "%.*s%s%.*s%s%s", (int)(hole - verdict->sentence), verdict->sentence, who,
                           second != NULL ? (int)(second - rest) : (int)strlen(rest), rest,
                           verdict->issuer && second != NULL ? by : "", second != NULL ? second + 2 : "");
    }
    error_remedy(error, "%s",
                 verdict != NULL && verdict->remedy != NULL
                     ? verdict->remedy
                     : "ask the CA for another certificate; `openssl x509 -noout -text` shows what is in this one");
    free(subject);
    free(issuer);
    return status;
}

/* When and why a list says that it is revoked goes behind the verdict. */
static void tell_revocation(const struct search *search, X509 *certificate, kw_error *error)
{
    X509_REVOKED *revoked = NULL;
    char *subject = NULL, when[TIME_TEXT_SIZE];
    for (int i = 0; revoked == NULL && i < sk_X509_CRL_num(search->crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(search->crls, i);
        if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(certificate)) != 0 ||
            X509_CRL_get0_by_cert(crl, &revoked, certificate) == 0)
            revoked = NULL;
    }
    if (revoked == NULL)
        return;
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(revoked, NID_crl_reason, NULL, NULL);
    const long number = reason != NULL ? ASN1_ENUMERATED_get(reason) : -1;
    static const char *const reasons[] = {NULL,
                                          "its key is compromised",
                                          "its CA is compromised",
                                          "its holder has changed",
                                          "it was superseded",
                                          "it is no longer operated",
                                          "it is on hold",
                                          NULL,
                                          NULL,
                                          "its privileges were withdrawn",
                                          "its CA is compromised"};
    const char *why = number > 0 && number < (long)(sizeof(reasons) / sizeof(reasons[0])) ? reasons[number] : NULL;
    time_text(X509_REVOKED_get0_revocationDate(revoked), when);
    subject = name_text(X509_get_subject_name(certificate));
    error_set(error, KW_REFUSED, "the certificate '%s' is revoked since %s%s%s", or_unnamed(subject), when,
              why != NULL ? ": " : "", why != NULL ? why : "");
    error_remedy(error, "make a new key (delete, and create or apply), and have a new certificate issued for it");
    ASN1_ENUMERATED_free(reason);
    free(subject);
}

/* ---- Verifying ---------------------------------------------------------------------------------------------------- */

/* A certificate that leads to no list needs none, and neither does the root, which nobody could revoke. */
static int judge(int ok, X509_STORE_CTX *context)
{
    X509 *current = X509_STORE_CTX_get_current_cert(context);
    if (ok || X509_STORE_CTX_get_error(context) != X509_V_ERR_UNABLE_TO_GET_CRL || current == NULL)
        return ok;
    return X509_get_ext_by_NID(current, NID_crl_distribution_points, -1) < 0 || x509_is_self_signed(current, false);
}

static kw_status verify_within(const struct search *search, STACK_OF(X509) **path, kw_error *error)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new_ex(search->crypto->library, NULL);
    kw_status status = KW_OK;
    if (context == NULL || !X509_STORE_CTX_init(context, search->store, search->certificate, search->others)) {
        status = crypto_error(error, KW_FAILED, "libcrypto cannot look for a path");
        goto out;
    }
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_depth(parameters, DEPTH_MAXIMUM);
    X509_VERIFY_PARAM_set_auth_level(parameters, SECURITY_LEVEL);
    if (search->wanted->tls_server && !X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER)) {
        status = crypto_error(error, KW_FAILED, "libcrypto cannot look for a server's path");
        goto out;
    }
    if (search->crls != NULL) {
        X509_STORE_CTX_set0_crls(context, search->crls);
        X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
        X509_STORE_CTX_set_verify_cb(context, judge);
    }
    if (X509_verify_cert(context) != 1) {
        const int code = X509_STORE_CTX_get_error(context);
        X509 *current = X509_STORE_CTX_get_current_cert(context);
        if (code == X509_V_ERR_OUT_OF_MEM) {
            status = error_memory(error);
            goto out;
        }
        status = pass_verdict(code, current != NULL ? current : search->certificate, error);
        if (code == X509_V_ERR_CERT_REVOKED && current != NULL)
            tell_revocation(search, current, error);
        goto out;
    }
    if (path != NULL) {
        *path = X509_STORE_CTX_get1_chain(context);
        status = *path == NULL ? error_memory(error) : KW_OK;
    }
out:
    X509_STORE_CTX_free(context);
    ERR_clear_error();
    return status;
}

static kw_status verify(const struct search *search, STACK_OF(X509) **path, kw_error *error)
{
    crypto_enter();
    const kw_status status = verify_within(search, path, error);
    crypto_leave();
    return status;
}

/* ---- Revocation lists --------------------------------------------------------------------------------------------- */

struct hunt {
    X509 *certificate;
    const struct search *search;
    const char *subject;
    size_t tried;
    bool found;
    kw_error first; /* why the first place gave nothing */
};

static kw_status try_place(struct hunt *hunt, const ASN1_STRING *place, kw_error *error)
{
    const struct chain_wanted *wanted = hunt->search->wanted;
    const kw_input url = {ASN1_STRING_get0_data(place), (size_t)ASN1_STRING_length(place)};
    kw_error reason = {0};
    X509_CRL *crl = NULL;
    kw_status status = crl_fetch(hunt->search->crypto, url, &wanted->trust->crl, &crl, &reason);
    if (status == KW_OK)
        status = crl_check_fresh(crl, url, &reason);
    if (status == KW_OK && X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(hunt->certificate)) != 0)
        status = error_set(&reason, KW_REFUSED, "the revocation list %.*s is another CA's", (int)url.length,
                           (const char *)url.data);
    hunt->tried++;
    if (status == KW_OK) {
        if (sk_X509_CRL_push(hunt->search->crls, crl) <= 0) {
            X509_CRL_free(crl);
            return error_memory(error);
        }
        hunt->found = true;
        return KW_OK;
    }
    X509_CRL_free(crl);
    if (status == KW_OUT_OF_MEMORY)
        return error_memory(error);
    /* A place that is not supported says the least. */
    if (hunt->first.status == KW_OK || hunt->first.status == KW_UNSUPPORTED)
        hunt->first = reason;
    return KW_OK;
}

static kw_status try_point(struct hunt *hunt, const DIST_POINT *point, kw_error *error)
{
    enum { FULL_NAME = 0 };
    kw_status status = KW_OK;
    if (point->distpoint == NULL || point->distpoint->type != FULL_NAME)
        return KW_OK;
    const GENERAL_NAMES *names = point->distpoint->name.fullname;
    for (int i = 0; status == KW_OK && !hunt->found && i < sk_GENERAL_NAME_num(names); i++) {
        int type = 0;
        const ASN1_STRING *place = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type == GEN_URI && hunt->tried < POINTS_MAXIMUM)
            status = try_place(hunt, place, error);
    }
    return status;
}

static void warn_of_first(const struct hunt *hunt)
{
    const struct chain_wanted *wanted = hunt->search->wanted;
    char sentence[sizeof(hunt->first.message) + 256];
    if (hunt->first.status == KW_OK || hunt->first.status == KW_UNSUPPORTED)
        return;
    snprintf(sentence, sizeof(sentence), "a place of revocation lists failed, and another one was used: %s",
             hunt->first.message);
    wanted->warning(wanted->user, sentence);
}

static kw_status report_none(const struct hunt *hunt, kw_error *error)
{
    const kw_error *first = &hunt->first;
    if (first->status == KW_OK) {
        kw_status status =
            error_set(error, KW_UNSUPPORTED, "the certificate '%s' does not say by a URL where its revocation list is",
                      hunt->subject);
        error_remedy(error, "ask the CA for a certificate with a list that is fetched by http");
        return status;
    }
    const kw_status status = first->status == KW_UNAVAILABLE || first->status == KW_PERMISSION ? KW_UNAVAILABLE
                             : first->status == KW_UNSUPPORTED                                 ? KW_UNSUPPORTED
                                                                                               : KW_REFUSED;
    error_set(error, status, "whether the certificate '%s' is revoked cannot be told: %s", hunt->subject,
              first->message);
    error_remedy(error, "%s",
                 first->remedy[0] != '\0' ? first->remedy
                                          : "tell the CA, whose certificate names this place of the revocation list");
    return status;
}

static kw_status fetch_crls_of(const struct search *search, X509 *certificate, kw_error *error)
{
    int critical = 0;
    CRL_DIST_POINTS *points = X509_get_ext_d2i(certificate, NID_crl_distribution_points, &critical, NULL);
    struct hunt hunt = {.search = search, .certificate = certificate};
    char *subject = NULL;
    kw_status status = KW_OK;
    if (points == NULL && critical == -1)
        return KW_OK;
    subject = name_text(X509_get_subject_name(certificate));
    hunt.subject = or_unnamed(subject);
    if (points == NULL)
        status = error_set(error, KW_REFUSED, "where the revocation lists of the certificate '%s' are is malformed",
                           hunt.subject);
    for (int i = 0; status == KW_OK && !hunt.found && i < sk_DIST_POINT_num(points); i++)
        status = try_point(&hunt, sk_DIST_POINT_value(points, i), error);
    if (status == KW_OK && hunt.found)
        warn_of_first(&hunt);
    else if (status == KW_OK)
        status = report_none(&hunt, error);
    free(subject);
    CRL_DIST_POINTS_free(points);
    return status;
}

/* ---- All together ------------------------------------------------------------------------------------------------- */

static kw_status push_all(STACK_OF(X509) *into, const STACK_OF(X509) *from, kw_error *error)
{
    for (int i = 0; i < sk_X509_num(from); i++)
        if (sk_X509_push(into, sk_X509_value(from, i)) <= 0)
            return error_memory(error);
    return KW_OK;
}

static kw_status add_all(X509_STORE *store, const STACK_OF(X509) *certificates, kw_error *error)
{
    for (int i = 0; i < sk_X509_num(certificates); i++)
        if (!X509_STORE_add_cert(store, sk_X509_value(certificates, i)))
            return crypto_error(error, KW_FAILED, "libcrypto does not take a trusted CA");
    return KW_OK;
}

static kw_status make_store_within(struct crypto *crypto, const struct trust *trust, X509_STORE **store,
                                   kw_error *error)
{
    X509_STORE *made = X509_STORE_new();
    kw_status status = made != NULL ? add_all(made, trust->authorities, error) : error_memory(error);
    if (status == KW_OK && trust->system_roots && !X509_STORE_set_default_paths_ex(made, crypto->library, NULL))
        status = crypto_error(error, KW_FAILED, "libcrypto does not find the system's roots");
    if (status == KW_OK) {
        *store = made;
        made = NULL;
    }
    X509_STORE_free(made);
    return status;
}

static kw_status make_store(struct crypto *crypto, const struct trust *trust, X509_STORE **store, kw_error *error)
{
    crypto_enter();
    const kw_status status = make_store_within(crypto, trust, store, error);
    crypto_leave();
    return status;
}

static kw_status chain_complete_within(struct crypto *crypto, const struct trust *trust, STACK_OF(X509) *chain,
                                       kw_error *error)
{
    X509_STORE *store = NULL;
    X509_STORE_CTX *context = X509_STORE_CTX_new_ex(crypto->library, NULL);
    kw_status status = context != NULL ? make_store(crypto, trust, &store, error) : error_memory(error);
    /* Nothing is judged by this store, so what is only an issuer may be in it too. */
    if (status == KW_OK)
        status = add_all(store, trust->intermediates, error);
    if (status == KW_OK && X509_STORE_CTX_init(context, store, NULL, NULL) != 1)
        status = crypto_error(error, KW_FAILED, "libcrypto cannot search for issuers");
    while (status == KW_OK && sk_X509_num(chain) <= DEPTH_MAXIMUM) {
        X509 *last = sk_X509_value(chain, sk_X509_num(chain) - 1), *issuer = NULL;
        if (x509_is_self_signed(last, false) || X509_STORE_CTX_get1_issuer(&issuer, context, last) != 1)
            break;
        if (X509_verify(last, X509_get0_pubkey(issuer)) != 1) {
            crypto_x509_free(issuer);
            break;
        }
        if (sk_X509_push(chain, issuer) <= 0) {
            crypto_x509_free(issuer);
            status = error_memory(error);
        }
    }
    ERR_clear_error();
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    return status;
}

kw_status chain_complete(struct crypto *crypto, const struct trust *trust, STACK_OF(X509) *chain, kw_error *error)
{
    crypto_enter();
    const kw_status status = chain_complete_within(crypto, trust, chain, error);
    crypto_leave();
    return status;
}

static void warn_of_expiry(const struct search *search, const STACK_OF(X509) *path)
{
    for (int i = 0; i < sk_X509_num(path); i++) {
        char name[512];
        char *subject = i == 0 ? NULL : name_text(X509_get_subject_name(sk_X509_value(path, i)));
        snprintf(name, sizeof(name), "the certificate '%s' of its CA", or_unnamed(subject));
        leaf_tell_expiry(sk_X509_value(path, i), i == 0 ? "it" : name, search->wanted->warning, search->wanted->user);
        free(subject);
    }
}

kw_status chain_find(struct crypto *crypto, const struct chain_wanted *wanted, X509 *certificate,
                     STACK_OF(X509) *others, STACK_OF(X509) **path, kw_error *error)
{
    struct search search = {
        .crypto = crypto, .wanted = wanted, .certificate = certificate, .others = sk_X509_new_null()};
    STACK_OF(X509) *found = NULL;
    kw_status status = search.others == NULL ? error_memory(error) : push_all(search.others, others, error);
    if (status == KW_OK)
        status = push_all(search.others, wanted->trust->intermediates, error);
    if (status == KW_OK && x509_is_self_signed(certificate, false))
        status = pass_verdict(X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, certificate, error);
    if (status == KW_OK)
        status = make_store(crypto, wanted->trust, &search.store, error);
    /* Without lists at first: only what a trusted CA has signed may send this host to a URL. */
    if (status == KW_OK)
        status = verify(&search, &found, error);
    if (status != KW_OK)
        goto out;
    search.crls = sk_X509_CRL_new_null();
    if (search.crls == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (int i = 0; status == KW_OK && i + 1 < sk_X509_num(found); i++)
        status = fetch_crls_of(&search, sk_X509_value(found, i), error);
    if (status == KW_OK && sk_X509_CRL_num(search.crls) > 0)
        status = verify(&search, NULL, error);
    if (status != KW_OK)
        goto out;
    warn_of_expiry(&search, found);
    crypto_x509_free(sk_X509_pop(found)); /* the root */
    *path = found;
    found = NULL;
out:
    sk_X509_pop_free(found, crypto_x509_free);
    sk_X509_CRL_pop_free(search.crls, X509_CRL_free);
    sk_X509_free(search.others);
    X509_STORE_free(search.store);
    ERR_clear_error();
    return status;
}
