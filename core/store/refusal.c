#include "store/refusal.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/run_lock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECORD_HEADER     "keywright secret 1\n"
#define RECORD_MAXIMUM    512
#define WAIT_MILLISECONDS 60000u
#define PAUSE_NANOSECONDS 5000000

/* A secret that was accepted before is tried again after so many attempts of which nothing is known. */
#define UNFINISHED_MAXIMUM 2u

enum record_state { RECORD_NONE, RECORD_PENDING, RECORD_ACCEPTED, RECORD_REFUSED };

struct record {
    enum record_state state;
    bool accepted;       /* this same secret was accepted at some time */
    uint32_t unfinished; /* attempts with it, one after the other, that did not end */
    unsigned char mac[SHA256_LENGTH];
};

struct refusal_attempt {
    struct run_lock *lock;
    struct crypto *crypto;
    char *state_directory, *path, *what;
    struct secret key;
    struct record before, record;
};

/* ---- Files ---- */

static char *secrets_path(const struct refusal_place *place, const char *suffix)
{
    return text_format("%s/secrets/%s.%s%s", place->state_directory, place->store_id, place->option, suffix);
}

static kw_status make_directory(const char *state_directory, kw_error *error)
{
    bool made = false;
    char *path = path_join(state_directory, "secrets");
    kw_status status = path != NULL ? file_claim_directory(path, 0700, &made, error) : error_memory(error);
    if (status == KW_OK && made)
        status = file_give_to_owner(path, state_directory, error);
    free(path);
    return status;
}

static kw_status make_key(const struct refusal_place *place, const char *path, kw_error *error)
{
    unsigned char bytes[SHA256_LENGTH];
    kw_status status = crypto_random(place->crypto, bytes, sizeof(bytes), error);
    if (status == KW_OK)
        status = file_create(path, (kw_input){bytes, sizeof(bytes)}, 0600, error);
    if (status == KW_OK)
        status = file_give_to_owner(path, place->state_directory, error);
    secret_wipe(bytes, sizeof(bytes));
    return error_tolerate(status, KW_EXISTS, error); /* another process was faster */
}

static kw_status read_key(const struct refusal_place *place, struct secret *key, kw_error *error)
{
    struct secret local = {0}, made = {0};
    char *path = path_join(place->state_directory, "secrets/key");
    kw_status status = path != NULL ? file_read_secret(path, SHA256_LENGTH, &local, error) : error_memory(error);
    if (status == KW_NOT_FOUND) {
        status = make_key(place, path, error);
        if (status == KW_OK)
            status = file_read_secret(path, SHA256_LENGTH, &local, error);
    }
    if (status == KW_INVALID_ARGUMENT || (status == KW_OK && local.length != SHA256_LENGTH)) {
        status = error_set(error, KW_CORRUPT, "the key %s is damaged", path);
        error_remedy(
            error, "remove it, and %s.* beside it; then each PIN is tried once more, so look first whether it is right",
            place->store_id);
    }
    if (status == KW_OK)
        status = secret_new(&made, SHA256_LENGTH, error);
    if (status == KW_OK)
        status = catalogue_derive(place->catalogue, "refused secrets", secret_view(&local), made.data, error);
    if (status == KW_OK) {
        made.length = SHA256_LENGTH;
        *key = made;
        made = (struct secret){0};
    }
    secret_clear(&made);
    secret_clear(&local);
    free(path);
    return status;
}

static kw_status record_read(const struct refusal_attempt *attempt, struct record *record, kw_error *error)
{
    const size_t header = strlen(RECORD_HEADER);
    unsigned char mac[SHA256_LENGTH];
    kw_bytes content = {0};
    kw_input rest, field;
    uint8_t state = 0, accepted = 0;
    kw_status status = file_read(attempt->path, RECORD_MAXIMUM, &content, error);
    if (status == KW_NOT_FOUND) {
        *record = (struct record){0};
        return error_tolerate(status, KW_NOT_FOUND, error);
    }
    if (status != KW_OK)
        goto out;
    rest = (kw_input){content.data, content.length};
    status = KW_CORRUPT;
    if (content.length > sizeof(mac) &&
        crypto_hmac_sha256(attempt->crypto, secret_view(&attempt->key),
                           (kw_input){content.data, content.length - sizeof(mac)}, mac, NULL) == KW_OK &&
        crypto_equal(mac, content.data + content.length - sizeof(mac), sizeof(mac)) &&
        input_bytes(&rest, header, &field) && memcmp(field.data, RECORD_HEADER, header) == 0 &&
        input_u8(&rest, &state) && state >= RECORD_PENDING && state <= RECORD_REFUSED && input_u8(&rest, &accepted) &&
        input_u32(&rest, &record->unfinished) && input_bytes(&rest, sizeof(record->mac), &field)) {
        memcpy(record->mac, field.data, sizeof(record->mac));
        record->state = (enum record_state)state;
        record->accepted = accepted != 0;
        status = KW_OK;
    } else {
        error_set(error, KW_CORRUPT, "%s is damaged", attempt->path);
        error_remedy(error, "remove it; then the %s is tried once more, so look first whether it is right",
                     attempt->what);
    }
out:
    kw_bytes_free(&content);
    return status;
}

