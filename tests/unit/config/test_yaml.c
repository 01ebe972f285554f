#include "config/yaml.h"

#include "base/buffer.h"
#include "unit/base/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static kw_status parse(kw_input text, struct yaml_node **root, kw_error *error)
{
    return yaml_parse("test.yaml", text, root, error);
}

/* That it is refused at this place, and that the message says this. */
static void assert_refused(kw_input text, unsigned line, unsigned column, const char *message)
{
    struct yaml_node *root = NULL;
    kw_error error = {0};
    assert_int_equal(parse(text, &root, &error), KW_CONFIGURATION);
    assert_null(root);
    if (error.line != line || error.column != column || strstr(error.message, message) == NULL)
        fail_msg("%s:%u:%u: %s (expected %u:%u, ...%s...)", error.where, error.line, error.column, error.message, line,
                 column, message);
    assert_string_equal(error.where, "test.yaml");
}

static struct yaml_node *assert_parsed(const char *text)
{
    struct yaml_node *root = NULL;
    kw_error error = {0};
    if (parse(input_text(text), &root, &error) != KW_OK)
        fail_msg("%u:%u: %s", error.line, error.column, error.message);
    return root;
}

static void yaml_parse_tree_knows_kinds_and_places(void **state)
{
    (void)state;
    struct yaml_node *root = assert_parsed("# a comment\n"
                                           "version: 1\n"
                                           "stores:\n"
                                           "  local: {id: \"7c\", list: [one, 'two']}\n"
                                           "empty:\n");
    assert_int_equal(root->kind, YAML_MAPPING);
    assert_int_equal(root->count, 3);
    const struct yaml_node *version = yaml_get(root, "version");
    assert_string_equal(version->text, "1");
    assert_false(version->quoted);
    assert_int_equal(version->line, 2);
    assert_int_equal(version->column, 10);
    const struct yaml_node *stores = yaml_get(root, "stores"), *local = yaml_get(stores, "local");
    assert_int_equal(stores->keys[0]->line, 4);
    assert_int_equal(stores->keys[0]->column, 3);
    assert_int_equal(local->column, 10);
    assert_true(yaml_get(local, "id")->quoted);
    const struct yaml_node *list = yaml_get(local, "list");
    assert_int_equal(list->kind, YAML_SEQUENCE);
    assert_int_equal(list->count, 2);
    assert_null(list->keys);
    assert_string_equal(list->items[1]->text, "two");
    assert_int_equal(list->items[1]->line, 4);
    assert_int_equal(list->items[1]->column, 33);
    assert_string_equal(yaml_get(root, "empty")->text, "");
    assert_null(yaml_get(root, "absent"));
    assert_null(yaml_get(version, "absent"));
    assert_null(yaml_get(NULL, "absent"));
    yaml_node_free(root);
    yaml_node_free(NULL);
}

static void yaml_parse_mark_and_crlf_do_not_move_places(void **state)
{
    (void)state;
    struct yaml_node *root = assert_parsed("\xef\xbb\xbfgr\xc3\xbc\xc3\x9f: 1\r\nx: y\r\n");
    assert_int_equal(root->items[0]->line, 1);
    assert_int_equal(root->items[0]->column, 7);
    assert_int_equal(root->keys[1]->line, 2);
    assert_int_equal(root->keys[1]->column, 1);
    assert_string_equal(root->items[1]->text, "y");
    yaml_node_free(root);
}

static void yaml_parse_not_text_is_refused_where_it_is(void **state)
{
    (void)state;
    assert_refused((kw_input){(const unsigned char *)"a: 1\nb: \0x\n", 11}, 2, 4, "NUL");
    assert_refused(input_text("a: 1\nb\xc3\xbc: \xff\n"), 2, 5, "UTF-8");
    assert_refused(input_text("a: \xc3\n"), 1, 4, "UTF-8");
    assert_refused(input_text("a: \xc0\xaf\n"), 1, 4, "UTF-8");
    assert_refused(input_text("a: \xed\xa0\x80\n"), 1, 4, "UTF-8");
    assert_refused(input_text("a: \x1b[0m\n"), 1, 4, "control character (0x1b)");
    assert_refused(input_text("a: \x7f\n"), 1, 4, "control character");
    assert_refused(input_text("a: \xc2\x85\n"), 1, 4, "control character");
    assert_refused(input_text("a: 1\rb: 2\n"), 1, 5, "control character (0x0d)");
    assert_refused(input_text("\xff\xfe"
                              "a: 1"),
                   1, 1, "UTF-8");
    assert_refused(input_text("# in a comment \x01\n"), 1, 16, "control character");
}

