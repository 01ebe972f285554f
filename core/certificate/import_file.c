/* What the files of an import hold: the items that have both certificate and key, or the reply to a request. */
#include "certificate/import.h"

#include "base/buffer.h"
#include "base/file.h"
#include "certificate/password.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_FILE_MAXIMUM (16u * 1024u * 1024u)

static kw_status read_content(const char *path, kw_input given, struct secret *content, kw_error *error)
{
    return given.data != NULL ? secret_copy(content, given, error)
                              : file_read_secret(path, IMPORT_FILE_MAXIMUM, content, error);
}

static kw_status read_password(struct importing *importing, const char *what, struct secret *password, kw_error *error)
{
    const char *source = importing->options->password_source != NULL ? importing->options->password_source : "prompt";
    return password_read(importing->context, source, what, false, password, error);
}

static kw_status ask_pem_password(void *user, struct secret *password, kw_error *error)
{
    return read_password(user, "the password of the private key", password, error);
}

static kw_status read_pfx(struct importing *importing, kw_input content, kw_error *error)
{
    struct secret password = {0};
    kw_status status = read_password(importing, "the password of the import", &password, error);
    if (status == KW_OK)
        status = pfx_read(importing->context->crypto, content, secret_view(&password), importing->options->allow_no_mac,
                          &importing->items, &importing->count, error);
    secret_clear(&password);
    return status;
}

static kw_status read_pem(struct importing *importing, kw_input content, kw_error *error)
{
    struct crypto *crypto = importing->context->crypto;
    const char *key_path = importing->options->key_path;
    struct secret key = {0};
    struct pfx_item from_key = {0};
    kw_status status = KW_OK;
    importing->items = calloc(1, sizeof(*importing->items));
    if (importing->items == NULL)
        return error_memory(error);
    importing->count = 1;
    status = pem_read(crypto, content, ask_pem_password, importing, &importing->items[0], error);
    if (status != KW_OK || key_path == NULL)
        return status;
    if (importing->items[0].pkcs8.length > 0)
        return error_set(error, KW_INVALID_ARGUMENT, "there is a private key in %s already: leave out --key",
                         importing->options->path);
    status = read_content(key_path, importing->options->key_content, &key, error);
    if (status == KW_OK) {
        status = pem_read(crypto, secret_view(&key), ask_pem_password, importing, &from_key, error);
        if (status != KW_OK)
            error_where(error, "%s", key_path);
    }
    if (status == KW_OK && from_key.pkcs8.length == 0) {
        status = error_set(error, KW_INVALID_ARGUMENT, "there is no private key in it");
        error_where(error, "%s", key_path);
    }
    if (status == KW_OK) {
        importing->items[0].pkcs8 = from_key.pkcs8;
        from_key.pkcs8 = (struct secret){0};
    }
    pfx_item_clear(&from_key);
    secret_clear(&key);
    return status;
}

static kw_status read_items(struct importing *importing, kw_error *error)
{
    const char *path = importing->options->path;
    struct secret content = {0};
    kw_status status = read_content(path, importing->options->content, &content, error);
    if (status != KW_OK)
        return status;
    if (!pfx_is(secret_view(&content)))
        status = read_pem(importing, secret_view(&content), error);
    else if (importing->options->key_path != NULL)
        status =
            error_set(error, KW_INVALID_ARGUMENT, "--key goes with a certificate file, and this is a PKCS#12 file");
    else
        status = read_pfx(importing, secret_view(&content), error);
    if (status != KW_OK)
        error_where(error, "%s", path);
    secret_clear(&content);
    return status;
}

static bool has_key(const struct pfx_item *item)
{
    return item->pkcs8.length > 0 || item->reference.store_id != NULL;
}

/* Certificates alone, for one address that was given. */
static bool is_reply(const struct importing *importing)
{
    bool certificates = false;
    for (size_t i = 0; i < importing->count; i++) {
        if (has_key(&importing->items[i]))
            return false;
        certificates = certificates || importing->items[i].certificate != NULL;
    }
    return certificates && importing->options->address != NULL;
}

