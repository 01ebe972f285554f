#include "catalogue/catalogue.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "catalogue/handle.h"
#include "catalogue/place.h"

enum { KEY_MINIMUM = 16 };

/* Labels of keys that are the catalogue's own begin with this. */
static const char own_labels[] = "keywright catalogue";
static const char row_label[] = "keywright catalogue rows/1";

/* Its address tells threads apart. */
static _Thread_local char thread_marker;

/* ---- Opening and closing ---- */

static kw_status derive_keys(struct catalogue *catalogue, kw_input key, kw_error *error)
{
    if (key.length < KEY_MINIMUM) {
        error_set(error, KW_CONFIGURATION, "the catalogue key has %zu bytes, and needs at least %d", key.length,
                  KEY_MINIMUM);
        error_remedy(error, "make one of 32 random bytes: openssl rand -out FILE 32");
        return KW_CONFIGURATION;
    }
    kw_status status = secret_copy(&catalogue->key, key, error);
    if (status == KW_OK)
        status = secret_new(&catalogue->row_key, SHA256_LENGTH, error);
    if (status == KW_OK)
        status = crypto_hkdf_expand(catalogue->crypto, key, input_text(row_label), catalogue->row_key.data,
                                    SHA256_LENGTH, error);
    if (status == KW_OK)
        catalogue->row_key.length = SHA256_LENGTH;
    return status;
}

kw_status catalogue_open(struct crypto *crypto, const char *state_directory, kw_input key, bool create,
                         const struct log *log, struct catalogue **catalogue, kw_error *error)
{
    kw_status status = KW_OK;
    struct catalogue *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    made->crypto = crypto;
    made->log = log;
    made->process = place_process();
    pthread_mutex_init(&made->write_mutex, NULL);
    pthread_mutex_init(&made->read_mutex, NULL);
    made->path = path_join(state_directory, CATALOGUE_FILE);
    made->description = made->path == NULL ? NULL : text_format("sqlite %s", made->path);
    if (made->description == NULL) {
        status = error_memory(error);
        goto out;
    }
    status = derive_keys(made, key, error);
    if (status != KW_OK)
        goto out;
    status = catalogue_connect(made, &made->writer, error);
    if (status == KW_NOT_FOUND && create) {
        status = error_tolerate(status, KW_NOT_FOUND, error);
        if (status == KW_OK)
            status = catalogue_make(made, state_directory, error);
        if (status == KW_OK)
            status = catalogue_connect(made, &made->writer, error);
    }
    if (status != KW_OK)
        goto out;
    if (file_others_read(made->path))
        log_write(log, KW_LOG_WARNING, "%s can be read by others than its owner: chmod 600 it", made->path);
    *catalogue = made;
    made = NULL;
out:
    catalogue_close(made);
    return status;
}

void catalogue_close(struct catalogue *catalogue)
{
    if (catalogue == NULL)
        return;
    /* In a child that inherited them they are left alone: closing them would tamper with the parent's. */
    if (catalogue->process == place_process()) {
        catalogue_rollback(catalogue);
        sqlite_close(catalogue->reader, true);
        sqlite_close(catalogue->writer, true);
        pthread_mutex_destroy(&catalogue->read_mutex);
        pthread_mutex_destroy(&catalogue->write_mutex);
    }
    secret_clear(&catalogue->row_key);
    secret_clear(&catalogue->key);
    free(catalogue->description);
    free(catalogue->path);
    free(catalogue);
}

const char *catalogue_description(const struct catalogue *catalogue)
{
    return catalogue->description;
}

unsigned catalogue_schema_version(const struct catalogue *catalogue)
{
    return catalogue->schema_version;
}

kw_status catalogue_derive(const struct catalogue *catalogue, const char *label, kw_input context,
                           unsigned char out[SHA256_LENGTH], kw_error *error)
{
    struct buffer info = {0};
    kw_status status = KW_OK;
    buffer_append_text(&info, label);
    buffer_append(&info, context.data, context.length);
    if (info.failed) {
        status = error_memory(error);
        goto out;
    }
    if (info.length >= sizeof(own_labels) - 1 && memcmp(info.data, own_labels, sizeof(own_labels) - 1) == 0) {
        status =
            error_set(error, KW_INVALID_ARGUMENT, "labels that begin with '%s' are the catalogue's own", own_labels);
        goto out;
    }
    status = crypto_hkdf_expand(catalogue->crypto, secret_view(&catalogue->key), buffer_view(&info), out, SHA256_LENGTH,
                                error);
out:
    buffer_free(&info);
    return status;
}

/* ---- Access ---- */

static bool owns_transaction(struct catalogue *catalogue)
{
    return atomic_load(&catalogue->owner) == &thread_marker;
}

