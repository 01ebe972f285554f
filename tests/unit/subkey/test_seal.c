#include "subkey/seal.h"

#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct scene {
    struct crypto *crypto;
    struct xaes *xaes;
    struct xaes_secret secret;
    struct xaes_key key;
};

static int setup(void **state)
{
    static struct scene scene;
    static const unsigned char subkey[XAES_KEY_LENGTH] = {7};
    *state = &scene;
    if (crypto_open(&scene.crypto, NULL) != KW_OK || xaes_new(scene.crypto, &scene.xaes, NULL) != KW_OK ||
        xaes_prepare(scene.xaes, subkey, &scene.secret, NULL) != KW_OK)
        return -1;
    xaes_key_init(&scene.key, scene.xaes, &scene.secret);
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    xaes_key_clear(&scene->key);
    xaes_free(scene->xaes);
    crypto_close(scene->crypto);
    return 0;
}

static void seal_open_what_was_closed_comes_back(void **state)
{
    struct scene *scene = *state;
    const struct id master = {{1, 2, 3}};
    const kw_input text = input_text("a password"), associated = input_text("record 5");
    struct seal_header header, read;
    assert_int_equal(seal_make_header(&master, 3, input_text("password"), &header, NULL), KW_OK);
    const size_t length = seal_length(&header, text.length);
    unsigned char sealed[256], opened[64] = {0};
    assert_int_equal(seal_close(&scene->key, &header, text, associated, sealed, NULL), KW_OK);
    assert_int_equal(seal_read_header((kw_input){sealed, length}, &read, NULL), KW_OK);
    assert_true(id_equal(&read.master, &master));
    assert_int_equal(read.version, 3);
    assert_true(input_equal(read.purpose, input_text("password")));
    assert_int_equal(seal_plaintext_length(&read, length), text.length);
    assert_int_equal(seal_open(&scene->key, &read, (kw_input){sealed, length}, associated, opened, NULL), KW_OK);
    assert_memory_equal(opened, text.data, text.length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seal_open_what_was_closed_comes_back),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
