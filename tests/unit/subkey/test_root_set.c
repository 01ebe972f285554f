/* All roots of a master key for another key, another place, or a file: all or nothing, and never another root. */
#include "masters.h"

#include "store/key_private.h"
#include "subkey/high_water.h"
#include "subkey/root_private.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct masters *masters;
static kw_error *error;
static struct id master;
static struct pair pair;

/* With two roots. */
static void begin(const char *kind)
{
    uint32_t version = 0;
    pair = masters_add(masters, "master-key/example", kind, &master);
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_fine(masters, root_make(&masters->place, &master, 1, &version, error));
}

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
    free(masters->ring.settings.subkeys.recovery_certificate);
    masters->ring.settings.subkeys.recovery_certificate = NULL;
    pair_clear(&pair);
    masters_free(masters);
    return 0;
}

static struct secret load(uint32_t version)
{
    struct secret root = {0};
    assert_fine(masters, root_load(&masters->place, &master, version, &root, error));
    return root;
}

/* The chain of the certificate with this number, the caller's. */
static kw_bytes chain_of(unsigned number)
{
    struct certificate_row row = {0};
    kw_bytes chain;
    assert_fine(masters, catalogue_certificate_get_number(masters->ring.catalogue, &master, number, &row, error));
    chain = row.chain;
    row.chain = (kw_bytes){0};
    certificate_row_clear(&row);
    return chain;
}

static kw_input view(const kw_bytes *bytes)
{
    return (kw_input){bytes->data, bytes->length};
}

static kw_status write(struct root_set *set)
{
    kw_status status = catalogue_begin(masters->ring.catalogue, error);
    if (status == KW_OK)
        status = root_set_write(&masters->place, set, error);
    if (status == KW_OK)
        status = catalogue_commit(masters->ring.catalogue, error);
    catalogue_rollback(masters->ring.catalogue);
    return status;
}

/* ---- Another key ----------------------------------------------------------------------------------------- */

static void root_set_rewrap_other_key_opens_the_same(void **state)
{
    struct root_set *set = NULL;
    struct id same;
    struct pair other;
    kw_bytes chain;
    (void)state;
    begin("rsa-2048");
    struct secret first = load(1), second = load(2);
    assert_fine(masters, root_set_load(&masters->place, &master, &set, error));
    assert_int_equal(root_set_count(set), 2);
    other = masters_add(masters, "master-key/example", "ec-p256", &same);
    assert_true(id_equal(&same, &master));
    /* The certificate is changed already, and the roots are not: nothing opens. */
    struct secret none = {0};
    assert_answers(masters, KW_CORRUPT, root_load(&masters->place, &master, 1, &none, error));
    chain = chain_of(2);
    assert_fine(masters, root_set_rewrap(&masters->place, set, other.key, view(&chain), error));
    assert_fine(masters, write(set));
    struct secret again = load(1), also = load(2);
    assert_memory_equal(first.data, again.data, ROOT_LENGTH);
    assert_memory_equal(second.data, also.data, ROOT_LENGTH);
    secret_clear(&again);
    secret_clear(&also);
    secret_clear(&first);
    secret_clear(&second);
    root_set_free(set);
    kw_bytes_free(&chain);
    pair_clear(&other);
}

static void root_set_rewrap_key_that_has_no_roots_unsupported(void **state)
{
    struct root_set *set = NULL;
    struct id same;
    struct pair other;
    kw_bytes chain;
    (void)state;
    begin("ec-p256");
    assert_fine(masters, root_set_load(&masters->place, &master, &set, error));
    other = masters_add(masters, "master-key/example", "ed25519", &same);
    chain = chain_of(2);
    assert_answers(masters, KW_UNSUPPORTED, root_set_rewrap(&masters->place, set, other.key, view(&chain), error));
    /* A certificate of another key than the handle's is a mistake of the caller's. */
    assert_answers(masters, KW_FAILED, root_set_rewrap(&masters->place, set, pair.key, view(&chain), error));
    root_set_free(set);
    kw_bytes_free(&chain);
    pair_clear(&other);
}

