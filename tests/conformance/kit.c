/* keywright-conformance: loads a plugin, runs the checks, prints what came of them. */
#include "kit.h"

#include <dlfcn.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: keywright-conformance [--json] [--quick] [--skip ID]... [--list] PLUGIN.so [OPTION=VALUE]...\n"
    "\n"
    "Exercises every operation of plugin.h against a plugin, which must keep nothing of value in the store it is "
    "pointed\n"
    "at. Exit status: 0 all requirements hold, 1 some do not, 2 usage, or the plugin cannot be loaded or opened.\n"
    "\n"
    "  --json     one JSON document instead of lines\n"
    "  --quick    of RSA keys the smallest alone\n"
    "  --skip ID  leaves a requirement out (such as open.wrong-secret, where a token counts wrong PINs)\n"
    "  --list     prints the requirements\n";

/* What goes wrong before anything can be checked. */
static int complain(const char *what, const char *why)
{
    fprintf(stderr, "keywright-conformance: %s%s%s\n", what, why != NULL ? ": " : "", why != NULL ? why : "");
    return 2;
}

/* ---- Options ------------------------------------------------------------------------------------------------------ */

static const kw_option *option_find(const kw_plugin *plugin, const char *name, size_t length)
{
    for (size_t i = 0; i < plugin->option_count; i++)
        if (strlen(plugin->options[i].name) == length && strncmp(plugin->options[i].name, name, length) == 0)
            return &plugin->options[i];
    return NULL;
}