/* Certificates without a key are issuers of the others at best; they have no place of their own. */
static kw_status drop_bare_certificates(struct importing *importing, kw_error *error)
{
    size_t kept = 0, keys = 0;
    for (size_t i = 0; i < importing->count; i++) {
        struct pfx_item *item = &importing->items[i];
        if (has_key(item) && item->certificate != NULL) {
            const struct pfx_item whole = *item;
            *item = (struct pfx_item){0};
            importing->items[kept++] = whole;
        } else {
            if (has_key(item))
                keys++;
            pfx_item_clear(item);
        }
    }
    importing->count = kept;
    if (kept > 0 && keys > 0)
        event_tell(importing->event, importing->user, true, NULL,
                   "%zu private key%s of the file ha%s no certificate in it, and %s left out", keys,
                   keys == 1 ? "" : "s", keys == 1 ? "s" : "ve", keys == 1 ? "is" : "are");
    if (kept > 0)
        return KW_OK;
    kw_status status = error_set(error, KW_INVALID_ARGUMENT, "it holds no certificate together with its private key");
    error_where(error, "%s", importing->options->path);
    error_remedy(error, "give the private key's file with --key; or, when it is the reply to a request, say whose with "
                        "--as CERT");
    return status;
}

/* What its maker called it; else the common name of its certificate. */
static void name_of(const struct pfx_item *item, char name[COMMON_NAME_SIZE])
{
    name[0] = '\0';
    if (item->friendly_name != NULL)
        snprintf(name, COMMON_NAME_SIZE, "%s", item->friendly_name);
    else
        X509_NAME_get_text_by_NID(X509_get_subject_name(item->certificate), NID_commonName, name, COMMON_NAME_SIZE);
    text_mask(name);
}

static bool is_named(const struct pfx_item *item, const char *address)
{
    const char *slash = strrchr(address, '/');
    char name[COMMON_NAME_SIZE];
    name_of(item, name);
    return strcmp(name, address) == 0 || (slash != NULL && strcmp(name, slash + 1) == 0);
}

/* --as names one: of several in the file, the one whose name is the address or its last part. */
static kw_status choose_named(struct importing *importing, kw_error *error)
{
    const char *address = importing->options->address;
    struct buffer names = {0};
    size_t chosen = 0, count = 0;
    kw_status status = KW_OK;
    if (address == NULL || importing->count <= 1)
        return KW_OK;
    for (size_t i = 0; i < importing->count; i++) {
        char name[COMMON_NAME_SIZE];
        name_of(&importing->items[i], name);
        if (is_named(&importing->items[i], address)) {
            chosen = i;
            count++;
        }
        buffer_format(&names, "%s'%s'", i > 0 ? ", " : "", name);
    }
    buffer_append_u8(&names, 0);
    if (count == 1) {
        const struct pfx_item kept = importing->items[chosen];
        importing->items[chosen] = (struct pfx_item){0};
        for (size_t i = 0; i < importing->count; i++)
            pfx_item_clear(&importing->items[i]);
        importing->items[0] = kept;
        importing->count = 1;
    } else {
        status = error_set(error, KW_INVALID_ARGUMENT, "--as names one certificate, and the file holds %zu",
                           importing->count);
        error_where(error, "%s", importing->options->path);
        error_remedy(
            error,
            "of several the one is taken whose friendly name, or common name where it has none, is CERT or its "
            "last part, once; here they are %s",
            names.failed ? "many" : (const char *)names.data);
    }
    buffer_free(&names);
    return status;
}

kw_status import_read(struct importing *importing, kw_error *error)
{
    kw_status status = read_items(importing, error);
    if (status == KW_OK && is_reply(importing))
        status = reply_find(importing, error);
    else if (status == KW_OK)
        status = drop_bare_certificates(importing, error);
    if (status == KW_OK)
        status = choose_named(importing, error);
    return status;
}
