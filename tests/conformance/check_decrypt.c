/* Decryption: OAEP and raw RSA; what is wrong with a ciphertext must not show. */
#include "kit.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static const kw_hash hashes[] = {KW_HASH_SHA1, KW_HASH_SHA224, KW_HASH_SHA256, KW_HASH_SHA384, KW_HASH_SHA512};
#define HASHES (sizeof(hashes) / sizeof(hashes[0]))

static kw_status decrypt(struct kit *kit, const struct test_key *key, const kw_algorithm *algorithm,
                         kw_input ciphertext, struct bytes *plaintext)
{
    struct use use = {.kit = kit, .key = key->key, .algorithm = algorithm, .input = ciphertext};
    return produce(produce_plaintext, &use, plaintext);
}

static void check_plaintext(struct kit *kit, const struct test_key *key, enum requirement requirement,
                            const kw_algorithm *algorithm, kw_input plaintext)
{
    struct bytes ciphertext = {NULL, 0}, result = {NULL, 0};
    if (!judge_encrypt(key->pkey, algorithm, plaintext, &ciphertext))
        abort();
    struct use use = {.kit = kit, .key = key->key, .algorithm = algorithm, .input = bytes_view(&ciphertext)};
    kw_status status = produce_asking(kit, produce_plaintext, &use, "decrypt", &result);
    if (expect_ok(&kit->host, requirement, status, "decrypt"))
        require(requirement,
                result.length == plaintext.length && CRYPTO_memcmp(result.data, plaintext.data, plaintext.length) == 0,
                "hash %d, MGF1 %d: the plaintext of %zu bytes came back as %zu others", (int)algorithm->hash,
                (int)algorithm->mgf_hash, plaintext.length, result.length);
    bytes_free(&result);
    bytes_free(&ciphertext);
}

/* Every wrong ciphertext gets the same status and the same sentence. */
static void check_invalid(struct kit *kit, const struct test_key *key, const kw_algorithm *algorithm)
{
    unsigned char text[16] = "sixteen bytes...";
    char first[512] = "";
    struct bytes good = {NULL, 0}, result = {NULL, 0};
    size_t modulus = (size_t)EVP_PKEY_get_size(key->pkey);
    unsigned char wrong[4096 / 8 + 1];
    if (!judge_encrypt(key->pkey, algorithm, (kw_input){text, sizeof(text)}, &good))
        abort();
    for (int kind = 0; kind < 8; kind++) {
        size_t length = modulus;
        memset(wrong, 0, sizeof(wrong));
        memcpy(wrong, good.data, modulus);
        if (kind == 0)
            wrong[modulus - 1] ^= 1;
        else if (kind == 1)
            wrong[modulus / 2] ^= 0x80;
        else if (kind == 2)
            wrong[1] ^= 0x10;
        else if (kind == 3)
            memset(wrong, 0, modulus); /* undone, the first byte is 0 and the rest is wrong */
        else if (kind == 4)
            memset(wrong, 0xFF, modulus); /* above the modulus */
        else if (kind == 5)
            length = modulus - 1;
        else if (kind == 6)
            length = modulus + 1;
        else
            length = 0;
        atomic_store(&kit->host.reports, 0);
        kw_status status = decrypt(kit, key, algorithm, (kw_input){wrong, length}, &result);
        expect_failure(&kit->host, DECRYPT_INVALID, status, KW_CIPHERTEXT_INVALID, "decrypt of a wrong ciphertext");
        if (kind == 0)
            snprintf(first, sizeof(first), "%s", kit->host.sentence);
        require(DECRYPT_INVALID, strcmp(first, kit->host.sentence) == 0,
                "two wrong ciphertexts got different sentences: '%s' and '%s'", first, kit->host.sentence);
        bytes_free(&result);
    }
    bytes_free(&good);
}

