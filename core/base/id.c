#include "base/id.h"

#include "base/buffer.h"

#include <string.h>

kw_status id_make(struct crypto *crypto, struct id *id, kw_error *error)
{
    struct id made = {0};
    kw_status status = crypto_random(crypto, made.bytes, sizeof(made.bytes), error);
    if (status == KW_OK)
        *id = made;
    return status;
}

void id_text(const struct id *id, char text[ID_TEXT_SIZE])
{
    hex_encode((kw_input){id->bytes, sizeof(id->bytes)}, text);
}

bool id_parse(const char *text, struct id *id)
{
    return hex_decode(text, id->bytes, sizeof(id->bytes));
}

bool id_equal(const struct id *left, const struct id *right)
{
    return memcmp(left->bytes, right->bytes, sizeof(left->bytes)) == 0;
}

bool id_is_zero(const struct id *id)
{
    static const struct id zero;
    return id_equal(id, &zero);
}
