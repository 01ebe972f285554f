#include "fuzz.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

struct crypto *fuzz_crypto(void)
{
    static struct crypto *crypto;
    if (crypto == NULL && crypto_open(&crypto, NULL) != KW_OK)
        abort();
    return crypto;
}

char *fuzz_text(const uint8_t *data, size_t length)
{
    char *text = malloc(length + 1);
    if (text == NULL)
        abort();
    memcpy(text, data, length);
    text[length] = '\0';
    return text;
}

void fuzz_judge(kw_status status, const kw_error *error)
{
    if (ERR_peek_error() != 0 || (status != KW_OK && (error->status != status || error->message[0] == '\0')))
        abort();
}
