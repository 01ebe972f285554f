#include "subkey/seal.h"

#include "base/buffer.h"
#include "data/subkeys.h"

#include <keywright/subkeys.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEALED_MAXIMUM 1024

struct scene {
    struct crypto *crypto;
    struct xaes *xaes;
    struct xaes_secret secret, other_secret;
    struct xaes_key key, other;
    struct seal_header header;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length;
};

static const struct id master = {{0x10, 0x11, 0x12, 0x13}};
static const kw_input text = {(const unsigned char *)"a password", 10};
static const kw_input associated = {(const unsigned char *)"record 5", 8};

static int setup(void **state)
{
    static struct scene scene;
    static const unsigned char subkey[XAES_KEY_LENGTH] = {7}, other[XAES_KEY_LENGTH] = {8};
    *state = &scene;
    if (crypto_open(&scene.crypto, NULL) != KW_OK || xaes_new(scene.crypto, &scene.xaes, NULL) != KW_OK ||
        xaes_prepare(scene.xaes, subkey, &scene.secret, NULL) != KW_OK ||
        xaes_prepare(scene.xaes, other, &scene.other_secret, NULL) != KW_OK)
        return -1;
    xaes_key_init(&scene.key, scene.xaes, &scene.secret);
    xaes_key_init(&scene.other, scene.xaes, &scene.other_secret);
    scene.length = 0;
    if (seal_make_header(&master, 3, input_text("password"), &scene.header, NULL) != KW_OK ||
        seal_close(&scene.key, &scene.header, text, associated, scene.sealed, NULL) != KW_OK)
        return -1;
    scene.length = seal_length(&scene.header, text.length);
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    xaes_key_clear(&scene->key);
    xaes_key_clear(&scene->other);
    xaes_free(scene->xaes);
    crypto_close(scene->crypto);
    return 0;
}

/* Reads the header and opens it with the key; what comes out must be the text, or zeros. */
static kw_status open_by(struct xaes_key *key, kw_input sealed, kw_input with, kw_error *error)
{
    struct seal_header header;
    unsigned char opened[SEALED_MAXIMUM];
    kw_status status = seal_read_header(sealed, &header, error);
    if (status != KW_OK)
        return status;
    assert_int_equal(header.length + XAES_OVERHEAD + seal_plaintext_length(&header, sealed.length), sealed.length);
    memset(opened, 0x55, sizeof(opened));
    status = seal_open(key, &header, sealed, with, opened, error);
    if (status == KW_OK)
        assert_memory_equal(opened, text.data, text.length);
    for (size_t i = 0; status != KW_OK && i < seal_plaintext_length(&header, sealed.length); i++)
        assert_int_equal(opened[i], 0);
    return status;
}

static kw_input seal_of(const struct scene *scene)
{
    return (kw_input){scene->sealed, scene->length};
}

static void seal_close_makes_what_the_header_says(void **state)
{
    const struct scene *scene = *state;
    struct seal_header read;
    assert_int_equal(scene->length, KW_SEAL_OVERHEAD + strlen("password") + text.length);
    assert_memory_equal(scene->sealed, "KWS\1", 4);
    assert_memory_equal(scene->sealed + 4, master.bytes, sizeof(master.bytes));
    assert_memory_equal(scene->sealed + 20, "\0\0\0\3\10password", 13);
    assert_int_equal(seal_read_header(seal_of(scene), &read, NULL), KW_OK);
    assert_true(id_equal(&read.master, &master));
    assert_int_equal(read.version, 3);
    assert_true(input_equal(read.purpose, input_text("password")));
    assert_int_equal(read.length, scene->header.length);
}

static void seal_open_what_was_closed_comes_back(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(open_by(&scene->key, seal_of(scene), associated, NULL), KW_OK);
}

