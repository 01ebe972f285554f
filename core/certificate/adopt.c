/* Keys in a store that other programs made: which there are, and taking one over. */
#include "certificate/ability.h"
#include "certificate/calls.h"
#include "certificate/derivation.h"
#include "certificate/import.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/options.h"
#include "certificate/leaf.h"

#include <openssl/x509v3.h>

#include <stdlib.h>
#include <string.h>

struct locator {
    unsigned char bytes[KW_LOCATOR_MAXIMUM];
    size_t length;
};

static kw_input locator_view(const struct locator *locator)
{
    return (kw_input){locator->bytes, locator->length};
}

/* ---- Whose a key is ---------------------------------------------------------------------------------- */

/* What the journal says about a store: keys that come or go, which are nobody's to take. */
struct under_way {
    struct locator *locators;
    size_t count;
};

static void under_way_clear(struct under_way *under_way)
{
    free(under_way->locators);
}

static kw_status add_under_way(struct store *store, const struct journal_row *row, struct under_way *under_way,
                               kw_error *error)
{
    struct locator *locator = &under_way->locators[under_way->count];
    const bool leaving = row->operation == JOURNAL_DELETE_KEY || row->operation == JOURNAL_LEAVE_KEY;
    kw_output output = {.data = locator->bytes, .capacity = sizeof(locator->bytes)};
    kw_status status = leaving ? output_copy(&output, (kw_input){row->locator, row->locator_length})
                               : store_key_find(store, &row->key_id, &output, error);
    if (status == KW_OK) {
        locator->length = output.length;
        under_way->count++;
    }
    return error_tolerate(status, KW_NOT_FOUND, error);
}

static kw_status under_way_read(kw_context *context, struct store *store, struct under_way *under_way, kw_error *error)
{
    struct journal_row *rows = NULL;
    size_t count = 0;
    kw_status status = catalogue_journal_read(context->catalogue, NULL, NULL, &rows, &count, error);
    if (status == KW_OK && count > 0) {
        under_way->locators = calloc(count, sizeof(*under_way->locators));
        if (under_way->locators == NULL)
            status = error_memory(error);
    }
    for (size_t i = 0; i < count; i++) {
        if (status == KW_OK && strcmp(rows[i].store_id, store_id(store)) == 0)
            status = add_under_way(store, &rows[i], under_way, error);
        journal_row_clear(&rows[i]);
    }
    free(rows);
    return status;
}

/* Whether the key is free: no certificate names it, and nobody makes, moves or deletes it. */
static kw_status is_free(kw_context *context, struct store *store, const struct under_way *under_way, kw_input locator,
                         bool *free_key, kw_error *error)
{
    bool in_use = false;
    kw_status status = catalogue_key_in_use(context->catalogue, store_id(store), locator, &in_use, error);
    for (size_t i = 0; i < under_way->count; i++)
        in_use = in_use || input_equal(locator_view(&under_way->locators[i]), locator);
    *free_key = !in_use;
    return status;
}

/* The next key of a store; KW_NOT_FOUND behind the last. */
static kw_status next_key(struct store *store, uint64_t *cursor, struct locator *locator, kw_error *error)
{
    kw_output output = {.data = locator->bytes, .capacity = sizeof(locator->bytes)};
    const kw_status status = store_key_list(store, cursor, &output, error);
    locator->length = output.length;
    return status;
}

/* What lies beside a key in its store. */
struct beside {
    bool something;    /* also where it cannot be told what it is */
    X509 *certificate; /* NULL: there is none, or not one alone, or it cannot be read */
    kw_bytes der;
};

static void beside_clear(struct beside *beside)
{
    crypto_x509_free(beside->certificate);
    kw_bytes_free(&beside->der);
}

/* A store that does not answer fails this; one that keeps no certificates, or several beside the key, does not. */
static kw_status beside_read(kw_context *context, struct store *store, kw_input locator, struct beside *beside,
                             kw_error *error)
{
    kw_output output = {0};
    kw_error why = {0};
    kw_status status = store_certificate_get(store, locator, &output, &why);
    if (status == KW_BUFFER_TOO_SMALL) {
        beside->der.data = malloc(output.length + 1);
        if (beside->der.data == NULL)
            return error_memory(error);
        output = (kw_output){.data = beside->der.data, .capacity = output.length};
        status = store_certificate_get(store, locator, &output, &why);
    }
    if (status == KW_NOT_FOUND || status == KW_UNSUPPORTED)
        return KW_OK;
    beside->something = status == KW_OK || status == KW_REFUSED || status == KW_CORRUPT;
    if (!beside->something && error != NULL)
        *error = why;
    if (status != KW_OK)
        return beside->something ? KW_OK : status;
    beside->der.length = output.length;
    kw_input view = {beside->der.data, beside->der.length};
    if (x509_read(context->crypto, &view, &beside->certificate, NULL) != KW_OK)
        beside->certificate = NULL;
    return KW_OK;
}

