/* What there is: lists and details. */
#include "certificate/calls.h"
#include "certificate/derivation.h"
#include "certificate/findings.h"
#include "certificate/roots.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/options.h"
#include "certificate/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A list owns everything it shows. */
struct listing {
    kw_certificate_list list;
    struct arena arena;
    kw_certificate_info *certificates;
    kw_error *problems;
    size_t problem_room;
};

struct gathering {
    kw_context *context;
    struct listing *listing;
    const kw_certificate_filter *filter;
    struct address address; /* of the filter */
};

static void note_problem(void *user, const kw_error *problem)
{
    struct listing *listing = user;
    if (listing->list.problem_count == listing->problem_room) {
        const size_t room = listing->problem_room * 2 + 8;
        kw_error *grown = arena_allocate(&listing->arena, room * sizeof(*grown));
        if (grown == NULL)
            return;
        if (listing->list.problem_count > 0)
            memcpy(grown, listing->problems, listing->list.problem_count * sizeof(*grown));
        listing->problems = grown;
        listing->problem_room = room;
    }
    listing->problems[listing->list.problem_count++] = *problem;
}

/* Locators are bytes; most plugins write text. */
const char *locator_text(struct arena *arena, kw_input locator)
{
    char *text = arena_allocate(arena, 2 * locator.length + 1);
    if (text == NULL)
        return "";
    for (size_t i = 0; i < locator.length; i++) {
        if (locator.data[i] < 0x20 || locator.data[i] > 0x7e) {
            hex_encode(locator, text);
            return text;
        }
        text[i] = (char)locator.data[i];
    }
    text[locator.length] = '\0';
    return text;
}

static const char *id_in(struct arena *arena, const struct id *id)
{
    char text[ID_TEXT_SIZE];
    id_text(id, text);
    return arena_text(arena, text);
}

static const char *subject_of(const X509 *certificate, struct arena *arena)
{
    char *text = name_text(X509_get_subject_name(certificate));
    const char *kept = arena_text(arena, text != NULL ? text : "");
    free(text);
    return kept;
}

static kw_status describe_chain(kw_context *context, const struct entry_row *entry, const struct certificate_row *row,
                                struct arena *arena, kw_certificate_info *info, kw_error *error)
{
    kw_input rest = {row->chain.data, row->chain.length};
    size_t room = 0;
    kw_input *chain = NULL;
    const char **subjects = NULL;
    X509 *first = NULL;
    kw_status status = KW_OK;
    while (status == KW_OK && rest.length > 0) {
        const unsigned char *begin = rest.data;
        X509 *certificate = NULL;
        status = x509_read_bare(context->crypto, &rest, &certificate, error);
        if (status != KW_OK)
            break;
        if (info->chain_count == room) {
            kw_input *grown = arena_allocate(arena, (room * 2 + 4) * sizeof(*grown));
            const char **more = arena_allocate(arena, (room * 2 + 4) * sizeof(*more));
            if (grown != NULL && more != NULL && chain != NULL) {
                memcpy(grown, chain, room * sizeof(*grown));
                memcpy(more, subjects, room * sizeof(*more));
            }
            chain = more != NULL ? grown : NULL;
            subjects = more;
            room = room * 2 + 4;
        }
        const size_t length = (size_t)(rest.data - begin);
        if (chain != NULL) {
            chain[info->chain_count] = (kw_input){arena_copy(arena, begin, length), length};
            subjects[info->chain_count] = subject_of(certificate, arena);
        }
        info->chain_count++;
        if (first == NULL)
            first = certificate;
        else
            crypto_x509_free(certificate);
    }
    info->chain = chain;
    info->chain_subjects = subjects;
    if (status == KW_OK && first == NULL)
        status = error_set(error, KW_CORRUPT, "the catalogue holds no certificate for it");
    if (status == KW_OK)
        status = x509_describe(context->crypto, first, arena, info, error);
    if (status == KW_OK)
        certificate_findings(context, entry, row, first, arena, info);
    crypto_x509_free(first);
    if (status == KW_OK && arena->failed)
        status = error_memory(error);
    return status;
}