static void yaml_parse_tab_in_the_indentation_is_refused(void **state)
{
    (void)state;
    assert_refused(input_text("a:\n\tb: 1\n"), 2, 1, "tab");
    assert_refused(input_text("a:\n  \tb: 1\n"), 2, 3, "tab");
    assert_refused(input_text("a: [1,\n\t2]\n"), 2, 1, "tab");
    struct yaml_node *root = assert_parsed("a:\t1\t# tabs that indent nothing\n");
    assert_string_equal(yaml_get(root, "a")->text, "1");
    yaml_node_free(root);
}

static void yaml_parse_duplicate_key_names_both_lines(void **state)
{
    (void)state;
    assert_refused(input_text("a: 1\nb: 2\na: 3\n"), 3, 1, "'a' is here a second time; it is in line 1 already");
    assert_refused(input_text("x:\n  y: {k: 1, l: 2, 'k': 3}\n"), 2, 19, "'k'");
    /* the first in the file, and not by the alphabet */
    assert_refused(input_text("b: 1\na: 1\nb: 2\na: 2\n"), 3, 1, "'b'");
    assert_refused(input_text("a: 1\na: 2\na: 3\n"), 2, 1, "line 1");
    struct yaml_node *root = assert_parsed("a: {k: 1}\nb: {k: 1}\n");
    yaml_node_free(root);
}

static void yaml_parse_anchors_aliases_and_tags_are_refused(void **state)
{
    (void)state;
    assert_refused(input_text("a: &x 1\n"), 1, 4, "anchors");
    assert_refused(input_text("a: 1\nb: *x\n"), 2, 4, "aliases");
    assert_refused(input_text("a: &x [1]\n"), 1, 4, "anchors");
    assert_refused(input_text("a: &x {b: 1}\n"), 1, 4, "anchors");
    assert_refused(input_text("&x a: 1\n"), 1, 1, "anchors");
    assert_refused(input_text("*x : 1\n"), 1, 1, "aliases");
    assert_refused(input_text("a: !!str 1\n"), 1, 4, "tags");
    assert_refused(input_text("a: !x [1]\n"), 1, 4, "tags");
    assert_refused(input_text("a: !x {b: 1}\n"), 1, 4, "tags");
    /* a billion laughs */
    assert_refused(input_text("a: &a [x, x, x, x, x, x, x, x, x]\n"
                              "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
                              "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n"),
                   1, 4, "anchors");
}

static void yaml_parse_directives_are_refused(void **state)
{
    (void)state;
    assert_refused(input_text("%YAML 1.2\n---\na: 1\n"), 1, 1, "directives");
    assert_refused(input_text("# first\n%TAG ! tag:x:\n---\na: 1\n"), 2, 1, "directives");
}

static void yaml_parse_second_document_is_refused(void **state)
{
    (void)state;
    assert_refused(input_text("a: 1\n---\nb: 2\n"), 2, 1, "second document");
    assert_refused(input_text("a: 1\n...\n---\nb: 2\n"), 3, 1, "second document");
    assert_refused(input_text("a: 1\n...\nb: 2\n"), 3, 1, "document");
    struct yaml_node *root = assert_parsed("---\na: 1\n...\n");
    yaml_node_free(root);
}

static void yaml_parse_key_that_is_no_word_is_refused(void **state)
{
    (void)state;
    assert_refused(input_text("[a, b]: 1\n"), 1, 1, "key");
    assert_refused(input_text("x: 1\n{a: b}: 1\n"), 2, 1, "key");
    assert_refused(input_text("? - a\n: 1\n"), 1, 3, "key");
}

static void yaml_parse_nothing_is_refused(void **state)
{
    (void)state;
    assert_refused(input_text(""), 1, 1, "nothing");
    assert_refused((kw_input){NULL, 0}, 1, 1, "nothing");
    assert_refused(input_text("# only a comment\n"), 1, 1, "nothing");
}