/* ---- The list ---------------------------------------------------------------------------------------- */

struct key_listing {
    kw_store_key_list list;
    struct arena arena;
    kw_store_key *keys;
    size_t room;
};

static kw_status add_key(struct key_listing *listing, const kw_store_key *key, kw_error *error)
{
    /* Two keys with one locator come one behind the other or not; neither can be taken, and one line says so. */
    for (size_t i = 0; key->problem != NULL && i < listing->list.count; i++)
        if (strcmp(listing->keys[i].locator, key->locator) == 0)
            return KW_OK;
    if (listing->list.count == listing->room) {
        const size_t room = listing->room * 2 + 16;
        kw_store_key *grown = calloc(room, sizeof(*grown));
        if (grown == NULL)
            return error_memory(error);
        if (listing->list.count > 0)
            memcpy(grown, listing->keys, listing->list.count * sizeof(*grown));
        free(listing->keys);
        listing->keys = grown;
        listing->room = room;
    }
    listing->keys[listing->list.count++] = *key;
    return listing->arena.failed ? error_memory(error) : KW_OK;
}

/* A store's own words go to terminals and into JSON: what is no UTF-8, or a control character, becomes '?'. */
static const char *label_text(struct arena *arena, const char *label)
{
    const unsigned char *at = (const unsigned char *)label;
    size_t left = strlen(label), length = 0;
    char *text = arena_allocate(arena, left + 1);
    if (text == NULL)
        return "";
    while (left > 0) {
        unsigned long point = 0;
        const int read = UTF8_getc(at, (int)left, &point);
        const bool shown = read > 0 && point >= 0x20 && (point < 0x7f || point >= 0xa0);
        const size_t step = read > 0 ? (size_t)read : 1;
        if (shown)
            memcpy(text + length, at, step);
        else
            text[length] = '?';
        length += shown ? step : 1;
        at += step;
        left -= step;
    }
    text[length] = '\0';
    return text;
}

static kw_status describe_key(kw_context *context, struct store *store, kw_input locator, struct key_listing *listing,
                              kw_error *error)
{
    struct arena *arena = &listing->arena;
    kw_store_key described = {.locator = locator_text(arena, locator), .key = "", .subject = "", .label = ""};
    kw_certificate_info info = {0};
    kw_error why = {0};
    kw_key *key = NULL;
    struct beside beside = {0};
    kw_status status = key_open(store, locator, &key, &why);
    if (status == KW_OK) {
        described.label = label_text(arena, kw_key_get_capabilities(key)->label);
        status = beside_read(context, store, locator, &beside, &why);
    }
    if (status == KW_NOT_FOUND) { /* it went away meanwhile */
        status = KW_OK;
        goto out;
    }
    if (status == KW_OK && key_name(key) == NULL)
        described.problem = "no certificate can have a key of this kind";
    else if (status != KW_OK || key_check_no_other_way(context, store, locator, key, &why) != KW_OK)
        described.problem = arena_text(arena, why.message);
    else
        described.key = key_name(key);
    if (beside.certificate != NULL && x509_describe(context->crypto, beside.certificate, arena, &info, NULL) == KW_OK)
        described.subject = info.subject;
    status =
        status == KW_UNAVAILABLE ? error_set(error, status, "%s", why.message) : add_key(listing, &described, error);
out:
    beside_clear(&beside);
    kw_key_free(key);
    return status;
}

