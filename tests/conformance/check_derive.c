/* Key agreement, against libcrypto on the other side. */
#include "kit.h"

#include <stdlib.h>
#include <string.h>

static const kw_algorithm ecdh = {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDH};

static kw_status derive(struct kit *kit, const struct test_key *key, kw_input peer, struct bytes *shared)
{
    struct use use = {.kit = kit, .key = key->key, .algorithm = &ecdh, .input = peer};
    return produce_asking(kit, produce_shared, &use, "derive", shared);
}

static void refused(struct kit *kit, const struct test_key *key, kw_input peer, const char *what)
{
    struct bytes shared = {NULL, 0};
    expect_failure(&kit->host, DERIVE_INVALID, derive(kit, key, peer, &shared), KW_INVALID_ARGUMENT, what);
    bytes_free(&shared);
}

static void check_agreement(struct kit *kit, const struct key_variant *variant, const struct test_key *key)
{
    for (int round = 0; round < 4; round++) { /* leading zeros come one time in 256; the length must not change */
        struct bytes spki = {NULL, 0}, ours = {NULL, 0}, theirs = {NULL, 0};
        EVP_PKEY *peer = judge_key(variant);
        if (peer == NULL || !judge_public(peer, &spki) || !judge_agree(peer, key->pkey, &theirs))
            abort();
        if (expect_ok(&kit->host, DERIVE_AGREES, derive(kit, key, bytes_view(&spki), &ours), variant->name))
            require(DERIVE_AGREES, ours.length == theirs.length && memcmp(ours.data, theirs.data, ours.length) == 0,
                    "%s: the two sides derived different secrets", variant->name);
        if (round == 0) {
            refused(kit, key, (kw_input){spki.data, spki.length - 1}, "derive with a peer that was cut");
            refused(kit, key, (kw_input){NULL, 0}, "derive with no peer");
            if (variant->type == KW_KEY_EC) {
                spki.data[spki.length - 1] ^= 1;
                refused(kit, key, bytes_view(&spki), "derive with a point that is not on the curve");
            } else {
                memset(spki.data + spki.length - 32, 0, 32);
                refused(kit, key, bytes_view(&spki), "derive with a point of small order");
            }
        }
        bytes_free(&ours);
        bytes_free(&theirs);
        bytes_free(&spki);
        EVP_PKEY_free(peer);
    }
}

void check_derive(struct kit *kit)
{
    static const struct key_variant others[] = {{"ec-p256", KW_KEY_EC, 256, KW_CURVE_P256},
                                                {"ec-p384", KW_KEY_EC, 384, KW_CURVE_P384},
                                                {"x25519", KW_KEY_X25519, 256, KW_CURVE_NONE},
                                                {"ed25519", KW_KEY_ED25519, 256, KW_CURVE_NONE}};
    size_t position = 0;
    for (const struct key_variant *variant; (variant = variant_next(kit, &position)) != NULL;) {
        struct test_key key;
        if (!kit_can(kit, KW_CAN_DERIVE) || (variant->type != KW_KEY_EC && variant->type != KW_KEY_X25519))
            continue;
        if (test_key_new(kit, GENERATE_EACH, variant, &key) && (key.capabilities.operations & KW_CAN_DERIVE) != 0) {
            check_agreement(kit, variant, &key);
            for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
                struct bytes spki = {NULL, 0};
                EVP_PKEY *peer = judge_key(&others[i]);
                if (peer == NULL || !judge_public(peer, &spki))
                    abort();
                if (others[i].type != variant->type || others[i].curve != variant->curve)
                    refused(kit, &key, bytes_view(&spki), "derive with a peer on another curve");
                bytes_free(&spki);
                EVP_PKEY_free(peer);
            }
        }
        test_key_free(kit, &key);
    }
}
