/* Which certificate is a key's, and which are its issuers. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/pfx_bags.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static struct scene scene;

static int open_scene(void **state)
{
    (void)state;
    scene_open(&scene);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    scene_close(&scene);
    return 0;
}

/* A bag with `id` as localKeyID (NULL: none), and `address` as what our attributes say (NULL: it has none). */
static struct pfx_bag *bag_of(const char *id, const char *address)
{
    struct pfx_bag *bag = calloc(1, sizeof(*bag));
    assert_non_null(bag);
    if (id != NULL) {
        bag->local_id = (unsigned char *)text_copy(id);
        bag->local_id_length = strlen(id);
    }
    if (address != NULL) {
        bag->item.address = text_copy(address);
        bag->item.number = 1;
    }
    return bag;
}

static void add_key(struct pfx_bags *keys, EVP_PKEY *key, const char *id, const char *address)
{
    struct pfx_bag *bag = bag_of(id, address);
    bag->item.pkcs8 = scene_pkcs8(key);
    bag->pkey = key;
    assert_int_equal(EVP_PKEY_up_ref(key), 1);
    pfx_bags_add(keys, bag);
}

static void add_certificate(struct pfx_bags *certificates, X509 *certificate, const char *id, const char *address)
{
    struct pfx_bag *bag = bag_of(id, address);
    bag->item.certificate = certificate;
    assert_int_equal(X509_up_ref(certificate), 1);
    pfx_bags_add(certificates, bag);
}

struct set {
    struct pfx_bags keys, certificates;
    struct pfx_item *items;
    size_t count;
};

static kw_status pair(struct set *set)
{
    return pfx_pair(&set->keys, &set->certificates, &set->items, &set->count, &scene.error);
}

static void set_free(struct set *set)
{
    pfx_items_free(set->items, set->count);
    pfx_bags_free(&set->keys);
    pfx_bags_free(&set->certificates);
    *set = (struct set){0};
}

static void pfx_pair_one_id_for_all_goes_by_the_public_key(void **state)
{
    EVP_PKEY *keys[3] = {scene_key(&scene, "ec-p256"), scene_key(&scene, "ec-p256"), scene_key(&scene, "rsa-2048")};
    X509 *certificates[3] = {NULL};
    static const char *const ids[] = {"\x01", NULL};
    (void)state;
    for (size_t i = 0; i < 3; i++)
        certificates[i] = scene_certificate(&scene, keys[i], "x", NULL, NULL, false);
    for (size_t id = 0; id < 2; id++) {
        struct set set = {0};
        for (size_t i = 0; i < 3; i++) {
            add_key(&set.keys, keys[i], ids[id], NULL);
            add_certificate(&set.certificates, certificates[2 - i], ids[id], NULL);
        }
        assert_ok(&scene, pair(&set));
        assert_int_equal(set.count, 3);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(X509_cmp(set.items[i].certificate, certificates[i]), 0);
        set_free(&set);
    }
    for (size_t i = 0; i < 3; i++) {
        X509_free(certificates[i]);
        EVP_PKEY_free(keys[i]);
    }
}

static void pfx_pair_an_id_wins_over_another_certificate_of_the_key(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *first = scene_certificate(&scene, key, "first", NULL, NULL, false);
    X509 *second = scene_certificate(&scene, key, "second", NULL, NULL, false);
    struct set set = {0};
    (void)state;
    add_key(&set.keys, key, "2", NULL);
    add_certificate(&set.certificates, first, "1", NULL);
    add_certificate(&set.certificates, second, "2", NULL);
    assert_ok(&scene, pair(&set));
    assert_int_equal(set.count, 1);
    assert_int_equal(X509_cmp(set.items[0].certificate, second), 0);
    set_free(&set);
    X509_free(first);
    X509_free(second);
    EVP_PKEY_free(key);
}