static kw_status record_write(const struct refusal_attempt *attempt, const struct record *record, kw_error *error)
{
    unsigned char mac[SHA256_LENGTH];
    struct buffer content = {0};
    kw_status status;
    buffer_append_text(&content, RECORD_HEADER);
    buffer_append_u8(&content, (uint8_t)record->state);
    buffer_append_u8(&content, record->accepted ? 1 : 0);
    buffer_append_u32(&content, record->unfinished);
    buffer_append(&content, record->mac, sizeof(record->mac));
    status = content.failed
                 ? error_memory(error)
                 : crypto_hmac_sha256(attempt->crypto, secret_view(&attempt->key), buffer_view(&content), mac, error);
    if (status != KW_OK)
        goto out;
    buffer_append(&content, mac, sizeof(mac));
    status = content.failed ? error_memory(error) : file_replace(attempt->path, buffer_view(&content), 0600, error);
    if (status == KW_OK)
        status = file_give_to_owner(attempt->path, attempt->state_directory, error);
out:
    buffer_free(&content);
    return status;
}

static kw_status record_remove(const struct refusal_attempt *attempt, kw_error *error)
{
    if (unlink(attempt->path) == 0 || !file_exists(attempt->path))
        return KW_OK;
    return error_set(error, KW_PERMISSION, "cannot remove %s", attempt->path);
}

/* ---- Attempts ---- */

static void attempt_free(struct refusal_attempt *attempt)
{
    if (attempt == NULL)
        return;
    run_lock_release(attempt->lock, true);
    secret_clear(&attempt->key);
    free(attempt->state_directory);
    free(attempt->path);
    free(attempt->what);
    free(attempt);
}

/* Another process, or another thread, that has handed out the same one: what its backend says decides for this one too. */
static kw_status take_lock(const struct refusal_place *place, const char *path, struct run_lock **lock, kw_error *error)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NANOSECONDS};
    const uint64_t usual = clock_milliseconds() + WAIT_MILLISECONDS;
    const uint64_t until = place->deadline > 0 && place->deadline < usual ? place->deadline : usual;
    for (;;) {
        const kw_status status = run_lock_take(path, false, lock, error);
        if (status == KW_OK)
            return file_give_to_owner(path, place->state_directory, error);
        if (status != KW_CONFLICT)
            return status;
        if (clock_milliseconds() >= until)
            return error_set(error, KW_UNAVAILABLE,
                             "the %s is being tried by another process or thread, which does not come to an end",
                             place->option);
        nanosleep(&pause, NULL);
    }
}

/* With the record as it stands, and nobody else at work. */
static kw_status attempt_open(const struct refusal_place *place, struct refusal_attempt **attempt, kw_error *error)
{
    char *lock_path = secrets_path(place, ".lock");
    struct refusal_attempt *made = calloc(1, sizeof(*made));
    kw_status status = KW_OK;
    if (made == NULL || lock_path == NULL) {
        status = error_memory(error);
        goto out;
    }
    made->crypto = place->crypto;
    made->state_directory = text_copy(place->state_directory);
    made->path = secrets_path(place, "");
    made->what = text_copy(place->option);
    if (made->state_directory == NULL || made->path == NULL || made->what == NULL)
        status = error_memory(error);
    if (status == KW_OK)
        status = make_directory(place->state_directory, error);
    if (status == KW_OK)
        status = take_lock(place, lock_path, &made->lock, error);
    if (status == KW_OK)
        status = read_key(place, &made->key, error);
    if (status == KW_OK)
        status = record_read(made, &made->before, error);
    if (status != KW_OK)
        goto out;
    *attempt = made;
    made = NULL;
out:
    attempt_free(made);
    free(lock_path);
    return status;
}

