#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "authority.h"

#include <stdbool.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>

const struct extension authority_extensions[] = {
    {NID_basic_constraints, "critical,CA:TRUE"}, {NID_key_usage, "critical,keyCertSign,cRLSign"}, {0, NULL}};
const struct extension server_extensions[] = {{NID_basic_constraints, "critical,CA:FALSE"},
                                              {NID_key_usage, "critical,digitalSignature"},
                                              {NID_ext_key_usage, "serverAuth"},
                                              {0, NULL}};

static void add(X509 *certificate, X509 *issuer, const struct extension *extensions)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    for (; extensions != NULL && extensions->value != NULL; extensions++) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, extensions->nid, extensions->value);
        assert_non_null(extension);
        assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
        X509_EXTENSION_free(extension);
    }
}

X509 *authority_issue(OSSL_LIB_CTX *library, const struct issue *issue)
{
    static long serial = 5000;
    X509 *made = X509_new_ex(library, NULL);
    EVP_MD *digest = EVP_MD_fetch(library, issue->digest != NULL ? issue->digest : "SHA256", NULL);
    const bool year = issue->from == 0 && issue->to == 0;
    assert_true(made != NULL && digest != NULL);
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), serial++);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(made), year ? -DAY : issue->from));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(made), year ? 365 * DAY : issue->to));
    assert_int_equal(X509_set_pubkey(made, issue->key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_UTF8,
                                                (const unsigned char *)issue->subject, -1, -1, 0),
                     1);
    X509_set_issuer_name(made, X509_get_subject_name(issue->issuer != NULL ? issue->issuer : made));
    add(made, issue->issuer != NULL ? issue->issuer : made, issue->extensions);
    add(made, issue->issuer != NULL ? issue->issuer : made, issue->more);
    assert_true(X509_sign(made, issue->issuer_key != NULL ? issue->issuer_key : issue->key, digest) > 0);
    EVP_MD_free(digest);
    return made;
}

X509_CRL *authority_crl(OSSL_LIB_CTX *library, X509 *issuer, EVP_PKEY *key, const X509 *revoked, long from, long to,
                        const char *digest_name)
{
    X509_CRL *made = X509_CRL_new_ex(library, NULL);
    EVP_MD *digest = EVP_MD_fetch(library, digest_name != NULL ? digest_name : "SHA256", NULL);
    ASN1_TIME *time = X509_gmtime_adj(NULL, from);
    assert_true(made != NULL && digest != NULL && time != NULL);
    X509_CRL_set_version(made, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(made, X509_get_subject_name(issuer));
    X509_CRL_set1_lastUpdate(made, time);
    if (to != 0) {
        assert_non_null(X509_gmtime_adj(time, to));
        X509_CRL_set1_nextUpdate(made, time);
    }
    if (revoked != NULL) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_dup(X509_get0_serialNumber(revoked));
        assert_true(entry != NULL && serial != NULL && X509_gmtime_adj(time, -DAY) != NULL);
        X509_REVOKED_set_serialNumber(entry, serial);
        X509_REVOKED_set_revocationDate(entry, time);
        assert_int_equal(X509_CRL_add0_revoked(made, entry), 1);
        ASN1_INTEGER_free(serial);
    }
    X509_CRL_sort(made);
    assert_true(X509_CRL_sign(made, key, digest) > 0);
    ASN1_TIME_free(time);
    EVP_MD_free(digest);
    return made;
}
