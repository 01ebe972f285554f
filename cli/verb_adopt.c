#include "certificate.h"
#include "verb.h"

static kw_status print_keys(struct session *session, const char *store, const kw_store_key_list *list, kw_error *error)
{
    static const struct column columns[] = {{.title = "LOCATOR"},
                                            {.title = "LABEL", .gives_way = true},
                                            {.title = "KEY"},
                                            {.title = "SUBJECT", .gives_way = true},
                                            {.title = "PROBLEM", .wraps = true}};
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    kw_status status = table != NULL ? KW_OK : problem_memory(error);

    for (size_t i = 0; status == KW_OK && i < list->count; i++) {
        const kw_store_key *key = &list->keys[i];
        const char *cells[] = {key->locator, key->label, key->key, key->subject, key->problem};
        status = table_add(table, cells, sizeof(cells) / sizeof(cells[0]), TINT_NONE, error);
    }
    if (status == KW_OK && list->count == 0)
        session_note(session, "a certificate of this server has each key of store '%s'", store);
    else if (status == KW_OK)
        status = table_print(table, error);
    table_free(table);
    return status;
}

static kw_status print_json(const kw_store_key_list *list, kw_error *error)
{
    json_t *document = json_array();

    for (size_t i = 0; i < list->count; i++) {
        const kw_store_key *key = &list->keys[i];
        json_array_append_new(document, json_pack("{s:o,s:o,s:o,s:o,s:o}", "locator", json_text(key->locator), "label",
                                                  json_text(key->label), "key", json_text(key->key), "subject",
                                                  json_text(key->subject), "problem", json_text(key->problem)));
    }
    return json_print(document, error);
}

static kw_status list_run(struct session *session, const char *store, kw_error *error)
{
    kw_store_key_list *list = NULL;
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_store_keys(session->context, store, &list, error);
    if (status == KW_OK)
        status = session->json ? print_json(list, error) : print_keys(session, store, list, error);
    kw_store_key_list_free(list);
    return status;
}

static kw_status adopt_run(struct session *session, kw_error *error)
{
    const struct arguments *arguments = &session->arguments;
    kw_adopt_options options = {
        .size = sizeof(options),
        .store = argument_word(arguments, 0),
        .locator = argument_word(arguments, 1),
        .address = argument_text(arguments, OPTION_AS),
    };
    kw_certificate_list *list = NULL;
    kw_status status;

    options.databases = argument_list(arguments, OPTION_DATABASE, &options.database_count);
    if (options.locator == NULL && options.address != NULL)
        return problem_set(error, KW_INVALID_ARGUMENT, "LOCATOR is missing: 'keywright adopt %s' lists them",
                           options.store);
    if (options.locator == NULL)
        return list_run(session, options.store, error);
    if (options.address == NULL)
        return problem_set(error, KW_INVALID_ARGUMENT, "--as CERT is missing: it says whose key it becomes");
    status = session_open(session, error);
    if (status == KW_OK)
        status = kw_adopt(session->context, &options, session_event, session, error);
    if (status != KW_OK || !session->json)
        return status;
    status = certificate_find(session->context, options.address, &list, error);
    if (status == KW_OK)
        status = session_done(session, certificate_json(&list->certificates[0]), error);
    kw_certificate_list_free(list);
    return status;
}

static const struct verb_option adopt_options[] = {
    {OPTION_AS, "CERT", "the address that the key gets", false, false},
    {OPTION_DATABASE, "DB", "master-key: a database that it serves; may be repeated", false, true},
};

const struct verb verb_adopt = {
    .name = "adopt",
    .synopsis = "STORE [LOCATOR --as CERT [--database DB]...]",
    .summary = "takes over a key that another program made in a store",
    .description =
        "Takes over a key that another program made in a store, such as a token. Without LOCATOR, lists the\n"
        "keys that no certificate of this server has, also those of another server on the same token. The\n"
        "certificate beside the key is taken when it is self-signed and fits the kind; else the key gets a\n"
        "new one, and the other stays as it is. From then on the key is as any other: 'keywright delete\n"
        "CERT' deletes it from the store.",
    VERB_OPTIONS(adopt_options),
    .words = "STORE",
    .words_minimum = 1,
    .words_maximum = 2,
    .opens_as_is = true,
    .examples = {"keywright adopt hsm", "keywright adopt hsm ec:id=a1b2c3 --as general/signer"},
    .run = adopt_run,
};
