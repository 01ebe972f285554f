#include "certificate/cms.h"
#include "certificate/calls.h"

#include "base/buffer.h"
#include "certificate/manager.h"
#include "openssl/pkey.h"

#include <limits.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of one call of libcrypto, whose lengths are ints. */
#define CHUNK_MAXIMUM ((size_t)1 << 30)

static kw_status check_key_type(X509 *certificate, kw_error *error)
{
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    if (key == NULL)
        return crypto_error(error, KW_CORRUPT, "the public key of the certificate cannot be read");
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "EC"))
        return KW_OK;
    const char *type = EVP_PKEY_get0_type_name(key);
    kw_status status =
        error_set(error, KW_UNSUPPORTED, "the key of the certificate is an %s key, which signs but cannot decrypt",
                  EVP_PKEY_is_a(key, "ED25519") ? "Ed25519"
                  : type != NULL                ? type
                                                : "unknown");
    error_remedy(error, "encrypt to a certificate with an RSA or EC key");
    return status;
}

/* ---- Encryption ------------------------------------------------------------------------------------ */

static kw_status add_recipient(CMS_ContentInfo *message, X509 *certificate, kw_error *error)
{
    CMS_RecipientInfo *recipient = CMS_add1_recipient_cert(message, certificate, CMS_KEY_PARAM);
    EVP_PKEY_CTX *context = recipient != NULL ? CMS_RecipientInfo_get0_pkey_ctx(recipient) : NULL;
    bool set = false;
    if (context != NULL && EVP_PKEY_is_a(X509_get0_pubkey(certificate), "RSA"))
        set = EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) > 0 &&
              EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) > 0;
    else if (context != NULL)
        set = EVP_PKEY_CTX_set_ecdh_kdf_md(context, EVP_sha256()) > 0;
    if (!set)
        return crypto_error(error, KW_FAILED, "the certificate cannot be made the recipient of a message");
    return KW_OK;
}

static bool write_content(BIO *content, kw_input plaintext)
{
    while (plaintext.length > 0) {
        const size_t chunk = plaintext.length < CHUNK_MAXIMUM ? plaintext.length : CHUNK_MAXIMUM;
        const int written = BIO_write(content, plaintext.data, (int)chunk);
        if (written <= 0)
            return false;
        plaintext.data += written;
        plaintext.length -= (size_t)written;
    }
    return BIO_flush(content) > 0;
}

static kw_status cms_seal_within(struct crypto *crypto, X509 *certificate, kw_input plaintext, kw_bytes *cms,
                                 kw_error *error)
{
    EVP_CIPHER *cipher = NULL;
    CMS_ContentInfo *message = NULL;
    BIO *content = NULL;
    unsigned char *der = NULL;
    struct buffer buffer = {0};
    kw_status status = check_key_type(certificate, error);
    if (status != KW_OK)
        return status;
    cipher = EVP_CIPHER_fetch(crypto->library, "AES-256-CBC", NULL);
    message = cipher != NULL ? CMS_EnvelopedData_create_ex(cipher, crypto->library, NULL) : NULL;
    if (message == NULL || CMS_set_detached(message, 0) != 1) {
        status = crypto_error(error, KW_FAILED, "no CMS message can be begun");
        goto out;
    }
    status = add_recipient(message, certificate, error);
    if (status != KW_OK)
        goto out;
    content = CMS_dataInit(message, NULL);
    if (content == NULL || !write_content(content, plaintext) || CMS_dataFinal(message, content) != 1) {
        status = crypto_error(error, KW_FAILED, "the message cannot be encrypted");
        goto out;
    }
    const int length = i2d_CMS_ContentInfo(message, &der);
    if (length <= 0) {
        status = crypto_error(error, KW_FAILED, "the encrypted message cannot be written");
        goto out;
    }
    buffer_append(&buffer, der, (size_t)length);
    status = buffer_take(&buffer, cms) == KW_OK ? KW_OK : error_memory(error);
out:
    buffer_free(&buffer);
    OPENSSL_free(der);
    BIO_free_all(content);
    CMS_ContentInfo_free(message);
    EVP_CIPHER_free(cipher);
    return status;
}

kw_status cms_seal(struct crypto *crypto, X509 *certificate, kw_input plaintext, kw_bytes *cms, kw_error *error)
{
    crypto_enter();
    const kw_status status = cms_seal_within(crypto, certificate, plaintext, cms, error);
    crypto_leave();
    return status;
}

/* ---- Reading ---------------------------------------------------------------------------------------- */

