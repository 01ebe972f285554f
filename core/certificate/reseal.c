/* Seals of a server made anew under the newest version of a root: its records, one by one, through callbacks. */
#include "certificate/calls.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/options.h"
#include "subkey/seal.h"

#include <string.h>

#define RECORD_NAME_MAXIMUM 1024u
/* How often in a row a record may have changed while it was sealed anew. */
#define CHANGES_MAXIMUM 1000u
/* How long others may take to end what they began before: longer than a seal takes, and an unwrapping by a slow token. */
#define SETTLE_MILLISECONDS 30000u

struct walk {
    kw_context *context;
    const kw_reseal_options *options;
    const struct found *master;
    uint32_t version; /* what is older is sealed anew */
    kw_reseal_result result;
    struct buffer after; /* name of the record that is done */
    struct buffer next;  /* of the one at work */
    unsigned changes;    /* in a row */
};

/* ---- Speaking of records ---- */

static kw_status record_error(const struct walk *walk, kw_error *error)
{
    struct arena arena = {0};
    const char *const name = locator_text(&arena, buffer_view(&walk->next));
    const kw_status status = error->status;
    error_prefix(error, "record %s", name != NULL ? name : "(out of memory)");
    arena_free(&arena);
    return status;
}

static kw_status callback_error(kw_status status, const char *what, kw_error *error)
{
    return error_set(error, status, "the server's function that %s a record failed: %s", what, kw_status_text(status));
}

static kw_status set(struct buffer *buffer, kw_input content, kw_error *error)
{
    buffer->length = 0;
    buffer_append(buffer, content.data, content.length);
    return buffer->failed ? error_memory(error) : KW_OK;
}

/* ---- One record ---- */

static kw_status open_handle(const struct walk *walk, const struct seal_header *header, const kw_reseal_record *record,
                             kw_subkey **subkey, kw_error *error)
{
    char purpose[SUBKEY_PURPOSE_MAXIMUM + 1] = "";
    struct keyring *const keyring = walk->context->keyring;
    const struct handle_name name = {walk->master->address.text, purpose, record->context};
    if (!id_equal(&header->master, &walk->master->entry.id))
        return error_set(error, KW_CIPHERTEXT_INVALID, "this seal is of another master key than %s", name.address);
    if (memchr(header->purpose.data, '\0', header->purpose.length) != NULL)
        return error_set(error, KW_CIPHERTEXT_INVALID, "this seal's purpose is no text");
    memcpy(purpose, header->purpose.data, header->purpose.length);
    return keyring_find(keyring, &name, subkey) ? KW_OK
                                                : keyring_open(keyring, &name, &walk->master->entry.id, subkey, error);
}

/* What is in it stays in locked memory. */
static kw_status seal_anew(const struct walk *walk, const struct seal_header *header, const kw_reseal_record *record,
                           struct buffer *sealed, kw_error *error)
{
    const size_t length = seal_plaintext_length(header, record->sealed.length);
    struct secret plaintext = {0};
    kw_subkey *subkey = NULL;
    kw_output output = {0};
    kw_status status = secret_new(&plaintext, length + 1, error);
    if (status == KW_OK)
        status = open_handle(walk, header, record, &subkey, error);
    if (status != KW_OK)
        goto out;
    output = (kw_output){.data = plaintext.data, .capacity = plaintext.capacity};
    status = kw_unseal(subkey, record->sealed, record->associated, &output, error);
    if (status != KW_OK)
        goto out;
    plaintext.length = output.length;
    status = set(sealed, record->sealed, error); /* a new seal of the same text is as long as the old one */
    if (status != KW_OK)
        goto out;
    output = (kw_output){.data = sealed->data, .capacity = sealed->length};
    status = kw_seal(subkey, secret_view(&plaintext), record->associated, &output, error);
out:
    kw_subkey_free(subkey);
    secret_clear(&plaintext);
    return status;
}

/* `again`: it was changed meanwhile, and is to be looked at once more. */
static kw_status do_record(struct walk *walk, const kw_reseal_record *record, bool *again, kw_error *error)
{
    const kw_reseal_options *const options = walk->options;
    struct seal_header header;
    struct buffer sealed = {0};
    kw_status status = seal_read_header(record->sealed, &header, error);
    if (status == KW_OK && !id_equal(&header.master, &walk->master->entry.id))
        status = error_set(error, KW_CIPHERTEXT_INVALID, "this seal is of another master key than %s",
                           walk->master->address.text);
    if (status != KW_OK)
        return record_error(walk, error);
    if (header.version >= walk->version)
        return KW_OK;
    status = seal_anew(walk, &header, record, &sealed, error);
    if (status != KW_OK) {
        record_error(walk, error);
    } else {
        status = options->replace(options->user, record, buffer_view(&sealed));
        *again = status == KW_CONFLICT && ++walk->changes <= CHANGES_MAXIMUM;
        if (status == KW_OK) {
            walk->result.resealed++;
        } else if (*again) {
            status = KW_OK;
        } else {
            callback_error(status, "replaces", error);
            record_error(walk, error);
        }
    }
    buffer_free(&sealed);
    return status;
}

