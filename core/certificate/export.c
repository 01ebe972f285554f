/* Export: chosen certificates with their keys, as .pfx files. */
#include "certificate/calls.h"
#include "certificate/derivation.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/options.h"
#include "certificate/der.h"
#include "certificate/password.h"
#include "certificate/pkcs12.h"
#include "certificate/roots.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct selection {
    struct found *found;
    size_t count, room;
};

static void selection_clear(struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++)
        found_clear(&selection->found[i]);
    free(selection->found);
    *selection = (struct selection){0};
}

/* Adds the certificate at `address` (with @N) unless it is there already. */
static kw_status select_one(kw_context *context, struct selection *selection, const char *address, kw_error *error)
{
    struct found found = {0};
    kw_status status = manager_find(context, address, &found, error);
    if (status != KW_OK)
        return status;
    if (!found.kind->exported) {
        status = error_set(error, KW_REFUSED, "%s is never exported with its key: each server makes its own",
                           found.address.text);
        error_remedy(error, "its certificate alone: `keywright show %s --pem`", found.address.text);
        goto out;
    }
    for (size_t i = 0; i < selection->count; i++)
        if (id_equal(&selection->found[i].certificate.id, &found.certificate.id))
            goto out;
    if (selection->count == selection->room) {
        const size_t room = selection->room * 2 + 8;
        struct found *grown = calloc(room, sizeof(*grown));
        if (grown == NULL) {
            status = error_memory(error);
            goto out;
        }
        if (selection->count > 0)
            memcpy(grown, selection->found, selection->count * sizeof(*grown));
        free(selection->found);
        selection->found = grown;
        selection->room = room;
    }
    selection->found[selection->count++] = found;
    return KW_OK;
out:
    found_clear(&found);
    return status;
}

/* A move must lose nothing: former and retired certificates go too, since old data may need them (S15). */
static kw_status select_listed(kw_context *context, const char *database, struct selection *selection, kw_error *error)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .all = true, .database = database};
    kw_certificate_list *list = NULL;
    kw_status status = manager_certificates(context, &filter, &list, error);
    if (status != KW_OK)
        return status;
    if (list->problem_count > 0) {
        if (error != NULL)
            *error = list->problems[0];
        status = KW_CORRUPT;
        error_remedy(error, "nothing was exported: an export that leaves something out would look complete");
    }
    for (size_t i = 0; status == KW_OK && i < list->count; i++)
        if (list->certificates[i].exported)
            status = select_one(context, selection, list->certificates[i].address, error);
    kw_certificate_list_free(list);
    return status;
}

/* A misspelt name must not look like a database without certificates. */
static kw_status check_database_known(kw_context *context, const char *database, kw_error *error)
{
    struct found found = {0};
    char *address = text_format("database/%s", database);
    kw_status status = address != NULL ? manager_find(context, address, &found, error) : error_memory(error);
    found_clear(&found);
    free(address);
    return status;
}

static kw_status select_all(kw_context *context, const kw_export_options *options, struct selection *selection,
                            kw_error *error)
{
    kw_status status = KW_OK;
    const int ways = (options->address_count > 0) + (options->database != NULL) + options->everything;
    if (ways != 1) {
        status = error_set(error, KW_INVALID_ARGUMENT,
                           ways == 0 ? "nothing is named to export"
                                     : "certificates, a database and everything exclude each other");
        error_remedy(error, "name certificates, or --database DB, or --everything");
        return status;
    }
    for (size_t i = 0; status == KW_OK && i < options->address_count; i++)
        status = select_one(context, selection, options->addresses[i], error);
    if (status != KW_OK)
        return status;
    if (options->address_count == 0) {
        if (options->database != NULL)
            status = check_database_known(context, options->database, error);
        if (status == KW_OK)
            status = select_listed(context, options->database, selection, error);
    }
    if (status == KW_OK && selection->count == 0)
        status = error_set(error, KW_NOT_FOUND, "there is nothing to export");
    return status;
}

