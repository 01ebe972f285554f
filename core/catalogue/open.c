#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/run_lock.h"
#include "catalogue/handle.h"
#include "catalogue/place.h"

/* ---- The check value: tells a wrong catalogue key, and that from damage ---- */

enum { META_CATALOGUE, META_CREATED, META_KEY_CHECK, META_CHECKSUM, META_COLUMNS };

static const char check_label[] = "keywright catalogue check/1";

/* HMAC under a key of its own over all that stands before it; SHA-256 over that and the HMAC. */
static kw_status meta_checks(struct catalogue *catalogue, kw_input id, int64_t created,
                             const unsigned char *stored_check, unsigned char key_check[SHA256_LENGTH],
                             unsigned char checksum[SHA256_LENGTH], kw_error *error)
{
    struct buffer encoded = {0};
    unsigned char key[SHA256_LENGTH] = {0};
    kw_status status = crypto_hkdf_expand(catalogue->crypto, secret_view(&catalogue->key), input_text(check_label), key,
                                          sizeof(key), error);
    if (status != KW_OK)
        goto out;
    buffer_append_field(&encoded, input_text("meta"));
    buffer_append_field(&encoded, id);
    buffer_append_u64(&encoded, (uint64_t)created);
    if (encoded.failed) {
        status = error_memory(error);
        goto out;
    }
    status =
        crypto_hmac_sha256(catalogue->crypto, (kw_input){key, sizeof(key)}, buffer_view(&encoded), key_check, error);
    if (status != KW_OK)
        goto out;
    buffer_append(&encoded, stored_check == NULL ? key_check : stored_check, SHA256_LENGTH);
    if (encoded.failed) {
        status = error_memory(error);
        goto out;
    }
    status = crypto_sha256(catalogue->crypto, buffer_view(&encoded), checksum, error);
out:
    secret_wipe(key, sizeof(key));
    buffer_free(&encoded);
    return status;
}

static kw_status meta_insert(struct catalogue *catalogue, struct sqlite *sqlite, kw_error *error)
{
    struct id id;
    char text[ID_TEXT_SIZE];
    unsigned char key_check[SHA256_LENGTH], checksum[SHA256_LENGTH];
    int64_t created = clock_wall();
    kw_status status = id_make(catalogue->crypto, &id, error);
    if (status != KW_OK)
        return status;
    id_text(&id, text);
    status = meta_checks(catalogue, input_text(text), created, NULL, key_check, checksum, error);
    if (status != KW_OK)
        return status;
    const struct value values[META_COLUMNS] = {
        [META_CATALOGUE] = value_text(text),
        [META_CREATED] = value_integer(created),
        [META_KEY_CHECK] = value_bytes((kw_input){key_check, sizeof(key_check)}),
        [META_CHECKSUM] = value_bytes((kw_input){checksum, sizeof(checksum)}),
    };
    return sqlite_run(sqlite, STATEMENT_META_INSERT, values, META_COLUMNS, NULL, error);
}

static kw_status meta_damaged(const struct catalogue *catalogue, kw_error *error)
{
    error_set(error, KW_CORRUPT, "the catalogue's description of itself (table meta) is damaged");
    error_where(error, "%s", catalogue->path);
    error_remedy(error, "restore the catalogue from a backup");
    return KW_CORRUPT;
}

static kw_status meta_judge(struct catalogue *catalogue, const struct value values[META_COLUMNS], kw_error *error)
{
    unsigned char key_check[SHA256_LENGTH], checksum[SHA256_LENGTH];
    if (values[META_CATALOGUE].type != VALUE_TEXT || values[META_CREATED].type != VALUE_INTEGER ||
        values[META_KEY_CHECK].type != VALUE_BYTES || values[META_KEY_CHECK].bytes.length != SHA256_LENGTH ||
        values[META_CHECKSUM].type != VALUE_BYTES || values[META_CHECKSUM].bytes.length != SHA256_LENGTH)
        return meta_damaged(catalogue, error);
    kw_status status = meta_checks(catalogue, values[META_CATALOGUE].bytes, values[META_CREATED].integer,
                                   values[META_KEY_CHECK].bytes.data, key_check, checksum, error);
    if (status != KW_OK)
        return status;
    if (!crypto_equal(checksum, values[META_CHECKSUM].bytes.data, SHA256_LENGTH))
        return meta_damaged(catalogue, error);
    if (crypto_equal(key_check, values[META_KEY_CHECK].bytes.data, SHA256_LENGTH))
        return KW_OK;
    error_set(error, KW_SECRET_REFUSED, "the catalogue key is not the one that this catalogue was made with");
    error_where(error, "%s", catalogue->path);
    error_remedy(error,
                 "set `catalogue_key` in the configuration to the right source, or `state` to the right directory");
    return KW_SECRET_REFUSED;
}

static kw_status meta_check(struct catalogue *catalogue, struct sqlite *sqlite, kw_error *error)
{
    struct sqlite3_stmt *query = NULL;
    struct value values[META_COLUMNS] = {0};
    bool found = false;
    kw_status status = sqlite_query(sqlite, STATEMENT_META_GET, NULL, 0, &query, error);
    if (status == KW_OK)
        status = sqlite_next(sqlite, query, values, META_COLUMNS, &found, error);
    if (status == KW_OK)
        status = found ? meta_judge(catalogue, values, error) : meta_damaged(catalogue, error);
    sqlite_done(query);
    return status;
}

/* ---- Connecting ---- */

