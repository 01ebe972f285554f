#include "subkey/derive.h"

#include "base/buffer.h"
#include "base/secret.h"

static const char label[] = "keywright/1";

static kw_status check(const struct subkey_name *name, kw_error *error)
{
    if (name->purpose.length == 0 || name->purpose.length > SUBKEY_PURPOSE_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "the purpose of a subkey has 1 to %d bytes, and this one %zu",
                         SUBKEY_PURPOSE_MAXIMUM, name->purpose.length);
    if (name->context.length > SUBKEY_CONTEXT_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "the context of a subkey has at most %d bytes, and this one %zu",
                         SUBKEY_CONTEXT_MAXIMUM, name->context.length);
    return KW_OK;
}

kw_status subkey_derive(struct crypto *crypto, kw_input root, const struct subkey_name *name, unsigned char *out,
                        size_t length, kw_error *error)
{
    struct buffer info = {0};
    kw_status status = check(name, error);
    if (status != KW_OK)
        return status;
    buffer_append(&info, label, sizeof(label) - 1);
    buffer_append_u8(&info, (uint8_t)name->class);
    buffer_append(&info, name->master.bytes, sizeof(name->master.bytes));
    buffer_append_u32(&info, name->version);
    buffer_append_field(&info, name->purpose);
    buffer_append_field(&info, name->context);
    status =
        info.failed ? error_memory(error) : crypto_hkdf_expand(crypto, root, buffer_view(&info), out, length, error);
    buffer_free(&info);
    return status;
}