static kw_status copy_databases(const struct entry_row *entry, struct pfx_item *item, kw_error *error)
{
    item->databases = calloc(entry->database_count + 1, sizeof(*item->databases));
    if (item->databases == NULL)
        return error_memory(error);
    for (size_t i = 0; i < entry->database_count; i++) {
        item->databases[i] = text_copy(entry->databases[i]);
        if (item->databases[i] == NULL)
            return error_memory(error);
        item->database_count++;
    }
    return KW_OK;
}

static kw_status copy_chain(kw_context *context, const struct certificate_row *row, struct pfx_item *item,
                            kw_error *error)
{
    kw_input rest = {row->chain.data, row->chain.length};
    kw_status status = x509_read(context->crypto, &rest, &item->certificate, error);
    while (status == KW_OK && rest.length > 0) {
        X509 *issuer = NULL;
        status = x509_read(context->crypto, &rest, &issuer, error);
        if (status != KW_OK)
            break;
        if (item->chain == NULL)
            item->chain = sk_X509_new_null();
        if (item->chain == NULL || sk_X509_push(item->chain, issuer) <= 0) {
            crypto_x509_free(issuer);
            status = error_memory(error);
        }
    }
    return status;
}

/* Of an RSA key for PSS alone the file says so too, as its certificate does. */
static kw_status retype(X509 *certificate, struct secret *pkcs8, kw_error *error)
{
    X509_ALGOR *algorithm = NULL;
    struct secret made = {0};
    if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, X509_get_X509_PUBKEY(certificate)) != 1)
        return crypto_error(error, KW_CORRUPT, "the certificate has no readable public key");
    const kw_status status = der_retype_rsa(secret_view(pkcs8), algorithm, &made, error);
    if (status != KW_OK)
        return status;
    secret_clear(pkcs8);
    *pkcs8 = made;
    return KW_OK;
}

/* A derived key exists in no store, and a copy of it only where somebody decides so. */
static kw_status export_key(const struct found *found, bool with_derived_keys, kw_key *key, struct pfx_item *item,
                            kw_error *error)
{
    struct derived_locator derived;
    if (derivation_of(&found->certificate, &derived) && !with_derived_keys)
        return KW_REFUSED;
    const kw_status status = key_export(key, &item->pkcs8, error);
    return status == KW_OK && key_pss(key)->only ? retype(item->certificate, &item->pkcs8, error) : status;
}

/* Where a key is that its store does not give out. The token's serial is for a server that has another id for the same store. */
static kw_status refer(kw_context *context, const struct certificate_row *row, struct pfx_item *item, kw_error *error)
{
    struct store *store = NULL;
    const kw_status status = stores_get_by_id(context->stores, row->store_id, &store, error);
    if (status != KW_OK)
        return status;
    const char *const token = store_capabilities(store)->token;
    memcpy(item->reference.locator, row->locator, row->locator_length);
    item->reference.locator_length = row->locator_length;
    item->reference.store_id = text_copy(row->store_id);
    if (token[0] != '\0')
        item->reference.token = text_copy(token);
    return item->reference.store_id == NULL || (token[0] != '\0' && item->reference.token == NULL) ? error_memory(error)
                                                                                                   : KW_OK;
}

static kw_status fill_item(kw_context *context, const struct found *found, bool with_derived_keys,
                           struct pfx_item *item, kw_error *error)
{
    const struct root_place place = roots_place(context);
    kw_key *key = NULL;
    kw_status status = manager_open_key(context, found, &key, error);
    item->entry = found->entry.id;
    item->number = found->certificate.number;
    item->former = !id_equal(&found->entry.certificate, &found->certificate.id);
    item->retired = found->entry.state != ENTRY_IN_USE;
    item->address = text_copy(found->address.text);
    item->friendly_name = text_copy(found->address.text);
    if (status == KW_OK && (item->address == NULL || item->friendly_name == NULL))
        status = error_memory(error);
    if (status == KW_OK)
        status = copy_databases(&found->entry, item, error);
    if (status == KW_OK)
        status = copy_chain(context, &found->certificate, item, error);
    if (status == KW_OK && kind_has_roots(found->kind) && !item->former)
        status = root_records_write(&place, &found->entry.id, &item->roots, error);
    if (status != KW_OK)
        goto out;
    status = export_key(found, with_derived_keys, key, item, error);
    if (status == KW_REFUSED || status == KW_UNSUPPORTED) {
        status = error_tolerate(status, status, error);
        if (status == KW_OK)
            status = refer(context, &found->certificate, item, error);
    }
out:
    kw_key_free(key);
    return status;
}

