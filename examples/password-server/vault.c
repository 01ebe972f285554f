#include "vault.h"

#include "problem.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MS        5000
#define SEALED_MAXIMUM (VAULT_SECRET_MAXIMUM + KW_SEAL_OVERHEAD + 64)
#define BOUND_MAXIMUM  1024

struct vault {
    kw_context *context;
    char master[300];
    sqlite3 *database;
    sqlite3_stmt *put, *get;
    pthread_mutex_t mutex; /* over the statements, which are one thread's at a time */
};

static const char schema[] =
    "PRAGMA journal_mode = WAL;"
    "CREATE TABLE IF NOT EXISTS secret (purpose TEXT NOT NULL, database TEXT NOT NULL, name TEXT NOT NULL,"
    " account TEXT NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (purpose, database, name)) STRICT";

static kw_status failed(const struct vault *vault, kw_error *error)
{
    return problem_set(error, KW_FAILED, "the vault: %s", sqlite3_errmsg(vault->database));
}

/* ---- Seals ---- */

/*
 * One look into memory: the library keeps the subkey, and no store is asked. The handle could be kept here, too; by its name it is the
 * newest root's at once.
 */
static kw_status subkey_of(const struct vault *vault, const struct vault_place *place, kw_subkey **subkey,
                           kw_error *error)
{
    const kw_input context = {(const unsigned char *)place->database, strlen(place->database)};
    return kw_subkey_get(vault->context, vault->master, place->purpose, context, subkey, error);
}

/* What a seal is bound to besides its subkey: the row's other columns, so that nobody can exchange two rows' secrets. No column has a newline. */
static kw_input bind_to(const struct vault_place *place, const char *account, char text[BOUND_MAXIMUM])
{
    const int length =
        snprintf(text, BOUND_MAXIMUM, "%s\n%s\n%s\n%s", place->purpose, place->database, place->name, account);
    return (kw_input){(const unsigned char *)text, length > 0 ? (size_t)length : 0};
}

static kw_status seal(const struct vault *vault, const struct vault_place *place, const char *account, kw_input secret,
                      kw_output *sealed, kw_error *error)
{
    char text[BOUND_MAXIMUM];
    kw_subkey *subkey = NULL;
    kw_status status = subkey_of(vault, place, &subkey, error);
    if (status == KW_OK)
        status = kw_seal(subkey, secret, bind_to(place, account, text), sealed, error);
    kw_subkey_free(subkey);
    return status;
}

static kw_status unseal(const struct vault *vault, const struct vault_place *place, const char *account,
                        kw_input sealed, kw_output *secret, kw_error *error)
{
    char text[BOUND_MAXIMUM];
    kw_subkey *subkey = NULL;
    kw_status status = subkey_of(vault, place, &subkey, error);
    if (status == KW_OK)
        status = kw_unseal(subkey, sealed, bind_to(place, account, text), secret, error);
    kw_subkey_free(subkey);
    return status;
}

/* ---- Rows ---- */

static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

static void bind_place(sqlite3_stmt *statement, const struct vault_place *place)
{
    bind_text(statement, 1, place->purpose);
    bind_text(statement, 2, place->database);
    bind_text(statement, 3, place->name);
}

kw_status vault_put(struct vault *vault, const struct vault_place *place, const char *account, kw_input secret,
                    kw_error *error)
{
    unsigned char bytes[SEALED_MAXIMUM];
    kw_output sealed = {.data = bytes, .capacity = sizeof(bytes)};
    kw_status status = seal(vault, place, account, secret, &sealed, error);
    if (status != KW_OK)
        return status;
    pthread_mutex_lock(&vault->mutex);
    bind_place(vault->put, place);
    bind_text(vault->put, 4, account);
    sqlite3_bind_blob(vault->put, 5, bytes, (int)sealed.length, SQLITE_STATIC);
    if (sqlite3_step(vault->put) != SQLITE_DONE)
        status = failed(vault, error);
    sqlite3_reset(vault->put);
    sqlite3_clear_bindings(vault->put);
    pthread_mutex_unlock(&vault->mutex);
    return status;
}