/* Its store is none of the configuration. */
static void describe_derivation(const struct catalogue_snapshot *snapshot, const struct certificate_row *row,
                                struct arena *arena, kw_certificate_info *info)
{
    struct derived_locator locator;
    const char *address = NULL;
    if (!derivation_of(row, &locator))
        return;
    address = derivation_master(snapshot, &locator.master);
    info->plugin = DERIVED_STORE;
    info->derived_from = address != NULL ? arena_text(arena, address) : id_in(arena, &locator.master);
    info->root_version = locator.version;
}

static kw_status describe(kw_context *context, const struct catalogue_snapshot *snapshot, const struct entry_row *entry,
                          const struct certificate_row *row, struct arena *arena, kw_certificate_info *info,
                          kw_error *error)
{
    struct address address = {0};
    const struct kind *kind = NULL;
    const bool current = id_equal(&entry->certificate, &row->id);
    kw_status status = address_parse(entry->address, &address, error);
    if (status == KW_OK)
        status = kind_of(&address, &kind, error);
    if (status != KW_OK)
        return status;
    const struct store_settings *store = settings_store_by_id(context->settings, row->store_id);
    char **databases = arena_allocate(arena, (entry->database_count + 1) * sizeof(*databases));
    for (size_t i = 0; databases != NULL && i < entry->database_count; i++)
        databases[i] = arena_text(arena, entry->databases[i]);
    *info = (kw_certificate_info){
        .address =
            current ? arena_text(arena, entry->address) : arena_format(arena, "%s@%u", entry->address, row->number),
        .kind = kind->name,
        .name = arena_text(arena, address.parts[address.part_count - 1]),
        .databases = (const char *const *)databases,
        .database_count = entry->database_count,
        .number = row->number,
        .required = current && entry->state == ENTRY_IN_USE,
        .retired = entry->state != ENTRY_IN_USE,
        .exported = kind->exported,
        .expiry_checked = kind->expiry_checked,
        .use = kind->use,
        .store = arena_text(arena, store != NULL ? store->name : row->store_id),
        .store_id = arena_text(arena, row->store_id),
        .plugin = arena_text(arena, store != NULL ? store->plugin : ""),
        .key = arena_text(arena, row->key),
        .key_id = id_in(arena, &row->key_id),
        .certificate_id = id_in(arena, &entry->id),
        .locator = locator_text(arena, (kw_input){row->locator, row->locator_length}),
        .export_due = reminder_is_due(context, kind, entry, &row->id),
    };
    describe_derivation(snapshot, row, arena, info);
    if (current && kind_has_roots(kind))
        roots_describe(context, entry, arena, info);
    return describe_chain(context, entry, row, arena, info, error);
}

static bool wanted(const struct gathering *gathering, const struct entry_row *entry, const struct certificate_row *row)
{
    const kw_certificate_filter *filter = gathering->filter;
    const bool current = id_equal(&entry->certificate, &row->id);
    const bool required = current && entry->state == ENTRY_IN_USE;
    bool matches = true;
    if (filter->address != NULL) {
        if (strcmp(gathering->address.text, entry->address) != 0)
            return false;
        return gathering->address.number == 0 ? current : gathering->address.number == row->number;
    }
    if (!filter->all && !required)
        return false;
    if (filter->database != NULL) {
        matches = false;
        for (size_t i = 0; i < entry->database_count; i++)
            matches = matches || strcmp(entry->databases[i], filter->database) == 0;
    }
    if (matches && filter->store != NULL) {
        const struct store_settings *store = settings_store(gathering->context->settings, filter->store);
        matches = strcmp(store != NULL ? store->id : filter->store, row->store_id) == 0;
    }
    return matches;
}

/* An entry, and whether its current certificate was met. */
struct listed_entry {
    const struct entry_row *row;
    bool met;
};