static void pfx_pair_keys_without_certificates_are_items(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256"), *other = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, other, "other", NULL, NULL, false);
    struct set set = {0};
    (void)state;
    add_key(&set.keys, key, "1", "database/d");
    add_certificate(&set.certificates, certificate, "2", NULL);
    assert_ok(&scene, pair(&set));
    assert_int_equal(set.count, 1);
    assert_null(set.items[0].certificate);
    assert_string_equal(set.items[0].address, "database/d");
    set_free(&set);
    X509_free(certificate);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void pfx_pair_attributes_of_either_bag_count_and_must_agree(void **state)
{
    static const struct {
        const char *key, *certificate;
        kw_status status;
    } rows[] = {{"database/d", "database/d", KW_OK},
                {"database/d", NULL, KW_OK},
                {NULL, "database/d", KW_OK},
                {"database/d", "database/e", KW_CORRUPT}};
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct set set = {0};
        add_key(&set.keys, key, "1", rows[i].key);
        add_certificate(&set.certificates, certificate, "1", rows[i].certificate);
        assert_status(&scene, rows[i].status, pair(&set));
        if (rows[i].status == KW_OK) {
            assert_int_equal(set.count, 1);
            assert_string_equal(set.items[0].address, "database/d");
            assert_int_equal(set.items[0].number, 1);
        } else {
            assert_message(&scene, "database/e");
            assert_null(set.items);
        }
        set_free(&set);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* Same names, but its key may not sign certificates. */
static void pfx_pair_namesake_of_the_issuer_is_not_taken(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256"), *root_key = scene_key(&scene, "ec-p256");
    X509 *root = scene_certificate(&scene, root_key, "root", NULL, NULL, true);
    X509 *namesake = scene_certificate(&scene, key, "root", NULL, NULL, false);
    X509 *leaf = scene_certificate(&scene, key, "leaf", root, root_key, false);
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    struct set set = {0};
    (void)state;
    ASN1_BIT_STRING_set_bit(usage, 0, 1);
    assert_int_equal(X509_add1_ext_i2d(namesake, NID_key_usage, usage, 1, X509V3_ADD_DEFAULT), 1);
    assert_true(X509_sign(namesake, key, EVP_sha256()) > 0);
    add_key(&set.keys, key, "1", NULL);
    add_certificate(&set.certificates, leaf, "1", NULL);
    add_certificate(&set.certificates, namesake, NULL, NULL);
    add_certificate(&set.certificates, root, NULL, NULL);
    assert_ok(&scene, pair(&set));
    assert_int_equal(set.count, 1);
    assert_int_equal(sk_X509_num(set.items[0].chain), 1);
    assert_int_equal(X509_cmp(sk_X509_value(set.items[0].chain, 0), root), 0);
    set_free(&set);
    ASN1_BIT_STRING_free(usage);
    X509_free(leaf);
    X509_free(namesake);
    X509_free(root);
    EVP_PKEY_free(key);
    EVP_PKEY_free(root_key);
}

/* Two authorities that certify each other have no end. */
static void pfx_pair_circle_of_issuers_ends(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *a = scene_certificate(&scene, key, "a", NULL, NULL, true),
         *b = scene_certificate(&scene, key, "b", a, key, true);
    X509 *leaf = scene_certificate(&scene, key, "leaf", a, key, false);
    struct set set = {0};
    (void)state;
    X509_set_issuer_name(a, X509_get_subject_name(b));
    assert_true(X509_sign(a, key, EVP_sha256()) > 0);
    add_key(&set.keys, key, "1", NULL);
    add_certificate(&set.certificates, leaf, "1", NULL);
    add_certificate(&set.certificates, a, NULL, NULL);
    add_certificate(&set.certificates, b, NULL, NULL);
    assert_ok(&scene, pair(&set));
    assert_int_equal(set.count, 1);
    assert_true(sk_X509_num(set.items[0].chain) >= 2 && sk_X509_num(set.items[0].chain) <= 16);
    set_free(&set);
    X509_free(leaf);
    X509_free(a);
    X509_free(b);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pfx_pair_one_id_for_all_goes_by_the_public_key),
        cmocka_unit_test(pfx_pair_an_id_wins_over_another_certificate_of_the_key),
        cmocka_unit_test(pfx_pair_keys_without_certificates_are_items),
        cmocka_unit_test(pfx_pair_attributes_of_either_bag_count_and_must_agree),
        cmocka_unit_test(pfx_pair_namesake_of_the_issuer_is_not_taken),
        cmocka_unit_test(pfx_pair_circle_of_issuers_ends),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