static void root_set_write_after_another_root_conflict(void **state)
{
    struct root_set *set = NULL, *empty = NULL;
    struct root_rows rows = {0};
    struct id fresh;
    uint32_t version = 0;
    struct pair second = masters_add(masters, "master-key/second", "ec-p256", &fresh);
    (void)state;
    begin("ec-p256");
    assert_fine(masters, root_set_load(&masters->place, &master, &set, error));
    assert_fine(masters, write(set));
    assert_fine(masters, root_rows_read(&masters->place, &master, &rows, error));
    rows.rows[0].resealed = 2;
    assert_fine(masters, catalogue_root_update(masters->ring.catalogue, &rows.rows[0], error));
    root_rows_clear(&rows);
    assert_answers(masters, KW_CONFLICT, write(set));
    root_set_free(set);
    assert_fine(masters, root_set_load(&masters->place, &master, &set, error));
    assert_fine(masters, write(set));
    assert_fine(masters, root_make(&masters->place, &master, 2, &version, error));
    assert_answers(masters, KW_CONFLICT, write(set));
    assert_says(masters, "the root secrets of master-key/example were changed meanwhile");
    /* Also where there was none. */
    assert_fine(masters, root_set_load(&masters->place, &fresh, &empty, error));
    assert_int_equal(root_set_count(empty), 0);
    assert_fine(masters, write(empty));
    assert_fine(masters, root_make(&masters->place, &fresh, 0, &version, error));
    assert_answers(masters, KW_CONFLICT, write(empty));
    root_set_free(set);
    root_set_free(empty);
    pair_clear(&second);
}

/* ---- Another place ------------------------------------------------------------------------------------------ */

/* As if the store could do no more than that. */
static void limit(kw_key *key, uint32_t schemes, uint32_t oaep_hashes)
{
    struct key_place *place = atomic_load(&key->place);
    place->capabilities.schemes = schemes;
    place->capabilities.oaep_hashes = oaep_hashes;
    key_place_tell(place, &key->pss);
}

static void root_set_prove_other_way_is_added(void **state)
{
    const uint32_t schemes = KW_BIT(KW_SCHEME_RSA_OAEP) | KW_BIT(KW_SCHEME_RSA_PKCS1);
    struct root_set *set = NULL;
    struct root_rows rows = {0};
    struct root_wraps wraps;
    kw_bytes chain;
    (void)state;
    begin("rsa-2048");
    struct secret first = load(1);
    chain = chain_of(1);
    assert_fine(masters, root_set_load(&masters->place, &master, &set, error));
    assert_fine(masters, root_set_prove(&masters->place, set, pair.key, view(&chain), error));
    assert_false(set->changed[0]); /* it can undo what is there */
    limit(pair.key, schemes, KW_BIT(KW_HASH_SHA1));
    assert_fine(masters, root_set_prove(&masters->place, set, pair.key, view(&chain), error));
    assert_true(set->changed[0]);
    assert_fine(masters, write(set));
    assert_fine(masters, root_rows_read(&masters->place, &master, &rows, error));
    assert_string_equal(rows.rows[0].scheme, "rsa-pkcs1-sha256");
    assert_true(root_wraps_read((kw_input){rows.rows[0].wraps.data, rows.rows[0].wraps.length}, &wraps));
    assert_int_equal(wraps.count, 2);
    assert_true(input_equal(wraps.wraps[0].algorithm, input_text("rsa-oaep-sha1")));
    assert_true(input_equal(wraps.wraps[1].algorithm, input_text("rsa-oaep-sha256")));
    struct secret again = load(1); /* by the old place */
    assert_memory_equal(first.data, again.data, ROOT_LENGTH);
    limit(pair.key, KW_BIT(KW_SCHEME_RSA_PSS), 0);
    assert_answers(masters, KW_UNSUPPORTED, root_set_prove(&masters->place, set, pair.key, view(&chain), error));
    secret_clear(&first);
    secret_clear(&again);
    root_rows_clear(&rows);
    root_set_free(set);
    kw_bytes_free(&chain);
}

/* A store that opens a root to something else must not get the key. */
static void root_set_prove_other_root_corrupt(void **state)
{
    struct root_set *set = NULL;
    kw_bytes chain;
    (void)state;
    begin("ec-p256");
    chain = chain_of(1);
    assert_fine(masters, root_set_load(&masters->place, &master, &set, error));
    set->roots[1].data[5] ^= 1;
    assert_answers(masters, KW_CORRUPT, root_set_prove(&masters->place, set, pair.key, view(&chain), error));
    assert_says(masters, "root 2 of master-key/example: store 'local' makes another root of it");
    root_set_free(set);
    kw_bytes_free(&chain);
}

/* ---- A file --------------------------------------------------------------------------------------------------- */

static kw_status read_records(const struct id *id, kw_input records, kw_key *key, kw_input chain)
{
    struct root_set *set = NULL;
    const kw_status status = root_set_read(&masters->place, id, "master-key/example", records, key, chain, &set, error);
    assert_true((status == KW_OK) == (set != NULL));
    root_set_free(set);
    return status;
}

