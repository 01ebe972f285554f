#include "certificate/leaf.h"

#include "base/buffer.h"
#include "certificate/crl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool has_server_authentication(X509 *certificate, bool *any, bool *every)
{
    EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
    bool found = false;
    *any = usage != NULL;
    *every = false;
    for (int i = 0; i < sk_ASN1_OBJECT_num(usage); i++) {
        const int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(usage, i));
        found = found || nid == NID_server_auth;
        *every = *every || nid == NID_anyExtendedKeyUsage;
    }
    sk_ASN1_OBJECT_pop_free(usage, ASN1_OBJECT_free);
    return found;
}

static kw_status leaf_check_server_within(X509 *certificate, kw_error *error)
{
    kw_status status = KW_OK;
    bool any = false, every = false;
    if (!has_server_authentication(certificate, &any, &every)) {
        status = error_set(error, KW_REFUSED, "it is not a server's certificate: its extended key usage %s",
                           every ? "allows 'any' but does not name serverAuth, which clients look for"
                           : any ? "does not name serverAuth"
                                 : "is missing, so it does not name serverAuth");
        error_remedy(error, "ask the CA for a TLS server certificate; `keywright request` asks for serverAuth");
    } else if ((X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE) == 0) {
        status = error_set(error, KW_REFUSED,
                           "its key usage lacks digitalSignature, without which its key cannot serve TLS 1.3, nor TLS "
                           "1.2 with forward secrecy");
        error_remedy(error, "ask the CA for a certificate with the key usage digitalSignature");
    }
    return status;
}

kw_status leaf_check_server(X509 *certificate, kw_error *error)
{
    crypto_enter();
    const kw_status status = leaf_check_server_within(certificate, error);
    crypto_leave();
    return status;
}

kw_status leaf_check_validity(X509 *certificate, kw_error *error)
{
    char when[TIME_TEXT_SIZE];
    kw_status status = KW_OK;
    ERR_set_mark();
    crypto_enter();
    X509_check_ca(certificate); /* which parses the extensions */
    crypto_leave();
    ERR_pop_to_mark();
    if ((X509_get_extension_flags(certificate) & EXFLAG_INVALID) != 0) {
        status = error_set(error, KW_REFUSED, "one of its extensions is malformed");
        error_remedy(error, "ask the CA for another; `openssl x509 -noout -text` shows what is in this one");
    } else if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
        time_text(X509_get0_notAfter(certificate), when);
        status = error_set(error, KW_REFUSED, "it has expired: it was valid until %s", when);
        error_remedy(error, "get a new one; if that is still to come, look at this host's clock");
    } else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0) {
        time_text(X509_get0_notBefore(certificate), when);
        status = error_set(error, KW_REFUSED, "it is not valid yet: it is valid from %s", when);
        error_remedy(error, "import it then; if that is past, look at this host's clock");
    }
    return status;
}

/* ---- Names -------------------------------------------------------------------------------------------------------- */

static bool is_text(const ASN1_STRING *name, const char *text)
{
    const size_t length = (size_t)ASN1_STRING_length(name);
    return length == strlen(text) && strncasecmp((const char *)ASN1_STRING_get0_data(name), text, length) == 0;
}

/* A name of the SAN that is exactly this text, or, without a text, the first with a wildcard. */
static bool find_name(const GENERAL_NAMES *names, const char *text, struct buffer *found)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type = 0;
        const ASN1_STRING *name = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type != GEN_DNS)
            continue;
        if (text != NULL && is_text(name, text))
            return true;
        if (text == NULL && memchr(ASN1_STRING_get0_data(name), '*', (size_t)ASN1_STRING_length(name)) != NULL) {
            buffer_append(found, ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name));
            buffer_append_u8(found, 0);
            return true;
        }
    }
    return false;
}

static bool covers(X509 *certificate, const GENERAL_NAMES *names, const char *host)
{
    const unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    bool covered = false;
    ERR_set_mark();
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);
    if (address != NULL)
        covered =
            X509_check_ip(certificate, ASN1_STRING_get0_data(address), (size_t)ASN1_STRING_length(address), 0) == 1;
    else if (strncmp(host, "*.", 2) == 0)
        covered = find_name(names, host, NULL);
    else
        covered = X509_check_host(certificate, host, strlen(host), flags, NULL) == 1;
    ASN1_OCTET_STRING_free(address);
    ERR_pop_to_mark();
    return covered;
}

static bool leaf_covers_within(X509 *certificate, const char *host)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    const bool covered = covers(certificate, names, host);
    GENERAL_NAMES_free(names);
    return covered;
}

bool leaf_covers(X509 *certificate, const char *host)
{
    crypto_enter();
    const bool result = leaf_covers_within(certificate, host);
    crypto_leave();
    return result;
}

void leaf_tell_names(X509 *certificate, const char *const *hosts, size_t host_count, leaf_warning warning, void *user)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    struct buffer wildcard = {0}, missing = {0};
    size_t lacking = 0;
    char sentence[1024];
    if (find_name(names, NULL, &wildcard) && !wildcard.failed) {
        text_mask((char *)wildcard.data);
        snprintf(sentence, sizeof(sentence),
                 "it is a wildcard certificate ('%s'): whoever has its key can pose as any of these hosts, so it is "
                 "used on your own responsibility",
                 (const char *)wildcard.data);
        warning(user, sentence);
    }
    buffer_append_text(&missing, "its subject alternative names lack names and addresses of this server: ");
    for (size_t i = 0; i < host_count; i++)
        if (!covers(certificate, names, hosts[i]))
            buffer_format(&missing, "%s%s", lacking++ > 0 ? ", " : "", hosts[i]);
    buffer_append_text(&missing, "; clients that use them will not trust it");
    buffer_append_u8(&missing, 0);
    if (lacking > 0 && !missing.failed)
        warning(user, (const char *)missing.data);
    buffer_free(&missing);
    buffer_free(&wildcard);
    GENERAL_NAMES_free(names);
}

void leaf_tell_expiry(const X509 *certificate, const char *name, leaf_warning warning, void *user)
{
    int days = 0, seconds = 0;
    char when[TIME_TEXT_SIZE], sentence[1024];
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) || days >= LEAF_DAYS)
        return;
    time_text(X509_get0_notAfter(certificate), when);
    snprintf(sentence, sizeof(sentence), "%s expires soon: it is valid until %s", name, when);
    warning(user, sentence);
}
