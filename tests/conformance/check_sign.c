/* Signatures: each scheme, hash and salt length, digests and messages; what must be refused. */
#include "kit.h"

#include <openssl/ec.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char message[] = "The judge reads this sentence and no other.";
#define MESSAGE ((kw_input){message, sizeof(message) - 1})

static const kw_hash hashes[] = {KW_HASH_SHA224, KW_HASH_SHA256, KW_HASH_SHA384, KW_HASH_SHA512};
#define HASHES (sizeof(hashes) / sizeof(hashes[0]))

static kw_status sign(struct kit *kit, const struct test_key *key, const kw_algorithm *algorithm, kw_input input,
                      struct bytes *signature)
{
    struct use use = {.kit = kit, .key = key->key, .algorithm = algorithm, .input = input};
    return produce_asking(kit, produce_signature, &use, "sign", signature);
}

/* As long as the modulus; ECDSA-Sig-Value; 64 bytes. */
static bool is_well_formed(const struct test_key *key, const kw_algorithm *algorithm, const struct bytes *signature)
{
    if (algorithm->scheme != KW_SCHEME_ECDSA)
        return signature->length == (size_t)EVP_PKEY_get_size(key->pkey);
    const unsigned char *at = signature->data;
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &at, (long)signature->length);
    bool whole = parsed != NULL && at == signature->data + signature->length;
    ECDSA_SIG_free(parsed);
    return whole;
}

static void check_signature(struct kit *kit, const struct test_key *key, enum requirement requirement,
                            const kw_algorithm *algorithm, kw_input input, kw_input judged)
{
    struct bytes signature = {NULL, 0};
    kw_status status = sign(kit, key, algorithm, input, &signature);
    if (expect_ok(&kit->host, requirement, status, "sign")) {
        if (require(RULE_1_SIGNATURE, is_well_formed(key, algorithm, &signature),
                    "scheme %d: %zu bytes are no signature of this key", (int)algorithm->scheme, signature.length))
            require(requirement, judge_verify(key->pkey, algorithm, judged, bytes_view(&signature)),
                    "scheme %d, hash %s, MGF1 %d, salt %u, %s: libcrypto does not verify the signature",
                    (int)algorithm->scheme, algorithm->hash != KW_HASH_NONE ? judge_hash_name(algorithm->hash) : "none",
                    (int)algorithm->mgf_hash, algorithm->salt_length, algorithm->is_message ? "message" : "digest");
    }
    bytes_free(&signature);
}

/* One algorithm over the digest, and over the message where the plugin takes one. */
static void check_both(struct kit *kit, const struct test_key *key, enum requirement requirement,
                       kw_algorithm algorithm)
{
    unsigned char digest[64];
    kw_input input = {digest, judge_digest(algorithm.hash, MESSAGE, digest)};
    check_signature(kit, key, requirement, &algorithm, input, input);

    struct bytes signature = {NULL, 0};
    struct use use = {.kit = kit, .key = key->key, .algorithm = &algorithm, .input = MESSAGE};
    algorithm.is_message = 1;
    kw_status status = produce(produce_signature, &use, &signature);
    if (status == KW_UNSUPPORTED)
        atomic_store(&kit->host.reports, 0); /* a capability: messages are hashed by the host */
    else if (expect_ok(&kit->host, SIGN_MESSAGE, status, "sign of a message"))
        require(SIGN_MESSAGE, judge_verify(key->pkey, &algorithm, input, bytes_view(&signature)),
                "scheme %d: libcrypto does not verify the signature of a message", (int)algorithm.scheme);
    bytes_free(&signature);
}

static void check_rsa(struct kit *kit, const struct test_key *key)
{
    const kw_key_capabilities *can = &key->capabilities;
    for (size_t i = 0; i < HASHES; i++) {
        unsigned char digest[64];
        uint32_t length = (uint32_t)judge_digest(hashes[i], MESSAGE, digest);
        kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_RSA_PKCS1, .hash = hashes[i]};
        if ((can->sign_hashes & KW_BIT(hashes[i])) == 0)
            continue;
        if ((can->schemes & KW_BIT(KW_SCHEME_RSA_PKCS1)) != 0)
            check_both(kit, key, SIGN_PKCS1, algorithm);
        if ((can->schemes & KW_BIT(KW_SCHEME_RSA_PSS)) == 0)
            continue;
        const uint32_t longest = (can->bits + 6) / 8 - length - 2;
        const uint32_t salts[] = {0, 20, length, longest};
        algorithm.scheme = KW_SCHEME_RSA_PSS;
        for (size_t j = 0; j < sizeof(salts) / sizeof(salts[0]); j++) {
            algorithm.salt_length = salts[j];
            check_both(kit, key, SIGN_PSS, algorithm);
        }
        algorithm.salt_length = length;
        algorithm.mgf_hash = hashes[i];
        check_both(kit, key, SIGN_PSS, algorithm);
        struct bytes signature = {NULL, 0};
        struct use use = {.kit = kit, .key = key->key, .algorithm = &algorithm, .input = {digest, length}};
        algorithm.salt_length = longest + 1;
        kw_status status = produce(produce_signature, &use, &signature);
        expect_failure(&kit->host, SIGN_PSS, status, KW_INVALID_ARGUMENT, "sign with a salt that is too long");
        bytes_free(&signature);
    }
}