/* ---- The walk ---- */

/* KW_NOT_FOUND: that was the last one. */
static kw_status next_record(struct walk *walk, kw_reseal_record *record, kw_error *error)
{
    const kw_reseal_options *const options = walk->options;
    const kw_status status = options->next(options->user, buffer_view(&walk->after), record);
    if (status == KW_NOT_FOUND)
        return status;
    if (status != KW_OK)
        return callback_error(status, "hands out", error);
    if (record->name.length == 0 || record->name.length > RECORD_NAME_MAXIMUM ||
        record->context.length > SUBKEY_CONTEXT_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT,
                         "a record's name has 1 to %u bytes, and its context at most %d; here are %zu and %zu",
                         RECORD_NAME_MAXIMUM, SUBKEY_CONTEXT_MAXIMUM, record->name.length, record->context.length);
    if (input_equal(record->name, buffer_view(&walk->after)))
        return error_set(error, KW_INVALID_ARGUMENT,
                         "the server's function hands out the record behind which it was asked for the next one");
    return set(&walk->next, record->name, error);
}

static kw_status walk_on(struct walk *walk, bool *is_over, kw_error *error)
{
    const kw_reseal_options *const options = walk->options;
    kw_reseal_record record = {0};
    bool again = false;
    kw_status status = next_record(walk, &record, error);
    if (status == KW_NOT_FOUND) {
        *is_over = true;
        return KW_OK;
    }
    if (status == KW_OK)
        status = do_record(walk, &record, &again, error);
    if (status != KW_OK || again)
        return status;
    walk->changes = 0;
    walk->result.records++;
    status = set(&walk->after, buffer_view(&walk->next), error);
    if (status == KW_OK && options->progress != NULL)
        options->progress(options->user, buffer_view(&walk->after), walk->result.records, walk->result.resealed);
    return status;
}

/*
 * After this, whoever begins a seal reads which version is the active one; and nobody is still at one that began before. Without it, a seal under an
 * older version could come to a place that the walk has passed.
 */
static kw_status settle(kw_context *context, uint32_t wait_ms, kw_error *error)
{
    char who[CONTROL_WHO_SIZE];
    uint64_t generation = 0;
    kw_status status = control_raise(context->control, &generation, error);
    if (status == KW_OK)
        status = control_wait(context->control, generation, wait_ms != 0 ? wait_ms : SETTLE_MILLISECONDS, who, error);
    if (status == KW_TIMEOUT) {
        status = error_set(error, KW_TIMEOUT, "%s may still seal under an older version", who);
        error_remedy(error, "end it, or let it read the state directory, then try again");
    }
    return status;
}

static kw_status check_options(const kw_reseal_options *options, kw_error *error)
{
    if (options->address == NULL || options->next == NULL || options->replace == NULL)
        return error_set(error, KW_INVALID_ARGUMENT,
                         "sealing anew takes an address and functions that hand out and replace records");
    if (options->after.length > RECORD_NAME_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "a record's name has at most %u bytes", RECORD_NAME_MAXIMUM);
    return KW_OK;
}

kw_status manager_reseal(kw_context *context, const kw_reseal_options *given, kw_reseal_result *result, kw_error *error)
{
    kw_reseal_options options;
    struct found master = {0};
    struct walk walk = {.context = context, .options = &options, .master = &master};
    kw_error own = {0}, *const why = error != NULL ? error : &own;
    bool is_over = false;
    kw_status status = options_take(&options, sizeof(options), given, why);
    if (status == KW_OK)
        status = check_options(&options, why);
    if (status == KW_OK)
        status = manager_find_master(context, options.address, &master, why);
    if (status == KW_OK && options.everything)
        status = settle(context, options.wait_ms, why);
    if (status == KW_OK)
        status = keyring_active(context->keyring, &master.entry.id, &walk.version, why);
    if (status == KW_OK)
        status = set(&walk.after, options.after, why);
    while (status == KW_OK && !is_over)
        status = walk_on(&walk, &is_over, why);
    if (status == KW_OK && options.everything && options.after.length == 0)
        status = keyring_resealed(context->keyring, &master.entry.id, walk.version, why);
    walk.result.version = walk.version;
    if (result != NULL)
        *result = walk.result;
    buffer_free(&walk.after);
    buffer_free(&walk.next);
    found_clear(&master);
    return status;
}
