#include "base/buffer.h"
#include "certificate/der.h"
#include "certificate/pfx_attributes.h"
#include "certificate/x509.h"
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define ITERATIONS_MAXIMUM 600000u
#define ITERATIONS_SHARED  1200000u /* by all items of a file */
#define SALT_LENGTH        16
#define LOCAL_ID_LENGTH    20 /* as long as the SHA-1 that others put there */

struct writing {
    struct crypto *crypto;
    const char *password;
    int password_length;
    int iterations;
    STACK_OF(PKCS12_SAFEBAG) *keys;
    STACK_OF(PKCS12_SAFEBAG) *certificates;
    STACK_OF(X509) *issuers; /* written already; borrowed */
};

void pfx_item_clear(struct pfx_item *item)
{
    free(item->address);
    for (size_t i = 0; item->databases != NULL && i < item->database_count; i++)
        free(item->databases[i]);
    free(item->databases);
    secret_clear(&item->pkcs8);
    free(item->reference.store_id);
    free(item->reference.token);
    kw_bytes_free(&item->roots);
    free(item->friendly_name);
    crypto_x509_free(item->certificate);
    sk_X509_pop_free(item->chain, crypto_x509_free);
    *item = (struct pfx_item){0};
}

void pfx_items_free(struct pfx_item *items, size_t count)
{
    for (size_t i = 0; items != NULL && i < count; i++)
        pfx_item_clear(&items[i]);
    free(items);
}

/* Ties a key to its certificate: unique within the file, so that two certificates of one key stay apart. */
static kw_status make_local_id(const struct writing *writing, const struct pfx_item *item,
                               unsigned char id[LOCAL_ID_LENGTH], kw_error *error)
{
    unsigned char digest[SHA256_LENGTH];
    kw_bytes der = {0};
    if (item->certificate == NULL)
        return crypto_random(writing->crypto, id, LOCAL_ID_LENGTH, error);
    kw_status status = x509_to_der(item->certificate, &der, error);
    if (status == KW_OK)
        status = crypto_sha256(writing->crypto, (kw_input){der.data, der.length}, digest, error);
    if (status == KW_OK)
        memcpy(id, digest, LOCAL_ID_LENGTH);
    kw_bytes_free(&der);
    return status;
}

/* Takes `bag` over, also when it fails. Java looks keys up by friendlyName, so former certificates get one of their own. */
static kw_status finish_bag(STACK_OF(PKCS12_SAFEBAG) *bags, PKCS12_SAFEBAG *bag, const struct pfx_item *item,
                            bool reference, unsigned char *local_id, kw_error *error)
{
    const char *plain = item->friendly_name != NULL ? item->friendly_name : item->address;
    char *name = plain == NULL ? NULL : item->former ? text_format("%s@%u", plain, item->number) : text_copy(plain);
    kw_status status = plain != NULL && name == NULL ? error_memory(error) : KW_OK;
    if (status == KW_OK && ((name != NULL && !PKCS12_add_friendlyname_utf8(bag, name, -1)) ||
                            !PKCS12_add_localkeyid(bag, local_id, LOCAL_ID_LENGTH)))
        status = crypto_error(error, KW_FAILED, "an attribute cannot be added to the PKCS#12 file");
    if (status == KW_OK)
        status = pfx_attributes_add(bag, item, reference, error);
    if (status == KW_OK && sk_PKCS12_SAFEBAG_push(bags, bag) <= 0)
        status = error_memory(error);
    if (status != KW_OK)
        PKCS12_SAFEBAG_free(bag);
    free(name);
    return status;
}

static kw_status write_key(struct writing *writing, const struct pfx_item *item, unsigned char *local_id,
                           kw_error *error)
{
    unsigned char salt[SALT_LENGTH];
    const unsigned char *at = item->pkcs8.data;
    PKCS8_PRIV_KEY_INFO *key = NULL;
    PKCS12_SAFEBAG *bag = NULL;
    kw_status status = crypto_random(writing->crypto, salt, sizeof(salt), error);
    if (status != KW_OK)
        goto out;
    key = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)item->pkcs8.length);
    if (key == NULL || at != item->pkcs8.data + item->pkcs8.length) {
        status = crypto_error(error, KW_INVALID_ARGUMENT, "the key to be written is not PKCS#8");
        goto out;
    }
    bag =
        PKCS12_SAFEBAG_create_pkcs8_encrypt_ex(NID_aes_256_cbc, writing->password, writing->password_length, salt,
                                               sizeof(salt), writing->iterations, key, writing->crypto->library, NULL);
    if (bag == NULL) {
        status = crypto_error(error, KW_FAILED, "the key cannot be encrypted");
        goto out;
    }
    status = finish_bag(writing->keys, bag, item, false, local_id, error);
out:
    PKCS8_PRIV_KEY_INFO_free(key);
    return status;
}

static kw_status write_issuers(struct writing *writing, const STACK_OF(X509) *chain, kw_error *error)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *issuer = sk_X509_value(chain, i);
        bool written = false;
        for (int j = 0; j < sk_X509_num(writing->issuers) && !written; j++)
            written = X509_cmp(sk_X509_value(writing->issuers, j), issuer) == 0;
        if (written)
            continue;
        PKCS12_SAFEBAG *bag = PKCS12_SAFEBAG_create_cert(issuer);
        if (bag == NULL || sk_PKCS12_SAFEBAG_push(writing->certificates, bag) <= 0) {
            PKCS12_SAFEBAG_free(bag);
            return error_memory(error);
        }
        if (sk_X509_push(writing->issuers, issuer) <= 0)
            return error_memory(error);
    }
    return KW_OK;
}

