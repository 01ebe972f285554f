#include "tls/cause.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Remedies that several have ---- */

#define TRUST_ISSUER                                                                                                   \
    "get the certificate of the authority that is named as issuer from those who run the server, and name its file "   \
    "in `ca`; certificates between it and the server's are the server's to send"
#define RENEW "let the certificate be replaced on the server, or set this machine's clock right"
#define NAME_IT                                                                                                        \
    "name the server in `host` as its certificate does, or let it have a certificate for this name; verify-ca does "   \
    "not "                                                                                                             \
    "look at the name"
#define STRONGER "let the server have a certificate with RSA of 2048 bits at least, or EC, and SHA-256"
#define CLIENT_NONE                                                                                                    \
    "set client_certificate and client_key to a certificate of an authority that the server trusts for its clients"
#define CLIENT_OTHER                                                                                                   \
    "let the server trust the authority that issued client_certificate, or use one that it trusts; its log says more"
#define NEWER "let the server take TLS 1.2 at least; older versions are not secure"

/* ---- What libcrypto finds in certificates ---- */

static const struct {
    int error;
    struct cause cause;
} certificate_causes[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
     {"unknown-issuer", "unable to get local issuer certificate", TRUST_ISSUER, KW_FAILED}},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
     {"unknown-issuer", "unable to get issuer certificate", TRUST_ISSUER, KW_FAILED}},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
     {"unknown-issuer", "unable to verify the first certificate", TRUST_ISSUER, KW_FAILED}},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
     {"self-signed", "self-signed certificate",
      "if it really is the server's (compare the SHA-256 there), name its file in `ca`", KW_FAILED}},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
     {"unknown-root", "self-signed certificate in certificate chain",
      "if you trust this authority, get its certificate from those who run it, and name its file in `ca`", KW_FAILED}},
    {X509_V_ERR_CERT_HAS_EXPIRED, {"expired", "certificate has expired", RENEW, KW_FAILED}},
    {X509_V_ERR_CERT_NOT_YET_VALID, {"not-yet-valid", "certificate is not yet valid", RENEW, KW_FAILED}},
    {X509_V_ERR_HOSTNAME_MISMATCH, {"name-mismatch", "hostname mismatch", NAME_IT, KW_FAILED}},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, {"name-mismatch", "IP address mismatch", NAME_IT, KW_FAILED}},
    {X509_V_ERR_INVALID_PURPOSE,
     {"purpose", "unsuitable certificate purpose",
      "let the server have a certificate whose extended key usage has serverAuth", KW_FAILED}},
    {X509_V_ERR_INVALID_CA,
     {"purpose", "invalid CA certificate", "let the server have a certificate that an authority issued", KW_FAILED}},
    {X509_V_ERR_EE_KEY_TOO_SMALL, {"weak", "EE certificate key too weak", STRONGER, KW_FAILED}},
    {X509_V_ERR_CA_KEY_TOO_SMALL, {"weak", "CA certificate key too weak", STRONGER, KW_FAILED}},
    {X509_V_ERR_CA_MD_TOO_WEAK, {"weak", "CA signature digest algorithm too weak", STRONGER, KW_FAILED}},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE,
     {"signature", "certificate signature failure",
      "name the certificate in `ca` that really issued the server's: there are several of the same name", KW_FAILED}},
    {X509_V_ERR_CERT_REVOKED, {"revoked", "certificate revoked", RENEW, KW_FAILED}},
};

/* ---- What libssl says ---- */

#define WHOEVER (-1)

/* The first that fits. */
static const struct {
    int reason;
    int client; /* enum cause_client, or WHOEVER */
    struct cause cause;
} tls_causes[] = {
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
     WHOEVER,
     {"client-certificate-required", "the server requires a client certificate", CLIENT_NONE, KW_FAILED}},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
     CLIENT_HAS_NONE,
     {"client-certificate-required", "the server requires a client certificate", CLIENT_NONE, KW_FAILED}},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
     CLIENT_HAS_NONE,
     {"client-certificate-required", "the server requires a client certificate", CLIENT_NONE, KW_FAILED}},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA,
     CLIENT_HAS_SENT,
     {"client-certificate-refused", "the server refuses the client certificate: it does not trust its authority",
      CLIENT_OTHER, KW_FAILED}},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
     CLIENT_HAS_SENT,
     {"client-certificate-refused", "the server refuses the client certificate: it has expired",
      "replace client_certificate, or set this machine's clock or the server's right", KW_FAILED}},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
     CLIENT_HAS_SENT,
     {"client-certificate-refused", "the server refuses the client certificate: it was revoked",
      "replace client_certificate", KW_FAILED}},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
     CLIENT_HAS_SENT,
     {"client-certificate-refused", "the server refuses the client certificate: it is not one for TLS clients",
      "use a certificate whose extended key usage has clientAuth", KW_FAILED}},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
     CLIENT_HAS_SENT,
     {"client-certificate-refused", "the server refuses the client certificate", CLIENT_OTHER, KW_FAILED}},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
     CLIENT_HAS_SENT,
     {"client-certificate-refused", "the server refuses the client certificate", CLIENT_OTHER, KW_FAILED}},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED,
     CLIENT_HAS_SENT,
     {"client-certificate-refused", "the server refuses the client certificate: access denied", CLIENT_OTHER,
      KW_FAILED}},
    {SSL_R_TLSV1_ALERT_DECRYPT_ERROR,
     CLIENT_HAS_SENT,
     {"client-certificate-refused", "the server refuses the client certificate", CLIENT_OTHER, KW_FAILED}},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
     CLIENT_HAS_SENT,
     {"client-certificate-refused", "the server refuses the client certificate", CLIENT_OTHER, KW_FAILED}},
    {SSL_R_UNSUPPORTED_PROTOCOL, WHOEVER, {"protocol-too-old", "the server has no TLS 1.2 or newer", NEWER, KW_FAILED}},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
     WHOEVER,
     {"protocol-too-old", "the server has no version of TLS that is allowed", NEWER, KW_FAILED}},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
     WHOEVER,
     {"no-common-cipher", "the server and the client have no ciphers in common",
      "let the server take ciphers of TLS 1.2 with forward secrecy, or TLS 1.3; a certificate that its ciphers can use",
      KW_FAILED}},
    {SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY,
     WHOEVER,
     {"no-common-cipher", "the server wants stronger ciphers than there are here",
      "let the server take ciphers of TLS 1.2 with forward secrecy, or TLS 1.3", KW_FAILED}},
    {SSL_R_DH_KEY_TOO_SMALL,
     WHOEVER,
     {"weak", "dh key too small", "let the server use Diffie-Hellman parameters of 2048 bits, or ECDHE", KW_FAILED}},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL,
     WHOEVER,
     {"no-common-protocol", "the server does not speak this protocol in TLS",
      "check the protocol of the connection; TDS 8.0 (sqlserver-strict) is spoken from SQL Server 2022 on", KW_FAILED}},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME,
     WHOEVER,
     {"unknown-name", "the server does not know the name that it was called by",
      "name the server in `host` as it is configured to be called", KW_FAILED}},
};

