#include "scene.h"

#include "certificate/kinds.h"

#include <string.h>

static const struct kind *find(const char *text)
{
    struct address address = {0};
    const struct kind *kind = NULL;
    assert_int_equal(address_parse(text, &address, NULL), KW_OK);
    assert_int_equal(kind_of(&address, &kind, NULL), KW_OK);
    return kind;
}

/* The table of requirements.md, column by column. */
static void kinds_table_is_the_policy(void **state)
{
    static const struct {
        const char *address, *common_name;
        bool replaceable, expiry_checked, exported, automatic, has_san, unit, in_database, serves;
        enum kind_usage usage;
        bool ed25519;
    } rows[] = {
        {"ssl-connection", "PSR8Server", true, true, false, true, true, false, false, false, USAGE_TLS_SERVER, true},
        {"server-encryption", "Keywright Server Encryption", false, false, true, true, false, false, false, false,
         USAGE_SECRETS, false},
        {"database/d", "psrDatabaseKey", false, false, true, false, false, true, false, false, USAGE_SECRETS, false},
        {"master-key/d", "Active Directory: %s", false, false, true, false, false, false, false, true, USAGE_SECRETS,
         false},
        {"discovery-service/d/n", "Discovery Service: %s", false, false, true, false, false, true, true, false,
         USAGE_SECRETS, false},
        {"password-reset/d/n", "Password Reset: %s", false, false, true, false, false, true, true, false, USAGE_SECRETS,
         false},
        {"general/n", "%s", true, true, true, false, true, false, false, false, USAGE_GENERAL, true},
    };
    (void)state;
    assert_int_equal(kind_count, sizeof(rows) / sizeof(rows[0]));
    for (size_t i = 0; i < kind_count; i++) {
        const struct kind *kind = find(rows[i].address);
        assert_string_equal(kind->common_name, rows[i].common_name);
        assert_int_equal(kind->replaceable, rows[i].replaceable);
        assert_int_equal(kind->expiry_checked, rows[i].expiry_checked);
        assert_int_equal(kind->exported, rows[i].exported);
        assert_int_equal(kind->automatic, rows[i].automatic);
        assert_int_equal(kind->has_san, rows[i].has_san);
        assert_int_equal(kind->database_is_unit, rows[i].unit);
        assert_int_equal(kind->in_database, rows[i].in_database);
        assert_int_equal(kind->serves_databases, rows[i].serves);
        assert_int_equal(kind->usage, rows[i].usage);
        assert_string_equal(kind->default_key, "rsa-3072");
        assert_string_equal(kind->keys[0], kind->default_key);
        assert_int_equal(kind_check_key(kind, "ed25519", NULL), rows[i].ed25519 ? KW_OK : KW_REFUSED);
        assert_int_equal(kind_check_key(kind, "ec-p384", NULL), KW_OK);
        assert_true(strlen(kind->use) > 20);
    }
}

static void kind_of_misspelt_names_the_nearest(void **state)
{
    struct scene scene = {0};
    struct address address = {0};
    const struct kind *kind = NULL;
    (void)state;
    assert_ok(&scene, address_parse("datbase/sales", &address, &scene.error));
    assert_status(&scene, KW_INVALID_ARGUMENT, kind_of(&address, &kind, &scene.error));
    assert_message(&scene, "datbase");
    assert_string_equal(scene.error.remedy, "did you mean 'database'?");
    assert_null(kind);
    assert_ok(&scene, address_parse("xyzzy", &address, &scene.error));
    assert_status(&scene, KW_INVALID_ARGUMENT, kind_of(&address, &kind, &scene.error));
    assert_non_null(strstr(scene.error.remedy, "ssl-connection, server-encryption, database"));
}

