/* What a server is given to unseal; and what it seals, of which it must be able to read every byte. */
#include "fuzz.h"

#include "subkey/seal.h"

#include <stdlib.h>
#include <string.h>

static struct xaes *shared(void)
{
    static struct xaes *xaes;
    if (xaes == NULL && xaes_new(fuzz_crypto(), &xaes, NULL) != KW_OK)
        abort();
    return xaes;
}

/* Root 00..1f: the seed of the corpus is a seal under it. */
static void derive(const struct seal_header *header, struct xaes_secret *secret)
{
    unsigned char root[ROOT_LENGTH], subkey[XAES_KEY_LENGTH];
    const struct subkey_name name = {
        SUBKEY_SEAL, header->master, header->version, header->purpose, {(const unsigned char *)"database/sales", 14}};
    for (unsigned char i = 0; i < sizeof(root); i++)
        root[i] = i;
    if (subkey_derive(fuzz_crypto(), (kw_input){root, sizeof(root)}, &name, subkey, sizeof(subkey), NULL) != KW_OK ||
        xaes_prepare(shared(), subkey, secret, NULL) != KW_OK)
        abort();
}

static void unseal(kw_input sealed)
{
    static const kw_input associated = {(const unsigned char *)"record 5", 8};
    struct seal_header header;
    struct xaes_secret secret;
    struct xaes_key key;
    kw_error error = {0};
    kw_status status = seal_read_header(sealed, &header, &error);
    fuzz_judge(status, &error);
    if (status != KW_OK)
        return;
    const size_t length = seal_plaintext_length(&header, sealed.length);
    unsigned char *plaintext = malloc(length + 1);
    if (plaintext == NULL || header.length + XAES_OVERHEAD + length != sealed.length)
        abort();
    derive(&header, &secret);
    xaes_key_init(&key, shared(), &secret);
    status = seal_open(&key, &header, sealed, associated, plaintext, &error);
    fuzz_judge(status, &error);
    if (status != KW_OK && status != KW_CIPHERTEXT_INVALID)
        abort();
    xaes_key_clear(&key);
    free(plaintext);
}

/* The input's first byte says how much of it is the purpose. */
static void there_and_back(kw_input input)
{
    struct seal_header header, read;
    struct xaes_secret secret;
    struct xaes_key key;
    kw_error error = {0};
    const struct id master = {{1}};
    const size_t purpose_length = input.data[0] < input.length - 1 ? input.data[0] : input.length - 1;
    const kw_input purpose = {input.data + 1, purpose_length},
                   rest = {input.data + 1 + purpose_length, input.length - 1 - purpose_length};
    const kw_status status = seal_make_header(&master, 1, purpose, &header, &error);
    fuzz_judge(status, &error);
    if (status != KW_OK)
        return;
    const size_t length = seal_length(&header, rest.length);
    unsigned char *sealed = malloc(length), *opened = malloc(rest.length + 1);
    if (sealed == NULL || opened == NULL)
        abort();
    derive(&header, &secret);
    xaes_key_init(&key, shared(), &secret);
    if (seal_close(&key, &header, rest, purpose, sealed, NULL) != KW_OK ||
        seal_read_header((kw_input){sealed, length}, &read, NULL) != KW_OK || read.length != header.length ||
        seal_open(&key, &read, (kw_input){sealed, length}, purpose, opened, NULL) != KW_OK ||
        (rest.length > 0 && memcmp(opened, rest.data, rest.length) != 0))
        abort();
    xaes_key_clear(&key);
    free(sealed);
    free(opened);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    const kw_input input = {data, length};
    unseal(input);
    if (length > 0)
        there_and_back(input);
    return 0;
}