static void seal_close_twice_gives_two_seals(void **state)
{
    struct scene *scene = *state;
    unsigned char again[SEALED_MAXIMUM];
    const size_t head = scene->header.length;
    assert_int_equal(seal_close(&scene->key, &scene->header, text, associated, again, NULL), KW_OK);
    assert_memory_equal(again, scene->sealed, head);
    assert_memory_not_equal(again + head, scene->sealed + head, XAES_NONCE_LENGTH);
    assert_memory_not_equal(again + head + XAES_NONCE_LENGTH, scene->sealed + head + XAES_NONCE_LENGTH, text.length);
}

static void seal_open_any_byte_changed_is_refused(void **state)
{
    struct scene *scene = *state;
    for (size_t at = 0; at < scene->length; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            unsigned char changed[SEALED_MAXIMUM];
            kw_error error = {0};
            memcpy(changed, scene->sealed, scene->length);
            changed[at] ^= (unsigned char)(1u << bit);
            assert_int_equal(open_by(&scene->key, (kw_input){changed, scene->length}, associated, &error),
                             KW_CIPHERTEXT_INVALID);
            assert_true(error.message[0] != '\0');
        }
}

/* In memory that ends where the seal does, so that a byte read beyond it is found. */
static void seal_open_cut_anywhere_is_refused(void **state)
{
    struct scene *scene = *state;
    for (size_t length = 0; length < scene->length; length++) {
        unsigned char *cut = malloc(length + 1);
        assert_non_null(cut);
        unsigned char *end = cut + 1; /* never the address that malloc gave, for a length of 0 */
        memcpy(end, scene->sealed, length);
        assert_int_equal(open_by(&scene->key, (kw_input){end, length}, associated, NULL), KW_CIPHERTEXT_INVALID);
        free(cut);
    }
}

static void seal_open_with_more_behind_it_is_refused(void **state)
{
    struct scene *scene = *state;
    unsigned char longer[SEALED_MAXIMUM] = {0};
    memcpy(longer, scene->sealed, scene->length);
    assert_int_equal(open_by(&scene->key, (kw_input){longer, scene->length + 1}, associated, NULL),
                     KW_CIPHERTEXT_INVALID);
}

static void seal_open_other_associated_data_is_refused(void **state)
{
    struct scene *scene = *state;
    static const char *const others[] = {"record 6", "record 5 ", "record ", ""};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(open_by(&scene->key, seal_of(scene), input_text(others[i]), NULL), KW_CIPHERTEXT_INVALID);
    assert_int_equal(open_by(&scene->key, seal_of(scene), (kw_input){0}, NULL), KW_CIPHERTEXT_INVALID);
}

static void seal_open_by_another_subkey_is_refused(void **state)
{
    struct scene *scene = *state;
    kw_error error = {0};
    assert_int_equal(open_by(&scene->other, seal_of(scene), associated, &error), KW_CIPHERTEXT_INVALID);
    assert_non_null(strstr(error.message, "made by another key"));
}

/* The end of a purpose cannot become the beginning of the associated data, nor one seal's header stand before another. */
static void seal_open_header_of_another_seal_is_refused(void **state)
{
    struct scene *scene = *state;
    const struct id masters[] = {master, {{0x99}}};
    const struct {
        const struct id *master;
        uint32_t version;
        const char *purpose;
    } others[] = {{&masters[1], 3, "password"}, {&masters[0], 4, "password"}, {&masters[0], 3, "passwore"}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct seal_header header;
        unsigned char swapped[SEALED_MAXIMUM];
        assert_int_equal(
            seal_make_header(others[i].master, others[i].version, input_text(others[i].purpose), &header, NULL), KW_OK);
        assert_int_equal(seal_close(&scene->key, &header, text, associated, swapped, NULL), KW_OK);
        assert_int_equal(open_by(&scene->key, (kw_input){swapped, scene->length}, associated, NULL), KW_OK);
        memcpy(swapped, scene->sealed, scene->header.length);
        assert_int_equal(open_by(&scene->key, (kw_input){swapped, scene->length}, associated, NULL),
                         KW_CIPHERTEXT_INVALID);
    }
    unsigned char moved[SEALED_MAXIMUM];
    struct seal_header header;
    assert_int_equal(seal_make_header(&master, 3, input_text("passwordr"), &header, NULL), KW_OK);
    assert_int_equal(seal_close(&scene->key, &header, text, input_text("ecord 5"), moved, NULL), KW_OK);
    assert_int_equal(open_by(&scene->key, (kw_input){moved, scene->length + 1}, associated, NULL),
                     KW_CIPHERTEXT_INVALID);
}

