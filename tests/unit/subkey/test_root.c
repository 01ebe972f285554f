/* Roots on real stores: made, loaded, and refused where somebody changed them. */
#include "masters.h"

#include "subkey/root_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct masters *masters;
static kw_error *error;

static int setup(void **state)
{
    (void)state;
    masters = masters_new();
    error = &masters->error;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    masters_free(masters);
    return 0;
}

static struct secret load(const struct id *master, uint32_t version)
{
    struct secret root = {0};
    assert_fine(masters, root_load(&masters->place, master, version, &root, error));
    assert_int_equal(root.length, ROOT_LENGTH);
    return root;
}

static void refuses(kw_status expected, const struct id *master, uint32_t version, const char *why)
{
    struct secret root = {0};
    assert_answers(masters, expected, root_load(&masters->place, master, version, &root, error));
    assert_null(root.data);
    assert_says(masters, why);
}

/* ---- Making and loading --------------------------------------------------------------------------------- */

static void make_and_load(const char *kind, const char *algorithm, const char *scheme)
{
    struct id master;
    struct pair pair = masters_add(masters, "master-key/example", kind, &master);
    struct root_rows rows = {0};
    struct root_wraps wraps;
    uint32_t version = 0;
    uint64_t calls;
    assert_answers(masters, KW_NOT_FOUND, root_active(&masters->place, &master, &version, error));
    assert_says(masters, "master-key/example has no root secret yet");
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_int_equal(version, 1);
    version = 0;
    assert_fine(masters, root_active(&masters->place, &master, &version, error));
    assert_int_equal(version, 1);

    struct secret first = load(&master, 1), again = load(&master, 1);
    assert_memory_equal(first.data, again.data, ROOT_LENGTH);
    calls = ring_calls(&masters->ring);
    secret_clear(&again);
    again = load(&master, 1);
    assert_int_equal(ring_calls(&masters->ring) - calls,
                     3); /* the key opened, its public half, and one operation with it */

    assert_fine(masters, root_rows_read(&masters->place, &master, &rows, error));
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.rows[0].scheme, scheme);
    assert_true(root_wraps_read((kw_input){rows.rows[0].wraps.data, rows.rows[0].wraps.length}, &wraps));
    assert_int_equal(wraps.count, 1);
    assert_true(input_equal(wraps.wraps[0].algorithm, input_text(algorithm)));
    root_rows_clear(&rows);
    secret_clear(&first);
    secret_clear(&again);
    pair_clear(&pair);
}

static void root_make_rsa_loads(void **state)
{
    (void)state;
    make_and_load("rsa-2048", "rsa-oaep-sha256", "rsa-pss-sha256");
}

static void root_make_ec_loads(void **state)
{
    (void)state;
    make_and_load("ec-p256", "ecdh-hkdf-sha256-aes-256-gcm", "ecdsa-sha256");
}

static void root_make_p521_loads(void **state)
{
    (void)state;
    make_and_load("ec-p521", "ecdh-hkdf-sha256-aes-256-gcm", "ecdsa-sha256");
}

static void root_make_ed25519_unsupported(void **state)
{
    struct id master;
    uint32_t version = 0;
    struct pair pair = masters_add(masters, "master-key/example", "ed25519", &master);
    (void)state;
    assert_answers(masters, KW_UNSUPPORTED, root_make(&masters->place, &master, 0, &version, error));
    assert_says(masters, "the key of master-key/example cannot have root secrets");
    pair_clear(&pair);
}

static void root_make_other_kind_refused(void **state)
{
    struct id master;
    uint32_t version = 0;
    struct pair pair = masters_add(masters, "general/other", "ec-p256", &master);
    (void)state;
    assert_answers(masters, KW_REFUSED, root_make(&masters->place, &master, 0, &version, error));
    assert_says(masters, "general/other is no master key");
    pair_clear(&pair);
}

static void root_make_next_becomes_active(void **state)
{
    struct id master;
    uint32_t version = 0;
    struct root_rows rows = {0};
    struct pair pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    const uint64_t generation = control_generation(masters->control);
    (void)state;
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_int_equal(version, 1); /* there was one already */
    assert_fine(masters, root_make(&masters->place, &master, 1, &version, error));
    assert_int_equal(version, 2);
    assert_true(control_generation(masters->control) > generation);
    assert_fine(masters, root_active(&masters->place, &master, &version, error));
    assert_int_equal(version, 2);
    assert_fine(masters, root_rows_read(&masters->place, &master, &rows, error));
    assert_int_equal(rows.rows[0].state, ROOT_DECRYPT_ONLY);
    assert_int_equal(rows.rows[1].state, ROOT_ACTIVE);
    root_rows_clear(&rows);
    struct secret first = load(&master, 1), second = load(&master, 2);
    assert_memory_not_equal(first.data, second.data, ROOT_LENGTH);
    secret_clear(&first);
    secret_clear(&second);
    assert_fine(masters, root_check(&masters->place, &master, 1, error));
    assert_answers(masters, KW_NOT_FOUND, root_check(&masters->place, &master, 3, error));
    assert_says(masters, "master-key/example has no root 3");
    refuses(KW_NOT_FOUND, &master, 3, "master-key/example has no root 3");
    pair_clear(&pair);
}

