/*
 * connections.h: connections to databases and other servers over TLS, as a client, by the profiles under `connections:` in the configuration.
 * Part of keywright.h, whose conventions hold here. docs/connections.md says what each mode does.
 */
#ifndef KEYWRIGHT_CONNECTIONS_H
#define KEYWRIGHT_CONNECTIONS_H

#include <keywright/trust.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kw_connection_info {
    const char *name;
    const char *protocol; /* tls, postgresql, mysql, mariadb, mongodb, sqlserver, sqlserver-strict */
    const char *host;
    unsigned port;
    const char *mode;               /* disable, allow, prefer, require, verify-ca, verify-full */
    const char *const *authorities; /* files; none: what the system trusts */
    size_t authority_count;
    const char *client_certificate; /* path, or NULL */
    const char *client_key;         /* path, keywright:ADDRESS, or NULL */
    uint32_t timeout_ms;
} kw_connection_info;

typedef struct kw_connection_list {
    const kw_connection_info *connections; /* in the file's order */
    size_t count;
} kw_connection_list;

/* The profiles of the configuration in force. Reads no file and connects to nothing. */
KW_MUST_USE KW_API kw_status kw_connections(kw_context *context, kw_connection_list **list, kw_error *error);
KW_API void kw_connection_list_free(kw_connection_list *list);

typedef struct kw_connection_report {
    bool connected; /* as the mode wants it */
    kw_status
        status; /* KW_OK when connected; else KW_FAILED, KW_UNAVAILABLE, KW_TIMEOUT, KW_SECRET_REFUSED, or that of a file */
    bool encrypted; /* by TLS */
    bool verified;  /* the server's certificate, as the mode wants it: its path, and in verify-full the host too */
    /* Where it failed, else NULL: */
    const char
        *cause; /* for programs: unknown-issuer, self-signed, expired, no-tls, ...; docs/connections.md has all */
    const char *message; /* for people: "Failed to connect - unable to get local issuer certificate" */
    const char *detail;  /* more of it, or NULL */
    const char *remedy;
    const kw_certificate_info *failing; /* what stands in the certificate that is concerned, or NULL */
    unsigned failing_position;          /* where it is in the path: 0 the server's, 1 its issuer, ... */
    /* As far as it went: */
    const char *fallback; /* modes allow and prefer: why the first way was not taken, or NULL */
    const char *notice;   /* what the server said where that has nothing to do with TLS, or NULL */
    const char *address;  /* that answered, or NULL */
    const char *protocol; /* TLSv1.3, TLSv1.2; NULL: no handshake was completed */
    const char *cipher;
    const kw_certificate_info *certificate; /* the server's, or NULL */
    const kw_trust_problem *problems; /* all that verify-full has against it, the worst first; told in every mode */
    size_t problem_count;
    bool client_certificate_wanted; /* the server asked for one */
    bool client_certificate_sent;
} kw_connection_report;

/*
 * Connects as a client with this profile would, up to where it would log in, and says how that went; what fails and why is the report, and no error.
 * Nothing is logged in. The mode decides: what it does not verify, such as all of a certificate below verify-ca, does not fail it. Asks the client key's
 * store, where the key is in one, for a signature if the server asks for a certificate. The time-out is over all but that, and one step of libssl's at most.
 * Errors: KW_NOT_FOUND (no such profile; or the key's address), and whatever the store of the client's key answers.
 */
KW_MUST_USE KW_API kw_status kw_connection_check(kw_context *context, const char *name, kw_connection_report **report,
                                                 kw_error *error);
KW_API void kw_connection_report_free(kw_connection_report *report);

/* OpenSSL's SSL_CTX, by its name in C: a program that calls SSL_... includes <openssl/ssl.h> and links with libssl. */
struct ssl_ctx_st;

/*
 * An SSL_CTX for a client of this profile: versions (1.2 at least), what is trusted, client certificate and key, ALPN, and verification as the mode
 * wants it, with the host in verify-full. It is the caller's, freed by SSL_CTX_free before kw_close; SNI (SSL_set_tlsext_host_name) and all that the
 * protocol says before TLS are the caller's too, as is going on without TLS in allow and prefer. It does not follow a reload. Threads and
 * forks: as tls.h says of its own.
 * Errors: KW_NOT_FOUND (no such profile, file or address), KW_REFUSED (mode disable; or the key does not belong to the certificate),
 * KW_SECRET_REFUSED (the key's password), KW_CONFIGURATION (the key is encrypted and no password is given), KW_CORRUPT, KW_PERMISSION, and
 * whatever the store of the client's key answers.
 */
KW_MUST_USE KW_API kw_status kw_connection_tls(kw_context *context, const char *name, struct ssl_ctx_st **tls,
                                               kw_error *error);

#ifdef __cplusplus
}
#endif
#endif