static kw_status malformed(kw_error *error, const char *why)
{
    ERR_clear_error();
    kw_status status = error_set(error, KW_CIPHERTEXT_INVALID, "this is no CMS message in DER or PEM: %s", why);
    error_remedy(error, "`openssl cms -encrypt -outform DER` and `-outform PEM` write one");
    return status;
}

static kw_status read_der(struct crypto *crypto, kw_input der, CMS_ContentInfo **message, kw_error *error)
{
    const unsigned char *at = der.data;
    if (der.length > LONG_MAX)
        return malformed(error, "it is too long");
    CMS_ContentInfo *read = CMS_ContentInfo_new_ex(crypto->library, NULL);
    if (read == NULL)
        return error_memory(error);
    /* A message that cannot be read is freed by the call. */
    if (d2i_CMS_ContentInfo(&read, &at, (long)der.length) == NULL)
        return malformed(error, "it is malformed or cut off");
    if (at != der.data + der.length) {
        CMS_ContentInfo_free(read);
        return malformed(error, "something follows it");
    }
    *message = read;
    return KW_OK;
}

/* The first block that is a message; other blocks and text around them are skipped. */
static kw_status read_pem(struct crypto *crypto, kw_input pem, CMS_ContentInfo **message, kw_error *error)
{
    kw_status status = KW_NOT_FOUND;
    if (pem.length > INT_MAX)
        return malformed(error, "it is too long");
    BIO *text = BIO_new_mem_buf(pem.data, (int)pem.length);
    if (text == NULL)
        return error_memory(error);
    while (status == KW_NOT_FOUND) {
        char *name = NULL, *header = NULL;
        unsigned char *data = NULL;
        long length = 0;
        if (PEM_read_bio(text, &name, &header, &data, &length) != 1)
            status = malformed(error, "it is not DER and has no block -----BEGIN CMS-----");
        else if (strcmp(name, PEM_STRING_CMS) == 0 || strcmp(name, PEM_STRING_PKCS7) == 0)
            status = read_der(crypto, (kw_input){data, (size_t)length}, message, error);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
    }
    BIO_free(text);
    return status;
}

static bool has_pem_block(kw_input text)
{
    static const char begin[] = "-----BEGIN ";
    for (size_t i = 0; i + sizeof(begin) - 1 <= text.length; i++)
        if (memcmp(text.data + i, begin, sizeof(begin) - 1) == 0)
            return true;
    return false;
}

static kw_status read_message(struct crypto *crypto, kw_input cms, CMS_ContentInfo **message, kw_error *error)
{
    if (cms.length == 0)
        return malformed(error, "it is empty");
    /* Text before a block may begin with the byte that DER begins with, "0". */
    const bool has_block = has_pem_block(cms);
    if (cms.data[0] == 0x30 && (!has_block || read_der(crypto, cms, message, NULL) == KW_OK))
        return *message != NULL ? KW_OK : read_der(crypto, cms, message, error);
    return read_pem(crypto, cms, message, error);
}

/* ---- Decryption ------------------------------------------------------------------------------------- */

static bool is_recipient(CMS_RecipientInfo *recipient, X509 *certificate)
{
    if (CMS_RecipientInfo_type(recipient) == CMS_RECIPINFO_TRANS)
        return CMS_RecipientInfo_ktri_cert_cmp(recipient, certificate) == 0;
    if (CMS_RecipientInfo_type(recipient) != CMS_RECIPINFO_AGREE)
        return false;
    STACK_OF(CMS_RecipientEncryptedKey) *keys = CMS_RecipientInfo_kari_get0_reks(recipient);
    for (int i = 0; i < sk_CMS_RecipientEncryptedKey_num(keys); i++)
        if (CMS_RecipientEncryptedKey_cert_cmp(sk_CMS_RecipientEncryptedKey_value(keys, i), certificate) == 0)
            return true;
    return false;
}

static bool is_for(CMS_ContentInfo *message, X509 *certificate)
{
    STACK_OF(CMS_RecipientInfo) *recipients = CMS_get0_RecipientInfos(message);
    for (int i = 0; i < sk_CMS_RecipientInfo_num(recipients); i++)
        if (is_recipient(sk_CMS_RecipientInfo_value(recipients, i), certificate))
            return true;
    return false;
}

