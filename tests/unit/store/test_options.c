#include "store/options.h"

#include "unit/store/fixture.h"

static const kw_option table[] = {
    {.name = "device", .type = KW_OPTION_PATH, .required = 1, .help = "Where the device is."},
    {.name = "level", .type = KW_OPTION_INTEGER, .fallback = "3", .minimum = 1, .maximum = 10, .help = "How much."},
    {.name = "wait",
     .type = KW_OPTION_DURATION,
     .fallback = "5s",
     .minimum = 100,
     .maximum = 60000,
     .help = "How long."},
    {.name = "strict", .type = KW_OPTION_BOOLEAN, .fallback = "true", .help = "Whether."},
    {.name = "mode", .type = KW_OPTION_STRING, .fallback = "slow", .choices = "slow|fast|off", .help = "How."},
    {.name = "label", .type = KW_OPTION_STRING, .help = "What it says."},
    {.name = "pin", .type = KW_OPTION_SECRET, .help = "The PIN."},
};

static struct module module_of(const kw_option *options, size_t count)
{
    return (struct module){.plugin = {.name = "gadget", .options = options, .option_count = count}};
}

static const struct module gadget = {
    .plugin = {.name = "gadget", .options = table, .option_count = sizeof(table) / sizeof(table[0])}};

static const kw_option_value *value_of(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->count; i++)
        if (strcmp(options->rows[i].name, name) == 0)
            return &options->rows[i];
    return NULL;
}

static void options_read_nothing_but_required_fills_defaults(void **state)
{
    struct fixture fixture;
    struct options options = {0};
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_configure_store(&fixture, "gadget", "{device: dev/gadget0}");
    expect_status(KW_OK, options_read(fixture.settings, &fixture.settings->stores[0], &gadget, &options, &error),
                  &error);
    assert_int_equal(options.count, 5);
    assert_string_equal(value_of(&options, "device")->text, fixture_path(&fixture, "dev/gadget0"));
    assert_int_equal(value_of(&options, "level")->integer, 3);
    assert_string_equal(value_of(&options, "wait")->text, "5s");
    assert_int_equal(value_of(&options, "wait")->integer, 5000);
    assert_int_equal(value_of(&options, "strict")->integer, 1);
    assert_string_equal(value_of(&options, "mode")->text, "slow");
    assert_null(value_of(&options, "label"));
    options_clear(&options);
    assert_int_equal(options.count, 0);
    fixture_end(&fixture);
}

static void options_read_everything_set_is_handed_over_without_secrets(void **state)
{
    struct fixture fixture;
    struct options options = {0};
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_configure_store(
        &fixture, "gadget",
        "{device: /dev/gadget1, level: 10, wait: 100ms, strict: false, mode: off, label: Täg, pin: 'env:PIN'}");
    expect_status(KW_OK, options_read(fixture.settings, &fixture.settings->stores[0], &gadget, &options, &error),
                  &error);
    assert_int_equal(options.count, 6);
    assert_string_equal(value_of(&options, "device")->text, "/dev/gadget1");
    assert_int_equal(value_of(&options, "level")->integer, 10);
    assert_int_equal(value_of(&options, "wait")->integer, 100);
    assert_int_equal(value_of(&options, "strict")->integer, 0);
    assert_string_equal(value_of(&options, "mode")->text, "off");
    assert_string_equal(value_of(&options, "label")->text, "Täg");
    assert_null(value_of(&options, "pin"));
    options_clear(&options);
    fixture_end(&fixture);
}