/*
 * A child of a fork that catalogue_fork_prepare did not precede. SQLite keeps account of its locks per process and file, so that even a
 * new connection would count on locks that only the parent holds.
 */
static kw_status check_process(const struct catalogue *catalogue, kw_error *error)
{
    if (catalogue->process == place_process())
        return KW_OK;
    error_set(error, KW_UNAVAILABLE,
              "the process was forked in the middle of a catalogue transaction, or without notice");
    error_where(error, "%s", catalogue->path);
    error_remedy(error, "open Keywright anew in the child, in a fresh program");
    return KW_UNAVAILABLE;
}

static pthread_mutex_t *mutex_of(struct catalogue *catalogue, enum access access)
{
    return access == ACCESS_WRITE ? &catalogue->write_mutex : &catalogue->read_mutex;
}

/* Locks and begins. */
static kw_status access_begin(struct catalogue *catalogue, enum access access, struct sqlite **sqlite, kw_error *error)
{
    struct sqlite **connection = access == ACCESS_WRITE ? &catalogue->writer : &catalogue->reader;
    kw_status status = KW_OK;
    pthread_mutex_lock(mutex_of(catalogue, access));
    if (*connection != NULL && sqlite_moved(*connection)) {
        sqlite_close(*connection, false);
        *connection = NULL;
    }
    if (*connection == NULL)
        status = catalogue_connect(catalogue, connection, error);
    if (status == KW_OK)
        status = sqlite_begin(*connection, access == ACCESS_WRITE, error);
    if (status == KW_OK)
        *sqlite = *connection;
    else
        pthread_mutex_unlock(mutex_of(catalogue, access));
    return status;
}

/* A full disk or a failed read makes SQLite roll back by itself; what follows must not be written as if nothing had happened. */
static kw_status check_transaction(const struct catalogue *catalogue, kw_error *error)
{
    if (sqlite_in_transaction(catalogue->writer))
        return KW_OK;
    error_set(error, KW_UNAVAILABLE, "the catalogue's transaction was undone because of an earlier failure");
    error_where(error, "%s", catalogue->path);
    return KW_UNAVAILABLE;
}

kw_status catalogue_enter(struct catalogue *catalogue, enum access access, struct sqlite **sqlite, kw_error *error)
{
    kw_status status = check_process(catalogue, error);
    if (status != KW_OK)
        return status;
    if (!owns_transaction(catalogue))
        return access_begin(catalogue, access, sqlite, error);
    status = check_transaction(catalogue, error);
    if (status == KW_OK)
        *sqlite = catalogue->writer;
    return status;
}

kw_status catalogue_leave(struct catalogue *catalogue, enum access access, kw_status status, kw_error *error)
{
    if (owns_transaction(catalogue))
        return status;
    struct sqlite *sqlite = access == ACCESS_WRITE ? catalogue->writer : catalogue->reader;
    if (status == KW_OK)
        status = sqlite_commit(sqlite, error);
    else
        sqlite_rollback(sqlite);
    pthread_mutex_unlock(mutex_of(catalogue, access));
    return status;
}

kw_status catalogue_begin(struct catalogue *catalogue, kw_error *error)
{
    struct sqlite *sqlite;
    kw_status status = check_process(catalogue, error);
    if (status != KW_OK)
        return status;
    if (owns_transaction(catalogue))
        return error_set(error, KW_INVALID_ARGUMENT, "this thread has begun a catalogue transaction already");
    status = access_begin(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status == KW_OK)
        atomic_store(&catalogue->owner, &thread_marker);
    return status;
}

static void transaction_end(struct catalogue *catalogue)
{
    atomic_store(&catalogue->owner, NULL);
    pthread_mutex_unlock(&catalogue->write_mutex);
}

kw_status catalogue_commit(struct catalogue *catalogue, kw_error *error)
{
    kw_status status = check_process(catalogue, error);
    if (status != KW_OK)
        return status;
    if (!owns_transaction(catalogue))
        return error_set(error, KW_INVALID_ARGUMENT, "this thread has begun no catalogue transaction");
    status = check_transaction(catalogue, error);
    if (status == KW_OK)
        status = sqlite_commit(catalogue->writer, error);
    transaction_end(catalogue);
    return status;
}

void catalogue_rollback(struct catalogue *catalogue)
{
    if (catalogue == NULL || catalogue->process != place_process() || !owns_transaction(catalogue))
        return;
    sqlite_rollback(catalogue->writer);
    transaction_end(catalogue);
}

/* ---- Forks ---- */

