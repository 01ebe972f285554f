#include "certificate/kinds.h"
#include "base/buffer.h"
#include "store/key.h"
#include <string.h>

/*
 * The default first. X25519, which stores may have, is in no list: it cannot sign the certificate that a new key gets. Keys that protect secrets must be able to decrypt or to agree on a key, which Ed25519 cannot.
 */
static const char *const signing_keys[] = {"rsa-3072", "rsa-2048", "rsa-4096", "ec-p256",
                                           "ec-p384",  "ec-p521",  "ed25519",  NULL};
static const char *const secrets_keys[] = {"rsa-3072", "rsa-2048", "rsa-4096", "ec-p256", "ec-p384", "ec-p521", NULL};

const struct kind kinds[] = {
    {
        .name = "ssl-connection",
        .common_name = "PSR8Server",
        .common_name_configurable = true,
        .replaceable = true,
        .expiry_checked = true,
        .automatic = true,
        .has_san = true,
        .default_key = "rsa-3072",
        .keys = signing_keys,
        .usage = USAGE_TLS_SERVER,
        .use = "proves the server's identity to clients that connect over TLS",
    },
    {
        .name = "server-encryption",
        .common_name = "Keywright Server Encryption",
        .common_name_configurable = true,
        .exported = true,
        .automatic = true,
        .at_open = true,
        .exported_apart = true,
        .default_key = "rsa-3072",
        .keys = secrets_keys,
        .usage = USAGE_SECRETS,
        .use = "protects what is encrypted to this server, such as its offline licence",
    },
    {
        .name = "database",
        .names = {"DATABASE"},
        .server_key = true,
        .common_name = "psrDatabaseKey",
        .database_is_unit = true,
        .exported = true,
        .default_key = "rsa-3072",
        .keys = secrets_keys,
        .usage = USAGE_SECRETS,
        .use = "protects the passwords that clients send to the server for this database",
    },
    {
        .name = "master-key",
        .names = {"DOMAIN"},
        .common_name = "Active Directory: %s",
        .serves_databases = true,
        .server_key = true,
        .exported = true,
        .default_key = "rsa-3072",
        .keys = secrets_keys,
        .usage = USAGE_SECRETS,
        .use = "master key of a directory domain: protects the secrets of its users in the databases that it serves",
    },
    {
        .name = "discovery-service",
        .names = {"DATABASE", "NAME"},
        .common_name = "Discovery Service: %s",
        .database_is_unit = true,
        .in_database = true,
        .exported = true,
        .default_key = "rsa-3072",
        .keys = secrets_keys,
        .derivable = true,
        .usage = USAGE_SECRETS,
        .use = "protects the passwords that a discovery service of this database works with",
    },
    {
        .name = "password-reset",
        .names = {"DATABASE", "NAME"},
        .common_name = "Password Reset: %s",
        .database_is_unit = true,
        .in_database = true,
        .exported = true,
        .default_key = "rsa-3072",
        .keys = secrets_keys,
        .derivable = true,
        .usage = USAGE_SECRETS,
        .use = "protects the passwords that a password reset of this database sets",
    },
    {
        .name = "general",
        .names = {"NAME"},
        .common_name = "%s",
        .common_name_configurable = true,
        .replaceable = true,
        .expiry_checked = true,
        .exported = true,
        .has_san = true,
        .default_key = "rsa-3072",
        .keys = signing_keys,
        .usage = USAGE_GENERAL,
        .use = "a certificate of the administrator's own, for any use",
    },
};
const size_t kind_count = sizeof(kinds) / sizeof(kinds[0]);

static size_t name_count(const struct kind *kind)
{
    size_t count = 0;
    while (count < ADDRESS_PARTS_MAXIMUM - 1 && kind->names[count] != NULL)
        count++;
    return count;
}

static kw_status no_such_kind(const char *name, kw_error *error)
{
    const char *names[sizeof(kinds) / sizeof(kinds[0])];
    struct buffer all = {0};
    for (size_t i = 0; i < kind_count; i++) {
        names[i] = kinds[i].name;
        buffer_format(&all, "%s%s", i > 0 ? ", " : "", kinds[i].name);
    }
    const char *nearest = nearest_name(name, names, kind_count);
    kw_status status = error_set(error, KW_INVALID_ARGUMENT, "there is no kind of certificate '%s'", name);
    if (nearest != NULL)
        error_remedy(error, "did you mean '%s'?", nearest);
    else if (!all.failed)
        error_remedy(error, "the kinds are %.*s", (int)all.length, (const char *)all.data);
    buffer_free(&all);
    return status;
}

kw_status kind_of(const struct address *address, const struct kind **kind, kw_error *error)
{
    for (size_t i = 0; i < kind_count; i++) {
        if (strcmp(kinds[i].name, address->parts[0]) != 0)
            continue;
        const size_t names = name_count(&kinds[i]);
        if (address->part_count != names + 1)
            return error_set(error, KW_INVALID_ARGUMENT, "'%s' has %s: an address of this kind is written %s%s%s%s%s",
                             address->text, address->part_count > names + 1 ? "a name too many" : "a name too few",
                             kinds[i].name, names > 0 ? "/" : "", names > 0 ? kinds[i].names[0] : "",
                             names > 1 ? "/" : "", names > 1 ? kinds[i].names[1] : "");
        *kind = &kinds[i];
        return KW_OK;
    }
    return no_such_kind(address->parts[0], error);
}

static bool list_has(const char *const *names, const char *name)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names, name) == 0)
            return true;
    }
    return false;
}

kw_status kind_check_key(const struct kind *kind, const char *key, kw_error *error)
{
    struct buffer all = {0};
    if (list_has(kind->keys, key))
        return KW_OK;
    for (const char *const *name = kind->keys; *name != NULL; name++)
        buffer_format(&all, "%s%s", name == kind->keys ? "" : ", ", *name);
    kw_status status;
    if (strcmp(key, "x25519") == 0)
        status =
            error_set(error, KW_REFUSED,
                      "a %s certificate cannot have the key x25519, which agrees on secrets but cannot sign: its own "
                      "certificate is what a new key signs first",
                      kind->name);
    else if (list_has(signing_keys, key))
        status = error_set(error, KW_REFUSED, "a %s certificate cannot have the key %s, which can sign but not decrypt",
                           kind->name, key);
    else
        status = error_set(error, KW_INVALID_ARGUMENT,
                           "a %s certificate cannot have a key '%s': there is no such kind of key", kind->name, key);
    if (!all.failed)
        error_remedy(error, "one of %.*s", (int)all.length, (const char *)all.data);
    buffer_free(&all);
    return status;
}

kw_status kind_check_certified(const struct kind *kind, const char *key, kw_error *error)
{
    const struct key_kind *const found = key_kind_find(key);
    if (found == NULL || !found->pss)
        return kind_check_key(kind, key, error);
    if (kind->keys == signing_keys)
        return KW_OK;
    return error_set(error, KW_REFUSED,
                     "a %s certificate cannot have the key %s, whose certificate says that it signs (by PSS alone) and "
                     "does not decrypt",
                     kind->name, key);
}

const char *kind_database(const struct kind *kind, const struct address *address)
{
    return kind->database_is_unit && address->part_count > 1 ? address->parts[1] : NULL;
}