static kw_status check_recipient(CMS_ContentInfo *message, X509 *certificate, kw_error *error)
{
    const int type = OBJ_obj2nid(CMS_get0_type(message));
    if (type != NID_pkcs7_enveloped && type != NID_id_smime_ct_authEnvelopedData)
        return error_set(error, KW_CIPHERTEXT_INVALID, "the CMS message is not encrypted; it is %s",
                         type != NID_undef ? OBJ_nid2ln(type) : "of an unknown type");
    if (is_for(message, certificate))
        return KW_OK;
    const int count = sk_CMS_RecipientInfo_num(CMS_get0_RecipientInfos(message));
    ERR_clear_error();
    kw_status status =
        error_set(error, KW_CIPHERTEXT_INVALID, "the message is not encrypted for this certificate; it has %d other %s",
                  count > 0 ? count : 0, count == 1 ? "recipient" : "recipients");
    error_remedy(error, "name the certificate that it was encrypted for; one that has been replaced is ADDRESS@N");
    return status;
}

/* One answer for everything that depends on the private key. */
static kw_status not_opened(kw_error *error)
{
    ERR_clear_error();
    return error_set(error, KW_CIPHERTEXT_INVALID, "the message cannot be decrypted: it was changed, or is damaged");
}

/*
 * How long the key of the content's cipher is; 0 where it is not known. libcrypto tells it of a cipher that it has begun to decrypt
 * with, which it does with a random key where it has none yet.
 */
static size_t content_key_length(CMS_ContentInfo *message)
{
    EVP_CIPHER_CTX *context = NULL;
    int length = 0;
    ERR_set_mark();
    BIO *content = CMS_dataInit(message, NULL);
    BIO *cipher = content != NULL ? BIO_find_type(content, BIO_TYPE_CIPHER) : NULL;
    if (cipher != NULL && BIO_get_cipher_ctx(cipher, &context) > 0)
        length = EVP_CIPHER_CTX_get_key_length(context);
    BIO_free_all(content);
    ERR_pop_to_mark();
    return length > 0 ? (size_t)length : 0;
}

/*
 * libcrypto hides how the decryption of the content key went and goes on with a random one. Whether the store could work at all must not
 * be hidden; whether the block was well formed must.
 */
static kw_status open_content_key(CMS_ContentInfo *message, X509 *certificate, EVP_PKEY *key, kw_error *error)
{
    kw_error store_error = {0};
    pkey_take_error(NULL);
    pkey_expect_length(EVP_PKEY_is_a(key, "RSA") ? content_key_length(message) : 0);
    const int opened = CMS_decrypt_set1_pkey(message, key, certificate);
    pkey_expect_length(0);
    if (pkey_take_error(&store_error) && store_error.status != KW_CIPHERTEXT_INVALID &&
        store_error.status != KW_INVALID_ARGUMENT) {
        ERR_clear_error();
        if (error != NULL)
            *error = store_error;
        return store_error.status;
    }
    return opened == 1 ? KW_OK : not_opened(error);
}

/* Whether libcrypto lacks the content's cipher: known before any key is used. */
static bool cipher_is_unknown(void)
{
    const unsigned long reason = ERR_peek_error();
    return ERR_GET_LIB(reason) == ERR_LIB_CMS && ERR_GET_REASON(reason) == CMS_R_UNKNOWN_CIPHER;
}

static kw_status read_content(CMS_ContentInfo *message, struct secret *plaintext, kw_error *error)
{
    kw_status status = KW_OK;
    int got = 0;
    BIO *content = CMS_dataInit(message, NULL);
    if (content == NULL) {
        if (!cipher_is_unknown())
            return not_opened(error);
        ERR_clear_error();
        return error_set(error, KW_UNSUPPORTED,
                         "libcrypto does not have the cipher that the message is encrypted with");
    }
    do {
        const size_t room = plaintext->capacity - plaintext->length;
        got =
            BIO_read(content, plaintext->data + plaintext->length, (int)(room < CHUNK_MAXIMUM ? room : CHUNK_MAXIMUM));
        if (got > 0)
            plaintext->length += (size_t)got;
    } while (got > 0);
    BIO *cipher = BIO_find_type(content, BIO_TYPE_CIPHER);
    if (cipher == NULL || BIO_get_cipher_status(cipher) <= 0)
        status = not_opened(error);
    BIO_free_all(content);
    return status;
}

static kw_status cms_open_within(struct crypto *crypto, X509 *certificate, EVP_PKEY *key, kw_input cms,
                                 struct secret *plaintext, kw_error *error)
{
    CMS_ContentInfo *message = NULL;
    struct secret content = {0};
    kw_status status = check_key_type(certificate, error);
    if (status != KW_OK)
        return status;
    ERR_clear_error();
    status = read_message(crypto, cms, &message, error);
    if (status != KW_OK)
        goto out;
    status = check_recipient(message, certificate, error);
    if (status != KW_OK)
        goto out;
    /* A plaintext is never longer than its message. */
    status = secret_new(&content, cms.length, error);
    if (status != KW_OK)
        goto out;
    status = open_content_key(message, certificate, key, error);
    if (status == KW_OK)
        status = read_content(message, &content, error);
    if (status != KW_OK)
        goto out;
    content.data[content.length] = '\0';
    *plaintext = content;
    content = (struct secret){0};
out:
    secret_clear(&content);
    CMS_ContentInfo_free(message);
    return status;
}