/*
 * The connections are closed before the fork: an inherited one cannot be used, SQLite's account of its locks would be inherited with
 * it and be wrong, and what is not there cannot be. Both sides open new ones at their next use. Only a thread that forks in the
 * middle of its own transaction keeps the writer; the child of that fork is refused.
 */
void catalogue_fork_prepare(struct catalogue *catalogue)
{
    if (catalogue->process != place_process())
        return;
    if (!owns_transaction(catalogue)) {
        pthread_mutex_lock(&catalogue->write_mutex);
        sqlite_close(catalogue->writer, false);
        catalogue->writer = NULL;
    }
    pthread_mutex_lock(&catalogue->read_mutex);
    sqlite_close(catalogue->reader, false);
    catalogue->reader = NULL;
}

void catalogue_fork_parent(struct catalogue *catalogue)
{
    if (catalogue->process != place_process())
        return;
    pthread_mutex_unlock(&catalogue->read_mutex);
    if (!owns_transaction(catalogue))
        pthread_mutex_unlock(&catalogue->write_mutex);
}

void catalogue_fork_child(struct catalogue *catalogue)
{
    if (catalogue->writer != NULL || catalogue->reader != NULL)
        return;
    catalogue->process = place_process();
    pthread_mutex_unlock(&catalogue->read_mutex);
    pthread_mutex_unlock(&catalogue->write_mutex);
}

/* ---- Rows ---- */

uint64_t catalogue_next_generation(uint64_t generation)
{
    return generation < INT64_MAX ? generation + 1 : 1;
}

kw_status catalogue_row_get(struct sqlite *sqlite, enum statement statement, const struct value *values, size_t count,
                            struct row *row, struct sqlite3_stmt **query, bool *found, kw_error *error)
{
    kw_status status = sqlite_query(sqlite, statement, values, count, query, error);
    if (status == KW_OK)
        status = sqlite_next(sqlite, *query, row->values, row_width(row->table), found, error);
    return status;
}

static kw_status row_error(struct sqlite *sqlite, const struct row *row, const char *what, kw_error *error)
{
    char name[ROW_NAME_SIZE];
    row_describe(sqlite, row, name);
    error_set(error, KW_CORRUPT, "it %s", what);
    error_where(error, "%s", name);
    error_remedy(error, "%s", row->table->remedy);
    return KW_CORRUPT;
}

kw_status catalogue_row_verify(struct catalogue *catalogue, struct sqlite *sqlite, const struct row *row,
                               kw_error *error)
{
    bool verified = false;
    kw_status status = row_verify(row, catalogue->crypto, secret_view(&catalogue->row_key), &verified, error);
    if (status == KW_OK && !verified)
        status = row_error(sqlite, row, "is damaged, or was changed by something other than Keywright", error);
    return status;
}

kw_status catalogue_row_malformed(struct sqlite *sqlite, const struct row *row, kw_error *error)
{
    return row_error(sqlite, row, "is of a form that this Keywright does not know", error);
}

kw_status catalogue_row_end(struct sqlite *sqlite, const struct row_reader *reader, kw_error *error)
{
    if (reader->no_memory)
        return error_memory(error);
    return reader->malformed ? catalogue_row_malformed(sqlite, reader->row, error) : KW_OK;
}

kw_status catalogue_row_delete(struct catalogue *catalogue, enum statement statement, const char *what,
                               const struct id *id, kw_error *error)
{
    struct sqlite *sqlite;
    char text[ID_TEXT_SIZE];
    int64_t changed = 0;
    id_text(id, text);
    kw_status status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        return status;
    const struct value key = value_text(text);
    status = sqlite_run(sqlite, statement, &key, 1, &changed, error);
    if (status == KW_OK && changed == 0)
        status = error_set(error, KW_NOT_FOUND, "there is no %s with the id %s", what, text);
    return catalogue_leave(catalogue, ACCESS_WRITE, status, error);
}

/* ---- Rows that do not verify ---- */

kw_status corruption_note(struct corruption *corruption, catalogue_corrupt corrupt, kw_status status,
                          const kw_error *noted, kw_error *error)
{
    if (status != KW_CORRUPT || corrupt == NULL) {
        if (error != NULL)
            *error = *noted;
        return status;
    }
    buffer_append(&corruption->errors, noted, sizeof(*noted));
    return corruption->errors.failed ? error_memory(error) : KW_OK;
}

void corruption_tell(const struct corruption *corruption, catalogue_corrupt corrupt, void *user)
{
    for (size_t at = 0; at < corruption->errors.length; at += sizeof(kw_error)) {
        kw_error error;
        memcpy(&error, corruption->errors.data + at, sizeof(error));
        corrupt(user, &error);
    }
}

void corruption_free(struct corruption *corruption)
{
    buffer_free(&corruption->errors);
}
