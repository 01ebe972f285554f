#include "subkey/derive.h"

#include "base/buffer.h"
#include "data/subkeys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SUBKEY_MAXIMUM 64

static unsigned char root[ROOT_LENGTH];
static struct id master;

static int setup(void **state)
{
    static struct crypto *crypto;
    if (crypto_open(&crypto, NULL) != KW_OK || !hex_decode(subkey_vector_root, root, sizeof(root)) ||
        !id_parse(subkey_vector_master, &master))
        return -1;
    *state = crypto;
    return 0;
}

static int teardown(void **state)
{
    crypto_close(*state);
    return 0;
}

static void derive(struct crypto *crypto, const struct subkey_name *name, unsigned char *out, size_t length)
{
    assert_int_equal(subkey_derive(crypto, (kw_input){root, sizeof(root)}, name, out, length, NULL), KW_OK);
}

static void subkey_derive_of_fixed_names_is_what_it_always_was(void **state)
{
    for (size_t i = 0; i < sizeof(subkey_vectors) / sizeof(subkey_vectors[0]); i++) {
        const size_t length = strlen(subkey_vectors[i].subkey) / 2;
        const struct subkey_name name = {(enum subkey_class)subkey_vectors[i].class, master, subkey_vectors[i].version,
                                         input_text(subkey_vectors[i].purpose), input_text(subkey_vectors[i].context)};
        unsigned char out[SUBKEY_MAXIMUM], expected[SUBKEY_MAXIMUM];
        assert_true(hex_decode(subkey_vectors[i].subkey, expected, length));
        derive(*state, &name, out, length);
        assert_memory_equal(out, expected, length);
    }
}

/* Whatever the name, what a server derives for itself is in a class of its own; the first bytes of a longer one are no exception. */
static void subkey_derive_every_part_of_the_name_counts(void **state)
{
    static const struct id other = {{9}};
    const struct subkey_name name = {SUBKEY_RAW, master, 1, input_text("purpose"), input_text("context")};
    struct subkey_name names[10];
    unsigned char subkeys[10][SUBKEY_MAXIMUM];
    for (size_t i = 0; i < 10; i++)
        names[i] = name;
    names[1].class = SUBKEY_SEAL;
    names[2].class = SUBKEY_CERTIFICATE;
    names[3].class = SUBKEY_SECRET;
    names[4].class = SUBKEY_CHECK;
    names[5].master = other;
    names[6].version = 2;
    names[7].purpose = input_text("purposf");
    names[8].context = input_text("");
    names[9].purpose = input_text("purposec");
    names[9].context = input_text("ontext");
    for (size_t i = 0; i < 10; i++)
        derive(*state, &names[i], subkeys[i], SUBKEY_MAXIMUM);
    for (size_t i = 0; i < 10; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(subkeys[i], subkeys[j], 16);
}

static void subkey_derive_another_root_gives_another_subkey(void **state)
{
    unsigned char other[ROOT_LENGTH] = {1}, left[32], right[32];
    const struct subkey_name name = {SUBKEY_SEAL, master, 1, input_text("purpose"), {0}};
    derive(*state, &name, left, sizeof(left));
    assert_int_equal(subkey_derive(*state, (kw_input){other, sizeof(other)}, &name, right, sizeof(right), NULL), KW_OK);
    assert_memory_not_equal(left, right, sizeof(left));
}

static void subkey_derive_out_of_limits_is_refused(void **state)
{
    static const unsigned char long_text[SUBKEY_CONTEXT_MAXIMUM + 1] = {1};
    unsigned char out[32];
    const struct {
        size_t purpose, context;
        kw_status status;
    } cases[] = {{0, 0, KW_INVALID_ARGUMENT},
                 {1, 0, KW_OK},
                 {SUBKEY_PURPOSE_MAXIMUM, SUBKEY_CONTEXT_MAXIMUM, KW_OK},
                 {SUBKEY_PURPOSE_MAXIMUM + 1, 0, KW_INVALID_ARGUMENT},
                 {1, SUBKEY_CONTEXT_MAXIMUM + 1, KW_INVALID_ARGUMENT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct subkey_name name = {
            SUBKEY_SEAL, master, 1, {long_text, cases[i].purpose}, {long_text, cases[i].context}};
        kw_error error = {0};
        assert_int_equal(subkey_derive(*state, (kw_input){root, sizeof(root)}, &name, out, sizeof(out), &error),
                         cases[i].status);
        assert_true(cases[i].status == KW_OK || strstr(error.message, "bytes, and this one") != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subkey_derive_of_fixed_names_is_what_it_always_was),
        cmocka_unit_test(subkey_derive_every_part_of_the_name_counts),
        cmocka_unit_test(subkey_derive_another_root_gives_another_subkey),
        cmocka_unit_test(subkey_derive_out_of_limits_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
