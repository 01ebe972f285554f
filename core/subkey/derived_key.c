/* Private keys from the bytes of a subkey. */
#include "subkey/derived.h"

#include "base/buffer.h"
#include "base/secret.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROVIDER      "provider=default"
#define EXTRA_BYTES   8 /* FIPS 186-5 A.2.1: 64 bits more than the order has */
#define SCALAR_BYTES  48
#define POINT_MAXIMUM (1 + 2 * SCALAR_BYTES)
#define SEED_BYTES    32

/* No P-521: its extra bits would be more than a subkey has. */
static const struct derived_kind {
    const char *name;
    const char *group; /* NULL: Ed25519 */
    int curve;
    size_t order_bytes; /* the order has 8 times as many bits */
} kinds[] = {
    {"ec-p256", SN_X9_62_prime256v1, NID_X9_62_prime256v1, 32},
    {"ec-p384", SN_secp384r1, NID_secp384r1, 48},
    {"ed25519", NULL, 0, 0},
};
const char derived_keys[] = "ec-p256 and ec-p384";

static const struct derived_kind *kind_find(const char *key)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, key) == 0)
            return &kinds[i];
    return NULL;
}

const char *derived_key_name(const char *key)
{
    const struct derived_kind *const kind = kind_find(key);

    return kind != NULL ? kind->name : NULL;
}

size_t derived_key_bytes(const char *key)
{
    const struct derived_kind *const kind = kind_find(key);

    if (kind == NULL)
        return 0;
    return kind->group == NULL ? SEED_BYTES : kind->order_bytes + EXTRA_BYTES;
}

/* ---- Locators ---- */

void derived_locator_write(const struct derived_locator *locator, char text[DERIVED_LOCATOR_SIZE])
{
    char master[ID_TEXT_SIZE], key_id[ID_TEXT_SIZE];

    id_text(&locator->master, master);
    id_text(&locator->key_id, key_id);
    snprintf(text, DERIVED_LOCATOR_SIZE, "1:%s:%u:%s:%s", master, (unsigned)locator->version, locator->key, key_id);
}

kw_status derived_locator_read(kw_input text, struct derived_locator *locator, kw_error *error)
{
    struct derived_locator read = {0};
    char copy[DERIVED_LOCATOR_SIZE] = "", again[DERIVED_LOCATOR_SIZE], master[ID_TEXT_SIZE], key_id[ID_TEXT_SIZE],
         key[16], version[11];

    if (text.length > 0 && text.length < sizeof(copy))
        memcpy(copy, text.data, text.length);
    if (sscanf(copy, "1:%32[0-9a-f]:%10[0-9]:%15[0-9a-z-]:%32[0-9a-f]", master, version, key, key_id) == 4 &&
        id_parse(master, &read.master) && id_parse(key_id, &read.key_id)) {
        read.key = derived_key_name(key);
        read.version = (uint32_t)strtoul(version, NULL, 10);
    }
    if (read.key != NULL && read.version > 0) {
        /* There is one way to write it, so that two places that are the same look the same. */
        derived_locator_write(&read, again);
        if (input_equal(text, input_text(again))) {
            *locator = read;
            return KW_OK;
        }
    }
    return error_set(error, KW_INVALID_ARGUMENT, "this is no locator of a derived key");
}

/* ---- Keys ---- */

/* d = (c mod (n - 1)) + 1, with c the bytes as a number. `scalar` and `point` as libcrypto takes them. */
static kw_status ec_numbers(struct crypto *crypto, const struct derived_kind *kind, kw_input bytes,
                            unsigned char *scalar, unsigned char point[POINT_MAXIMUM], kw_error *error)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name_ex(crypto->library, PROVIDER, kind->curve);
    BN_CTX *context = BN_CTX_secure_new_ex(crypto->library);
    BIGNUM *number = BN_secure_new(), *limit = BN_new();
    EC_POINT *public = group != NULL ? EC_POINT_new(group) : NULL;
    kw_status status = KW_OK;
    bool made = public != NULL && context != NULL && number != NULL && limit != NULL &&
                BN_bin2bn(bytes.data, (int)bytes.length, number) != NULL &&
                BN_sub(limit, EC_GROUP_get0_order(group), BN_value_one()) == 1;

    if (made) {
        BN_set_flags(number, BN_FLG_CONSTTIME);
        made = BN_mod(number, number, limit, context) == 1 && BN_add_word(number, 1) == 1 &&
               EC_POINT_mul(group, public, number, NULL, NULL, context) == 1 &&
               EC_POINT_point2oct(group, public, POINT_CONVERSION_UNCOMPRESSED, point, 1 + 2 * kind->order_bytes,
                                  context) == 1 + 2 * kind->order_bytes &&
               BN_bn2nativepad(number, scalar, (int)kind->order_bytes) == (int)kind->order_bytes;
    }
    if (!made)
        status = crypto_error(error, KW_FAILED, "libcrypto failed to derive a key on the curve %s", kind->name);
    EC_POINT_free(public);
    BN_clear_free(number);
    BN_free(limit);
    BN_CTX_free(context);
    EC_GROUP_free(group);
    return status;
}

static kw_status make_ec(struct crypto *crypto, const struct derived_kind *kind, kw_input bytes, EVP_PKEY **pkey,
                         kw_error *error)
{
    unsigned char point[POINT_MAXIMUM];
    struct secret scalar = {0};
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(crypto->library, "EC", PROVIDER);
    EVP_PKEY *made = NULL;
    kw_status status = secret_new(&scalar, SCALAR_BYTES, error);

    if (status == KW_OK)
        status = ec_numbers(crypto, kind, bytes, scalar.data, point, error);
    if (status != KW_OK)
        goto out;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)kind->group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * kind->order_bytes),
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, scalar.data, kind->order_bytes),
        OSSL_PARAM_construct_end(),
    };
    if (context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, parameters) != 1)
        status = crypto_error(error, KW_FAILED, "libcrypto does not take the derived key");
    else
        *pkey = made;
out:
    EVP_PKEY_CTX_free(context);
    secret_clear(&scalar);
    return status;
}

kw_status derived_key_make(struct crypto *crypto, const char *key, kw_input bytes, EVP_PKEY **pkey, kw_error *error)
{
    const struct derived_kind *const kind = kind_find(key);
    EVP_PKEY *made = NULL;

    if (kind == NULL || bytes.length != derived_key_bytes(key))
        return error_set(error, KW_INVALID_ARGUMENT, "a key '%s' cannot be derived from %zu bytes", key, bytes.length);
    if (kind->group != NULL)
        return make_ec(crypto, kind, bytes, pkey, error);
    made = EVP_PKEY_new_raw_private_key_ex(crypto->library, "ED25519", PROVIDER, bytes.data, bytes.length);
    if (made == NULL)
        return crypto_error(error, KW_FAILED, "libcrypto does not take the derived key");
    *pkey = made;
    return KW_OK;
}