static void seal_read_header_what_is_no_seal_says_so(void **state)
{
    struct scene *scene = *state;
    struct seal_header header;
    kw_error error = {0};
    unsigned char changed[SEALED_MAXIMUM];
    static const char *const words[] = {"no seal", "format 2", "no version", "no purpose", "cut short"};
    static const struct {
        size_t at, length;
        const char *bytes;
    } changes[] = {{0, 3, "KWT"}, {3, 1, "\2"}, {20, 4, "\0\0\0\0"}, {24, 1, "\0"}, {24, 1, "\377"}};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        memcpy(changed, scene->sealed, scene->length);
        memcpy(changed + changes[i].at, changes[i].bytes, changes[i].length);
        assert_int_equal(seal_read_header((kw_input){changed, scene->length}, &header, &error), KW_CIPHERTEXT_INVALID);
        assert_non_null(strstr(error.message, words[i]));
    }
}

static void seal_make_header_out_of_limits_is_refused(void **state)
{
    struct seal_header header;
    unsigned char purpose[SUBKEY_PURPOSE_MAXIMUM + 1] = {1};
    (void)state;
    assert_int_equal(seal_make_header(&master, 1, (kw_input){purpose, 0}, &header, NULL), KW_INVALID_ARGUMENT);
    assert_int_equal(seal_make_header(&master, 1, (kw_input){purpose, sizeof(purpose)}, &header, NULL),
                     KW_INVALID_ARGUMENT);
    assert_int_equal(seal_make_header(&master, 0, (kw_input){purpose, 1}, &header, NULL), KW_INVALID_ARGUMENT);
    assert_int_equal(seal_make_header(&master, 1, (kw_input){purpose, 1}, &header, NULL), KW_OK);
}

static void seal_of_the_longest_purpose_and_the_largest_version_opens(void **state)
{
    struct scene *scene = *state;
    struct seal_header header;
    unsigned char purpose[SUBKEY_PURPOSE_MAXIMUM], sealed[SEALED_MAXIMUM];
    memset(purpose, 0xfe, sizeof(purpose));
    assert_int_equal(seal_make_header(&master, UINT32_MAX, (kw_input){purpose, sizeof(purpose)}, &header, NULL), KW_OK);
    assert_int_equal(seal_close(&scene->key, &header, text, associated, sealed, NULL), KW_OK);
    assert_int_equal(open_by(&scene->key, (kw_input){sealed, seal_length(&header, text.length)}, associated, NULL),
                     KW_OK);
    struct seal_header read;
    assert_int_equal(seal_read_header((kw_input){sealed, SEALED_MAXIMUM}, &read, NULL), KW_OK);
    assert_int_equal(read.version, UINT32_MAX);
    assert_int_equal(read.purpose.length, SUBKEY_PURPOSE_MAXIMUM);
}

static void seal_of_nothing_opens_to_nothing(void **state)
{
    struct scene *scene = *state;
    unsigned char sealed[SEALED_MAXIMUM], opened[1] = {9};
    assert_int_equal(seal_close(&scene->key, &scene->header, (kw_input){0}, (kw_input){0}, sealed, NULL), KW_OK);
    const kw_input seal = {sealed, seal_length(&scene->header, 0)};
    assert_int_equal(seal_plaintext_length(&scene->header, seal.length), 0);
    assert_int_equal(seal_open(&scene->key, &scene->header, seal, (kw_input){0}, opened, NULL), KW_OK);
    assert_int_equal(opened[0], 9);
    sealed[seal.length - 1] ^= 1;
    assert_int_equal(seal_open(&scene->key, &scene->header, seal, (kw_input){0}, opened, NULL), KW_CIPHERTEXT_INVALID);
}

