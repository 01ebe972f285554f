/*
 * trust.h: what clients are given to trust the server, and licences that hold without asking anybody. Part of keywright.h, whose conventions
 * hold here.
 */
#ifndef KEYWRIGHT_TRUST_H
#define KEYWRIGHT_TRUST_H

#include <keywright/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kw_certificate_info kw_certificate_info; /* of keywright.h */

/* ---- What clients trust ------------------------------------------------------------------------------------------------ */

typedef enum kw_trust_format {
    KW_TRUST_PEM,  /* ssl-connection's certificate and its chain, up to the root where that is known here */
    KW_TRUST_DER,  /* the certificate alone */
    KW_TRUST_PKCS7 /* certificate and chain, DER: .p7b */
} kw_trust_format;

/* The ssl-connection certificate for clients, without its key. Errors: KW_NOT_FOUND. */
KW_MUST_USE KW_API kw_status kw_trust_export(kw_context *context, kw_trust_format format, kw_bytes *content,
                                             kw_error *error);

typedef struct kw_trust_install_options {
    size_t size;
    const char *path;             /* file with the certificate: PEM, DER or PKCS#7 */
    kw_input content;             /* data not NULL: the file's content; `path` is then its name in messages alone */
    const char *local_directory;  /* NULL: /usr/local/share/ca-certificates */
    const char *system_directory; /* NULL: /etc/ssl/certs */
} kw_trust_install_options;

/*
 * Puts a self-signed certificate (of several in the file, the one that is) among those that this system trusts: a file in local_directory, then
 * update-ca-certificates(8), then a look whether openssl trusts it. One that is trusted already is left as it is (told by `event`). Starts
 * a program, and waits for it. Leaves nothing behind when it fails. Errors: KW_PERMISSION (which right is missing), KW_REFUSED (no or several
 * self-signed certificates), KW_CORRUPT, KW_NOT_FOUND (the file, or the package ca-certificates), KW_FAILED.
 */
KW_MUST_USE KW_API kw_status kw_trust_install(const kw_trust_install_options *options, kw_event_callback event,
                                              void *user, kw_error *error);

typedef struct kw_trust_check_options {
    size_t size;
    const char *target;  /* HOST:PORT; an IPv6 address in brackets */
    const char *ca_file; /* further certificates that count as trusted: PEM, DER or PKCS#7; NULL: none */
    uint32_t timeout_ms; /* for all of it; 0: 10 s */
} kw_trust_check_options;

typedef struct kw_trust_problem {
    const char *
        code; /* self-signed, unknown-root, unknown-issuer, name-mismatch, expired, not-yet-valid, purpose, weak, signature,
                             revoked, verification */
    const char *sentence; /* for people */
} kw_trust_problem;

typedef struct kw_trust_line {
    const char *label; /* "Reason", "Subject", ...; empty: goes on with the label above */
    const char *text;
} kw_trust_line;

typedef struct kw_trust_report {
    bool trusted;
    const char *host, *port;
    const char *address;  /* that answered */
    const char *protocol; /* TLSv1.3, TLSv1.2 */
    const char *cipher;
    const kw_certificate_info
        *certificate; /* the server's: what stands in it, and as `chain` what was sent; all else is empty */
    const kw_trust_problem *problems; /* why it is not trusted, the worst first; each code once */
    size_t problem_count;
    const char *const *headlines; /* for people: that it is trusted; or, in two lines, that it is not (S7) */
    size_t headline_count;
    const kw_trust_line *lines; /* and below: the reasons, the certificate, and what to do about it */
    size_t line_count;
    const char *text; /* all of these, ready to be printed: clean UTF-8 in lines; of what is long, the beginning */
} kw_trust_report;

/*
 * Connects as a TLS client (1.2 at least) and judges the server's certificate by what openssl trusts on this system ($SSL_CERT_FILE and
 * $SSL_CERT_DIR in place of it where they are set) and `ca_file`. That it is not trusted is no error. Needs no configuration.
 * Errors: KW_INVALID_ARGUMENT (target), KW_UNAVAILABLE (host not known, or nobody answers), KW_TIMEOUT, KW_REFUSED (no TLS 1.2), KW_FAILED (no TLS,
 * or the handshake failed).
 */
KW_MUST_USE KW_API kw_status kw_trust_check(const kw_trust_check_options *options, kw_trust_report **report,
                                            kw_error *error);
KW_API void kw_trust_report_free(kw_trust_report *report);

/* ---- Offline licences ------------------------------------------------------------------------------------------------- */

/*
 * A request for a licence: a JSON Web Signature (RFC 7515, flattened JSON) by the key of server-encryption over the fingerprint of its
 * certificate and an id of this machine, from which the machine's own id cannot be found. docs/licence.md has the format. Errors:
 * KW_NOT_FOUND (no server-encryption; no machine id), KW_UNSUPPORTED, and whatever the store answers.
 */
KW_MUST_USE KW_API kw_status kw_licence_request(kw_context *context, kw_bytes *request, kw_error *error);

/* A licence that holds. */
typedef struct kw_licence {
    const char *content;                          /* the JSON that the issuer signed, with all that stands in it */
    const char *issuer;                           /* subject of the issuer's certificate, RFC 4514 */
    bool encrypted;                               /* it was encrypted to this server */
    const char *certificate_sha256;               /* of the server that it names; NULL: it names none */
    const char *machine_id;                       /* likewise */
    const char *not_before_text, *not_after_text; /* RFC 3339, UTC; NULL: no limit */
    int64_t not_before, not_after;
} kw_licence;

/*
 * Checks a licence: a JSON Web Signature by the issuer's certificate that the configuration names (licence: {issuer: PATH}), which names
 * this server, or such a one in CMS encrypted to server-encryption. Asks nobody. Errors: KW_CONFIGURATION (no issuer, or not readable),
 * KW_CORRUPT (malformed), KW_SIGNATURE_INVALID, KW_CIPHERTEXT_INVALID (encrypted to another server, or damaged), KW_UNSUPPORTED (an
 * extension), KW_REFUSED (another issuer, another server, another machine, expired, not yet valid, an algorithm that does not fit; it
 * says which), KW_NOT_FOUND (no server-encryption), and whatever the store answers.
 */
KW_MUST_USE KW_API kw_status kw_licence_verify(kw_context *context, kw_input content, kw_licence **licence,
                                               kw_error *error);
KW_API void kw_licence_free(kw_licence *licence);

#ifdef __cplusplus
}
#endif
#endif
