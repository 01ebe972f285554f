#include "subkey/root_record.h"

#include "store/key.h"

#include <string.h>

void root_wraps_write(const struct root_wraps *wraps, struct buffer *to)
{
    buffer_append_u8(to, (uint8_t)wraps->count);
    for (size_t i = 0; i < wraps->count; i++) {
        const struct root_wrap *wrap = &wraps->wraps[i];
        buffer_append_u8(to, (uint8_t)wrap->recipient);
        buffer_append(to, wrap->spki, sizeof(wrap->spki));
        buffer_append_field(to, wrap->algorithm);
        buffer_append_field(to, wrap->ciphertext);
    }
}

static bool wrap_read(kw_input *from, struct root_wrap *wrap)
{
    uint8_t recipient = 0;
    kw_input spki = {0};
    if (!input_u8(from, &recipient) || recipient < ROOT_TO_MASTER || recipient > ROOT_TO_RECOVERY ||
        !input_bytes(from, sizeof(wrap->spki), &spki) || !input_field(from, &wrap->algorithm) ||
        !input_field(from, &wrap->ciphertext))
        return false;
    wrap->recipient = (enum root_recipient)recipient;
    memcpy(wrap->spki, spki.data, sizeof(wrap->spki));
    return true;
}

bool root_wraps_read(kw_input from, struct root_wraps *wraps)
{
    uint8_t count = 0;
    bool good = input_u8(&from, &count) && count >= 1 && count <= ROOT_WRAPS_COUNT;
    wraps->count = 0;
    while (good && wraps->count < count)
        good = wrap_read(&from, &wraps->wraps[wraps->count++]);
    return good && from.length == 0;
}

void root_signed_bytes(const struct root_row *row, struct buffer *to)
{
    buffer_append(to, KEY_ROOT_MAGIC, KEY_ROOT_MAGIC_LENGTH);
    buffer_append(to, row->master.bytes, sizeof(row->master.bytes));
    buffer_append_u32(to, row->version);
    buffer_append(to, row->spki, sizeof(row->spki));
    buffer_append_field(to, input_text(row->scheme));
    buffer_append_field(to, (kw_input){row->wraps.data, row->wraps.length});
}

/* ---- What is wrapped ---- */

enum { HEAD_LENGTH = KEY_ROOT_MAGIC_LENGTH + KW_KEY_ID_LENGTH + 4 };

static void head_write(const struct id *master, uint32_t version, unsigned char head[HEAD_LENGTH])
{
    memcpy(head, KEY_ROOT_MAGIC, KEY_ROOT_MAGIC_LENGTH);
    memcpy(head + KEY_ROOT_MAGIC_LENGTH, master->bytes, KW_KEY_ID_LENGTH);
    for (unsigned i = 0; i < 4; i++)
        head[HEAD_LENGTH - 4 + i] = (unsigned char)(version >> (24 - 8 * i));
}

kw_status root_content_write(const struct id *master, uint32_t version, kw_input root, struct secret *content,
                             kw_error *error)
{
    const kw_status status = secret_new(content, ROOT_CONTENT_LENGTH, error);
    if (status != KW_OK)
        return status;
    head_write(master, version, content->data);
    memcpy(content->data + HEAD_LENGTH, root.data, ROOT_LENGTH);
    content->length = ROOT_CONTENT_LENGTH;
    return KW_OK;
}

kw_status root_content_read(const struct id *master, uint32_t version, kw_input content, struct secret *root,
                            kw_error *error)
{
    unsigned char head[HEAD_LENGTH];
    head_write(master, version, head);
    if (content.length != ROOT_CONTENT_LENGTH || !crypto_equal(content.data, head, sizeof(head)))
        return error_set(error, KW_CORRUPT, "what is wrapped is not this root");
    return secret_copy(root, (kw_input){content.data + HEAD_LENGTH, ROOT_LENGTH}, error);
}
