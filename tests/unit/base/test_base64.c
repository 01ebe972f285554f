#include "base/base64.h"

#include "folder.h"

#include <string.h>

/* RFC 4648, section 10; and letters 62 and 63. */
static const struct {
    const char *bytes, *usual, *url;
} vectors[] = {
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    {"\xfb\xff\xfe", "+//+", "-__-"},
};

static void append_known_bytes_gives_the_known_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct buffer url = {0}, usual = {0};
        base64url_append(&url, input_text(vectors[i].bytes));
        base64_append(&usual, input_text(vectors[i].bytes));
        assert_false(url.failed || usual.failed);
        assert_true(input_equal(buffer_view(&url), input_text(vectors[i].url)));
        assert_true(input_equal(buffer_view(&usual), input_text(vectors[i].usual)));
        buffer_free(&usual);
        buffer_free(&url);
    }
}

static void decode_known_text_gives_the_known_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        kw_bytes bytes = {0};
        assert_int_equal(base64url_decode(input_text(vectors[i].url), &bytes, NULL), KW_OK);
        assert_true(input_equal((kw_input){bytes.data, bytes.length}, input_text(vectors[i].bytes)));
        assert_int_equal(bytes.data[bytes.length], 0);
        kw_bytes_free(&bytes);
    }
}

/* There is one text for the same bytes: no padding, no spaces, no other alphabet, no bits that are not looked at. */
static void decode_any_other_text_is_corrupt(void **state)
{
    static const char *const texts[] = {"Zg==", "Zm8=", "Z", "Zm9vY", "Zm9 v", "Zm9v\n", " Zm9v",      "+//+", "Zh",
                                        "Zm9",  "Zm9=", "=", "====",  "Zg=",   "Zm9v=",  "Zm\xc3\xb6", "Zm9v."};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        kw_bytes bytes = {0};
        kw_error error = {0};
        assert_int_equal(base64url_decode(input_text(texts[i]), &bytes, &error), KW_CORRUPT);
        assert_null(bytes.data);
        assert_non_null(strstr(error.message, "base64url"));
    }
    const kw_input nul = {(const unsigned char *)"Zm\0v", 4};
    assert_int_equal(base64url_decode(nul, &(kw_bytes){0}, NULL), KW_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_known_bytes_gives_the_known_text),
        cmocka_unit_test(decode_known_text_gives_the_known_bytes),
        cmocka_unit_test(decode_any_other_text_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