static void root_set_read_changed_records_corrupt(void **state)
{
    struct id other;
    struct pair second = masters_add(masters, "master-key/second", "ec-p256", &other);
    kw_bytes records = {0}, none = {0}, chain;
    size_t signature;
    (void)state;
    begin("ec-p256");
    chain = chain_of(1);
    assert_fine(masters, root_records_write(&masters->place, &other, &none, error));
    assert_int_equal(none.length, 0);
    assert_fine(masters, root_records_write(&masters->place, &master, &records, error));
    assert_fine(masters, read_records(&master, view(&records), pair.key, view(&chain)));
    /* Of another entry, or with another key. */
    assert_answers(masters, KW_CORRUPT, read_records(&other, view(&records), pair.key, view(&chain)));
    assert_answers(masters, KW_FAILED, read_records(&master, view(&records), second.key, view(&chain)));
    /* Cut anywhere, and too long. */
    for (size_t length = 0; length < records.length; length += 1 + length / 16)
        assert_answers(masters, KW_CORRUPT,
                       read_records(&master, (kw_input){records.data, length}, pair.key, view(&chain)));
    assert_answers(masters, KW_CORRUPT,
                   read_records(&master, (kw_input){records.data, records.length + 1}, pair.key, view(&chain)));
    /* Changed: version, public key, wraps (count, recipient, name, ciphertext), scheme, signature. */
    const size_t wraps = 4 + 4 + 1 + 32;
    signature = records.length - 4 - 8 - 20;
    const size_t places[] = {3, 7, 9, wraps + 4, wraps + 5, wraps + 6 + 32 + 8, wraps + 180, signature};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        records.data[places[i]] ^= 1;
        assert_answers(masters, KW_CORRUPT, read_records(&master, view(&records), pair.key, view(&chain)));
        records.data[places[i]] ^= 1;
    }
    /* Two that are active. */
    assert_int_equal(records.data[8], ROOT_DECRYPT_ONLY);
    records.data[8] = ROOT_ACTIVE;
    assert_answers(masters, KW_CORRUPT, read_records(&master, view(&records), pair.key, view(&chain)));
    records.data[8] = 9;
    assert_answers(masters, KW_CORRUPT, read_records(&master, view(&records), pair.key, view(&chain)));
    kw_bytes_free(&records);
    kw_bytes_free(&chain);
    pair_clear(&second);
}

static void root_set_join_adds_what_is_newer(void **state)
{
    struct root_set *file = NULL, *here = NULL;
    struct root_rows rows = {0};
    kw_bytes newer = {0}, chain;
    uint32_t version = 0;
    (void)state;
    begin("ec-p256");
    chain = chain_of(1);
    masters_execute(masters, "CREATE TABLE older AS SELECT * FROM root");
    assert_fine(masters, root_make(&masters->place, &master, 2, &version, error));
    assert_fine(masters, root_records_write(&masters->place, &master, &newer, error));
    struct secret third = load(3);
    /* This server as it was before. */
    masters_execute(masters, "DELETE FROM root; INSERT INTO root SELECT * FROM older");
    assert_fine(masters, high_water_forget(&masters->place, &master, error));
    assert_fine(masters, root_set_load(&masters->place, &master, &here, error));
    assert_fine(masters, root_set_read(&masters->place, &master, "master-key/example", view(&newer), pair.key,
                                       view(&chain), &file, error));
    assert_fine(masters, root_set_join(file, here, error));
    assert_fine(masters, write(file));
    assert_fine(masters, root_rows_read(&masters->place, &master, &rows, error));
    assert_int_equal(rows.count, 3);
    assert_int_equal(rows.rows[1].state, ROOT_DECRYPT_ONLY);
    assert_int_equal(rows.rows[2].state, ROOT_ACTIVE);
    struct secret again = load(3);
    assert_memory_equal(third.data, again.data, ROOT_LENGTH);
    root_rows_clear(&rows);
    root_set_free(file);
    root_set_free(here);
    /* A file that is behind changes nothing. */
    assert_fine(masters, root_make(&masters->place, &master, 3, &version, error));
    assert_fine(masters, root_set_load(&masters->place, &master, &here, error));
    assert_fine(masters, root_set_read(&masters->place, &master, "master-key/example", view(&newer), pair.key,
                                       view(&chain), &file, error));
    assert_fine(masters, root_set_join(file, here, error));
    assert_fine(masters, write(file));
    assert_fine(masters, root_active(&masters->place, &master, &version, error));
    assert_int_equal(version, 4);
    secret_clear(&third);
    secret_clear(&again);
    root_set_free(file);
    root_set_free(here);
    kw_bytes_free(&newer);
    kw_bytes_free(&chain);
}