static void check_label(struct kit *kit, const struct test_key *key, kw_algorithm algorithm)
{
    static const unsigned char label[] = "label", other[] = "Label";
    unsigned char text[5] = "text.";
    struct bytes ciphertext = {NULL, 0}, result = {NULL, 0};
    algorithm.label = (kw_input){label, 5};
    if (!judge_encrypt(key->pkey, &algorithm, (kw_input){text, 5}, &ciphertext))
        abort();
    if ((key->capabilities.schemes & KW_BIT(KW_SCHEME_RSA_RAW)) != 0 &&
        decrypt(kit, key, &algorithm, bytes_view(&ciphertext), &result) == KW_UNSUPPORTED) {
        /* a capability: labels are left to the host, which undoes OAEP by raw RSA */
        atomic_store(&kit->host.reports, 0);
        bytes_free(&result);
        bytes_free(&ciphertext);
        return;
    }
    bytes_free(&result);
    check_plaintext(kit, key, DECRYPT_LABEL, &algorithm, (kw_input){text, 5});
    algorithm.label = (kw_input){other, 5};
    kw_status status = decrypt(kit, key, &algorithm, bytes_view(&ciphertext), &result);
    expect_failure(&kit->host, DECRYPT_LABEL, status, KW_CIPHERTEXT_INVALID, "decrypt with another label");
    bytes_free(&result);
    algorithm.label = (kw_input){NULL, 0};
    status = decrypt(kit, key, &algorithm, bytes_view(&ciphertext), &result);
    expect_failure(&kit->host, DECRYPT_LABEL, status, KW_CIPHERTEXT_INVALID, "decrypt without the label");
    bytes_free(&result);
    bytes_free(&ciphertext);
}

static void check_oaep(struct kit *kit, const struct test_key *key)
{
    unsigned char text[4096 / 8];
    size_t modulus = (size_t)EVP_PKEY_get_size(key->pkey);
    memset(text, 0x61, sizeof(text));
    for (size_t i = 0; i < HASHES; i++) {
        unsigned char digest[64];
        size_t hash_length = judge_digest(hashes[i], (kw_input){NULL, 0}, digest);
        kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = hashes[i]};
        if ((key->capabilities.oaep_hashes & KW_BIT(hashes[i])) == 0)
            continue;
        check_plaintext(kit, key, DECRYPT_OAEP, &algorithm, (kw_input){text, 0});
        check_plaintext(kit, key, DECRYPT_OAEP, &algorithm, (kw_input){text, 32});
        check_plaintext(kit, key, DECRYPT_OAEP, &algorithm, (kw_input){text, modulus - 2 * hash_length - 2});
        check_label(kit, key, algorithm);
        check_invalid(kit, key, &algorithm);
        algorithm.mgf_hash = hashes[i];
        check_plaintext(kit, key, DECRYPT_OAEP, &algorithm, (kw_input){text, 32});
    }
    kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = unknown_hash()};
    struct bytes result = {NULL, 0};
    kw_status status = decrypt(kit, key, &algorithm, (kw_input){text, modulus}, &result);
    expect_failure(&kit->host, SIGN_UNSUPPORTED, status, KW_UNSUPPORTED, "decrypt with an unknown hash");
    bytes_free(&result);
}

static void check_raw(struct kit *kit, const struct test_key *key)
{
    kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_RSA_RAW};
    size_t modulus = (size_t)EVP_PKEY_get_size(key->pkey);
    unsigned char block[4096 / 8];
    struct bytes ciphertext = {NULL, 0}, result = {NULL, 0};
    if ((key->capabilities.schemes & KW_BIT(KW_SCHEME_RSA_RAW)) == 0)
        return;
    memset(block, 0x37, sizeof(block));
    block[0] = 0;
    if (!judge_raw(key->pkey, (kw_input){block, modulus}, &ciphertext))
        abort();
    struct use use = {.kit = kit, .key = key->key, .algorithm = &algorithm, .input = bytes_view(&ciphertext)};
    if (expect_ok(&kit->host, DECRYPT_RAW, produce_asking(kit, produce_plaintext, &use, "raw RSA", &result), "raw RSA"))
        require(DECRYPT_RAW, result.length == modulus && memcmp(result.data, block, modulus) == 0,
                "raw RSA gave another block");
    bytes_free(&result);
    bytes_free(&ciphertext);
}

void check_decrypt(struct kit *kit)
{
    struct test_key key;
    const struct key_variant *variant = variant_of(kit, KW_KEY_RSA);
    if (variant == NULL || !kit_can(kit, KW_CAN_DECRYPT))
        return;
    if (test_key_new(kit, GENERATE_EACH, variant, &key) && (key.capabilities.operations & KW_CAN_DECRYPT) != 0) {
        unsigned char block[4096 / 8] = {0};
        struct bytes result = {NULL, 0};
        check_oaep(kit, &key);
        check_raw(kit, &key);
        kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_RSA_PKCS1, .hash = KW_HASH_SHA256};
        kw_status status =
            decrypt(kit, &key, &algorithm, (kw_input){block, (size_t)EVP_PKEY_get_size(key.pkey)}, &result);
        expect_failure(&kit->host, DECRYPT_NOT_PKCS1, status, KW_UNSUPPORTED, "decrypt with PKCS#1 v1.5");
        bytes_free(&result);
    }
    test_key_free(kit, &key);
}
