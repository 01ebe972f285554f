#include "certificate.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

#define FINDINGS_SHOWN   8
#define DATABASES_LISTED 3
#define ADDRESS_ROOM     512

static json_t *findings_json(const kw_certificate_info *certificate)
{
    json_t *array = json_array();

    for (size_t i = 0; i < certificate->finding_count; i++) {
        const kw_certificate_finding *finding = &certificate->findings[i];
        if (json_array_append_new(array, json_pack("{s:b,s:s,s:s,s:s}", "severe", finding->severe ? 1 : 0, "word",
                                                   finding->word, "what", finding->sentence, "remedy",
                                                   finding->remedy)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *certificate_json(const kw_certificate_info *certificate)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:s,s:b,s:b,s:s,s:s,s:s,s:s,s:s,s:I,s:b,s:b,s:o,s:s?,s:I}", "certificate",
                     certificate->address, "kind", certificate->kind, "name", certificate->name, "databases",
                     json_texts(certificate->databases, certificate->database_count), "store", certificate->store,
                     "required", certificate->required ? 1 : 0, "retired", certificate->retired ? 1 : 0, "subject",
                     certificate->subject, "key", certificate->key, "not_before", certificate->not_before_text,
                     "not_after", certificate->not_after_text, "sha256", certificate->sha256, "number",
                     (json_int_t)certificate->number, "self_signed", certificate->self_signed ? 1 : 0, "export_due",
                     certificate->export_due ? 1 : 0, "findings", findings_json(certificate), "derived_from",
                     certificate->derived_from, "root_version", (json_int_t)certificate->root_version);
}

static json_t *roots_json(const kw_certificate_info *certificate)
{
    json_t *array = json_array();

    for (size_t i = 0; i < certificate->root_count; i++) {
        const kw_root_info *root = &certificate->roots[i];
        if (json_array_append_new(array, json_pack("{s:I,s:s,s:s,s:b,s:b}", "version", (json_int_t)root->version,
                                                   "state", root->state, "created", root->created_text, "resealed",
                                                   root->resealed ? 1 : 0, "recoverable", root->recoverable ? 1 : 0)) !=
            0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *certificate_json_whole(const kw_certificate_info *certificate)
{
    json_t *document = certificate_json(certificate);
    json_t *more =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:o,s:o,s:o,s:I,s:o,s:o}", "issuer",
                  certificate->issuer, "serial", certificate->serial, "sha1", certificate->sha1, "spki_sha256",
                  certificate->spki_sha256, "signature_algorithm", certificate->signature_algorithm, "use",
                  certificate->use, "store_id", certificate->store_id, "plugin", certificate->plugin, "key_id",
                  certificate->key_id, "certificate_id", certificate->certificate_id, "locator", certificate->locator,
                  "exported", certificate->exported ? 1 : 0, "expiry_checked", certificate->expiry_checked ? 1 : 0,
                  "san", json_texts(certificate->san, certificate->san_count), "key_usage",
                  json_texts(certificate->key_usage, certificate->key_usage_count), "extended_key_usage",
                  json_texts(certificate->extended_key_usage, certificate->extended_key_usage_count), "chain_length",
                  (json_int_t)certificate->chain_count, "chain_subjects",
                  json_texts(certificate->chain_subjects, certificate->chain_count), "roots", roots_json(certificate));

    if (document != NULL && (more == NULL || json_object_update(document, more) != 0)) {
        json_decref(document);
        document = NULL;
    }
    json_decref(more);
    return document;
}

/* What is wrong in a few words: the colour of a row is never all that tells. */
static char *finding_words(const kw_certificate_info *certificate)
{
    const char *words[FINDINGS_SHOWN] = {0};
    size_t count = 0;

    for (; count < certificate->finding_count && count < FINDINGS_SHOWN; count++)
        words[count] = certificate->findings[count].word;
    return text_join(words, count, NULL);
}

/* A line of the list has room for a few; the details have them all. */
static char *listed_databases(const kw_certificate_info *certificate)
{
    const bool all = certificate->database_count <= DATABASES_LISTED;
    char *few = text_join(certificate->databases, all ? certificate->database_count : DATABASES_LISTED, NULL),
         *text = few;

    if (!all && few != NULL) {
        text = text_format("%s and %zu more", few, certificate->database_count - DATABASES_LISTED);
        free(few);
    }
    return text;
}

static char *store_words(const kw_certificate_info *certificate)
{
    return certificate->derived_from != NULL ? text_format("derived from %s", certificate->derived_from)
                                             : text_format("%s", certificate->store);
}

static enum tint tint_of(const kw_certificate_info *certificate)
{
    if (certificate->finding_count > 0)
        return certificate->findings[0].severe ? TINT_BAD : TINT_WARNING;
    return certificate->required ? TINT_NONE : TINT_FAINT;
}

/* Whether its databases are more than what the address says. */
static bool serves_others(const kw_certificate_info *certificate)
{
    const char *behind = strchr(certificate->address, '/');

    for (size_t i = 0; behind != NULL && i < certificate->database_count; i++) {
        size_t length = strlen(certificate->databases[i]);
        if (strncmp(behind + 1, certificate->databases[i], length) != 0 ||
            (behind[1 + length] != '\0' && behind[1 + length] != '/' && behind[1 + length] != '@'))
            return true;
    }
    return false;
}

enum list_column {
    LIST_CERTIFICATE,
    LIST_DATABASES,
    LIST_REQUIRED,
    LIST_NOTE,
    LIST_KEY,
    LIST_STORE,
    LIST_UNTIL,
    LIST_SUBJECT,
    LIST_COUNT
};

static const struct column list_columns[LIST_COUNT] = {
    [LIST_CERTIFICATE] = {.title = "CERTIFICATE"},
    [LIST_DATABASES] = {.title = "DATABASES", .gives_way = true, .optional = 4},
    [LIST_REQUIRED] = {.title = "REQUIRED"},
    [LIST_NOTE] = {.title = "NOTE"},
    [LIST_KEY] = {.title = "KEY", .optional = 3},
    [LIST_STORE] = {.title = "STORE", .optional = 1},
    [LIST_UNTIL] = {.title = "VALID UNTIL", .optional = 2},
    [LIST_SUBJECT] = {.title = "SUBJECT", .gives_way = true, .optional = 5},
};

kw_status certificate_print_list(const kw_certificate_list *list, bool all, kw_error *error)
{
    bool shown[LIST_COUNT] = {true, false, all, false, true, true, true, true};
    struct column columns[LIST_COUNT];
    struct table *table = NULL;
    size_t count = 0;
    kw_status status = KW_OK;

    for (size_t i = 0; i < list->count; i++) {
        shown[LIST_DATABASES] = shown[LIST_DATABASES] || serves_others(&list->certificates[i]);
        shown[LIST_NOTE] = shown[LIST_NOTE] || list->certificates[i].finding_count > 0;
    }
    for (size_t i = 0; i < LIST_COUNT; i++) {
        if (shown[i])
            columns[count++] = list_columns[i];
    }
    table = table_new(columns, count);
    if (table == NULL)
        return problem_memory(error);
    for (size_t i = 0; i < list->count; i++) {
        const kw_certificate_info *certificate = &list->certificates[i];
        char until[TEXT_TIME_SIZE];
        char *databases = listed_databases(certificate);
        char *note = finding_words(certificate);
        char *store = store_words(certificate);
        text_date(until, certificate->not_after);
        const char *const all_cells[LIST_COUNT] = {
            [LIST_CERTIFICATE] = certificate->address,
            [LIST_DATABASES] = serves_others(certificate) && databases != NULL ? databases : "",
            [LIST_REQUIRED] = certificate->required  ? "yes"
                              : certificate->retired ? "retired"
                                                     : "replaced",
            [LIST_NOTE] = note != NULL ? note : "",
            [LIST_KEY] = certificate->key,
            [LIST_STORE] = store != NULL ? store : "",
            [LIST_UNTIL] = until,
            [LIST_SUBJECT] = certificate->subject,
        };
        const char *cells[LIST_COUNT] = {0};
        size_t cell = 0;
        for (size_t column = 0; column < LIST_COUNT; column++) {
            if (shown[column])
                cells[cell++] = all_cells[column];
        }
        status = databases != NULL && note != NULL && store != NULL
                     ? table_add(table, cells, cell, tint_of(certificate), error)
                     : problem_memory(error);
        free(databases);
        free(note);
        free(store);
        if (status != KW_OK)
            goto out;
    }
    if (list->count > 0)
        status = table_print(table, error);
out:
    table_free(table);
    return status;
}

struct line {
    const char *label, *value;
};

static kw_status add_lines(struct table *details, const struct line *lines, size_t count, kw_error *error)
{
    for (size_t i = 0; i < count; i++) {
        kw_status status = details_add(details, lines[i].label, lines[i].value, error);
        if (status != KW_OK)
            return status;
    }
    return KW_OK;
}

/* One value a line; "none" when there is none. */
static kw_status add_values(struct table *details, const char *label, const char *const *values, size_t count,
                            kw_error *error)
{
    if (count == 0)
        return details_add(details, label, "none", error);
    for (size_t i = 0; i < count; i++) {
        kw_status status = details_add(details, i == 0 ? label : "", values[i], error);
        if (status != KW_OK)
            return status;
    }
    return KW_OK;
}

static kw_status add_findings(struct table *details, const kw_certificate_info *certificate, kw_error *error)
{
    kw_status status = KW_OK;

    for (size_t i = 0; status == KW_OK && i < certificate->finding_count; i++) {
        const kw_certificate_finding *finding = &certificate->findings[i];
        char *sentence = text_format("%s: %s; %s", finding->word, finding->sentence, finding->remedy);
        status = sentence != NULL ? details_add_tinted(details, finding->severe ? "Wrong" : "Warning", sentence,
                                                       finding->severe ? TINT_BAD : TINT_WARNING, error)
                                  : problem_memory(error);
        free(sentence);
    }
    return status;
}

static kw_status add_names(struct table *details, const kw_certificate_info *certificate, kw_error *error)
{
    char from[TEXT_TIME_SIZE], until[TEXT_TIME_SIZE + 64];
    char *databases = text_join(certificate->databases, certificate->database_count, NULL);

    if (databases == NULL)
        return problem_memory(error);

    text_time(from, certificate->not_before);
    text_time(until, certificate->not_after);
    if (!certificate->expiry_checked)
        snprintf(until + strlen(until), sizeof(until) - strlen(until), " (never checked for this kind)");

    const struct line lines[] = {
        {"Kind", certificate->kind},
        {"Use", certificate->use},
        {"State", certificate->required  ? "required"
                  : certificate->retired ? "retired: kept for old data"
                                         : "replaced: kept for old data"},
        {"Exported", certificate->exported ? "yes, in exports and backups" : "never"},
        {"Databases", certificate->database_count > 0 ? databases : NULL},
        {"Subject", certificate->subject},
        {"Issuer", certificate->self_signed ? "itself: the certificate is self-signed" : certificate->issuer},
        {"Valid from", from},
        {"Valid until", until},
    };
    const kw_status status = add_lines(details, lines, sizeof(lines) / sizeof(lines[0]), error);
    free(databases);
    return status;
}

#define FINGERPRINT_SIZE 200

static kw_status add_key(struct table *details, const kw_certificate_info *certificate, kw_error *error)
{
    char store[ADDRESS_ROOM + 256];
    char sha256[FINGERPRINT_SIZE], sha1[FINGERPRINT_SIZE], spki[FINGERPRINT_SIZE], serial[FINGERPRINT_SIZE];

    char *key_usage = text_join(certificate->key_usage, certificate->key_usage_count, text_usage);
    char *extended = text_join(certificate->extended_key_usage, certificate->extended_key_usage_count, text_usage);
    kw_status status;
    text_fingerprint(sha256, sizeof(sha256), certificate->sha256);
    text_fingerprint(sha1, sizeof(sha1), certificate->sha1);
    text_fingerprint(spki, sizeof(spki), certificate->spki_sha256);
    text_fingerprint(serial, sizeof(serial), certificate->serial);
    if (certificate->derived_from != NULL)
        snprintf(store, sizeof(store), "none: derived from %s, version %u of its root", certificate->derived_from,
                 certificate->root_version);
    else
        snprintf(store, sizeof(store), "%s (id %s, plugin %s)", certificate->store, certificate->store_id,
                 certificate->plugin[0] != '\0' ? certificate->plugin
                                                : "unknown: the configuration does not name this store");

    const struct line lines[] = {
        {"Key usage", certificate->key_usage_count > 0 ? key_usage : "not restricted"},
        {"Extended usage", certificate->extended_key_usage_count > 0 ? extended : "not restricted"},
        {"Signed with", certificate->signature_algorithm},
        {"Serial", certificate->serial[0] == '-' ? certificate->serial : serial},
        {"SHA-256", sha256},
        {"SHA-1", sha1},
        {"Key", certificate->key},
        {"Key SHA-256", spki},
        {"Key id", certificate->key_id},
        {"Store", store},
        {"Locator", certificate->locator},
        {"Certificate id", certificate->certificate_id},
    };
    status = key_usage != NULL && extended != NULL ? add_lines(details, lines, sizeof(lines) / sizeof(lines[0]), error)
                                                   : problem_memory(error);
    free(key_usage);
    free(extended);
    return status;
}

static kw_status add_roots(struct table *details, const kw_certificate_info *certificate, kw_error *error)
{
    kw_status status = KW_OK;

    for (size_t i = 0; status == KW_OK && i < certificate->root_count; i++) {
        const kw_root_info *root = &certificate->roots[i];
        char name[32], from[TEXT_TIME_SIZE], text[TEXT_TIME_SIZE + 128];
        text_time(from, root->created);
        snprintf(name, sizeof(name), "Root %u", root->version);
        snprintf(text, sizeof(text), "%s, of %s%s%s", root->state, from,
                 root->resealed ? ", sealed anew under a later one" : "",
                 root->recoverable ? ", wrapped to the recovery certificate" : "");
        status = details_add(details, name, text, error);
    }
    return status;
}

kw_status certificate_print_details(const kw_certificate_info *certificate, kw_error *error)
{
    struct table *details = details_new();
    kw_status status;

    if (details == NULL)
        return problem_memory(error);
    status = details_add(details, "Certificate", certificate->address, error);
    if (status == KW_OK)
        status = add_findings(details, certificate, error);
    if (status == KW_OK)
        status = add_names(details, certificate, error);
    if (status == KW_OK)
        status = add_values(details, "SAN", certificate->san, certificate->san_count, error);
    if (status == KW_OK)
        status = add_values(details, "Chain", certificate->chain_subjects, certificate->chain_count, error);
    if (status == KW_OK)
        status = add_key(details, certificate, error);
    if (status == KW_OK)
        status = add_roots(details, certificate, error);
    if (status == KW_OK)
        status = table_print(details, error);
    table_free(details);
    return status;
}

kw_status certificate_find(kw_context *context, const char *address, kw_certificate_list **list, kw_error *error)
{
    kw_certificate_filter filter = {.size = sizeof(filter), .all = true, .address = address};
    kw_certificate_list *found = NULL;
    kw_status status = kw_certificates(context, &filter, &found, error);

    if (status != KW_OK)
        return status;
    if (found->count == 0) {
        status = found->problem_count > 0 ? found->problems[0].status : KW_NOT_FOUND;
        if (found->problem_count > 0)
            *error = found->problems[0];
        else
            problem_set(error, KW_NOT_FOUND, "there is no certificate '%s'", address);
        kw_certificate_list_free(found);
        return status;
    }
    *list = found;
    return KW_OK;
}