/* ---- Somebody changed the catalogue ------------------------------------------------------------------------ */

static void root_load_any_field_changed_corrupt(void **state)
{
    static const char *const columns[] = {
        "version = version + 1",       "state = 'decrypt-only'",     "spki = randomblob(32)", "wraps = zeroblob(40)",
        "scheme = 'ecdsa-sha512'",     "signature = randomblob(70)", "resealed = 1",          "created = created + 1",
        "generation = generation + 1", "mac = randomblob(32)"};
    struct id master, other;
    uint32_t version = 0;
    char text[ID_TEXT_SIZE], kept[ID_TEXT_SIZE];
    struct pair pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    struct pair second = masters_add(masters, "master-key/other", "ec-p256", &other);
    (void)state;
    id_text(&master, text);
    id_text(&other, kept);
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_fine(masters, root_make(&masters->place, &other, 0, &version, error));
    masters_execute(masters, "CREATE TABLE kept AS SELECT * FROM root");
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        masters_execute(masters, "UPDATE root SET %s WHERE master = '%s'", columns[i], text);
        assert_answers(masters, KW_CORRUPT, root_active(&masters->place, &master, &version, error));
        assert_says(masters, "of master-key/example");
        refuses(KW_CORRUPT, &master, 1, "of master-key/example");
        assert_answers(masters, KW_CORRUPT, root_make(&masters->place, &master, 1, &version, error));
        assert_fine(masters, root_active(&masters->place, &other, &version, error));
        masters_execute(masters, "DELETE FROM root; INSERT INTO root SELECT * FROM kept");
    }
    /* The rows of two master keys exchanged, whole but for whose they are. */
    masters_execute(masters,
                    "UPDATE root SET version = 9 WHERE master = '%s'; UPDATE root SET master = '%s' WHERE master = "
                    "'%s'; UPDATE root SET master = '%s', version = 1 WHERE version = 9",
                    text, text, kept, kept);
    refuses(KW_CORRUPT, &master, 1, "root 1 of master-key/example");
    refuses(KW_CORRUPT, &other, 1, "root 1 of master-key/other");
    masters_execute(masters, "DELETE FROM root; INSERT INTO root SELECT * FROM kept");
    struct secret root = load(&master, 1);
    secret_clear(&root);
    pair_clear(&pair);
    pair_clear(&second);
}

static void root_active_row_taken_away_corrupt(void **state)
{
    struct id master;
    uint32_t version = 0;
    struct pair pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    (void)state;
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_fine(masters, root_make(&masters->place, &master, 1, &version, error));
    masters_execute(masters, "DELETE FROM root WHERE version = 1");
    assert_answers(masters, KW_CORRUPT, root_active(&masters->place, &master, &version, error));
    assert_says(masters, "a version before root 2");
    pair_clear(&pair);
}

/* Rows by who can write the catalogue and has its key, but not the master key's private half. */

static struct root_row read_row(const struct id *master, uint32_t version)
{
    struct root_rows rows = {0};
    struct root_row row;
    assert_fine(masters, root_rows_read(&masters->place, master, &rows, error));
    assert_true(version <= rows.count);
    row = rows.rows[version - 1];
    rows.rows[version - 1] = (struct root_row){0};
    root_rows_clear(&rows);
    return row;
}

static void root_load_substituted_corrupt(void **state)
{
    unsigned char chosen[ROOT_LENGTH] = "a root of the attacker's choice";
    struct id master, attackers;
    uint32_t version = 0;
    struct pair pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    struct pair theirs = masters_add(masters, "master-key/attacker", "ec-p256", &attackers);
    struct root_key key = {0}, own = {0};
    struct root_row row;
    (void)state;
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_fine(masters, root_key_open(&masters->place, &master, &key, error));
    assert_fine(masters, root_key_open(&masters->place, &attackers, &own, error));

    /* Wrapped to the real public key, signed by another key, and saying so. */
    row = read_row(&master, 1);
    assert_fine(masters,
                root_row_make(&masters->place, &own.wrap, (kw_input){chosen, ROOT_LENGTH}, false, &row, error));
    assert_fine(masters, catalogue_root_update(masters->ring.catalogue, &row, error));
    refuses(KW_CORRUPT, &master, 1, "root 1 of master-key/example: it is not signed by the master key");
    /* The same, and saying that the master key signed. */
    memcpy(row.spki, key.wrap.spki, sizeof(row.spki));
    assert_fine(masters, catalogue_root_update(masters->ring.catalogue, &row, error));
    refuses(KW_CORRUPT, &master, 1, "it is not signed by the master key");
    root_row_clear(&row);
    root_key_clear(&key);
    root_key_clear(&own);
    pair_clear(&pair);
    pair_clear(&theirs);
}