static void root_set_join_other_root_exists(void **state)
{
    struct root_set *file = NULL, *here = NULL;
    kw_bytes records = {0}, chain;
    (void)state;
    begin("ec-p256");
    chain = chain_of(1);
    assert_fine(masters, root_records_write(&masters->place, &master, &records, error));
    assert_fine(masters, root_set_load(&masters->place, &master, &here, error));
    assert_fine(masters, root_set_read(&masters->place, &master, "master-key/example", view(&records), pair.key,
                                       view(&chain), &file, error));
    here->roots[1].data[0] ^= 1;
    assert_answers(masters, KW_EXISTS, root_set_join(file, here, error));
    assert_says(masters, "another root 2 here than in the file");
    root_set_free(file);
    root_set_free(here);
    kw_bytes_free(&records);
    kw_bytes_free(&chain);
}

/* ---- Recovery ---------------------------------------------------------------------------------------------- */

/* The certificate of `pair`'s own key serves as well as any. */
static void configure_recovery(const kw_bytes *certificate)
{
    char *path = text_format("%s/recovery.crt", masters->ring.directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(certificate->data, 1, certificate->length, file), certificate->length);
    assert_int_equal(fclose(file), 0);
    masters->ring.settings.subkeys.recovery_certificate = path;
}

static void recover(const char *kind)
{
    struct id other;
    struct pair recovery = masters_add(masters, "general/recovery", kind, &other);
    struct root_set *set = NULL;
    struct certificate_row row = {0};
    bool lacks = false;
    pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    uint32_t version = 0;
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_fine(masters, catalogue_certificate_get_number(masters->ring.catalogue, &other, 1, &row, error));
    configure_recovery(&row.chain);
    assert_fine(masters, root_lacks_recovery(&masters->place, &master, &lacks, error));
    assert_true(lacks);
    assert_answers(masters, KW_REFUSED, root_set_recover(&masters->place, &master, recovery.plain, &set, error));
    assert_says(masters, "root 1 of master-key/example: it is not wrapped to the certificate");
    masters_execute(masters, "DELETE FROM root");
    assert_fine(masters, high_water_forget(&masters->place, &master, error));
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    assert_fine(masters, root_lacks_recovery(&masters->place, &master, &lacks, error));
    assert_false(lacks);
    struct secret root = load(1);
    const uint64_t calls = ring_calls(&masters->ring);
    assert_fine(masters, root_set_recover(&masters->place, &master, recovery.plain, &set, error));
    assert_memory_equal(set->roots[0].data, root.data, ROOT_LENGTH);
    assert_int_equal(ring_calls(&masters->ring), calls); /* the store may be gone */
    root_set_free(set);
    set = NULL;
    /* What the master key did not sign is not recovered, although the recovery key would open it. */
    struct root_rows rows = {0};
    assert_fine(masters, root_rows_read(&masters->place, &master, &rows, error));
    rows.rows[0].signature.data[9] ^= 1;
    assert_fine(masters, catalogue_root_update(masters->ring.catalogue, &rows.rows[0], error));
    assert_answers(masters, KW_CORRUPT, root_set_recover(&masters->place, &master, recovery.plain, &set, error));
    assert_null(set);
    root_rows_clear(&rows);
    secret_clear(&root);
    certificate_row_clear(&row);
    pair_clear(&recovery);
}

static void root_set_recover_rsa_opens(void **state)
{
    (void)state;
    recover("rsa-2048");
}

static void root_set_recover_ec_opens(void **state)
{
    (void)state;
    recover("ec-p384");
}

static void recovery_certificate_that_is_none_is_configuration(void **state)
{
    static const char *const texts[] = {"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "text"};
    uint32_t version = 0;
    (void)state;
    pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        kw_bytes content = {(unsigned char *)text_copy(texts[i]), strlen(texts[i])};
        free(masters->ring.settings.subkeys.recovery_certificate);
        configure_recovery(&content);
        assert_answers(masters, KW_CONFIGURATION, root_make(&masters->place, &master, 0, &version, error));
        assert_says(masters, "recovery_certificate: ");
        kw_bytes_free(&content);
    }
    assert_answers(masters, KW_NOT_FOUND, root_active(&masters->place, &master, &version, error));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(root_set_rewrap_other_key_opens_the_same),
        test(root_set_rewrap_key_that_has_no_roots_unsupported),
        test(root_set_write_after_another_root_conflict),
        test(root_set_prove_other_way_is_added),
        test(root_set_prove_other_root_corrupt),
        test(root_set_read_changed_records_corrupt),
        test(root_set_join_adds_what_is_newer),
        test(root_set_join_other_root_exists),
        test(root_set_recover_rsa_opens),
        test(root_set_recover_ec_opens),
        test(recovery_certificate_that_is_none_is_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
