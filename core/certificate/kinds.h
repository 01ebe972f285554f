/* The kinds of certificates: one policy table, one row a kind. */
#ifndef KEYWRIGHT_CERTIFICATE_KINDS_H
#define KEYWRIGHT_CERTIFICATE_KINDS_H

#include "catalogue/address.h"
#include "config/settings.h"

enum kind_usage {
    USAGE_TLS_SERVER, /* digitalSignature, keyEncipherment for RSA; EKU serverAuth */
    USAGE_SECRETS,    /* digitalSignature, key and data encipherment for RSA, keyAgreement for EC */
    USAGE_GENERAL     /* as asked */
};

struct kind {
    const char *name;
    const char *names[ADDRESS_PARTS_MAXIMUM - 1]; /* what the parts behind the kind are called, NULL: there is none */
    const char *common_name;                      /* "%s" stands for the last part; NULL: as configured */
    bool common_name_configurable;
    bool database_is_unit; /* OU = database */
    bool in_database;      /* the first name is a database, whose entry must be in use */
    bool serves_databases; /* --database lists them: master-key */
    bool server_key;       /* goes to an HSM when one is connected (S26) */
    bool replaceable;      /* a certificate of one's own may take its place (S13) */
    bool expiry_checked;   /* (S14) */
    bool exported;         /* in exports and backups (S21) */
    bool automatic;        /* apply creates it */
    bool at_open;          /* so does a kw_open that finds none (S12) */
    bool exported_apart;   /* the user is asked to export it separately (S12) */
    bool derivable; /* its key may be derived from its database's master key, and is where that is in an HSM (S27) */
    bool has_san;
    const char *default_key;
    const char *const *keys; /* allowed, ends with NULL */
    enum kind_usage usage;
    const char *use; /* a sentence for `show` */
};

extern const struct kind kinds[];
extern const size_t kind_count;

/* KW_INVALID_ARGUMENT: no such kind (with the nearest), or the wrong number of names (with the form). */
KW_MUST_USE kw_status kind_of(const struct address *address, const struct kind **kind, kw_error *error);
/* KW_REFUSED (not for this kind), KW_INVALID_ARGUMENT (no such key); both name what is allowed. */
KW_MUST_USE kw_status kind_check_key(const struct kind *kind, const char *key, kw_error *error);
/* The same of a key that comes with a certificate, which may also be an RSA key for PSS alone. */
KW_MUST_USE kw_status kind_check_certified(const struct kind *kind, const char *key, kw_error *error);
/* The database an address belongs to (its first name), or NULL. */
const char *kind_database(const struct kind *kind, const struct address *address);

#endif