static kw_status none_yet(const struct catalogue *catalogue, kw_error *error)
{
    error_set(error, KW_NOT_FOUND, "there is no catalogue yet");
    error_where(error, "%s", catalogue->path);
    error_remedy(
        error, "if there was one before, look where it is (a file system that is not mounted?) and set `state` in the "
               "configuration to that; if not, make it with `keywright apply`");
    return KW_NOT_FOUND;
}

/* The directory and all files, before SQLite meets the first it cannot use in the middle of something. */
static kw_status check_rights(const struct catalogue *catalogue, kw_error *error)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    kw_status status = KW_OK;
    char *directory = path_directory(catalogue->path);
    char *file = NULL;
    if (directory == NULL) {
        status = error_memory(error);
        goto out;
    }
    status = place_check_directory(directory, error);
    for (size_t i = 0; status == KW_OK && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        free(file);
        file = text_format("%s%s", catalogue->path, suffixes[i]);
        status = file == NULL ? error_memory(error) : place_check_file(file, error);
    }
out:
    free(file);
    free(directory);
    return status;
}

kw_status catalogue_connect(struct catalogue *catalogue, struct sqlite **sqlite, kw_error *error)
{
    struct sqlite *opened = NULL;
    unsigned version = 0;
    kw_status status = check_rights(catalogue, error);
    if (status == KW_NOT_FOUND || (status == KW_OK && !file_exists(catalogue->path)))
        status = none_yet(catalogue, error);
    if (status != KW_OK)
        goto out;
    status = sqlite_open(catalogue->path, &opened, error);
    if (status != KW_OK)
        goto out;
    status = sqlite_version(opened, CATALOGUE_SCHEMA_VERSION, &version, error);
    if (status == KW_OK && version == 0) {
        status = error_set(error, KW_CORRUPT, "the catalogue is empty: somebody has cut it off");
        error_where(error, "%s", catalogue->path);
        error_remedy(error, "restore it from a backup; where there was nothing in it yet, remove the file");
    }
    if (status == KW_OK)
        status = sqlite_use_wal(opened, error);
    if (status == KW_OK)
        status = meta_check(catalogue, opened, error);
    if (status != KW_OK)
        goto out;
    catalogue->schema_version = version;
    *sqlite = opened;
    opened = NULL;
out:
    sqlite_close(opened, true);
    return status;
}

/* ---- Making ---- */

static kw_status define(struct catalogue *catalogue, struct sqlite *sqlite, kw_error *error)
{
    kw_status status = sqlite_begin(sqlite, true, error);
    if (status != KW_OK)
        return status;
    status = sqlite_define(sqlite, CATALOGUE_SCHEMA_VERSION, error);
    if (status == KW_OK)
        status = meta_insert(catalogue, sqlite, error);
    if (status == KW_OK)
        return sqlite_commit(sqlite, error);
    sqlite_rollback(sqlite);
    return status;
}

static void remove_files(const char *path)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal", ""};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char *file = text_format("%s%s", path, suffixes[i]);
        if (file != NULL)
            place_remove_file(file);
        free(file);
    }
}

/*
 * Holding the lock: the file with its tables, unless somebody was faster. It gets its name when it is whole, so that an empty one is never
 * taken for one that is not made yet. What fails leaves no file behind.
 */
static kw_status make_file(struct catalogue *catalogue, kw_error *error)
{
    struct sqlite *sqlite = NULL;
    char *unnamed = NULL;
    kw_status status = KW_OK;
    if (file_exists(catalogue->path))
        return KW_OK;
    unnamed = text_format("%s.new", catalogue->path);
    if (unnamed == NULL)
        return error_memory(error);
    remove_files(unnamed); /* of a process that died here */
    status = file_create(unnamed, (kw_input){0}, 0600, error);
    if (status == KW_OK)
        status = sqlite_open(unnamed, &sqlite, error);
    if (status == KW_OK)
        status = define(catalogue, sqlite, error);
    if (status == KW_OK) /* now, while nobody else has it open: the change needs the file alone */
        status = sqlite_use_wal(sqlite, error);
    sqlite_close(sqlite, true);
    if (status == KW_OK)
        status = file_publish(unnamed, catalogue->path, error);
    if (status != KW_OK)
        remove_files(unnamed);
    free(unnamed);
    return status;
}

kw_status catalogue_make(struct catalogue *catalogue, const char *state_directory, kw_error *error)
{
    struct run_lock *lock = NULL;
    bool made_state = !file_exists(state_directory), made_run = false;
    char *run = path_join(state_directory, "run");
    char *lock_path = run == NULL ? NULL : path_join(run, "catalogue.lock");
    kw_status status = KW_OK;
    if (lock_path == NULL) {
        status = error_memory(error);
        goto out;
    }
    status = file_make_directory(state_directory, 0700, error);
    if (status == KW_OK)
        status = place_check_directory(state_directory, error);
    if (status != KW_OK)
        goto out;
    made_run = !file_exists(run);
    status = file_make_directory(run, 0700, error);
    if (status == KW_OK)
        status = run_lock_take(lock_path, true, &lock, error);
    if (status == KW_OK)
        status = make_file(catalogue, error);
    run_lock_release(lock, status != KW_OK);
out:
    /* Directories that others use by now are not empty. */
    if (status != KW_OK && made_run)
        place_remove_directory(run);
    if (status != KW_OK && made_state)
        place_remove_directory(state_directory);
    free(lock_path);
    free(run);
    return status;
}