/* Copies the row out, so that nobody waits for a seal to be opened. */
static kw_status read_row(struct vault *vault, const struct vault_place *place, char account[BOUND_MAXIMUM],
                          kw_output *sealed, kw_error *error)
{
    kw_status status = KW_OK;
    pthread_mutex_lock(&vault->mutex);
    bind_place(vault->get, place);
    const int step = sqlite3_step(vault->get);
    if (step == SQLITE_DONE) {
        status =
            problem_set(error, KW_NOT_FOUND, "there is no %s %s in %s", place->purpose, place->name, place->database);
    } else if (step != SQLITE_ROW) {
        status = failed(vault, error);
    } else {
        const size_t length = (size_t)sqlite3_column_bytes(vault->get, 1);
        snprintf(account, BOUND_MAXIMUM, "%s", (const char *)sqlite3_column_text(vault->get, 0));
        if (length == 0 || length > sealed->capacity)
            status = problem_set(error, KW_CORRUPT, "the vault: a row of %zu bytes", length);
        else
            memcpy(sealed->data, sqlite3_column_blob(vault->get, 1), length);
        sealed->length = length;
    }
    sqlite3_reset(vault->get);
    sqlite3_clear_bindings(vault->get);
    pthread_mutex_unlock(&vault->mutex);
    return status;
}

kw_status vault_get(struct vault *vault, const struct vault_place *place, kw_output *secret, kw_error *error)
{
    unsigned char bytes[SEALED_MAXIMUM];
    char account[BOUND_MAXIMUM];
    kw_output sealed = {.data = bytes, .capacity = sizeof(bytes)};
    kw_status status = read_row(vault, place, account, &sealed, error);
    if (status == KW_OK)
        status = unseal(vault, place, account, (kw_input){bytes, sealed.length}, secret, error);
    return status;
}

/* ---- Life ---- */

/* The first seal makes the root, and the first of a process fetches it: now, not when the first client comes. */
static kw_status warm_up(const struct vault *vault, kw_error *error)
{
    static const struct vault_place nowhere = {"start", "", ""};
    static const kw_input word = {(const unsigned char *)"start", 5};
    unsigned char bytes[SEALED_MAXIMUM], opened[8];
    kw_output sealed = {.data = bytes, .capacity = sizeof(bytes)};
    kw_output word_again = {.data = opened, .capacity = sizeof(opened)};
    kw_status status = seal(vault, &nowhere, "", word, &sealed, error);
    if (status == KW_OK)
        status = unseal(vault, &nowhere, "", (kw_input){bytes, sealed.length}, &word_again, error);
    return status;
}

static kw_status prepare(struct vault *vault, const char *path, kw_error *error)
{
    static const char put[] = "INSERT INTO secret VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                              " account = excluded.account, sealed = excluded.sealed";
    static const char get[] = "SELECT account, sealed FROM secret WHERE purpose = ? AND database = ? AND name = ?";
    if (sqlite3_open_v2(path, &vault->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        return problem_set(error, KW_FAILED, "%s: %s", path, sqlite3_errmsg(vault->database));
    sqlite3_busy_timeout(vault->database, BUSY_MS);
    if (sqlite3_exec(vault->database, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(vault->database, put, -1, &vault->put, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(vault->database, get, -1, &vault->get, NULL) != SQLITE_OK)
        return failed(vault, error);
    return KW_OK;
}

kw_status vault_open(kw_context *context, const char *path, const char *master, struct vault **vault, kw_error *error)
{
    struct vault *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return problem_set(error, KW_OUT_OF_MEMORY, "out of memory");
    made->context = context;
    pthread_mutex_init(&made->mutex, NULL);
    snprintf(made->master, sizeof(made->master), "%s", master);
    kw_status status = prepare(made, path, error);
    if (status == KW_OK)
        status = warm_up(made, error);
    if (status == KW_OK)
        *vault = made;
    else
        vault_close(made);
    return status;
}

void vault_close(struct vault *vault)
{
    if (vault == NULL)
        return;
    sqlite3_finalize(vault->put);
    sqlite3_finalize(vault->get);
    sqlite3_close(vault->database);
    pthread_mutex_destroy(&vault->mutex);
    free(vault);
}
