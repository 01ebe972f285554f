/* Why a connection to a server failed, in words that say what to do about it: one const table (S33). */
#ifndef KEYWRIGHT_TLS_CAUSE_H
#define KEYWRIGHT_TLS_CAUSE_H

#include "base/error.h"

/* Causes that neither libcrypto's findings nor libssl's reasons tell. */
enum cause_own {
    CAUSE_UNREACHABLE,
    CAUSE_TIMEOUT,
    CAUSE_NO_TLS,          /* the protocol is spoken, and the server offers no TLS */
    CAUSE_NOT_TLS,         /* where TLS should begin something else is said */
    CAUSE_PROTOCOL,        /* another protocol is spoken */
    CAUSE_INJECTED,        /* bytes came before TLS that nobody asked for */
    CAUSE_ENDED,           /* the connection, by the server */
    CAUSE_ENDED_ON_US,     /* likewise, once it had got our certificate, or none */
    CAUSE_TLS_REQUIRED,    /* plaintext is not taken */
    CAUSE_CLIENT_REQUIRED, /* a client's certificate, said by the protocol */
    CAUSE_TLS_FAILED,      /* whatever else libssl says */
    CAUSE_VERIFICATION,    /* whatever else libcrypto finds in a certificate */
    CAUSE_CA_FILE,
    CAUSE_CLIENT_CERTIFICATE_FILE,
    CAUSE_CLIENT_KEY_FILE,
    CAUSE_KEY_PASSWORD,
    CAUSE_KEY_PASSWORD_MISSING,
    CAUSE_KEY_MISMATCH,
    CAUSE_KEY_MISMATCH_STORE,
    CAUSE_OWN_COUNT
};

struct cause {
    const char *code;   /* for programs */
    const char *reason; /* behind "Failed to connect - "; NULL: what the error says */
    const char *remedy; /* NULL: what the error says */
    kw_status status;   /* KW_OK: that of the error */
};

/* What the server knows of a client's certificate when it says no. */
enum cause_client { CLIENT_UNASKED, CLIENT_HAS_NONE, CLIENT_HAS_SENT };

const struct cause *cause_own(enum cause_own own);
/* For X509_V_ERR_...: CAUSE_VERIFICATION's where the table has no other. */
const struct cause *cause_of_certificate(int error);
/* For libssl's SSL_R_...: CAUSE_TLS_FAILED's where the table has no other. */
const struct cause *cause_of_tls(int reason, enum cause_client client);

#endif