static void yaml_parse_value_of_several_lines_is_refused(void **state)
{
    (void)state;
    assert_refused(input_text("x: 1\na: |\n  one\n  two\n"), 2, 4, "line break");
    assert_refused(input_text("a: \"one\\ntwo\"\n"), 1, 4, "line break");
    assert_refused(input_text("a: \"one\\0two\"\n"), 1, 4, "control character");
    assert_refused(input_text("a: \"\\x1b[0m\"\n"), 1, 4, "control character");
    struct yaml_node *root = assert_parsed("a: one\n  two\n");
    assert_string_equal(yaml_get(root, "a")->text, "one two");
    yaml_node_free(root);
}

static void yaml_parse_broken_syntax_tells_the_place(void **state)
{
    (void)state;
    assert_refused(input_text("a: 1\nb: [1, 2\nc: 3\n"), 3, 2, "expected ',' or ']'");
    assert_refused(input_text("a: 'open\n"), 2, 1, "end of stream");
    assert_refused(input_text("a: b: c\n"), 1, 5, "mapping values");
    assert_refused(input_text("a: 1\n  b: 2\n"), 2, 4, "mapping values");
    assert_refused(input_text("a:\n  b: 1\n c: 2\n"), 3, 2, "while parsing a block mapping: did not find expected key");
    assert_refused(input_text("a: @x\n"), 1, 4, "cannot start any token");
}

static char *nested(size_t depth)
{
    char *text = calloc(2, depth + 1);
    assert_non_null(text);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return text;
}

static void yaml_parse_depth_at_the_limit_and_beyond(void **state)
{
    (void)state;
    char *text = nested(YAML_DEPTH_MAXIMUM);
    struct yaml_node *root = assert_parsed(text);
    yaml_node_free(root);
    free(text);
    text = nested(YAML_DEPTH_MAXIMUM + 1);
    assert_refused(input_text(text), 1, YAML_DEPTH_MAXIMUM + 1, "16 levels");
    free(text);
}

static kw_input repeated(char *memory, const char *unit)
{
    size_t length = strlen(unit), count = YAML_SIZE_MAXIMUM / length;
    for (size_t i = 0; i < count; i++)
        memcpy(memory + i * length, unit, length);
    return (kw_input){(unsigned char *)memory, count * length};
}

/* Each of these takes libyaml minutes or all memory when it is let go on. */
static void yaml_parse_megabyte_of_nesting_is_refused_early(void **state)
{
    (void)state;
    char *memory = malloc(YAML_SIZE_MAXIMUM);
    assert_non_null(memory);
    assert_refused(repeated(memory, "["), 1, 17, "levels");
    assert_refused(repeated(memory, "{"), 1, 2, "key");
    assert_refused(repeated(memory, "{a: "), 1, 65, "levels");
    assert_refused(repeated(memory, "- "), 1, 33, "levels");
    assert_refused(repeated(memory, "? "), 1, 3, "key");
    assert_refused(repeated(memory, "[\n"), 17, 1, "levels");
    struct buffer block = {0};
    for (int depth = 0; block.length < YAML_SIZE_MAXIMUM - 4000; depth++)
        buffer_format(&block, "%*sa:\n", depth, "");
    assert_refused(buffer_view(&block), 17, 17, "levels");
    buffer_free(&block);
    struct buffer tags = {0};
    for (int i = 0; tags.length < YAML_SIZE_MAXIMUM - 40; i++)
        buffer_format(&tags, "%%TAG !%d! tag:x:\n", i);
    assert_refused(buffer_view(&tags), 1, 1, "directives");
    buffer_free(&tags);
    free(memory);
}

static void yaml_parse_megabyte_of_keys_finds_the_duplicate(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct yaml_node *root = NULL;
    unsigned lines = 0;
    while (text.length < YAML_SIZE_MAXIMUM - 40)
        buffer_format(&text, "k%u:\n", lines++);
    assert_int_equal(parse(buffer_view(&text), &root, NULL), KW_OK);
    assert_int_equal(root->count, lines);
    yaml_node_free(root);
    buffer_append_text(&text, "k7:\n");
    assert_refused(buffer_view(&text), lines + 1, 1, "line 8");
    buffer_free(&text);
}

