/* The table of causes: each of libcrypto's findings and libssl's reasons that it knows, and words for each. */
#include "scene.h"

#include "tls/cause.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <string.h>

/* The words are libcrypto's own, so that who looks for them finds them; S33's is the first. */
static void certificate_causes_have_the_words_of_libcrypto(void **state)
{
    static const struct {
        int error;
        const char *code, *reason;
    } rows[] = {
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "unknown-issuer", "unable to get local issuer certificate"},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "unknown-issuer", "unable to get issuer certificate"},
        {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "unknown-issuer", "unable to verify the first certificate"},
        {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "self-signed", "self-signed certificate"},
        {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "unknown-root", "self-signed certificate in certificate chain"},
        {X509_V_ERR_CERT_HAS_EXPIRED, "expired", "certificate has expired"},
        {X509_V_ERR_CERT_NOT_YET_VALID, "not-yet-valid", "certificate is not yet valid"},
        {X509_V_ERR_HOSTNAME_MISMATCH, "name-mismatch", "hostname mismatch"},
        {X509_V_ERR_IP_ADDRESS_MISMATCH, "name-mismatch", "IP address mismatch"},
        {X509_V_ERR_INVALID_PURPOSE, "purpose", NULL}, /* 3.5 has other words */
        {X509_V_ERR_INVALID_CA, "purpose", NULL},
        {X509_V_ERR_EE_KEY_TOO_SMALL, "weak", "EE certificate key too weak"},
        {X509_V_ERR_CA_KEY_TOO_SMALL, "weak", "CA certificate key too weak"},
        {X509_V_ERR_CA_MD_TOO_WEAK, "weak", "CA signature digest algorithm too weak"},
        {X509_V_ERR_CERT_SIGNATURE_FAILURE, "signature", "certificate signature failure"},
        {X509_V_ERR_CERT_REVOKED, "revoked", "certificate revoked"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct cause *cause = cause_of_certificate(rows[i].error);
        assert_string_equal(cause->code, rows[i].code);
        if (rows[i].reason != NULL)
            assert_string_equal(cause->reason, rows[i].reason);
        if (rows[i].reason != NULL)
            assert_string_equal(X509_verify_cert_error_string(rows[i].error), rows[i].reason);
        assert_true(strlen(cause->remedy) > 10);
        assert_int_equal(cause->status, KW_FAILED);
    }
    assert_ptr_equal(cause_of_certificate(X509_V_ERR_PATH_LENGTH_EXCEEDED), cause_own(CAUSE_VERIFICATION));
}

static void tls_causes_depend_on_what_the_server_got(void **state)
{
    static const struct {
        int reason;
        const char *unasked, *none, *sent;
    } rows[] = {
        {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "client-certificate-required", "client-certificate-required",
         "client-certificate-required"},
        {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "no-common-cipher", "client-certificate-required",
         "client-certificate-refused"},
        {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "handshake", "client-certificate-required", "client-certificate-refused"},
        {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "handshake", "handshake", "client-certificate-refused"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "handshake", "handshake", "client-certificate-refused"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "handshake", "handshake", "client-certificate-refused"},
        {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "handshake", "handshake", "client-certificate-refused"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "handshake", "handshake", "client-certificate-refused"},
        {SSL_R_TLSV1_ALERT_ACCESS_DENIED, "handshake", "handshake", "client-certificate-refused"},
        {SSL_R_TLSV1_ALERT_DECRYPT_ERROR, "handshake", "handshake", "client-certificate-refused"},
        {SSL_R_UNSUPPORTED_PROTOCOL, "protocol-too-old", "protocol-too-old", "protocol-too-old"},
        {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "protocol-too-old", "protocol-too-old", "protocol-too-old"},
        {SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY, "no-common-cipher", "no-common-cipher", "no-common-cipher"},
        {SSL_R_DH_KEY_TOO_SMALL, "weak", "weak", "weak"},
        {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, "no-common-protocol", "no-common-protocol", "no-common-protocol"},
        {SSL_R_TLSV1_UNRECOGNIZED_NAME, "unknown-name", "unknown-name", "unknown-name"},
        {SSL_R_BAD_LENGTH, "handshake", "handshake", "handshake"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(cause_of_tls(rows[i].reason, CLIENT_UNASKED)->code, rows[i].unasked);
        assert_string_equal(cause_of_tls(rows[i].reason, CLIENT_HAS_NONE)->code, rows[i].none);
        assert_string_equal(cause_of_tls(rows[i].reason, CLIENT_HAS_SENT)->code, rows[i].sent);
    }
}

/* Who has no words of its own takes the error's, and so its status. */
static void own_causes_are_complete(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CAUSE_OWN_COUNT; i++) {
        const struct cause *cause = cause_own((enum cause_own)i);
        assert_non_null(cause->code);
        assert_true(cause->reason == NULL || strlen(cause->reason) > 10);
        assert_true(cause->remedy == NULL ? i == CAUSE_UNREACHABLE || i == CAUSE_PROTOCOL : strlen(cause->remedy) > 10);
        assert_true(cause->status != KW_OK || cause->reason == NULL);
    }
    assert_int_equal(cause_own(CAUSE_KEY_PASSWORD)->status, KW_SECRET_REFUSED);
    assert_int_equal(cause_own(CAUSE_UNREACHABLE)->status, KW_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificate_causes_have_the_words_of_libcrypto),
        cmocka_unit_test(tls_causes_depend_on_what_the_server_got),
        cmocka_unit_test(own_causes_are_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