/* ---- All else ---- */

static const struct cause own_causes[CAUSE_OWN_COUNT] = {
    [CAUSE_UNREACHABLE] = {.code = "unreachable", .status = KW_UNAVAILABLE},
    [CAUSE_TIMEOUT] = {"timeout", NULL, "check that the server is well, and `timeout`", KW_TIMEOUT},
    [CAUSE_NO_TLS] =
        {"no-tls", "the server does not support TLS",
         "configure TLS on the server; only disable, allow and prefer go on without it, for everybody on the "
         "line to read",
         KW_FAILED},
    [CAUSE_NOT_TLS] = {"no-tls", "the server does not speak TLS",
                       "check the port and the protocol of the connection; or configure TLS on the server", KW_FAILED},
    [CAUSE_PROTOCOL] = {.code = "protocol", .status = KW_FAILED},
    [CAUSE_INJECTED] = {"injected", "the server sent data before TLS began that must not be there",
                        "something between here and the server may have put it there: check who is on the line, "
                        "and `host` and `port`",
                        KW_FAILED},
    [CAUSE_ENDED] = {"ended", "the server ended the connection",
                     "look into the server's log; check that it speaks TLS on this port", KW_FAILED},
    [CAUSE_ENDED_ON_US] = {"client-certificate",
                           "the server ended the connection after it had asked for a client "
                           "certificate",
                           "look into the server's log; it may require a client certificate, or not trust the one that "
                           "it got",
                           KW_FAILED},
    [CAUSE_TLS_REQUIRED] = {"tls-required", "the server takes no connection in plaintext",
                            "set mode: verify-full, with `ca` where the system does not trust the server's authority",
                            KW_FAILED},
    [CAUSE_CLIENT_REQUIRED] = {"client-certificate-required", "the server requires a client certificate", CLIENT_NONE,
                               KW_FAILED},
    [CAUSE_TLS_FAILED] = {"handshake", NULL, "look into the server's log", KW_FAILED},
    [CAUSE_VERIFICATION] = {"verification", NULL, "let the server have another certificate", KW_FAILED},
    [CAUSE_CA_FILE] = {.code = "ca-file",
                       .remedy =
                           "name files in `ca` that have certificates, in PEM or DER, and that this user may read"},
    [CAUSE_CLIENT_CERTIFICATE_FILE] =
        {.code = "client-certificate-file",
         .remedy =
             "name a file in client_certificate that has a certificate, in PEM or DER, and that this user may read"},
    [CAUSE_CLIENT_KEY_FILE] = {.code = "client-key-file",
                               .remedy = "name a file in client_key that has a private key (PKCS#8, or traditional RSA "
                                         "or EC), and that this user may read"},
    [CAUSE_KEY_PASSWORD] = {"key-password", "the password of the client's private key is wrong",
                            "give the right one in client_key_password", KW_SECRET_REFUSED},
    [CAUSE_KEY_PASSWORD_MISSING] = {"key-password", "the client's private key is encrypted, and no password is given",
                                    "set client_key_password to where the password comes from, such as file:PATH",
                                    KW_SECRET_REFUSED},
    [CAUSE_KEY_MISMATCH] = {"key-mismatch", "the client's private key does not belong to its certificate",
                            "name the key in client_key whose public half is in client_certificate", KW_FAILED},
    [CAUSE_KEY_MISMATCH_STORE] = {"key-mismatch", "the client's private key does not belong to its certificate",
                                  "leave client_certificate out: the store's key has a certificate of its own; or let "
                                  "it be of this key",
                                  KW_FAILED},
};

const struct cause *cause_own(enum cause_own own)
{
    return &own_causes[own];
}

const struct cause *cause_of_certificate(int error)
{
    for (size_t i = 0; i < COUNT(certificate_causes); i++) {
        if (certificate_causes[i].error == error)
            return &certificate_causes[i].cause;
    }
    return &own_causes[CAUSE_VERIFICATION];
}

const struct cause *cause_of_tls(int reason, enum cause_client client)
{
    for (size_t i = 0; i < COUNT(tls_causes); i++) {
        if (tls_causes[i].reason == reason && (tls_causes[i].client == WHOEVER || tls_causes[i].client == (int)client))
            return &tls_causes[i].cause;
    }
    return &own_causes[CAUSE_TLS_FAILED];
}