/* What the master key really signed, in the place of another version. */
static void root_load_versions_exchanged_corrupt(void **state)
{
    struct id master;
    uint32_t version = 0;
    struct pair pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    struct root_row first, second;
    kw_bytes wraps, signature;
    (void)state;
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_fine(masters, root_make(&masters->place, &master, 1, &version, error));
    first = read_row(&master, 1);
    second = read_row(&master, 2);
    wraps = first.wraps;
    signature = first.signature;
    first.wraps = second.wraps;
    first.signature = second.signature;
    second.wraps = wraps;
    second.signature = signature;
    assert_fine(masters, catalogue_root_update(masters->ring.catalogue, &first, error));
    assert_fine(masters, catalogue_root_update(masters->ring.catalogue, &second, error));
    refuses(KW_CORRUPT, &master, 1, "root 1 of master-key/example: it is not signed");
    refuses(KW_CORRUPT, &master, 2, "root 2 of master-key/example: it is not signed");
    root_row_clear(&first);
    root_row_clear(&second);
    pair_clear(&pair);
}

static void catalogue_root_update_backwards_refused(void **state)
{
    struct id master;
    uint32_t version = 0;
    bool is_over = false;
    struct pair pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    struct root_row row;
    (void)state;
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_fine(masters, root_make(&masters->place, &master, 1, &version, error));
    row = read_row(&master, 1);
    row.state = ROOT_ACTIVE;
    assert_answers(masters, KW_REFUSED, catalogue_root_update(masters->ring.catalogue, &row, error));
    row.state = ROOT_DECRYPT_ONLY;
    row.version = 2;
    assert_answers(masters, KW_REFUSED, catalogue_root_update(masters->ring.catalogue, &row, error));
    row.version = 1;
    row.generation--;
    assert_answers(masters, KW_CONFLICT, catalogue_root_update(masters->ring.catalogue, &row, error));
    row.generation++;
    row.resealed = 2;
    row.state = ROOT_RETIRED;
    assert_fine(masters, catalogue_root_update(masters->ring.catalogue, &row, error));
    refuses(KW_NOT_FOUND, &master, 1, "root 1 of master-key/example is retired");
    assert_answers(masters, KW_NOT_FOUND, root_check(&masters->place, &master, 1, error));
    assert_says(masters, "is retired");
    assert_fine(masters, root_is_over(&masters->place, &master, 1, &is_over, error));
    assert_true(is_over);
    assert_fine(masters, root_is_over(&masters->place, &master, 2, &is_over, error));
    assert_false(is_over);
    row.resealed = 0;
    assert_answers(masters, KW_REFUSED, catalogue_root_update(masters->ring.catalogue, &row, error));
    root_row_clear(&row);
    /* An entry with roots does not go without them. */
    assert_answers(masters, KW_CONFLICT, catalogue_entry_delete(masters->ring.catalogue, &master, error));
    pair_clear(&pair);
}

/* The last line, behind signature and encryption: what is unwrapped says whose it is. */
static void root_content_read_of_another_corrupt(void **state)
{
    const struct id mine = {{1, 2, 3}}, other = {{1, 2, 4}};
    unsigned char bytes[ROOT_LENGTH] = "a root";
    struct secret content = {0}, root = {0};
    (void)state;
    assert_fine(masters, root_content_write(&mine, 7, (kw_input){bytes, ROOT_LENGTH}, &content, error));
    assert_fine(masters, root_content_read(&mine, 7, secret_view(&content), &root, error));
    assert_memory_equal(root.data, bytes, ROOT_LENGTH);
    secret_clear(&root);
    assert_answers(masters, KW_CORRUPT, root_content_read(&other, 7, secret_view(&content), &root, error));
    assert_answers(masters, KW_CORRUPT, root_content_read(&mine, 8, secret_view(&content), &root, error));
    content.data[3] ^= 1;
    assert_answers(masters, KW_CORRUPT, root_content_read(&mine, 7, secret_view(&content), &root, error));
    content.data[3] ^= 1;
    content.length--;
    assert_answers(masters, KW_CORRUPT, root_content_read(&mine, 7, secret_view(&content), &root, error));
    assert_null(root.data);
    secret_clear(&content);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(root_make_rsa_loads),
        test(root_make_ec_loads),
        test(root_make_p521_loads),
        test(root_make_ed25519_unsupported),
        test(root_make_other_kind_refused),
        test(root_make_next_becomes_active),
        test(root_load_any_field_changed_corrupt),
        test(root_active_row_taken_away_corrupt),
        test(root_load_substituted_corrupt),
        test(root_load_versions_exchanged_corrupt),
        test(catalogue_root_update_backwards_refused),
        test(root_content_read_of_another_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
