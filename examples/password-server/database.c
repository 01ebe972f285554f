#include "database.h"

#include "problem.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_MAXIMUM 300
#define KEYS_MAXIMUM    256 /* certificates of all databases that somebody used since the start */

struct opened {
    char sha256[65];
    const char *database;
    kw_key *key;
};

struct databases {
    kw_context *context;
    const char *const *names;
    size_t count;
    pthread_mutex_t mutex; /* over the keys */
    struct opened keys[KEYS_MAXIMUM];
    size_t key_count;
};

/* The name as it is kept here; NULL: this server has no such database. */
static const char *known(const struct databases *databases, const char *name)
{
    for (size_t i = 0; i < databases->count; i++)
        if (strcmp(databases->names[i], name) == 0)
            return databases->names[i];
    return NULL;
}

bool databases_has(const struct databases *databases, const char *name)
{
    return known(databases, name) != NULL;
}

kw_status databases_certificate(struct databases *databases, const char *name, kw_bytes *pem, kw_error *error)
{
    char address[ADDRESS_MAXIMUM];
    snprintf(address, sizeof(address), "database/%s", name);
    return kw_certificate_pem(databases->context, address, pem, error);
}

/* ---- Keys ---- */

/* The address, such as database/sales@1, of the database's certificate with this fingerprint; NULL: of its present one, whose fingerprint is told. */
static kw_status find(struct databases *databases, const char *name, const char *sha256, char address[ADDRESS_MAXIMUM],
                      char found[65], kw_error *error)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .database = name, .all = true};
    kw_certificate_list *list = NULL;
    kw_status status = kw_certificates(databases->context, &filter, &list, error);
    if (status != KW_OK)
        return status;
    status = KW_NOT_FOUND;
    for (size_t i = 0; i < list->count && status == KW_NOT_FOUND; i++) {
        const kw_certificate_info *info = &list->certificates[i];
        if (strcmp(info->kind, "database") != 0 ||
            (sha256 != NULL ? strcmp(info->sha256, sha256) != 0 : !info->required))
            continue;
        snprintf(address, ADDRESS_MAXIMUM, "database/%s@%u", name, info->number);
        snprintf(found, 65, "%s", info->sha256);
        status = KW_OK;
    }
    kw_certificate_list_free(list);
    if (status != KW_OK)
        problem_set(error, status, "the database %s has no such certificate", name);
    return status;
}

/* With the mutex held: who comes at the same time waits, and finds it open. */
static kw_status open_key(struct databases *databases, const char *name, const char *sha256, kw_key **key,
                          kw_error *error)
{
    struct opened *next = &databases->keys[databases->key_count];
    char address[ADDRESS_MAXIMUM];
    if (databases->key_count == KEYS_MAXIMUM)
        return problem_set(error, KW_REFUSED, "more than %d certificates are in use", KEYS_MAXIMUM);
    kw_status status = find(databases, name, sha256, address, next->sha256, error);
    if (status == KW_OK)
        status = kw_key_open(databases->context, address, &next->key, error);
    if (status == KW_OK && kw_key_get_capabilities(next->key)->type != KW_KEY_RSA) {
        kw_key_free(next->key);
        status =
            problem_set(error, KW_UNSUPPORTED, "%s has no RSA key: this server's clients encrypt by RSA-OAEP", address);
    }
    if (status != KW_OK)
        return status;
    next->database = known(databases, name);
    *key = next->key;
    databases->key_count++;
    return KW_OK;
}

kw_status databases_key(struct databases *databases, const char *name, const char *sha256, kw_key **key,
                        kw_error *error)
{
    kw_key *found = NULL;
    kw_status status = KW_OK;
    pthread_mutex_lock(&databases->mutex);
    for (size_t i = 0; i < databases->key_count && found == NULL; i++)
        if (strcmp(databases->keys[i].sha256, sha256) == 0 && strcmp(databases->keys[i].database, name) == 0)
            found = databases->keys[i].key;
    if (found == NULL)
        status = open_key(databases, name, sha256, &found, error);
    pthread_mutex_unlock(&databases->mutex);
    if (status == KW_OK)
        *key = found;
    return status;
}

/* ---- Life ---- */

static kw_status prepare(struct databases *databases, const char *name, kw_error *error)
{
    char address[ADDRESS_MAXIMUM];
    kw_certificate_template wanted = {.size = sizeof(wanted), .address = address};
    kw_key *key = NULL;
    snprintf(address, sizeof(address), "database/%s", name);
    kw_status status = kw_certificate_create(databases->context, &wanted, NULL, NULL, error);
    if (status == KW_OK || status == KW_EXISTS)
        status = open_key(databases, name, NULL, &key, error);
    return status;
}

kw_status databases_open(kw_context *context, const char *const *names, size_t count, struct databases **databases,
                         kw_error *error)
{
    struct databases *made = calloc(1, sizeof(*made));
    kw_status status = KW_OK;
    if (made == NULL)
        return problem_set(error, KW_OUT_OF_MEMORY, "out of memory");
    *made = (struct databases){.context = context, .names = names, .count = count};
    pthread_mutex_init(&made->mutex, NULL);
    for (size_t i = 0; i < count && status == KW_OK; i++)
        status = prepare(made, names[i], error);
    if (status == KW_OK)
        *databases = made;
    else
        databases_close(made);
    return status;
}

void databases_close(struct databases *databases)
{
    if (databases == NULL)
        return;
    for (size_t i = 0; i < databases->key_count; i++)
        kw_key_free(databases->keys[i].key);
    pthread_mutex_destroy(&databases->mutex);
    free(databases);
}
