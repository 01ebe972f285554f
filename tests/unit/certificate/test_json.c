/* JSON from outside: one object, and nothing that readers could take in two ways. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/json.h"

#include <stdlib.h>
#include <string.h>

static kw_status read_text(const char *text, json_t **object, kw_error *error)
{
    return json_read(input_text(text), object, error);
}

static void read_object_gives_its_members(void **state)
{
    const char *text = NULL;
    json_t *object = NULL;
    kw_error error = {0};
    (void)state;
    assert_int_equal(read_text(" {\"a\": \"x\", \"b\": 1, \"c\": \"[{[{[{[{[{[{[{[{[{[{\"} \n", &object, NULL), KW_OK);
    assert_int_equal(json_member_text(object, "a", &text, NULL), KW_OK);
    assert_string_equal(text, "x");
    assert_int_equal(json_member_text(object, "none", &text, NULL), KW_OK);
    assert_null(text);
    assert_int_equal(json_member_text(object, "b", &text, &error), KW_CORRUPT);
    assert_non_null(strstr(error.message, "'b'"));
    json_decref(object);
}

static void read_anything_else_is_corrupt(void **state)
{
    static const char *const texts[] = {"",
                                        " ",
                                        "[]",
                                        "1",
                                        "\"x\"",
                                        "null",
                                        "{",
                                        "{}x",
                                        "{}{}",
                                        "{'a': 1}",
                                        "{\"a\": 1,}",
                                        "{a: 1}",
                                        "{\"a\": 01}",
                                        "{\"a\": 1, \"a\": 1}",
                                        "{\"o\": {\"a\": 1, \"a\": 2}}",
                                        "{\"a\": \"\\u0000\"}",
                                        "{\"a\": \"\xff\"}",
                                        "{\"a\": \"\\ud800\"}",
                                        "{\"a\": 1e999}",
                                        "{\"a\": 99999999999999999999}",
                                        "\xef\xbb\xbf{}",
                                        "{\"a\": nan}"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *object = NULL;
        if (read_text(texts[i], &object, NULL) != KW_CORRUPT || object != NULL)
            fail_msg("taken: %s", texts[i]);
    }
}

static void read_deep_or_long_is_corrupt(void **state)
{
    enum { DEEP = 100000 };
    kw_error error = {0};
    json_t *object = NULL;
    struct buffer nested = {0};
    (void)state;
    buffer_append_text(&nested, "{\"a\": ");
    for (int i = 1; i < JSON_DEPTH_MAXIMUM; i++)
        buffer_append_text(&nested, "[");
    for (int i = 1; i < JSON_DEPTH_MAXIMUM; i++)
        buffer_append_text(&nested, "]");
    buffer_append_text(&nested, "}");
    assert_int_equal(json_read(buffer_view(&nested), &object, NULL), KW_OK);
    buffer_free(&nested);
    json_decref(object);
    object = NULL;
    char *deep = calloc(1, DEEP + 1);
    assert_non_null(deep);
    memset(deep, '[', DEEP);
    assert_int_equal(read_text(deep, &object, &error), KW_CORRUPT);
    assert_non_null(strstr(error.message, "nested deeper"));
    free(deep);
    char *large = malloc(JSON_LENGTH_MAXIMUM + 2);
    assert_non_null(large);
    memset(large, ' ', JSON_LENGTH_MAXIMUM + 1);
    memcpy(large, "{}", 2);
    assert_int_equal(json_read((kw_input){(unsigned char *)large, JSON_LENGTH_MAXIMUM}, &object, NULL), KW_OK);
    json_decref(object);
    assert_int_equal(json_read((kw_input){(unsigned char *)large, JSON_LENGTH_MAXIMUM + 1}, &object, &error),
                     KW_CORRUPT);
    assert_non_null(strstr(error.message, "longer"));
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_object_gives_its_members),
        cmocka_unit_test(read_anything_else_is_corrupt),
        cmocka_unit_test(read_deep_or_long_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
