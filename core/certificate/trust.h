/* The CAs that the configuration trusts, read from their files. */
#ifndef KEYWRIGHT_CERTIFICATE_TRUST_H
#define KEYWRIGHT_CERTIFICATE_TRUST_H

#include "certificate/crl.h"
#include "config/settings.h"

struct trust {
    STACK_OF(X509) *authorities;
    STACK_OF(X509) *intermediates;
    bool system_roots; /* those in libcrypto's directory and file, or in $SSL_CERT_DIR and $SSL_CERT_FILE, count too */
    struct crl_limits crl;
};

/*
 * Reads what `trust:` names, anew each time, so that a CA's new file needs no restart. Errors: KW_CONFIGURATION with the setting's place,
 * naming the file: it cannot be read, it is neither PEM nor DER, it has no certificate, or something in it is none.
 */
KW_MUST_USE kw_status trust_read(struct crypto *crypto, const struct settings *settings, struct trust *trust,
                                 kw_error *error);
void trust_clear(struct trust *trust);

#endif
