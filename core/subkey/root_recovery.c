/* The recovery certificate: roots are wrapped to it too, so that the loss of an HSM is not the loss of all data (B8). */
#include "subkey/root_private.h"

#include "base/buffer.h"
#include "base/file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

#define FILE_MAXIMUM     (1u << 20)
#define RSA_BITS_MINIMUM 2048u /* as for any RSA key: this one opens every root */

/* PEM or DER. Public alone: its file may be anywhere, and that it expired changes nothing. */
static kw_status certificate_parse_within(const struct root_place *place, kw_input content, X509 **certificate,
                                          unsigned char spki[SHA256_LENGTH], kw_error *error)
{
    BIO *memory = BIO_new_mem_buf(content.data, (int)content.length);
    X509 *read = X509_new_ex(place->crypto->library, NULL);
    unsigned char *der = NULL;
    int length = 0;
    kw_status status = KW_OK;
    if (memory == NULL || read == NULL) {
        status = error_memory(error);
        goto out;
    }
    if (PEM_read_bio_X509(memory, &read, NULL, NULL) != NULL) {
        length = i2d_X509(read, &der);
        content = (kw_input){der, length > 0 ? (size_t)length : 0};
    }
    ERR_clear_error(); /* that it is no PEM */
    status = root_certificate_read(place->crypto, content, certificate, spki, error);
out:
    OPENSSL_free(der);
    crypto_x509_free(read);
    BIO_free(memory);
    return status;
}

static kw_status certificate_parse(const struct root_place *place, kw_input content, X509 **certificate,
                                   unsigned char spki[SHA256_LENGTH], kw_error *error)
{
    crypto_enter();
    const kw_status status = certificate_parse_within(place, content, certificate, spki, error);
    crypto_leave();
    return status;
}

kw_status recovery_open(const struct root_place *place, struct wrap_key *recovery, kw_error *error)
{
    const struct subkey_settings *settings = &place->settings->subkeys;
    kw_bytes content = {0};
    X509 *certificate = NULL;
    unsigned char *der = NULL;
    int length = 0;
    kw_error why = {0};
    kw_status status = KW_OK;
    *recovery = (struct wrap_key){0};
    if (settings->recovery_certificate == NULL)
        return KW_OK;
    status = file_read(settings->recovery_certificate, FILE_MAXIMUM, &content, &why);
    if (status == KW_OK)
        status = certificate_parse(place, (kw_input){content.data, content.length}, &certificate, recovery->spki, &why);
    if (status == KW_OK) {
        length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
        status = length > 0 ? key_open_public(place->crypto, (kw_input){der, (size_t)length}, &recovery->key, &why)
                            : crypto_error(&why, KW_CORRUPT, "the certificate has no readable public key");
    }
    if (status == KW_OK && kw_key_get_capabilities(recovery->key)->type == KW_KEY_RSA &&
        kw_key_get_capabilities(recovery->key)->bits < RSA_BITS_MINIMUM) {
        status = error_set(&why, KW_UNSUPPORTED, "its RSA key has %u bits, which is too weak: it takes %u at least",
                           (unsigned)kw_key_get_capabilities(recovery->key)->bits, RSA_BITS_MINIMUM);
        kw_key_free(recovery->key);
        recovery->key = NULL;
    }
    if (status == KW_OK && wrap_of_type(kw_key_get_capabilities(recovery->key)->type) == NULL) {
        kw_key_free(recovery->key);
        recovery->key = NULL;
        status = error_set(&why, KW_UNSUPPORTED, "nothing can be encrypted to a key of its type");
    }
    if (status != KW_OK) {
        status = settings_error(place->settings, settings->recovery_certificate_place, error,
                                "recovery_certificate: %s", why.message);
        error_remedy(error, "name a certificate, PEM or DER, with an EC key, or an RSA key of 2048 bits or more");
    }
    OPENSSL_free(der);
    crypto_x509_free(certificate);
    kw_bytes_free(&content);
    return status;
}

kw_status root_check_recovery(struct crypto *crypto, const struct settings *settings, kw_error *error)
{
    const struct root_place place = {.crypto = crypto, .settings = settings};
    struct wrap_key recovery = {0};
    const kw_status status = recovery_open(&place, &recovery, error);
    kw_key_free(recovery.key);
    return status;
}

kw_status root_lacks_recovery(const struct root_place *place, const struct id *master, bool *lacks, kw_error *error)
{
    struct wrap_key recovery = {0};
    struct root_rows rows = {0};
    kw_status status = recovery_open(place, &recovery, error);
    if (status == KW_OK)
        status = root_rows_look(place, master, &rows, error);
    if (status == KW_OK)
        *lacks = false;
    for (size_t i = 0; status == KW_OK && recovery.key != NULL && i < rows.count; i++)
        if (rows.rows[i].state != ROOT_RETIRED && !root_row_is_recoverable(&rows.rows[i], recovery.spki))
            *lacks = true;
    root_rows_clear(&rows);
    kw_key_free(recovery.key);
    return status;
}

static bool is_recoverable_somehow(const struct root_row *row)
{
    struct root_wraps wraps;
    bool met = false;
    if (root_wraps_read((kw_input){row->wraps.data, row->wraps.length}, &wraps))
        for (size_t i = 0; i < wraps.count; i++)
            met = met || wraps.wraps[i].recipient == ROOT_TO_RECOVERY;
    return met;
}

kw_status root_all_recoverable(const struct root_place *place, const struct id *master, bool *all, kw_error *error)
{
    struct root_rows rows = {0};
    size_t needed = 0, met = 0;
    kw_status status = root_rows_look(place, master, &rows, error);
    for (size_t i = 0; status == KW_OK && i < rows.count; i++)
        if (rows.rows[i].state != ROOT_RETIRED) {
            needed++;
            met += is_recoverable_somehow(&rows.rows[i]);
        }
    if (status == KW_OK)
        *all = needed > 0 && met == needed;
    root_rows_clear(&rows);
    return status;
}

kw_status root_facts(const struct root_place *place, const struct id *master, struct root_fact **facts, size_t *count,
                     kw_error *error)
{
    struct wrap_key recovery = {0};
    struct root_rows rows = {0};
    struct root_fact *made = NULL;
    kw_status status = root_rows_look(place, master, &rows, error);
    /* A recovery certificate that cannot be read opens nothing. */
    const bool recovers = recovery_open(place, &recovery, NULL) == KW_OK && recovery.key != NULL;
    if (status == KW_OK) {
        made = calloc(rows.count + 1, sizeof(*made));
        status = made != NULL ? KW_OK : error_memory(error);
    }
    for (size_t i = 0; status == KW_OK && i < rows.count; i++) {
        const struct root_row *row = &rows.rows[i];
        made[i] = (struct root_fact){.version = row->version,
                                     .state = row->state,
                                     .resealed = row->resealed > row->version,
                                     .recoverable = recovers && root_row_is_recoverable(row, recovery.spki),
                                     .created = row->created};
    }
    if (status == KW_OK) {
        *facts = made;
        *count = rows.count;
    }
    kw_key_free(recovery.key);
    root_rows_clear(&rows);
    return status;
}