static int compare_entry_ids(const void *left, const void *right)
{
    const struct listed_entry *a = left, *b = right;
    return memcmp(a->row->id.bytes, b->row->id.bytes, sizeof(a->row->id.bytes));
}

static struct listed_entry *index_entries(const struct catalogue_snapshot *snapshot)
{
    struct listed_entry *entries = calloc(snapshot->entry_count + 1, sizeof(*entries));
    for (size_t i = 0; entries != NULL && i < snapshot->entry_count; i++)
        entries[i].row = &snapshot->entries[i];
    if (entries != NULL)
        qsort(entries, snapshot->entry_count, sizeof(*entries), compare_entry_ids);
    return entries;
}

static struct listed_entry *entry_of(struct listed_entry *entries, size_t count, const struct certificate_row *row)
{
    const struct entry_row key = {.id = row->entry};
    const struct listed_entry wanted_entry = {.row = &key};
    return bsearch(&wanted_entry, entries, count, sizeof(*entries), compare_entry_ids);
}

/* An entry names its current certificate under its HMAC: a row that was deleted behind our back is missed. */
static void note_missing(struct listing *listing, const struct listed_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct entry_row *row = entries[i].row;
        kw_error problem = {0};
        char damaged[ADDRESS_TEXT_MAXIMUM + 16];
        bool known = entries[i].met;
        snprintf(damaged, sizeof(damaged), "certificate %s@", row->address);
        for (size_t j = 0; !known && j < listing->list.problem_count; j++)
            known = strncmp(listing->problems[j].where, damaged, strlen(damaged)) == 0;
        if (known)
            continue;
        error_set(&problem, KW_CORRUPT, "its current certificate is missing from the catalogue");
        error_where(&problem, "entry %s", row->address);
        error_remedy(
            &problem,
            "restore the catalogue from a backup, or `keywright delete %s --force` and import the certificate again",
            row->address);
        note_problem(listing, &problem);
    }
}

static kw_status gather_certificate(struct gathering *gathering, const struct catalogue_snapshot *snapshot,
                                    const struct entry_row *entry, const struct certificate_row *row)
{
    struct listing *listing = gathering->listing;
    kw_error problem = {0};
    if (!wanted(gathering, entry, row))
        return KW_OK;
    kw_status status = describe(gathering->context, snapshot, entry, row, &listing->arena,
                                &listing->certificates[listing->list.count], &problem);
    if (status == KW_OK) {
        listing->list.count++;
    } else if (status != KW_OUT_OF_MEMORY) {
        error_where(&problem, "certificate %s@%u", entry->address, row->number);
        note_problem(listing, &problem);
        status = KW_OK;
    }
    return status;
}

static kw_status gather(struct gathering *gathering, const struct catalogue_snapshot *snapshot, kw_error *error)
{
    struct listing *listing = gathering->listing;
    struct listed_entry *entries = index_entries(snapshot);
    kw_status status = KW_OK;
    listing->certificates =
        arena_allocate(&listing->arena, (snapshot->certificate_count + 1) * sizeof(*listing->certificates));
    if (listing->certificates == NULL || entries == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; status == KW_OK && i < snapshot->certificate_count; i++) {
        const struct certificate_row *row = &snapshot->certificates[i];
        struct listed_entry *entry = entry_of(entries, snapshot->entry_count, row);
        if (entry == NULL)
            continue;
        entry->met = entry->met || id_equal(&entry->row->certificate, &row->id);
        if (gather_certificate(gathering, snapshot, entry->row, row) != KW_OK)
            status = error_memory(error);
    }
    if (status == KW_OK)
        note_missing(listing, entries, snapshot->entry_count);
out:
    free(entries);
    return status;
}