bool cms_is_for(struct crypto *crypto, X509 *certificate, kw_input cms)
{
    CMS_ContentInfo *message = NULL;
    crypto_enter();
    ERR_set_mark();
    const bool is = read_message(crypto, cms, &message, NULL) == KW_OK && is_for(message, certificate);
    CMS_ContentInfo_free(message);
    ERR_pop_to_mark();
    crypto_leave();
    return is;
}

kw_status cms_open(struct crypto *crypto, X509 *certificate, EVP_PKEY *key, kw_input cms, struct secret *plaintext,
                   kw_error *error)
{
    crypto_enter();
    const kw_status status = cms_open_within(crypto, certificate, key, cms, plaintext, error);
    crypto_leave();
    return status;
}

/* ---- For an address --------------------------------------------------------------------------------- */

/* The certificate that an address names. */
static kw_status find_certificate(kw_context *context, const char *address, struct found *found, X509 **certificate,
                                  kw_error *error)
{
    kw_status status = manager_find(context, address, found, error);
    if (status != KW_OK)
        return status;
    kw_input chain = {found->certificate.chain.data, found->certificate.chain.length};
    return x509_read(context->crypto, &chain, certificate, error);
}

/* Whether the message is for another certificate of the same entry: then that one is named. */
static void name_recipient(kw_context *context, const struct found *found, kw_input cms, kw_error *error)
{
    struct certificate_row last = {0};
    bool met = false;
    if (catalogue_certificate_get_last(context->catalogue, &found->entry.id, &last, NULL) != KW_OK)
        return;
    for (unsigned number = last.number; number > 0 && !met; number--) {
        struct certificate_row row = {0};
        X509 *certificate = NULL;
        kw_input chain;
        if (number == found->certificate.number ||
            catalogue_certificate_get_number(context->catalogue, &found->entry.id, number, &row, NULL) != KW_OK)
            continue;
        chain = (kw_input){row.chain.data, row.chain.length};
        met = x509_read(context->crypto, &chain, &certificate, NULL) == KW_OK &&
              cms_is_for(context->crypto, certificate, cms);
        if (met) {
            error_set(error, KW_CIPHERTEXT_INVALID, "the message is encrypted for %s@%u", found->address.text, number);
            error_remedy(error, "name that: `keywright decrypt %s@%u`", found->address.text, number);
        }
        crypto_x509_free(certificate);
        certificate_row_clear(&row);
    }
    certificate_row_clear(&last);
}

kw_status manager_cms_encrypt(kw_context *context, const char *address, kw_input plaintext, kw_bytes *cms,
                              kw_error *error)
{
    struct found found = {0};
    X509 *certificate = NULL;
    kw_status status = find_certificate(context, address, &found, &certificate, error);
    if (status == KW_OK)
        status = cms_seal(context->crypto, certificate, plaintext, cms, error);
    crypto_x509_free(certificate);
    found_clear(&found);
    return status;
}

kw_status manager_cms_decrypt(kw_context *context, const char *address, kw_input cms, kw_bytes *plaintext,
                              kw_error *error)
{
    struct found found = {0};
    X509 *certificate = NULL;
    kw_key *key = NULL;
    EVP_PKEY *pkey = NULL;
    struct secret secret = {0};
    unsigned char *copy = NULL;
    kw_status status = find_certificate(context, address, &found, &certificate, error);
    if (status == KW_OK)
        status = check_key_type(certificate, error);
    if (status == KW_OK)
        status = manager_open_key(context, &found, &key, error);
    if (status == KW_OK)
        status = pkey_from_key(context->crypto, key, &pkey, error);
    if (status == KW_OK)
        status = cms_open(context->crypto, certificate, pkey, cms, &secret, error);
    if (status == KW_CIPHERTEXT_INVALID && !cms_is_for(context->crypto, certificate, cms))
        name_recipient(context, &found, cms, error);
    if (status != KW_OK)
        goto out;
    copy = malloc(secret.length + 1);
    if (copy == NULL) {
        status = error_memory(error);
        goto out;
    }
    memcpy(copy, secret.data, secret.length + 1);
    *plaintext = (kw_bytes){copy, secret.length};
out:
    secret_clear(&secret);
    crypto_pkey_free(pkey);
    kw_key_free(key);
    crypto_x509_free(certificate);
    found_clear(&found);
    return status;
}
