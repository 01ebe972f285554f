/*
 * PKCS#12 (RFC 7292) as Keywright writes it, and as others do. Key and certificate bags carry friendlyName, localKeyID and, under a private
 * OID, what import needs: address, entry id, databases, and, in place of a key that its store does not give out, a reference.
 * The MAC covers all of it. docs/pfx.md describes the attributes for other implementers.
 */
#ifndef KEYWRIGHT_CERTIFICATE_PKCS12_H
#define KEYWRIGHT_CERTIFICATE_PKCS12_H

#include "base/id.h"
#include "openssl/pkey.h"
#include <openssl/x509.h>

/* One key with its certificates; what is written and what is read. Owned strings and objects. */
struct pfx_item {
    char *address; /* without @N; NULL: the file has no attributes of ours */
    struct id entry;
    unsigned number; /* of the certificate within its entry */
    bool former;     /* not the entry's current certificate: kept for old data */
    bool retired;    /* its entry is out of use */
    char **databases;
    size_t database_count;
    struct secret pkcs8; /* empty: see reference */
    struct {             /* the key stays in its store */
        char *store_id;  /* NULL: none */
        char *token;     /* serial, or NULL */
        unsigned char locator[KW_LOCATOR_MAXIMUM];
        size_t locator_length;
    } reference;
    kw_bytes roots; /* of a master key, with its current certificate: subkey/root_set.h; empty: none */
    char *friendly_name;
    X509 *certificate;     /* NULL: a key alone */
    STACK_OF(X509) *chain; /* its issuers in the file, or NULL */
};

void pfx_item_clear(struct pfx_item *item);

/*
 * PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC, MAC HMAC-SHA256. How often the password is hashed falls with the number of items, from 600,000 times
 * to PFX_ITERATIONS_MINIMUM. Errors: KW_INVALID_ARGUMENT (empty password, an item with nothing to write, a malformed key).
 */
#define PFX_ITERATIONS_MINIMUM 100000u
KW_MUST_USE kw_status pfx_write(struct crypto *crypto, const struct pfx_item *items, size_t count, kw_input password,
                                kw_bytes *pfx, kw_error *error);
/* The same with an iteration count of the caller's. */
KW_MUST_USE kw_status pfx_write_iterated(struct crypto *crypto, const struct pfx_item *items, size_t count,
                                         kw_input password, unsigned iterations, kw_bytes *pfx, kw_error *error);

/*
 * Nothing in the file is believed before its MAC has been verified. Keys are paired with certificates by localKeyID, else by public key (whether
 * they match is key_check's to say); a certificate that is neither a key's, nor has attributes of ours, nor issued one of those is left
 * out, unless the file has certificates alone. `password.data` NULL: absent, told apart from empty; an empty password is tried in both
 * forms. Errors: KW_SECRET_REFUSED (the MAC does not verify: the password is wrong or the file was changed), KW_CORRUPT (malformed),
 * KW_UNSUPPORTED (a MAC, an encryption or a key that libcrypto lacks: named), KW_REFUSED (no MAC and not allowed; more iterations than
 * pbe.h allows). `items` belongs to the caller: pfx_items_free.
 */
KW_MUST_USE kw_status pfx_read(struct crypto *crypto, kw_input pfx, kw_input password, bool allow_no_mac,
                               struct pfx_item **items, size_t *count, kw_error *error);
void pfx_items_free(struct pfx_item *items, size_t count);
/* Whether it looks like PKCS#12 at all. */
bool pfx_is(kw_input data);

/*
 * A certificate, PKCS#7 certificates (.p7b) or a key in PEM or DER: PKCS#8 plain and encrypted, traditional RSA and EC, plain and encrypted. The key becomes PKCS#8. Several PEM
 * objects: the first key, the certificate that is its own (else the first) and the rest as its chain. `password` is asked for
 * by `ask` only when one is needed. Errors: KW_SECRET_REFUSED, KW_CORRUPT (malformed), KW_UNSUPPORTED (named), KW_REFUSED (as
 * pfx_read), KW_INVALID_ARGUMENT (it is neither PEM nor DER, or has neither certificate nor key), and what `ask` answers.
 */
typedef kw_status (*pem_ask)(void *user, struct secret *password, kw_error *error);
KW_MUST_USE kw_status pem_read(struct crypto *crypto, kw_input data, pem_ask ask, void *user, struct pfx_item *item,
                               kw_error *error);

#endif