static void kind_of_wrong_number_of_names_says_the_form(void **state)
{
    static const struct {
        const char *address, *said;
    } rows[] = {
        {"database", "a name too few: an address of this kind is written database/DATABASE"},
        {"ssl-connection/x", "a name too many: an address of this kind is written ssl-connection"},
        {"password-reset/x", "a name too few: an address of this kind is written password-reset/DATABASE/NAME"},
        {"general/a/b", "a name too many: an address of this kind is written general/NAME"},
    };
    struct scene scene = {0};
    const struct kind *kind = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct address address = {0};
        assert_ok(&scene, address_parse(rows[i].address, &address, &scene.error));
        assert_status(&scene, KW_INVALID_ARGUMENT, kind_of(&address, &kind, &scene.error));
        assert_message(&scene, rows[i].said);
    }
}

static void kind_check_key_not_allowed_names_those_that_are(void **state)
{
    struct scene scene = {0};
    (void)state;
    assert_status(&scene, KW_REFUSED, kind_check_key(find("database/d"), "ed25519", &scene.error));
    assert_message(&scene, "can sign but not decrypt");
    assert_string_equal(scene.error.remedy, "one of rsa-3072, rsa-2048, rsa-4096, ec-p256, ec-p384, ec-p521");
    assert_status(&scene, KW_INVALID_ARGUMENT, kind_check_key(find("general/d"), "rsa-1024", &scene.error));
    assert_message(&scene, "rsa-1024");
    /* A store may have such keys; no certificate can. */
    for (size_t i = 0; i < kind_count; i++) {
        assert_status(&scene, KW_REFUSED, kind_check_key(&kinds[i], "x25519", &scene.error));
        assert_message(&scene, "agrees on secrets but cannot sign");
        assert_int_equal(strncmp(scene.error.remedy, "one of rsa-3072, ", 17), 0);
    }
}

/* It has no name on the command line, and signs alone. */
static void kind_check_certified_takes_a_key_for_pss_alone_where_keys_may_sign_alone(void **state)
{
    struct scene scene = {0};
    (void)state;
    for (size_t i = 0; i < kind_count; i++) {
        assert_status(&scene, KW_INVALID_ARGUMENT, kind_check_key(&kinds[i], "rsa-pss-3072", &scene.error));
        if (kinds[i].usage == USAGE_SECRETS) {
            assert_status(&scene, KW_REFUSED, kind_check_certified(&kinds[i], "rsa-pss-3072", &scene.error));
            assert_message(&scene, "does not decrypt");
        } else {
            assert_ok(&scene, kind_check_certified(&kinds[i], "rsa-pss-3072", &scene.error));
        }
        assert_ok(&scene, kind_check_certified(&kinds[i], "rsa-3072", &scene.error));
        assert_status(&scene, KW_REFUSED, kind_check_certified(&kinds[i], "x25519", &scene.error));
    }
}

static void kind_database_is_the_first_name_where_there_is_one(void **state)
{
    static const struct {
        const char *address, *database;
    } rows[] = {{"database/sales", "sales"},
                {"discovery-service/sales/scan", "sales"},
                {"password-reset/hr/web", "hr"},
                {"master-key/corp", NULL},
                {"general/x", NULL},
                {"ssl-connection", NULL},
                {"server-encryption", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct address address = {0};
        const struct kind *kind = NULL;
        assert_int_equal(address_parse(rows[i].address, &address, NULL), KW_OK);
        assert_int_equal(kind_of(&address, &kind, NULL), KW_OK);
        const char *database = kind_database(kind, &address);
        assert_true(database == rows[i].database || (database != NULL && strcmp(database, rows[i].database) == 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_table_is_the_policy),
        cmocka_unit_test(kind_of_misspelt_names_the_nearest),
        cmocka_unit_test(kind_of_wrong_number_of_names_says_the_form),
        cmocka_unit_test(kind_check_key_not_allowed_names_those_that_are),
        cmocka_unit_test(kind_check_certified_takes_a_key_for_pss_alone_where_keys_may_sign_alone),
        cmocka_unit_test(kind_database_is_the_first_name_where_there_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
