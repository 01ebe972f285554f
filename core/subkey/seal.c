#include "subkey/seal.h"

#include "base/buffer.h"

#include <keywright/subkeys.h>

#include <string.h>

static const unsigned char magic[4] = {'K', 'W', 'S', 1};

/* magic, master key, version, length of the purpose */
enum { FIXED_LENGTH = sizeof(magic) + KW_KEY_ID_LENGTH + 4 + 1 };

_Static_assert(FIXED_LENGTH + XAES_OVERHEAD == KW_SEAL_OVERHEAD, "subkeys.h tells the overhead");

kw_status seal_read_header(kw_input sealed, struct seal_header *header, kw_error *error)
{
    kw_input rest = sealed, word, master, purpose;
    uint32_t version;
    uint8_t purpose_length;
    if (!input_bytes(&rest, sizeof(magic), &word) || memcmp(word.data, magic, sizeof(magic) - 1) != 0)
        return error_set(error, KW_CIPHERTEXT_INVALID, "this is no seal");
    if (word.data[sizeof(magic) - 1] != magic[sizeof(magic) - 1])
        return error_set(error, KW_CIPHERTEXT_INVALID, "this is a seal of format %d, and only %d is known here",
                         word.data[sizeof(magic) - 1], magic[sizeof(magic) - 1]);
    if (!input_bytes(&rest, sizeof(header->master.bytes), &master) || !input_u32(&rest, &version) ||
        !input_u8(&rest, &purpose_length) || !input_bytes(&rest, purpose_length, &purpose) ||
        rest.length < XAES_OVERHEAD)
        return error_set(error, KW_CIPHERTEXT_INVALID, "this seal is cut short");
    if (version == 0 || purpose_length == 0)
        return error_set(error, KW_CIPHERTEXT_INVALID, "this seal has no %s",
                         purpose_length == 0 ? "purpose" : "version");
    memcpy(header->master.bytes, master.data, sizeof(header->master.bytes));
    header->version = version;
    header->purpose = purpose;
    header->length = FIXED_LENGTH + purpose.length;
    return KW_OK;
}

kw_status seal_make_header(const struct id *master, uint32_t version, kw_input purpose, struct seal_header *header,
                           kw_error *error)
{
    if (purpose.length == 0 || purpose.length > SUBKEY_PURPOSE_MAXIMUM || version == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "a seal has a version and a purpose of 1 to %d bytes",
                         SUBKEY_PURPOSE_MAXIMUM);
    *header = (struct seal_header){*master, version, purpose, FIXED_LENGTH + purpose.length};
    return KW_OK;
}

size_t seal_length(const struct seal_header *header, size_t plaintext)
{
    return header->length + XAES_OVERHEAD + plaintext;
}

size_t seal_plaintext_length(const struct seal_header *header, size_t sealed)
{
    const size_t least = seal_length(header, 0);
    return sealed < least ? 0 : sealed - least;
}

static void write_header(const struct seal_header *header, unsigned char *out)
{
    memcpy(out, magic, sizeof(magic));
    out += sizeof(magic);
    memcpy(out, header->master.bytes, sizeof(header->master.bytes));
    out += sizeof(header->master.bytes);
    for (unsigned i = 0; i < 4; i++)
        *out++ = (unsigned char)(header->version >> (24 - 8 * i));
    *out++ = (unsigned char)header->purpose.length;
    memcpy(out, header->purpose.data, header->purpose.length);
}

kw_status seal_close(struct xaes_key *key, const struct seal_header *header, kw_input plaintext, kw_input associated,
                     unsigned char *out, kw_error *error)
{
    unsigned char *nonce = out + header->length, *ciphertext = nonce + XAES_NONCE_LENGTH;
    const struct xaes_message message = {plaintext, {{out, header->length}, associated}};
    write_header(header, out);
    return xaes_encrypt(key, NULL, &message, nonce, ciphertext, ciphertext + plaintext.length, error);
}

kw_status seal_open(struct xaes_key *key, const struct seal_header *header, kw_input sealed, kw_input associated,
                    unsigned char *out, kw_error *error)
{
    if (sealed.length < seal_length(header, 0))
        return error_set(error, KW_CIPHERTEXT_INVALID, "this seal is cut short");
    const unsigned char *nonce = sealed.data + header->length, *ciphertext = nonce + XAES_NONCE_LENGTH;
    const size_t length = seal_plaintext_length(header, sealed.length);
    const struct xaes_message message = {{ciphertext, length}, {{sealed.data, header->length}, associated}};
    return xaes_decrypt(key, nonce, &message, ciphertext + length, out, error);
}