static void yaml_parse_too_large_is_refused(void **state)
{
    (void)state;
    char *memory = malloc(YAML_SIZE_MAXIMUM + 1);
    struct yaml_node *root = NULL;
    assert_non_null(memory);
    memset(memory, '#', YAML_SIZE_MAXIMUM + 1);
    memcpy(memory, "a: 1\n", 5);
    assert_int_equal(parse((kw_input){(unsigned char *)memory, YAML_SIZE_MAXIMUM}, &root, NULL), KW_OK);
    yaml_node_free(root);
    assert_refused((kw_input){(unsigned char *)memory, YAML_SIZE_MAXIMUM + 1}, 1, 1, "larger than 1048576");
    free(memory);
}

/* ---- Files ---- */

static void yaml_read_file_of_100_megabytes_is_refused_unread(void **state)
{
    char *path = folder_write(state, "large.yaml", "a: 1\n", 5, 0600);
    struct yaml_node *root = NULL;
    kw_error error = {0};
    assert_int_equal(truncate(path, 100000000), 0);
    assert_int_equal(yaml_read(path, &root, &error), KW_CONFIGURATION);
    assert_string_equal(error.where, path);
    assert_int_equal(error.line, 1);
    assert_int_equal(error.column, 1);
    assert_non_null(strstr(error.message, "it is larger than 1048576 bytes"));
    free(path);
}

static void yaml_read_what_is_no_file_is_refused(void **state)
{
    char *absent = folder_path(state, "absent.yaml"), *fifo = folder_path(state, "fifo");
    struct yaml_node *root = NULL;
    kw_error error = {0};
    assert_int_equal(yaml_read(absent, &root, &error), KW_NOT_FOUND);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(yaml_read(fifo, &root, &error), KW_CONFIGURATION);
    assert_non_null(strstr(error.message, "not a regular file"));
    assert_int_equal(yaml_read(fifo, &root, NULL), KW_CONFIGURATION);
    free(absent);
    free(fifo);
}

static void yaml_read_file_is_parsed(void **state)
{
    char *path = folder_write(state, "a.yaml", "a: 1\nb: 2\na: 3\n", 15, 0600);
    struct yaml_node *root = NULL;
    kw_error error = {0};
    assert_int_equal(yaml_read(path, &root, &error), KW_CONFIGURATION);
    assert_string_equal(error.where, path);
    assert_int_equal(error.line, 3);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(yaml_read(path, &root, &error), KW_OK);
    assert_int_equal(root->count, 2);
    yaml_node_free(root);
    free(path);
}

#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_parse_tree_knows_kinds_and_places),
        cmocka_unit_test(yaml_parse_mark_and_crlf_do_not_move_places),
        cmocka_unit_test(yaml_parse_not_text_is_refused_where_it_is),
        cmocka_unit_test(yaml_parse_tab_in_the_indentation_is_refused),
        cmocka_unit_test(yaml_parse_duplicate_key_names_both_lines),
        cmocka_unit_test(yaml_parse_anchors_aliases_and_tags_are_refused),
        cmocka_unit_test(yaml_parse_directives_are_refused),
        cmocka_unit_test(yaml_parse_second_document_is_refused),
        cmocka_unit_test(yaml_parse_key_that_is_no_word_is_refused),
        cmocka_unit_test(yaml_parse_nothing_is_refused),
        cmocka_unit_test(yaml_parse_value_of_several_lines_is_refused),
        cmocka_unit_test(yaml_parse_broken_syntax_tells_the_place),
        cmocka_unit_test(yaml_parse_depth_at_the_limit_and_beyond),
        cmocka_unit_test(yaml_parse_megabyte_of_nesting_is_refused_early),
        cmocka_unit_test(yaml_parse_megabyte_of_keys_finds_the_duplicate),
        cmocka_unit_test(yaml_parse_too_large_is_refused),
        FOLDER_TEST(yaml_read_file_of_100_megabytes_is_refused_unread),
        FOLDER_TEST(yaml_read_what_is_no_file_is_refused),
        FOLDER_TEST(yaml_read_file_is_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