/* A misspelt name must not look like one without certificates. */
static kw_status check_filter(const struct gathering *gathering, const struct catalogue_snapshot *snapshot,
                              kw_error *error)
{
    const kw_certificate_filter *filter = gathering->filter;
    bool database = filter->database == NULL;
    bool store = filter->store == NULL || settings_store(gathering->context->settings, filter->store) != NULL;
    for (size_t i = 0; !database && i < snapshot->entry_count; i++)
        for (size_t j = 0; !database && j < snapshot->entries[i].database_count; j++)
            database = strcmp(snapshot->entries[i].databases[j], filter->database) == 0;
    for (size_t i = 0; !store && i < snapshot->certificate_count; i++)
        store = strcmp(snapshot->certificates[i].store_id, filter->store) == 0;
    if (!database)
        return error_set(error, KW_NOT_FOUND, "there is no database '%s'", filter->database);
    if (!store)
        return error_set(error, KW_NOT_FOUND, "there is no store '%s'", filter->store);
    return KW_OK;
}

/* ssl-connection, server-encryption, then by database, kind and name; what belongs to no database comes last. */
static size_t rank(const kw_certificate_info *info)
{
    for (size_t i = 0; i < kind_count; i++)
        if (strcmp(kinds[i].name, info->kind) == 0)
            return i;
    return kind_count;
}

static int compare(const void *left_pointer, const void *right_pointer)
{
    const kw_certificate_info *left = left_pointer;
    const kw_certificate_info *right = right_pointer;
    const bool left_automatic = kinds[rank(left)].automatic;
    const bool right_automatic = kinds[rank(right)].automatic;
    int order = 0;
    if (left_automatic != right_automatic)
        return left_automatic ? -1 : 1;
    if (!left_automatic && (left->database_count > 0) != (right->database_count > 0))
        return left->database_count > 0 ? -1 : 1;
    if (!left_automatic && left->database_count > 0)
        order = strcmp(left->databases[0], right->databases[0]);
    if (order == 0 && rank(left) != rank(right))
        order = rank(left) < rank(right) ? -1 : 1;
    if (order == 0)
        order = strcmp(left->name, right->name);
    if (order == 0)
        order = (left->number < right->number) - (left->number > right->number);
    return order;
}

kw_status manager_certificates(kw_context *context, const kw_certificate_filter *given, kw_certificate_list **list,
                               kw_error *error)
{
    kw_certificate_filter filter;
    struct catalogue_snapshot snapshot = {0};
    struct listing *listing = calloc(1, sizeof(*listing));
    struct gathering gathering = {.context = context, .listing = listing, .filter = &filter};
    kw_status status = KW_OK;
    if (listing == NULL)
        return error_memory(error);
    status = options_take(&filter, sizeof(filter), given, error);
    if (status == KW_OK && gathering.filter->address != NULL) {
        struct found found = {0};
        status = manager_find(context, gathering.filter->address, &found, error);
        gathering.address = found.address;
        found_clear(&found);
    }
    if (status == KW_OK && gathering.filter->database != NULL)
        status = address_check_name(gathering.filter->database, error);
    if (status == KW_OK)
        status = catalogue_snapshot_read(context->catalogue, note_problem, listing, &snapshot, error);
    if (status == KW_OK)
        status = check_filter(&gathering, &snapshot, error);
    if (status == KW_OK)
        status = gather(&gathering, &snapshot, error);
    catalogue_snapshot_clear(&snapshot);
    if (status != KW_OK) {
        kw_certificate_list_free(&listing->list);
        return status;
    }
    /* Who asks for one certificate is not told of others. */
    if (gathering.filter->address != NULL && listing->list.count > 0)
        listing->list.problem_count = 0;
    qsort(listing->certificates, listing->list.count, sizeof(*listing->certificates), compare);
    listing->list.certificates = listing->certificates;
    listing->list.problems = listing->problems;
    *list = &listing->list;
    return KW_OK;
}

void kw_certificate_list_free(kw_certificate_list *list)
{
    struct listing *listing = (struct listing *)list;
    if (listing == NULL)
        return;
    arena_free(&listing->arena);
    free(listing);
}
