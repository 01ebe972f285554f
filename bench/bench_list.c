/*
 * What `list` costs with many certificates: bench_list COUNT DIRECTORY fills the server in DIRECTORY (made by `keywright init`) with
 * COUNT entries under addresses of their own, all with the certificate and the key of one that it creates, and measures. The directory is
 * left for the command to be tried on.
 */
#include "base/clock.h"
#include "certificate/manager.h"

#include <keywright/keywright.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL           "database/model"
#define ENTRIES_MAXIMUM 1000000

static kw_status create_model(kw_context *context, kw_error *error)
{
    const kw_certificate_template wanted = {.size = sizeof(wanted), .address = MODEL, .key = "rsa-2048"};
    return kw_certificate_create(context, &wanted, NULL, NULL, error);
}

static kw_status insert(kw_context *context, const struct found *model, long number, kw_error *error)
{
    char address[64], database[32];
    char *databases[] = {database};
    struct entry_row entry = model->entry;
    struct certificate_row certificate = model->certificate;
    snprintf(database, sizeof(database), "branch-%05ld", number);
    snprintf(address, sizeof(address), "database/%s", database);
    entry.address = address;
    entry.databases = databases;
    entry.database_count = 1;
    kw_status status = id_make(context->crypto, &entry.id, error);
    if (status == KW_OK)
        status = id_make(context->crypto, &certificate.id, error);
    certificate.entry = entry.id;
    entry.certificate = certificate.id;
    if (status == KW_OK)
        status = catalogue_entry_insert(context->catalogue, &entry, error);
    if (status == KW_OK)
        status = catalogue_certificate_insert(context->catalogue, &certificate, error);
    return status;
}

static kw_status fill(kw_context *context, long count, kw_error *error)
{
    struct found model = {0};
    kw_status status = create_model(context, error);
    if (status == KW_OK)
        status = manager_find(context, MODEL, &model, error);
    if (status == KW_OK)
        status = catalogue_begin(context->catalogue, error);
    for (long i = 0; status == KW_OK && i < count; i++)
        status = insert(context, &model, i, error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    found_clear(&model);
    return status;
}

static double milliseconds_since(uint64_t begin)
{
    return (double)(clock_nanoseconds() - begin) / 1e6;
}

static kw_status measure(kw_context *context, kw_error *error)
{
    kw_certificate_list *list = NULL;
    kw_state *state = NULL;
    uint64_t begin = clock_nanoseconds();
    kw_status status = kw_certificates(context, NULL, &list, error);
    if (status != KW_OK)
        return status;
    printf("%zu certificates: list %.0f ms", list->count, milliseconds_since(begin));
    begin = clock_nanoseconds();
    status = kw_state_get(context, &state, error);
    if (status == KW_OK)
        printf(", status %.0f ms (%zu misplaced)\n", milliseconds_since(begin), state->misplaced_count);
    kw_state_free(state);
    kw_certificate_list_free(list);
    return status;
}

int main(int argc, char **argv)
{
    char configuration[4096];
    kw_open_options options = {.size = sizeof(options), .configuration = configuration};
    kw_context *context = NULL;
    kw_error error = {0};
    const long count = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
    if (count <= 0 || count > ENTRIES_MAXIMUM) {
        fputs("usage: bench_list COUNT DIRECTORY\n", stderr);
        return 2;
    }
    snprintf(configuration, sizeof(configuration), "%s/keywright.yaml", argv[2]);
    kw_status status = kw_open(&options, &context, &error);
    if (status == KW_OK)
        status = fill(context, count, &error);
    if (status == KW_OK)
        status = measure(context, &error);
    kw_close(context);
    if (status != KW_OK)
        fprintf(stderr, "bench_list: %s: %s\n", error.where, error.message);
    return status == KW_OK ? 0 : 1;
}