kw_status manager_store_keys(kw_context *context, const char *store_name, kw_store_key_list **list, kw_error *error)
{
    struct store *store = NULL;
    struct under_way under_way = {0};
    struct locator locator = {0};
    uint64_t cursor = 0;
    struct key_listing *listing = calloc(1, sizeof(*listing));
    kw_status status = listing != NULL ? stores_get(context->stores, store_name, &store, error) : error_memory(error);
    if (status == KW_OK)
        status = under_way_read(context, store, &under_way, error);
    while (status == KW_OK) {
        bool free_key = false;
        status = next_key(store, &cursor, &locator, error);
        if (status == KW_NOT_FOUND) {
            status = error_tolerate(status, KW_NOT_FOUND, error);
            break;
        }
        if (status == KW_OK)
            status = is_free(context, store, &under_way, locator_view(&locator), &free_key, error);
        if (status == KW_OK && free_key)
            status = describe_key(context, store, locator_view(&locator), listing, error);
    }
    under_way_clear(&under_way);
    if (status != KW_OK || listing == NULL) {
        kw_store_key_list_free(listing != NULL ? &listing->list : NULL);
        return status;
    }
    listing->list.keys = listing->keys;
    *list = &listing->list;
    return KW_OK;
}

void kw_store_key_list_free(kw_store_key_list *list)
{
    struct key_listing *listing = (struct key_listing *)list;
    if (listing == NULL)
        return;
    arena_free(&listing->arena);
    free(listing->keys);
    free(listing);
}

/* ---- Taking one over --------------------------------------------------------------------------------- */

/* The key whose locator is written so. A store that cannot list is asked for the text itself, and for what it is as hex digits. */
static kw_status find_key(struct store *store, const char *text, struct locator *locator, kw_error *error)
{
    uint64_t cursor = 0;
    kw_status status = next_key(store, &cursor, locator, error);
    while (status == KW_OK) {
        struct arena arena = {0};
        const bool found = strcmp(locator_text(&arena, locator_view(locator)), text) == 0;
        arena_free(&arena);
        if (found)
            return KW_OK;
        status = next_key(store, &cursor, locator, error);
    }
    if (status == KW_UNSUPPORTED) {
        status = error_tolerate(status, KW_UNSUPPORTED, error);
        locator->length = strlen(text) / 2;
        if (strlen(text) % 2 == 0 && locator->length > 0 && locator->length <= sizeof(locator->bytes) &&
            hex_decode(text, locator->bytes, locator->length))
            return KW_OK;
        locator->length = strlen(text) <= sizeof(locator->bytes) ? strlen(text) : 0;
        memcpy(locator->bytes, text, locator->length);
        return status;
    }
    if (status == KW_NOT_FOUND) {
        status = error_set(error, KW_NOT_FOUND, "store '%s' has no key '%s'", store_name(store), text);
        error_remedy(error, "`keywright adopt %s` lists the keys that can be adopted", store_name(store));
    }
    return status;
}

/* Whether it can be the kind's: self-signed, by the rules for what comes from outside. */
static bool certificate_fits(kw_context *context, const struct kind *kind, const struct address *address,
                             const kw_key *key, X509 *certificate)
{
    if (!crypto_pkey_is(key_public_pkey(key), X509_get0_pubkey(certificate)) ||
        !x509_is_self_signed(certificate, true) || X509_check_ca(certificate) == 1)
        return false;
    if (!kind->replaceable)
        return import_is_own(context, kind, address, certificate, false);
    return leaf_check_validity(certificate, NULL) == KW_OK &&
           (kind->usage != USAGE_TLS_SERVER || leaf_check_server(certificate, NULL) == KW_OK);
}

struct adoption {
    kw_context *context;
    const kw_adopt_options *options;
    struct store *store;
    struct locator locator;
    struct address address;
    const struct kind *kind;
    kw_key *key;
    struct beside beside;
    bool fits; /* the certificate beside it can be the entry's */
};

static void adoption_clear(struct adoption *adoption)
{
    beside_clear(&adoption->beside);
    kw_key_free(adoption->key);
}

static kw_status check_entry(const struct adoption *adoption, kw_error *error)
{
    struct entry_row entry = {0};
    kw_status status = catalogue_entry_get(adoption->context->catalogue, adoption->address.text, &entry, error);
    if (status == KW_OK && entry.state == ENTRY_IN_USE) {
        status = error_set(error, KW_EXISTS, "%s exists already", adoption->address.text);
        error_remedy(error, "`keywright show %s` shows it; retire it first, or adopt the key under another name",
                     adoption->address.text);
    }
    entry_row_clear(&entry);
    return error_tolerate(status, KW_NOT_FOUND, error);
}

static kw_status check_free(const struct adoption *adoption, kw_error *error)
{
    struct under_way under_way = {0};
    bool free_key = false;
    kw_status status = under_way_read(adoption->context, adoption->store, &under_way, error);
    if (status == KW_OK)
        status =
            is_free(adoption->context, adoption->store, &under_way, locator_view(&adoption->locator), &free_key, error);
    if (status == KW_OK && !free_key)
        status = error_set(error, KW_EXISTS, "the key '%s' of store '%s' is a certificate's already",
                           adoption->options->locator, store_name(adoption->store));
    under_way_clear(&under_way);
    return status;
}