static bool is_directory(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* As a file's name that no other address has: '/', which is in no name, becomes '+', and what is special in shells and systems %XX. */
static char *file_name(const char *what)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@";
    struct buffer name = {0};
    kw_bytes text = {0};
    for (const char *at = what; *at != '\0'; at++) {
        const unsigned char byte = (unsigned char)*at;
        if (byte == '/')
            buffer_append_u8(&name, '+');
        else if (byte >= 0x80 || strchr(plain, byte) != NULL)
            buffer_append_u8(&name, byte);
        else
            buffer_format(&name, "%%%02X", byte);
    }
    buffer_format(&name, ".pfx");
    buffer_append_u8(&name, 0);
    const kw_status status = buffer_take(&name, &text);
    buffer_free(&name);
    return status == KW_OK ? (char *)text.data : NULL;
}

/* Where the file goes: `path`, or in that directory under a name made of what is in it. */
static char *file_path(const char *path, bool in_directory, const char *what)
{
    if (!in_directory)
        return text_copy(path);
    char *name = file_name(what);
    char *full = name != NULL ? path_join(path, name) : NULL;
    free(name);
    return full;
}

static kw_status write_file(kw_context *context, const struct pfx_item *items, size_t count, kw_input password,
                            const char *path, kw_error *error)
{
    kw_bytes pfx = {0};
    kw_status status = pfx_write(context->crypto, items, count, password, &pfx, error);
    if (status == KW_OK)
        status = file_replace(path, (kw_input){pfx.data, pfx.length}, 0600, error);
    kw_bytes_free(&pfx);
    return status;
}

/* The certificate's own address: with its number unless it is its entry's current one. */
static char *item_address(const struct pfx_item *item)
{
    return item->former ? text_format("%s@%u", item->address, item->number) : text_copy(item->address);
}

static kw_status tell_written(const struct pfx_item *items, size_t count, const char *path, kw_event_callback event,
                              void *user, kw_error *error)
{
    for (size_t i = 0; i < count; i++) {
        char *address = item_address(&items[i]);
        if (address == NULL)
            return error_memory(error);
        event_tell(event, user, false, address, "exported to %s", path);
        if (items[i].pkcs8.length == 0 && strcmp(items[i].reference.store_id, DERIVED_STORE) == 0)
            event_tell(event, user, true, address,
                       "its key is derived from a master key: the file only says how, and needs that master key to be "
                       "of use; --with-derived-keys puts a copy into it");
        else if (items[i].pkcs8.length == 0)
            event_tell(event, user, true, address,
                       "its store does not give the key out: the file only says where it is (store %s)",
                       items[i].reference.store_id);
        free(address);
    }
    return KW_OK;
}

static kw_status write_files(kw_context *context, const kw_export_options *options, const struct pfx_item *items,
                             size_t count, kw_input password, kw_event_callback event, void *user, kw_error *error)
{
    const char *path = options->path != NULL ? options->path : context->settings->export_directory;
    const bool separate = options->separate || (context->settings->export_one_file_each && !options->together);
    const bool in_directory = separate || options->path == NULL || is_directory(path);
    const size_t step = separate ? 1 : count;
    kw_status status = KW_OK;
    if (in_directory)
        status = file_make_directory(path, 0700, error);
    for (size_t i = 0; status == KW_OK && i < count; i += step) {
        char *alone = item_address(&items[i]);
        char *file = NULL;
        if (separate || count == 1)
            file = alone != NULL ? file_path(path, in_directory, alone) : NULL;
        else
            file = file_path(path, in_directory, options->database != NULL ? options->database : "keywright");
        if (file == NULL)
            status = error_memory(error);
        else
            status = write_file(context, items + i, step, password, file, error);
        if (status == KW_OK)
            status = tell_written(items + i, step, file, event, user, error);
        free(file);
        free(alone);
    }
    return status;
}