static void check_raw(struct kit *kit, const struct test_key *key)
{
    kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_RSA_RAW};
    size_t modulus = (size_t)EVP_PKEY_get_size(key->pkey);
    unsigned char block[4096 / 8 + 1];
    struct bytes signature = {NULL, 0}, back = {NULL, 0};
    if ((key->capabilities.schemes & KW_BIT(KW_SCHEME_RSA_RAW)) == 0)
        return;
    memset(block, 0x42, sizeof(block));
    block[0] = 0;
    if (expect_ok(&kit->host, SIGN_RAW, sign(kit, key, &algorithm, (kw_input){block, modulus}, &signature), "raw RSA"))
        require(SIGN_RAW,
                signature.length == modulus && judge_raw(key->pkey, bytes_view(&signature), &back) &&
                    back.length == modulus && memcmp(back.data, block, modulus) == 0,
                "the public key does not undo raw RSA");
    bytes_free(&back);
    bytes_free(&signature);
    for (size_t length = modulus - 1; length <= modulus + 1; length += 2) {
        struct use use = {.kit = kit, .key = key->key, .algorithm = &algorithm, .input = {block, length}};
        expect_failure(&kit->host, SIGN_RAW, produce(produce_signature, &use, &signature), KW_INVALID_ARGUMENT,
                       "raw RSA on a block of another length");
        bytes_free(&signature);
    }
    memset(block, 0xFF, sizeof(block));
    struct use use = {.kit = kit, .key = key->key, .algorithm = &algorithm, .input = {block, modulus}};
    expect_failure(&kit->host, SIGN_RAW, produce(produce_signature, &use, &signature), KW_INVALID_ARGUMENT,
                   "raw RSA on a block above the modulus");
    bytes_free(&signature);
}

static void check_refusals(struct kit *kit, const struct test_key *key)
{
    unsigned char digest[64] = {1};
    struct bytes signature = {NULL, 0};
    uint32_t schemes = key->capabilities.schemes;
    const kw_algorithm unknown[] = {
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_NONE, .hash = KW_HASH_SHA256},
        {.size = sizeof(kw_algorithm), .scheme = unknown_scheme(), .hash = KW_HASH_SHA256},
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256},
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDH, .hash = KW_HASH_SHA256},
        {.size = offsetof(kw_algorithm, scheme), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256},
        {.size = sizeof(kw_algorithm),
         .scheme = key->capabilities.type == KW_KEY_RSA ? KW_SCHEME_ECDSA : KW_SCHEME_RSA_PSS,
         .hash = KW_HASH_SHA256,
         .salt_length = 32},
    };
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        struct use use = {.kit = kit, .key = key->key, .algorithm = &unknown[i], .input = {digest, 32}};
        enum requirement requirement = unknown[i].size == sizeof(kw_algorithm) ? SIGN_UNSUPPORTED : ABI_SHORT_STRUCTS;
        expect_failure(&kit->host, requirement, produce(produce_signature, &use, &signature), KW_UNSUPPORTED,
                       "sign with a scheme that is not for signatures, not this key's, or unknown");
        bytes_free(&signature);
    }
    const kw_scheme with_hash[] = {KW_SCHEME_RSA_PKCS1, KW_SCHEME_RSA_PSS, KW_SCHEME_ECDSA};
    for (size_t i = 0; i < sizeof(with_hash) / sizeof(with_hash[0]); i++) {
        if ((schemes & KW_BIT(with_hash[i])) == 0)
            continue;
        kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = with_hash[i], .hash = unknown_hash()};
        struct use use = {.kit = kit, .key = key->key, .algorithm = &algorithm, .input = {digest, 32}};
        expect_failure(&kit->host, SIGN_UNSUPPORTED, produce(produce_signature, &use, &signature), KW_UNSUPPORTED,
                       "sign with an unknown hash");
        bytes_free(&signature);
        algorithm.hash = KW_HASH_SHA256;
        const size_t lengths[] = {0, 31, 33, 64};
        for (size_t j = 0; j < sizeof(lengths) / sizeof(lengths[0]); j++) {
            use.input = (kw_input){digest, lengths[j]};
            expect_failure(&kit->host, SIGN_DIGEST_LENGTH, produce(produce_signature, &use, &signature),
                           KW_INVALID_ARGUMENT, "sign with a digest of the wrong length");
            bytes_free(&signature);
        }
    }
}

void check_sign(struct kit *kit)
{
    size_t position = 0;
    for (const struct key_variant *variant; (variant = variant_next(kit, &position)) != NULL;) {
        struct test_key key;
        if (variant->type == KW_KEY_X25519 || !kit_can(kit, KW_CAN_SIGN) ||
            (variant->type == KW_KEY_RSA && variant->bits == 4096))
            continue; /* its generation is what takes time, and shows nothing new */
        if (test_key_new(kit, GENERATE_EACH, variant, &key) && (key.capabilities.operations & KW_CAN_SIGN) != 0) {
            if (variant->type == KW_KEY_RSA) {
                check_rsa(kit, &key);
                check_raw(kit, &key);
            }
            for (size_t i = 0; i < HASHES && variant->type == KW_KEY_EC; i++)
                if ((key.capabilities.sign_hashes & KW_BIT(hashes[i])) != 0)
                    check_both(
                        kit, &key, SIGN_ECDSA,
                        (kw_algorithm){.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDSA, .hash = hashes[i]});
            if (variant->type == KW_KEY_ED25519) {
                kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_EDDSA, .is_message = 1};
                check_signature(kit, &key, SIGN_EDDSA, &algorithm, MESSAGE, MESSAGE);
                check_signature(kit, &key, SIGN_EDDSA, &algorithm, (kw_input){message, 0}, (kw_input){message, 0});
            }
            check_refusals(kit, &key);
        }
        test_key_free(kit, &key);
    }
}