static kw_status write_item(struct writing *writing, const struct pfx_item *item, kw_error *error)
{
    unsigned char local_id[LOCAL_ID_LENGTH];
    const bool reference = item->pkcs8.length == 0 && item->reference.store_id != NULL;
    if (item->pkcs8.length == 0 && item->certificate == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "%s has neither a key nor a certificate to write",
                         item->address != NULL ? item->address : "an item");
    kw_status status = make_local_id(writing, item, local_id, error);
    if (status == KW_OK && item->pkcs8.length > 0)
        status = write_key(writing, item, local_id, error);
    if (status != KW_OK || item->certificate == NULL)
        return status;
    PKCS12_SAFEBAG *bag = PKCS12_SAFEBAG_create_cert(item->certificate);
    if (bag == NULL)
        return error_memory(error);
    status = finish_bag(writing->certificates, bag, item, reference, local_id, error);
    if (status == KW_OK && item->chain != NULL)
        status = write_issuers(writing, item->chain, error);
    return status;
}

/* Takes `part` over, also when it fails. */
static kw_status push_part(STACK_OF(PKCS7) *parts, PKCS7 *part, kw_error *error)
{
    if (part == NULL)
        return crypto_error(error, KW_FAILED, "a part of the PKCS#12 file cannot be encrypted");
    if (sk_PKCS7_push(parts, part) > 0)
        return KW_OK;
    PKCS7_free(part);
    return error_memory(error);
}

/* Certificates encrypted as a whole, keys each by itself, a MAC over everything. */
static kw_status pack(struct writing *writing, kw_bytes *pfx, kw_error *error)
{
    OSSL_LIB_CTX *library = writing->crypto->library;
    unsigned char salts[2][SALT_LENGTH];
    unsigned char *encoded = NULL;
    STACK_OF(PKCS7) *parts = sk_PKCS7_new_null();
    PKCS12 *file = NULL;
    kw_status status = crypto_random(writing->crypto, salts, sizeof(salts), error);
    if (status == KW_OK && parts == NULL)
        status = error_memory(error);
    if (status == KW_OK && sk_PKCS12_SAFEBAG_num(writing->certificates) > 0)
        status =
            push_part(parts,
                      PKCS12_pack_p7encdata_ex(NID_aes_256_cbc, writing->password, writing->password_length, salts[0],
                                               SALT_LENGTH, writing->iterations, writing->certificates, library, NULL),
                      error);
    if (status == KW_OK && sk_PKCS12_SAFEBAG_num(writing->keys) > 0)
        status = push_part(parts, PKCS12_pack_p7data(writing->keys), error);
    if (status != KW_OK)
        goto out;
    file = PKCS12_add_safes_ex(parts, 0, library, NULL);
    if (file == NULL || !PKCS12_set_mac(file, writing->password, writing->password_length, salts[1], SALT_LENGTH,
                                        writing->iterations, EVP_sha256())) {
        status = crypto_error(error, KW_FAILED, "the PKCS#12 file cannot be put together");
        goto out;
    }
    const int length = i2d_PKCS12(file, &encoded);
    status = der_take(encoded, length, pfx, error);
out:
    PKCS12_free(file);
    sk_PKCS7_pop_free(parts, PKCS7_free);
    return status;
}

static kw_status pfx_write_iterated_within(struct crypto *crypto, const struct pfx_item *items, size_t count,
                                           kw_input password, unsigned iterations, kw_bytes *pfx, kw_error *error)
{
    struct writing writing = {
        .crypto = crypto,
        .password = (const char *)password.data,
        .password_length = (int)password.length,
        .iterations = (int)iterations,
    };
    kw_status status = KW_OK;
    if (password.length == 0 || password.length > KW_SECRET_MAXIMUM ||
        memchr(password.data, 0, password.length) != NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "a .pfx file needs a password of 1 to %u bytes without NUL",
                         KW_SECRET_MAXIMUM);
    if (count == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "there is nothing to write");
    writing.keys = sk_PKCS12_SAFEBAG_new_null();
    writing.certificates = sk_PKCS12_SAFEBAG_new_null();
    writing.issuers = sk_X509_new_null();
    if (writing.keys == NULL || writing.certificates == NULL || writing.issuers == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; status == KW_OK && i < count; i++) {
        crypto_pause();
        status = write_item(&writing, &items[i], error);
    }
    if (status == KW_OK)
        status = pack(&writing, pfx, error);
out:
    sk_PKCS12_SAFEBAG_pop_free(writing.keys, PKCS12_SAFEBAG_free);
    sk_PKCS12_SAFEBAG_pop_free(writing.certificates, PKCS12_SAFEBAG_free);
    sk_X509_free(writing.issuers);
    return status;
}

kw_status pfx_write_iterated(struct crypto *crypto, const struct pfx_item *items, size_t count, kw_input password,
                             unsigned iterations, kw_bytes *pfx, kw_error *error)
{
    crypto_enter();
    const kw_status status = pfx_write_iterated_within(crypto, items, count, password, iterations, pfx, error);
    crypto_leave();
    return status;
}

kw_status pfx_write(struct crypto *crypto, const struct pfx_item *items, size_t count, kw_input password, kw_bytes *pfx,
                    kw_error *error)
{
    size_t iterations = ITERATIONS_SHARED / (count > 0 ? count : 1);
    if (iterations > ITERATIONS_MAXIMUM)
        iterations = ITERATIONS_MAXIMUM;
    if (iterations < PFX_ITERATIONS_MINIMUM)
        iterations = PFX_ITERATIONS_MINIMUM;
    return pfx_write_iterated(crypto, items, count, password, (unsigned)iterations, pfx, error);
}