static kw_status read_password(kw_context *context, const kw_export_options *options, kw_event_callback event,
                               void *user, struct secret *password, kw_error *error)
{
    const char *source = options->password_source != NULL ? options->password_source : "prompt";
    kw_status status = password_read(context, source, "the password of the export", true, password, error);
    if (status != KW_OK)
        return status;
    for (size_t i = 0; i < password->length; i++) {
        if (password->data[i] > 0x7e || password->data[i] < 0x20) {
            event_tell(event, user, true, NULL,
                       "the password is not plain ASCII: some programs (Java's keytool) will not take it");
            break;
        }
    }
    return KW_OK;
}

/*
 * A certificate that was asked for by name and has a file of its own was exported separately. One file of everything is no such thing: it
 * lies where the server's other keys lie.
 */
static void note_separate(kw_context *context, const kw_export_options *options, const struct selection *selection,
                          kw_event_callback event, void *user)
{
    const bool separate = options->separate || (context->settings->export_one_file_each && !options->together);
    kw_error why = {0};
    if (options->address_count == 0 || (selection->count > 1 && (!separate || options->content != NULL)))
        return;
    for (size_t i = 0; i < selection->count; i++) {
        const struct found *found = &selection->found[i];
        if (reminder_done(context, found->kind, &found->certificate.id, &why) != KW_OK)
            event_tell(event, user, true, found->address.text, "that it was exported could not be noted: %s",
                       why.message);
    }
}

kw_status manager_export(kw_context *context, const kw_export_options *given, kw_event_callback event, void *user,
                         kw_error *error)
{
    kw_export_options known;
    const kw_export_options *const options = &known;
    struct selection selection = {0};
    struct pfx_item *items = NULL;
    struct secret password = {0};
    struct derived_locator derived;
    kw_status status = options_take(&known, sizeof(known), given, error);
    if (status != KW_OK)
        return status;
    if (options->content != NULL && options->separate)
        return error_set(error, KW_INVALID_ARGUMENT, "one file each cannot go to one place");
    if (options->content == NULL && options->path == NULL && context->settings->export_directory == NULL) {
        status = error_set(error, KW_INVALID_ARGUMENT, "there is no location to export to");
        error_remedy(error, "give -o PATH, or set export: {directory: PATH} in %s", context->settings->path);
        return status;
    }
    status = select_all(context, options, &selection, error);
    if (status == KW_OK)
        status = read_password(context, options, event, user, &password, error);
    if (status != KW_OK)
        goto out;
    items = calloc(selection.count, sizeof(*items));
    if (items == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; status == KW_OK && i < selection.count; i++)
        status = fill_item(context, &selection.found[i], options->with_derived_keys, &items[i], error);
    for (size_t i = 0; status == KW_OK && i < selection.count; i++)
        if (items[i].pkcs8.length > 0 && derivation_of(&selection.found[i].certificate, &derived))
            event_tell(event, user, true, items[i].address,
                       "the export holds a copy of its key, which otherwise exists nowhere");
    if (status == KW_OK && options->content != NULL)
        status = pfx_write(context->crypto, items, selection.count, secret_view(&password), options->content, error);
    else if (status == KW_OK)
        status = write_files(context, options, items, selection.count, secret_view(&password), event, user, error);
    if (status == KW_OK)
        note_separate(context, options, &selection, event, user);
out:
    for (size_t i = 0; items != NULL && i < selection.count; i++)
        pfx_item_clear(&items[i]);
    free(items);
    secret_clear(&password);
    selection_clear(&selection);
    return status;
}
