#include "catalogue/row.h"

#include <string.h>

#include "base/buffer.h"

#define DROP                                                                                                           \
    "restore the catalogue from a backup; or drop it (`keywright delete CERT --force`: its key stays in its store), "  \
    "and import or create it anew. Other certificates are not affected"

const struct table table_entry = {"entry", 6, DROP};
const struct table table_certificate = {"certificate", 9, DROP};
const struct table table_record = {
    "record", 3, "restore the catalogue from a backup: what the store keeps in this record cannot be used without it"};
const struct table table_store = {
    "store", 3, "restore the catalogue from a backup: the store cannot be opened, and none of its keys used"};
const struct table table_journal = {
    "journal", 8,
    "restore the catalogue from a backup; what the interrupted operation left in its store stays there meanwhile"};
const struct table table_root = {
    "root", 10,
    "restore the catalogue from a backup: what was sealed and derived under this master key cannot be had without it. "
    "Other master keys are not affected"};

struct value value_text(const char *text)
{
    return (struct value){.type = VALUE_TEXT, .bytes = input_text(text)};
}

struct value value_bytes(kw_input bytes)
{
    return (struct value){.type = VALUE_BYTES, .bytes = bytes};
}

struct value value_integer(int64_t integer)
{
    return (struct value){.type = VALUE_INTEGER, .integer = integer};
}

/* ---- Writing ---- */

void row_add_integer(struct row *row, int64_t integer)
{
    row->values[row->count++] = value_integer(integer);
}

void row_add_text(struct row *row, const char *text)
{
    row->values[row->count++] = value_text(text);
}

void row_add_bytes(struct row *row, kw_input bytes)
{
    row->values[row->count++] = value_bytes(bytes);
}

void row_add_id(struct row *row, const struct id *id)
{
    if (id_is_zero(id)) {
        row->values[row->count++] = (struct value){.type = VALUE_NULL};
        return;
    }
    char *text = row->ids[row->id_count++];
    id_text(id, text);
    row_add_text(row, text);
}

/*
 * What the HMAC is over: no two rows have one encoding, since every length comes before its bytes and every value begins with its type.
 */
static kw_status row_mac(const struct row *row, uint64_t generation, struct crypto *crypto, kw_input key,
                         unsigned char mac[SHA256_LENGTH], kw_error *error)
{
    struct buffer encoded = {0};
    kw_status status = KW_OK;
    buffer_append_field(&encoded, input_text(row->table->name));
    buffer_append_u64(&encoded, generation);
    buffer_append_u32(&encoded, (uint32_t)row->table->columns);
    for (size_t i = 0; i < row->table->columns; i++) {
        const struct value *value = &row->values[i];
        buffer_append_u8(&encoded, (uint8_t)value->type);
        if (value->type == VALUE_INTEGER)
            buffer_append_u64(&encoded, (uint64_t)value->integer);
        else if (value->type != VALUE_NULL)
            buffer_append_field(&encoded, value->bytes);
    }
    if (encoded.failed) {
        status = error_memory(error);
        goto out;
    }
    status = crypto_hmac_sha256(crypto, key, buffer_view(&encoded), mac, error);
out:
    buffer_free(&encoded);
    return status;
}

kw_status row_seal(struct row *row, struct crypto *crypto, kw_input key, uint64_t generation, kw_error *error)
{
    kw_status status = row_mac(row, generation, crypto, key, row->mac, error);
    if (status != KW_OK)
        return status;
    row_add_integer(row, (int64_t)generation);
    row_add_bytes(row, (kw_input){row->mac, sizeof(row->mac)});
    return KW_OK;
}

/* ---- Reading ---- */

size_t row_width(const struct table *table)
{
    return table->columns + 2;
}

kw_status row_verify(const struct row *row, struct crypto *crypto, kw_input key, bool *verified, kw_error *error)
{
    const struct value *generation = &row->values[row->table->columns];
    const struct value *stored = &row->values[row->table->columns + 1];
    unsigned char mac[SHA256_LENGTH];
    if (generation->type != VALUE_INTEGER || generation->integer < 1 || stored->type != VALUE_BYTES ||
        stored->bytes.length != sizeof(mac)) {
        *verified = false;
        return KW_OK;
    }
    kw_status status = row_mac(row, (uint64_t)generation->integer, crypto, key, mac, error);
    if (status == KW_OK)
        *verified = crypto_equal(mac, stored->bytes.data, sizeof(mac));
    return status;
}

/* The next value when it is of this type, else NULL. */
static const struct value *take(struct row_reader *reader, enum value_type type)
{
    const struct value *value = &reader->row->values[reader->next++];
    if (value->type == type)
        return value;
    reader->malformed = true;
    return NULL;
}

int64_t row_take_integer(struct row_reader *reader, int64_t minimum, int64_t maximum)
{
    const struct value *value = take(reader, VALUE_INTEGER);
    if (value != NULL && value->integer >= minimum && value->integer <= maximum)
        return value->integer;
    reader->malformed = true;
    return 0;
}

char *row_take_text(struct row_reader *reader)
{
    const struct value *value = take(reader, VALUE_TEXT);
    if (value == NULL)
        return NULL;
    char *text = text_format("%.*s", (int)value->bytes.length, (const char *)value->bytes.data);
    if (text == NULL)
        reader->no_memory = true;
    return text;
}

kw_input row_take_bytes(struct row_reader *reader, size_t maximum)
{
    const struct value *value = take(reader, VALUE_BYTES);
    if (value != NULL && value->bytes.length <= maximum)
        return value->bytes;
    reader->malformed = true;
    return (kw_input){0};
}

struct id row_take_id(struct row_reader *reader)
{
    struct id id = {0};
    const struct value *value = &reader->row->values[reader->next];
    if (value->type == VALUE_NULL) {
        reader->next++;
        return id;
    }
    char text[ID_TEXT_SIZE] = "";
    value = take(reader, VALUE_TEXT);
    if (value != NULL && value->bytes.length == ID_TEXT_SIZE - 1)
        memcpy(text, value->bytes.data, ID_TEXT_SIZE - 1);
    if (!id_parse(text, &id))
        reader->malformed = true;
    return id;
}

unsigned row_take_name(struct row_reader *reader, const char *const *names, size_t count)
{
    const struct value *value = take(reader, VALUE_TEXT);
    for (unsigned i = 1; value != NULL && i < count; i++) {
        if (input_equal(value->bytes, input_text(names[i])))
            return i;
    }
    reader->malformed = true;
    return 0;
}

uint64_t row_generation(const struct row *row)
{
    return (uint64_t)row->values[row->table->columns].integer;
}
