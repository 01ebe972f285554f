#include "base/machine.h"

#include "base/buffer.h"
#include "base/file.h"

#include <string.h>

enum { ID_LENGTH = 16 };

/* This application's own: random, made once. `systemd-id128 machine-id --app-specific=` it prints the same. */
static const unsigned char application[ID_LENGTH] = {0x9f, 0x35, 0xc1, 0x6e, 0x2b, 0x80, 0x4a, 0xd7,
                                                     0xb4, 0x1d, 0x06, 0xe9, 0x73, 0xfa, 0x58, 0xc2};

static kw_status none(const char *path, const char *what, kw_error *error)
{
    error_set(error, KW_NOT_FOUND, "this machine has no id: %s", what);
    error_where(error, "%s", path);
    error_remedy(error,
                 "make one with `systemd-machine-id-setup` or `dbus-uuidgen --ensure=%s`, or name another file in "
                 "the configuration (licence: {machine_id_file: PATH})",
                 path);
    return KW_NOT_FOUND;
}

/* 32 digits and a newline. */
static kw_status parse(const char *path, kw_input content, unsigned char id[ID_LENGTH], kw_error *error)
{
    static const unsigned char zero[ID_LENGTH] = {0};
    char digits[2 * ID_LENGTH + 1] = "";
    size_t length = content.length;
    if (length > 0 && content.data[length - 1] == '\n')
        length--;
    if (length == 0 || input_equal((kw_input){content.data, length}, input_text("uninitialized")))
        return none(path, "it is not initialised", error);
    if (length == sizeof(digits) - 1)
        memcpy(digits, content.data, sizeof(digits) - 1);
    if (!hex_decode(digits, id, ID_LENGTH) || memcmp(id, zero, ID_LENGTH) == 0) {
        error_set(error, KW_CORRUPT, "this is no machine id: it must be 32 hex digits, not all zero");
        error_where(error, "%s", path);
        return KW_CORRUPT;
    }
    return KW_OK;
}

static kw_status read_id(const char *path, unsigned char id[ID_LENGTH], kw_error *error)
{
    kw_bytes content = {0};
    kw_status status =
        path == NULL ? machine_system_id(&content, &path, error) : file_read(path, MACHINE_ID_MAXIMUM, &content, error);
    if (status == KW_NOT_FOUND)
        return none(path, "there is none", error);
    if (status == KW_OK)
        status = parse(path, (kw_input){content.data, content.length}, id, error);
    kw_bytes_free(&content);
    return status;
}

kw_status machine_id(struct crypto *crypto, const char *path, char text[MACHINE_ID_TEXT_SIZE], kw_error *error)
{
    unsigned char id[ID_LENGTH] = {0}, mac[SHA256_LENGTH];
    kw_status status = read_id(path, id, error);
    if (status == KW_OK)
        status = crypto_hmac_sha256(crypto, (kw_input){id, sizeof(id)}, (kw_input){application, sizeof(application)},
                                    mac, error);
    if (status != KW_OK)
        return status;
    /* As a random UUID looks (RFC 9562, version 4). */
    mac[6] = (unsigned char)((mac[6] & 0x0f) | 0x40);
    mac[8] = (unsigned char)((mac[8] & 0x3f) | 0x80);
    hex_encode((kw_input){mac, ID_LENGTH}, text);
    return KW_OK;
}