/* Line 9 is that of `options:`; its values begin in column 14. */
static void options_read_wrong_value_names_file_line_column_and_remedy(void **state)
{
    static const struct {
        const char *options;
        unsigned line, column;
        const char *message, *remedy;
    } cases[] = {
        {"{device: /d, levle: 3}", 9, 27, "the plugin 'gadget' has no option 'levle'", "did you mean 'level'?"},
        {"{device: /d, qqqqqq: 3}", 9, 27, "has no option 'qqqqqq'", "its options are: device, level, wait"},
        {"{level: 3}", 6, 3, "the store 'test' lacks the option 'device' of its plugin 'gadget'",
         "Where the device is."},
        {"{device: /d, level: 11}", 9, 34, "the value '11' of option 'level' is out of bounds", "from 1 to 10"},
        {"{device: /d, level: 0}", 9, 34, "the value '0' of option 'level' is out of bounds", "from 1 to 10"},
        {"{device: /d, level: many}", 9, 34, "the value 'many' of option 'level' is not a whole number",
         "from 1 to 10"},
        {"{device: /d, level: 3.5}", 9, 34, "is not a whole number", ""},
        {"{device: /d, wait: 99ms}", 9, 33, "is out of bounds", "from 100 ms to 60000 ms"},
        {"{device: /d, wait: 2h}", 9, 33, "is out of bounds", ""},
        {"{device: /d, wait: 5}", 9, 33, "is no duration such as 500ms", ""},
        {"{device: /d, strict: maybe}", 9, 35, "is neither true nor false", ""},
        {"{device: /d, mode: fas}", 9, 33, "is none of the allowed values", "slow|fast|off"},
        {"{device: /d, mode: fast|off}", 9, 33, "is none of the allowed values", ""},
        {"{device: /d, mode: ''}", 9, 33, "is none of the allowed values", ""},
        {"{device: '', mode: fast}", 9, 23, "is no path", ""},
        {"{device: /d, pin: 'env:'}", 9, 32, "option 'pin': ", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        struct options options = {0};
        kw_error error = {0};

        fixture_begin(&fixture);
        fixture_configure_store(&fixture, "gadget", cases[i].options);
        expect_status(KW_CONFIGURATION,
                      options_read(fixture.settings, &fixture.settings->stores[0], &gadget, &options, &error), &error);
        expect_text(error.message, cases[i].message);
        expect_text(error.remedy, cases[i].remedy);
        assert_string_equal(error.where, fixture_path(&fixture, "keywright.yaml"));
        assert_int_equal(error.line, cases[i].line);
        assert_int_equal(error.column, cases[i].column);
        assert_null(options.rows);
        fixture_end(&fixture);
    }
}

static void options_read_secret_in_the_open_is_refused_without_repeating_it(void **state)
{
    struct fixture fixture;
    struct options options = {0};
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_configure_store(&fixture, "gadget", "{device: /d, pin: '648219'}");
    expect_status(KW_CONFIGURATION,
                  options_read(fixture.settings, &fixture.settings->stores[0], &gadget, &options, &error), &error);
    assert_null(strstr(error.message, "648219"));
    assert_null(strstr(error.remedy, "648219"));
    assert_int_equal(error.line, 9);
    fixture_configure_store(&fixture, "gadget", "{device: /d, pin: 'inline:648219'}");
    expect_status(KW_CONFIGURATION,
                  options_read(fixture.settings, &fixture.settings->stores[0], &gadget, &options, &error), &error);
    assert_null(strstr(error.message, "648219"));
    fixture_end(&fixture);
}

static void options_read_plugin_without_options_says_so(void **state)
{
    const struct module plain = module_of(NULL, 0);
    struct fixture fixture;
    struct options options = {0};
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_configure_store(&fixture, "gadget", "{any: 1}");
    expect_status(KW_CONFIGURATION,
                  options_read(fixture.settings, &fixture.settings->stores[0], &plain, &options, &error), &error);
    expect_text(error.remedy, "it has none");
    fixture_end(&fixture);
}

static void options_read_default_outside_its_own_table_is_the_plugins_fault(void **state)
{
    static const kw_option wrong[] = {{.name = "level",
                                       .type = KW_OPTION_INTEGER,
                                       .fallback = "12",
                                       .minimum = 1,
                                       .maximum = 10,
                                       .help = "How much."}};
    const struct module broken = module_of(wrong, 1);
    struct fixture fixture;
    struct options options = {0};
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_configure_store(&fixture, "gadget", "{}");
    expect_status(KW_FAILED, options_read(fixture.settings, &fixture.settings->stores[0], &broken, &options, &error),
                  &error);
    expect_text(error.message, "the default '12' of its option 'level' is out of bounds");
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_read_nothing_but_required_fills_defaults),
        cmocka_unit_test(options_read_everything_set_is_handed_over_without_secrets),
        cmocka_unit_test(options_read_wrong_value_names_file_line_column_and_remedy),
        cmocka_unit_test(options_read_secret_in_the_open_is_refused_without_repeating_it),
        cmocka_unit_test(options_read_plugin_without_options_says_so),
        cmocka_unit_test(options_read_default_outside_its_own_table_is_the_plugins_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