static void seal_of_a_megabyte_opens(void **state)
{
    enum { LENGTH = 1 << 20 };
    struct scene *scene = *state;
    unsigned char *large = malloc(LENGTH), *sealed = malloc(LENGTH + SEALED_MAXIMUM), *opened = malloc(LENGTH);
    assert_non_null(large);
    assert_non_null(sealed);
    assert_non_null(opened);
    for (size_t i = 0; i < LENGTH; i++)
        large[i] = (unsigned char)(i * 31 >> 3);
    assert_int_equal(seal_close(&scene->key, &scene->header, (kw_input){large, LENGTH}, associated, sealed, NULL),
                     KW_OK);
    const kw_input seal = {sealed, seal_length(&scene->header, LENGTH)};
    assert_int_equal(seal_open(&scene->key, &scene->header, seal, associated, opened, NULL), KW_OK);
    assert_memory_equal(opened, large, LENGTH);
    free(large);
    free(sealed);
    free(opened);
}

/* What another program made must open for ever. */
static void seal_of_the_fixed_vector_opens(void **state)
{
    struct scene *scene = *state;
    unsigned char root[ROOT_LENGTH], subkey[XAES_KEY_LENGTH], bytes[SEALED_MAXIMUM], opened[SEALED_MAXIMUM];
    struct xaes_secret secret;
    struct xaes_key key;
    struct seal_header header;
    const kw_input seal = {bytes, strlen(seal_vector.seal) / 2};
    assert_true(hex_decode(subkey_vector_root, root, sizeof(root)));
    assert_true(hex_decode(seal_vector.seal, bytes, seal.length));
    assert_int_equal(seal_read_header(seal, &header, NULL), KW_OK);
    const struct subkey_name name = {SUBKEY_SEAL, header.master, header.version, header.purpose,
                                     input_text(seal_vector.context)};
    assert_int_equal(subkey_derive(scene->crypto, (kw_input){root, sizeof(root)}, &name, subkey, sizeof(subkey), NULL),
                     KW_OK);
    assert_int_equal(xaes_prepare(scene->xaes, subkey, &secret, NULL), KW_OK);
    xaes_key_init(&key, scene->xaes, &secret);
    assert_int_equal(seal_plaintext_length(&header, seal.length), strlen(seal_vector.plaintext));
    assert_int_equal(seal_open(&key, &header, seal, input_text(seal_vector.associated), opened, NULL), KW_OK);
    assert_memory_equal(opened, seal_vector.plaintext, strlen(seal_vector.plaintext));
    xaes_key_clear(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seal_close_makes_what_the_header_says),
        cmocka_unit_test(seal_open_what_was_closed_comes_back),
        cmocka_unit_test(seal_close_twice_gives_two_seals),
        cmocka_unit_test(seal_open_any_byte_changed_is_refused),
        cmocka_unit_test(seal_open_cut_anywhere_is_refused),
        cmocka_unit_test(seal_open_with_more_behind_it_is_refused),
        cmocka_unit_test(seal_open_other_associated_data_is_refused),
        cmocka_unit_test(seal_open_by_another_subkey_is_refused),
        cmocka_unit_test(seal_open_header_of_another_seal_is_refused),
        cmocka_unit_test(seal_read_header_what_is_no_seal_says_so),
        cmocka_unit_test(seal_make_header_out_of_limits_is_refused),
        cmocka_unit_test(seal_of_the_longest_purpose_and_the_largest_version_opens),
        cmocka_unit_test(seal_of_nothing_opens_to_nothing),
        cmocka_unit_test(seal_of_a_megabyte_opens),
        cmocka_unit_test(seal_of_the_fixed_vector_opens),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
