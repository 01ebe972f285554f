/* Certificates kept beside keys. */
#include "kit.h"

#include <openssl/asn1.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static kw_status get(void *use, kw_output *output)
{
    struct use *with = use;
    return with->kit->operations.certificate_get(with->instance, &with->kit->call, with->input, output);
}

/* A certificate of the key, issued by one of libcrypto's own. */
static bool make_certificate(EVP_PKEY *subject, long serial, struct bytes *certificate)
{
    unsigned char *der = NULL;
    EVP_PKEY *issuer = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x509 = X509_new();
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, subject);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8, (const unsigned char *)"kit", -1, -1,
                               0);
    X509_set_issuer_name(x509, X509_get_subject_name(x509));
    int length = X509_sign(x509, issuer, EVP_sha256()) > 0 ? i2d_X509(x509, &der) : -1;
    X509_free(x509);
    EVP_PKEY_free(issuer);
    if (length <= 0)
        return false;
    certificate->data = malloc((size_t)length);
    if (certificate->data == NULL)
        abort();
    memcpy(certificate->data, der, (size_t)length);
    certificate->length = (size_t)length;
    OPENSSL_free(der);
    return true;
}

void check_certificates(struct kit *kit)
{
    struct test_key key;
    const struct key_variant *variant = variant_signing(kit);
    if (!kit_can(kit, KW_CAN_STORE_CERTIFICATES) || variant == NULL)
        return;
    if (test_key_new(kit, CERTIFICATE_KEPT, variant, &key)) {
        kw_input locator = locator_view(&key.locator);
        struct use use = {.kit = kit, .instance = kit->instance, .input = locator};
        struct bytes read = {NULL, 0};
        expect_failure(&kit->host, CERTIFICATE_KEPT, produce(get, &use, &read), KW_NOT_FOUND,
                       "certificate_get of none");
        bytes_free(&read);
        for (long serial = 1; serial <= 2; serial++) { /* the second replaces the first */
            struct bytes certificate = {NULL, 0};
            if (!make_certificate(key.pkey, serial, &certificate))
                abort();
            kw_status status =
                kit->operations.certificate_put(kit->instance, &kit->call, locator, bytes_view(&certificate));
            expect_ok(&kit->host, CERTIFICATE_KEPT, status, "certificate_put");
            expect_ok(&kit->host, CERTIFICATE_KEPT, produce(get, &use, &read), "certificate_get");
            require(CERTIFICATE_KEPT,
                    read.length == certificate.length && memcmp(read.data, certificate.data, read.length) == 0,
                    "another certificate came back");
            bytes_free(&read);
            bytes_free(&certificate);
        }
        if (kit->operations.certificate_delete != NULL) {
            expect_ok(&kit->host, CERTIFICATE_KEPT,
                      kit->operations.certificate_delete(kit->instance, &kit->call, locator), "certificate_delete");
            expect_failure(&kit->host, CERTIFICATE_KEPT, produce(get, &use, &read), KW_NOT_FOUND,
                           "certificate_get after certificate_delete");
            bytes_free(&read);
        }
    }
    test_key_free(kit, &key);
}