/* A duration in milliseconds as in the configuration; false: malformed. */
static bool parse_duration(const char *text, int64_t *milliseconds)
{
    static const struct {
        const char *suffix;
        int64_t factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end = NULL;
    long long number = strtoll(text, &end, 10);
    for (size_t i = 0; end != text && i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(end, units[i].suffix) == 0) {
            *milliseconds = number * units[i].factor;
            return true;
        }
    return false;
}

static bool option_value(const kw_option *option, const char *text, kw_option_value *value)
{
    char *end = NULL;
    *value = (kw_option_value){.name = option->name, .text = text};
    if (option->type == KW_OPTION_INTEGER) {
        value->integer = strtoll(text, &end, 10);
        return end != text && *end == '\0';
    }
    if (option->type == KW_OPTION_DURATION)
        return parse_duration(text, &value->integer);
    if (option->type == KW_OPTION_BOOLEAN) {
        value->integer = strcmp(text, "true") == 0;
        return value->integer != 0 || strcmp(text, "false") == 0;
    }
    return true;
}

/* From the command line, then the defaults. */
static int read_options(struct kit *kit, char **arguments)
{
    const kw_plugin *plugin = kit->plugin;
    kit->options = calloc(plugin->option_count + 1, sizeof(*kit->options));
    if (kit->options == NULL)
        abort();
    for (char **argument = arguments; *argument != NULL; argument++) {
        const char *equals = strchr(*argument, '=');
        const kw_option *option = equals != NULL ? option_find(plugin, *argument, (size_t)(equals - *argument)) : NULL;
        if (option == NULL)
            return complain("not an option of this plugin", *argument);
        if (option->type == KW_OPTION_SECRET) {
            if (kit->secret_count == sizeof(kit->secrets) / sizeof(kit->secrets[0]))
                return complain("too many secrets", NULL);
            kit->secrets[kit->secret_count++] = (struct secret_value){option->name, equals + 1};
        } else if (kit->option_count < plugin->option_count &&
                   option_value(option, equals + 1, &kit->options[kit->option_count])) {
            kit->option_count++;
        } else {
            return complain("the value is malformed", *argument);
        }
    }
    for (size_t i = 0; i < plugin->option_count; i++) {
        const kw_option *option = &plugin->options[i];
        bool given = false;
        for (size_t j = 0; j < kit->option_count; j++)
            given = given || kit->options[j].name == option->name;
        for (size_t j = 0; j < kit->secret_count; j++)
            given = given || kit->secrets[j].option == option->name;
        if (given)
            continue;
        if (option->required != 0)
            return complain("this option is required", option->name);
        if (option->fallback != NULL && option_value(option, option->fallback, &kit->options[kit->option_count]))
            kit->option_count++;
    }
    return 0;
}

/* ---- Loading -------------------------------------------------------------------------------------------------------- */

/* Modules are never unloaded. */
static int load(struct kit *kit, const char *path)
{
    const kw_plugin *(*query)(void) = NULL;
    char *real = realpath(path, NULL); /* dlopen looks for a bare name elsewhere */
    void *module = dlopen(real != NULL ? real : path, RTLD_NOW | RTLD_LOCAL);
    free(real);
    if (module == NULL)
        return complain("the plugin cannot be loaded", dlerror());
    void *symbol = dlsym(module, "kw_plugin_query");
    if (symbol == NULL)
        return complain("the plugin does not export kw_plugin_query", path);
    memcpy(&query, &symbol, sizeof(query)); /* ISO C has no cast from an object's pointer to a function's */
    kit->plugin = query();
    if (kit->plugin == NULL || kit->plugin->abi_major != KW_ABI_MAJOR || !KW_HAS(kit->plugin, operations) ||
        kit->plugin->operations == NULL)
        return complain("the description is of another ABI, or incomplete", path);
    require(ABI_DESCRIPTION, query() == kit->plugin, "kw_plugin_query gives another description the second time");
    size_t size = kit->plugin->operations->size;
    memcpy(&kit->operations, kit->plugin->operations, size < sizeof(kit->operations) ? size : sizeof(kit->operations));
    return 0;
}

/* ---- Results ------------------------------------------------------------------------------------------------------------ */

static const char *const verdict_names[] = {[VERDICT_NOT_CHECKED] = "not checked",
                                            [VERDICT_PASSED] = "pass",
                                            [VERDICT_FAILED] = "FAIL",
                                            [VERDICT_SKIPPED] = "skipped"};

/* Names of the bits of a set. */
struct bit_name {
    uint32_t bit;
    const char *name;
};
static const struct bit_name operation_names[] = {{KW_CAN_GENERATE, "generate"},
                                                  {KW_CAN_IMPORT, "import"},
                                                  {KW_CAN_EXPORT, "export"},
                                                  {KW_CAN_DELETE, "delete"},
                                                  {KW_CAN_LIST, "list"},
                                                  {KW_CAN_ATTEST, "attest"},
                                                  {KW_CAN_STORE_CERTIFICATES, "store certificates"},
                                                  {KW_CAN_SET_SECRET, "set secret"},
                                                  {KW_CAN_RANDOM, "random"},
                                                  {KW_CAN_SIGN, "sign"},
                                                  {KW_CAN_DECRYPT, "decrypt"},
                                                  {KW_CAN_DERIVE, "derive"},
                                                  {0, NULL}};
static const struct bit_name type_names[] = {{KW_BIT(KW_KEY_RSA), "RSA"},
                                             {KW_BIT(KW_KEY_EC), "EC"},
                                             {KW_BIT(KW_KEY_ED25519), "Ed25519"},
                                             {KW_BIT(KW_KEY_X25519), "X25519"},
                                             {0, NULL}};
static const struct bit_name curve_names[] = {
    {KW_BIT(KW_CURVE_P256), "P-256"}, {KW_BIT(KW_CURVE_P384), "P-384"}, {KW_BIT(KW_CURVE_P521), "P-521"}, {0, NULL}};
static const struct bit_name scheme_names[] = {{KW_BIT(KW_SCHEME_RSA_PKCS1), "PKCS#1 v1.5"},
                                               {KW_BIT(KW_SCHEME_RSA_PSS), "PSS"},
                                               {KW_BIT(KW_SCHEME_RSA_OAEP), "OAEP"},
                                               {KW_BIT(KW_SCHEME_RSA_RAW), "raw RSA"},
                                               {KW_BIT(KW_SCHEME_ECDSA), "ECDSA"},
                                               {KW_BIT(KW_SCHEME_EDDSA), "EdDSA"},
                                               {KW_BIT(KW_SCHEME_ECDH), "ECDH"},
                                               {0, NULL}};
static const struct bit_name hash_names[] = {{KW_BIT(KW_HASH_SHA1), "SHA-1"},     {KW_BIT(KW_HASH_SHA224), "SHA-224"},
                                             {KW_BIT(KW_HASH_SHA256), "SHA-256"}, {KW_BIT(KW_HASH_SHA384), "SHA-384"},
                                             {KW_BIT(KW_HASH_SHA512), "SHA-512"}, {0, NULL}};

/* The report on what the plugin can do. */
struct capability_row {
    const char *name;
    const struct bit_name *names;
    uint32_t set;
};

static size_t capability_rows(const kw_capabilities *can, struct capability_row rows[6])
{
    const struct capability_row all[] = {
        {"operations", operation_names, can->operations},
        {"key types", type_names, can->key_types},
        {"curves", curve_names, can->curves},
        {"schemes", scheme_names, can->schemes},
        {"signature hashes", hash_names, can->sign_hashes},
        {"OAEP hashes", hash_names, can->oaep_hashes},
    };
    memcpy(rows, all, sizeof(all));
    return sizeof(all) / sizeof(all[0]);
}

static void print_text(const struct kit *kit)
{
    unsigned counts[4] = {0}, checks = 0;
    struct capability_row rows[6];
    printf("%s %s\n\n", kit->plugin->name, kit->plugin->version);
    for (size_t i = 0; i < REQUIREMENTS; i++) {
        enum verdict verdict = requirement_verdict((enum requirement)i);
        const char *failure = requirement_failure((enum requirement)i, &checks);
        counts[verdict]++;
        printf("%-14s %-26s %s\n", verdict_names[verdict], requirement_table[i].id, requirement_table[i].text);
        if (verdict == VERDICT_FAILED)
            printf("               saw: %s\n", failure);
    }
    printf("\nCan do\n");
    size_t count = capability_rows(&kit->capabilities, rows);
    for (size_t i = 0; i < count; i++) {
        printf("  %-17s", rows[i].name);
        for (const struct bit_name *bit = rows[i].names; bit->name != NULL; bit++)
            if ((rows[i].set & bit->bit) != 0)
                printf(" %s%s", bit->name, (rows[i].set & ~(bit->bit | (bit->bit - 1))) != 0 ? "," : "");
        printf("\n");
    }
    if ((kit->capabilities.key_types & KW_BIT(KW_KEY_RSA)) != 0)
        printf("  RSA               %u to %u bits\n", kit->capabilities.rsa_bits_minimum,
               kit->capabilities.rsa_bits_maximum);
    printf("\n%u passed, %u failed, %u not checked, %u skipped\n", counts[VERDICT_PASSED], counts[VERDICT_FAILED],
           counts[VERDICT_NOT_CHECKED], counts[VERDICT_SKIPPED]);
}

static void print_json(const struct kit *kit)
{
    static const char *const json_verdicts[] = {"not checked", "pass", "fail", "skipped"};
    struct capability_row rows[6];
    json_t *requirements = json_array(), *capabilities = json_object();
    for (size_t i = 0; i < REQUIREMENTS; i++) {
        unsigned checks = 0;
        const char *failure = requirement_failure((enum requirement)i, &checks);
        json_t *row =
            json_pack("{s:s, s:s, s:s, s:i}", "id", requirement_table[i].id, "text", requirement_table[i].text,
                      "verdict", json_verdicts[requirement_verdict((enum requirement)i)], "checks", (int)checks);
        if (failure != NULL)
            json_object_set_new(row, "saw", json_string(failure));
        json_array_append_new(requirements, row);
    }
    size_t count = capability_rows(&kit->capabilities, rows);
    for (size_t i = 0; i < count; i++) {
        json_t *names = json_array();
        for (const struct bit_name *bit = rows[i].names; bit->name != NULL; bit++)
            if ((rows[i].set & bit->bit) != 0)
                json_array_append_new(names, json_string(bit->name));
        json_object_set_new(capabilities, rows[i].name, names);
    }
    json_object_set_new(
        capabilities, "RSA bits",
        json_pack("[i, i]", (int)kit->capabilities.rsa_bits_minimum, (int)kit->capabilities.rsa_bits_maximum));
    json_t *report = json_pack("{s:s, s:s, s:o, s:o}", "plugin", kit->plugin->name, "version", kit->plugin->version,
                               "requirements", requirements, "capabilities", capabilities);
    json_dumpf(report, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(report);
}

static void print_requirements(void)
{
    for (size_t i = 0; i < REQUIREMENTS; i++)
        printf("%-26s %s\n", requirement_table[i].id, requirement_table[i].text);
}

/* ---- Everything ------------------------------------------------------------------------------------------------------------ */

static int run(struct kit *kit)
{
    check_description(kit);
    if (requirement_verdict(ABI_MANDATORY) == VERDICT_FAILED)
        return 1;
    kit->call = (kw_call){.size = sizeof(kit->call)};
    kit->records = records_new();
    kit_host_like(kit, &kit->host, kit->records);
    kw_status status = kit_open(kit, &kit->host, &kit->instance, &kit->capabilities);
    if (!expect_ok(&kit->host, OPEN_OK, status, "open"))
        return 1;
    check_instance(kit);
    check_keys(kit);
    check_import(kit);
    check_sign(kit);
    check_decrypt(kit);
    check_derive(kit);
    check_certificates(kit);
    check_secrets(kit);
    check_damage(kit);
    check_failures(kit);
    check_manners(kit);
    check_threads(kit);
    check_fork(kit);
    kit_close(kit, &kit->host, kit->instance);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'j'}, {"quick", no_argument, NULL, 'q'}, {"skip", required_argument, NULL, 's'},
        {"list", no_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},  {NULL, 0, NULL, 0}};
    static struct kit kit; /* static, because hosts point into it */
    bool json = false;
    for (int option; (option = getopt_long(argc, argv, "+h", long_options, NULL)) != -1;) {
        switch (option) {
        case 'j':
            json = true;
            break;
        case 'q':
            kit.quick = true;
            break;
        case 's':
            if (!requirement_skip(optarg))
                return complain("there is no such requirement", optarg);
            break;
        case 'l':
            print_requirements();
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind >= argc) {
        fputs(usage, stderr);
        return 2;
    }
    int failed = load(&kit, argv[optind]);
    if (failed == 0)
        failed = read_options(&kit, argv + optind + 1);
    if (failed != 0)
        return failed;
    failed = run(&kit);
    if (json)
        print_json(&kit);
    else
        print_text(&kit);
    for (size_t i = 0; i < REQUIREMENTS; i++)
        failed |= requirement_verdict((enum requirement)i) == VERDICT_FAILED;
    records_free(kit.records);
    free(kit.options);
    return failed;
}