/* All that can be refused, and what is beside the key. */
static kw_status look_at(struct adoption *adoption, kw_error *error)
{
    const kw_adopt_options *options = adoption->options;
    kw_status status = address_parse(options->address, &adoption->address, error);
    if (status == KW_OK)
        status = kind_of(&adoption->address, &adoption->kind, error);
    if (status == KW_OK && adoption->address.number != 0)
        status = error_set(error, KW_INVALID_ARGUMENT, "a certificate gets its number by itself: leave out @%u",
                           adoption->address.number);
    if (status == KW_OK)
        status = check_entry(adoption, error);
    if (status == KW_OK)
        status = derivation_refuse_store(options->store, error);
    if (status == KW_OK)
        status = stores_get(adoption->context->stores, options->store, &adoption->store, error);
    if (status == KW_OK)
        status = find_key(adoption->store, options->locator, &adoption->locator, error);
    if (status == KW_OK)
        status = check_free(adoption, error);
    if (status == KW_OK)
        status = key_open(adoption->store, locator_view(&adoption->locator), &adoption->key, error);
    if (status == KW_OK)
        status = key_check_no_other_way(adoption->context, adoption->store, locator_view(&adoption->locator),
                                        adoption->key, error);
    if (status != KW_OK)
        return status;
    if (key_name(adoption->key) == NULL)
        return error_set(error, KW_UNSUPPORTED, "no certificate can have a key of this kind");
    status = kind_check_key(adoption->kind, key_name(adoption->key), error);
    if (status != KW_OK)
        return status;
    status =
        beside_read(adoption->context, adoption->store, locator_view(&adoption->locator), &adoption->beside, error);
    adoption->fits = status == KW_OK && adoption->beside.certificate != NULL &&
                     certificate_fits(adoption->context, adoption->kind, &adoption->address, adoption->key,
                                      adoption->beside.certificate);
    if (!adoption->fits)
        return status;
    /* The certificate may say that the key is for PSS alone. */
    status = key_limit_as(adoption->key, adoption->beside.certificate, error);
    return status == KW_OK ? kind_check_certified(adoption->kind, key_name(adoption->key), error) : status;
}

kw_status manager_adopt(kw_context *context, const kw_adopt_options *given, kw_event_callback event, void *user,
                        kw_error *error)
{
    kw_adopt_options options;
    struct adoption adoption = {.context = context, .options = &options};
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status == KW_OK && (options.store == NULL || options.locator == NULL || options.address == NULL))
        status = error_set(error, KW_INVALID_ARGUMENT, "an adoption needs a store, a locator and an address");
    if (status == KW_OK)
        status = look_at(&adoption, error);
    if (status == KW_OK && adoption.fits)
        status = abilities_prove(context, adoption.key, adoption.beside.certificate,
                                 abilities_of_key(kw_key_get_capabilities(adoption.key)), error);
    if (status != KW_OK)
        goto out;
    const kw_certificate_template wanted = {
        .size = sizeof(wanted),
        .address = options.address,
        .databases = options.databases,
        .database_count = options.database_count,
        .key = key_kind_find(key_name(adoption.key))->pss ? key_kind_name_pss(key_name(adoption.key), false)
                                                          : key_name(adoption.key),
        .store = options.store,
    };
    const struct making making = {
        .wanted = &wanted,
        .adopted = locator_view(&adoption.locator),
        .certificate = adoption.fits ? (kw_input){adoption.beside.der.data, adoption.beside.der.length} : (kw_input){0},
        .like = key_pss(adoption.key)->only ? kw_key_get_public(adoption.key) : (kw_input){0},
        .beside = adoption.beside.something,
    };
    status = certificate_make(context, &making, error);
    if (status == KW_OK && adoption.beside.something && !adoption.fits)
        event_tell(event, user, true, options.address,
                   "what lies beside the key in store '%s' is not one certificate that %s can have, and stays there; "
                   "Keywright "
                   "uses a new one",
                   options.store, options.address);
    if (status == KW_OK)
        event_tell(event, user, false, options.address,
                   adoption.fits ? "has adopted the key, with the certificate beside it"
                                 : "has adopted the key, with a new certificate");
out:
    adoption_clear(&adoption);
    return status;
}
