/* Class separation: what a server derives for itself (SUBKEY_RAW) never equals what the library derives for its own use. */
#include "subkey/derive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"

#define LENGTH  64u /* the longest that a server is given */
#define CLASSES 5u

static const unsigned char root[ROOT_LENGTH] = {42};

/* What the library uses as purposes, and what could be taken for it. */
static const char *const purposes[] = {"ec-p256",
                                       "ec-p384",
                                       "ed25519",
                                       "password",
                                       "0a0b0c0d:passphrase",
                                       "keywright/1",
                                       "keywright/1\3",
                                       "\1",
                                       "\2",
                                       "\3",
                                       "\4",
                                       "\5",
                                       "ec-p256\2\2",
                                       "check",
                                       "ec-p256\21\21\21\21\21\21\21\21\21\21",
                                       "keywright root/1",
                                       "x",
                                       "xx",
                                       "master-key/corp"};
static const char *const contexts[] = {"", "x", "\21\21\21\21\21\21\21\21\21\21\21\21\21\21\21\21", "ec-p256"};
#define PURPOSES (sizeof(purposes) / sizeof(purposes[0]))
#define CONTEXTS (sizeof(contexts) / sizeof(contexts[0]))

static int compare(const void *left, const void *right)
{
    return memcmp(left, right, 16);
}

/* Any 16 bytes of a subkey, which is less than any key is made of. */
static void every_class_purpose_and_context_gives_other_bytes(void **state)
{
    static unsigned char all[CLASSES * PURPOSES * CONTEXTS * 2 * (LENGTH / 16)][16];
    struct crypto *crypto = NULL;
    size_t count = 0;
    kw_error error = {0};

    (void)state;
    assert_int_equal(crypto_open(&crypto, &error), KW_OK);
    for (unsigned class = SUBKEY_SEAL; class <= SUBKEY_CHECK; class ++)
        for (size_t p = 0; p < PURPOSES; p++)
            for (size_t c = 0; c < CONTEXTS; c++)
                for (uint32_t version = 1; version <= 2; version++) {
                    const struct subkey_name name = {.class = (enum subkey_class) class,
                                                     .master = {{9}},
                                                     .version = version,
                                                     .purpose = input_text(purposes[p]),
                                                     .context = input_text(contexts[c])};
                    unsigned char bytes[LENGTH];
                    assert_int_equal(
                        subkey_derive(crypto, (kw_input){root, sizeof(root)}, &name, bytes, LENGTH, &error), KW_OK);
                    for (size_t at = 0; at < LENGTH; at += 16)
                        memcpy(all[count++], bytes + at, 16);
                }
    assert_int_equal(count, sizeof(all) / sizeof(all[0]));
    qsort(all, count, sizeof(all[0]), compare);
    for (size_t i = 1; i < count; i++)
        assert_memory_not_equal(all[i - 1], all[i], 16);
    crypto_close(crypto);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_class_purpose_and_context_gives_other_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