static kw_status identify(const struct refusal_attempt *attempt, const struct refusal_place *place, kw_input secret,
                          kw_input settings, unsigned char mac[SHA256_LENGTH], kw_error *error)
{
    struct buffer facts = {0};
    struct secret all = {0};
    kw_status status;
    buffer_append_field(&facts, input_text(place->store_id));
    buffer_append_field(&facts, input_text(place->option));
    buffer_append_field(&facts, settings);
    status = facts.failed ? error_memory(error) : secret_new(&all, facts.length + secret.length, error);
    if (status == KW_OK) {
        memcpy(all.data, facts.data, facts.length);
        memcpy(all.data + facts.length, secret.data, secret.length);
        all.length = facts.length + secret.length;
        status = crypto_hmac_sha256(attempt->crypto, secret_view(&attempt->key), secret_view(&all), mac, error);
    }
    secret_clear(&all);
    if (facts.data != NULL)
        secret_wipe(facts.data, facts.length); /* settings may have a secret in them */
    buffer_free(&facts);
    return status;
}

/* What the record says of the same secret. */
static kw_status judge(const struct refusal_attempt *attempt, kw_error *error)
{
    const struct record *const before = &attempt->before;
    if (before->state == RECORD_REFUSED)
        return error_set(error, KW_SECRET_REFUSED, "the %s was refused before and has not changed since",
                         attempt->what);
    if (before->state == RECORD_PENDING && (!before->accepted || before->unfinished >= UNFINISHED_MAXIMUM))
        return error_set(
            error, KW_SECRET_REFUSED,
            "the %s was tried before, by a process that ended before the backend's answer was written down; "
            "it may have been refused",
            attempt->what);
    return KW_OK;
}

kw_status refusal_begin(const struct refusal_place *place, kw_input secret, kw_input settings,
                        unsigned char mac[SHA256_LENGTH], struct refusal_attempt **attempt, kw_error *error)
{
    struct refusal_attempt *made = NULL;
    struct record *record;
    kw_status status = attempt_open(place, &made, error);
    if (status != KW_OK)
        goto out;
    record = &made->record;
    status = identify(made, place, secret, settings, record->mac, error);
    if (status != KW_OK)
        goto out;
    memcpy(mac, record->mac, SHA256_LENGTH);
    record->state = RECORD_PENDING;
    if (made->before.state != RECORD_NONE && crypto_equal(made->before.mac, record->mac, sizeof(record->mac))) {
        status = judge(made, error);
        record->accepted = made->before.accepted;
        record->unfinished = made->before.state == RECORD_PENDING ? made->before.unfinished : 0;
    } else
        made->before = (struct record){0}; /* another secret's */
    record->unfinished++;
    if (status == KW_OK)
        status = record_write(made, record, error);
    if (status != KW_OK)
        goto out;
    *attempt = made;
    made = NULL;
out:
    attempt_free(made);
    if (status == KW_OK || status == KW_SECRET_REFUSED || status == KW_UNAVAILABLE)
        return status;
    if (status != KW_PERMISSION && status != KW_CORRUPT && status != KW_OUT_OF_MEMORY) {
        status = KW_REFUSED;
        if (error != NULL)
            error->status = status;
    }
    error_prefix(error, "the %s is not handed out, since its refusal could not be remembered", place->option);
    return status;
}

void refusal_end(struct refusal_attempt *attempt, enum refusal_outcome outcome, const struct log *log)
{
    kw_error error = {0};
    kw_status status = KW_OK;
    struct record record;
    if (attempt == NULL)
        return;
    record = attempt->record;
    record.unfinished = 0;
    if (outcome == REFUSAL_UNDECIDED) {
        status = attempt->before.state == RECORD_NONE ? record_remove(attempt, &error)
                                                      : record_write(attempt, &attempt->before, &error);
    } else {
        record.state = outcome == REFUSAL_ACCEPTED ? RECORD_ACCEPTED : RECORD_REFUSED;
        record.accepted = outcome == REFUSAL_ACCEPTED;
        status = record_write(attempt, &record, &error);
    }
    if (status != KW_OK)
        log_write(log, KW_LOG_WARNING, "what became of a %s could not be written down: %s", attempt->what,
                  error.message);
    attempt_free(attempt);
}

kw_status refusal_forget(const struct refusal_place *place, kw_error *error)
{
    struct refusal_attempt *opened = NULL;
    kw_status status = attempt_open(place, &opened, error);
    if (status == KW_OK)
        status = record_remove(opened, error);
    attempt_free(opened);
    return status;
}

kw_status refusal_note(const struct refusal_place *place, const unsigned char mac[SHA256_LENGTH], kw_error *error)
{
    struct refusal_attempt *opened = NULL;
    kw_status status = attempt_open(place, &opened, error);
    if (status == KW_OK && opened->before.state != RECORD_NONE &&
        crypto_equal(opened->before.mac, mac, SHA256_LENGTH)) {
        struct record record = opened->before;
        record.state = RECORD_REFUSED;
        record.accepted = false;
        status = record_write(opened, &record, error);
    }
    attempt_free(opened);
    return status;
}
