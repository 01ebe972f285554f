#include "base/buffer.h"
#include "certificate/der.h"
#include "certificate/key_check.h"
#include "certificate/pbe.h"
#include "certificate/pkcs12.h"
#include "certificate/pkcs7.h"
#include "certificate/x509.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <string.h>

struct pem_reading {
    struct crypto *crypto;
    pem_ask ask;
    void *user;
    struct pfx_item *item;
    STACK_OF(X509) *certificates;
    size_t unknown;        /* objects that are neither key nor certificate */
    char unknown_name[64]; /* the first of them */
};

/* ---- Keys ----------------------------------------------------------------------------------------------------- */

static kw_status ask_password(const struct pem_reading *reading, struct secret *password, kw_error *error)
{
    if (reading->ask == NULL)
        return error_set(error, KW_CONFIGURATION, "the key is encrypted, and there is no password for it");
    return reading->ask(reading->user, password, error);
}

static kw_status wrong_password(kw_error *error)
{
    ERR_clear_error();
    return error_set(error, KW_SECRET_REFUSED, "the password of the private key is wrong, or the key is damaged");
}

static kw_status take_pkcs8(const struct pem_reading *reading, const PKCS8_PRIV_KEY_INFO *info, kw_error *error)
{
    return der_take_pkcs8(info, &reading->item->pkcs8, error);
}

static kw_status take_encrypted_pkcs8(const struct pem_reading *reading, const X509_SIG *sealed, kw_error *error)
{
    struct pbe_limits limits = {.crypto = reading->crypto};
    struct secret password = {0};
    const X509_ALGOR *algorithm = NULL;
    PKCS8_PRIV_KEY_INFO *info = NULL;
    X509_SIG_get0(sealed, &algorithm, NULL);
    kw_status status = pbe_check(&limits, algorithm, error);
    if (status == KW_OK)
        status = ask_password(reading, &password, error);
    if (status != KW_OK)
        goto out;
    info = der_decrypt_pkcs8(reading->crypto, sealed, secret_view(&password));
    status = info == NULL ? wrong_password(error) : take_pkcs8(reading, info, error);
out:
    PKCS8_PRIV_KEY_INFO_free(info);
    secret_clear(&password);
    pbe_close(&limits);
    return status;
}

/* A traditional key becomes PKCS#8 by putting its algorithm before it; nothing is encoded anew, so no copy is left anywhere. */
static kw_status wrap(const struct pem_reading *reading, kw_input traditional, int type, int parameter_type,
                      ASN1_OBJECT *parameter, kw_error *error)
{
    PKCS8_PRIV_KEY_INFO *info = PKCS8_PRIV_KEY_INFO_new();
    unsigned char *copy = OPENSSL_memdup(traditional.data, traditional.length);
    kw_status status = KW_OK;
    if (info == NULL || copy == NULL ||
        !PKCS8_pkey_set0(info, OBJ_nid2obj(type), 0, parameter_type, parameter, copy, (int)traditional.length)) {
        OPENSSL_clear_free(copy, traditional.length);
        status = error_memory(error);
    } else {
        status = take_pkcs8(reading, info, error);
    }
    PKCS8_PRIV_KEY_INFO_free(info); /* which wipes the copy */
    return status;
}

/* `*known` is false when it is no such key. */
static kw_status take_traditional(const struct pem_reading *reading, kw_input der, int type, bool *known,
                                  kw_error *error)
{
    const unsigned char *at = der.data;
    char curve[64] = "";
    size_t length = 0;
    ERR_set_mark();
    EVP_PKEY *key = d2i_PrivateKey_ex(type, NULL, &at, (long)der.length, reading->crypto->library, NULL);
    const bool whole = key != NULL && at == der.data + der.length;
    const bool named = whole && type == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, curve, sizeof(curve), &length) == 1;
    const bool off_curve = key == NULL && key_is_off_curve();
    crypto_pkey_free(key);
    ERR_pop_to_mark();
    *known = whole || off_curve;
    if (!whole)
        return error_set(error, KW_CORRUPT, "the private key is malformed%s",
                         off_curve ? ": its point is not on the curve" : "");
    if (type == EVP_PKEY_RSA)
        return wrap(reading, der, NID_rsaEncryption, V_ASN1_NULL, NULL, error);
    if (!named)
        return error_set(error, KW_UNSUPPORTED, "the EC key is on a curve without a name");
    return wrap(reading, der, NID_X9_62_id_ecPublicKey, V_ASN1_OBJECT, OBJ_txt2obj(curve, 0), error);
}

/* ---- DER ------------------------------------------------------------------------------------------------------- */

/* Private keys in the forms that there are, told apart by their structure. `*known` is false when it is none. */
static kw_status take_key(const struct pem_reading *reading, kw_input der, bool *known, kw_error *error)
{
    kw_status status = KW_OK;
    const unsigned char *end = der.data + der.length;
    const unsigned char *at = der.data;
    PKCS8_PRIV_KEY_INFO *info = NULL;
    X509_SIG *sealed = NULL;
    ERR_set_mark();
    *known = true;
    if ((info = der_read_pkcs8(reading->crypto, der)) != NULL) {
        status = take_pkcs8(reading, info, error);
    } else if ((sealed = d2i_X509_SIG(NULL, &at, (long)der.length)) != NULL && at == end) {
        status = take_encrypted_pkcs8(reading, sealed, error);
    } else if (take_traditional(reading, der, EVP_PKEY_RSA, known, NULL) != KW_OK) {
        status = take_traditional(reading, der, EVP_PKEY_EC, known, error);
    }
    ERR_pop_to_mark();
    X509_SIG_free(sealed);
    PKCS8_PRIV_KEY_INFO_free(info);
    return status;
}

/* Takes `certificate` over, also when it fails. */
static kw_status push_certificate(struct pem_reading *reading, X509 *certificate, kw_error *error)
{
    if (sk_X509_push(reading->certificates, certificate) > 0)
        return KW_OK;
    crypto_x509_free(certificate);
    return error_memory(error);
}

static kw_status read_der(struct pem_reading *reading, kw_input der, kw_error *error)
{
    kw_input rest = der;
    X509 *certificate = NULL;
    bool known = false;
    if (x509_read(reading->crypto, &rest, &certificate, NULL) == KW_OK) {
        if (rest.length == 0)
            return push_certificate(reading, certificate, error);
        crypto_x509_free(certificate);
        return error_set(error, KW_CORRUPT, "%zu bytes follow the certificate", rest.length);
    }
    kw_status status = pkcs7_read(reading->crypto, der, reading->certificates, error);
    if (status != KW_INVALID_ARGUMENT)
        return status;
    status = error_tolerate(status, KW_INVALID_ARGUMENT, error); /* something else */
    if (status == KW_OK)
        status = take_key(reading, der, &known, error);
    if (!known)
        return error_set(error, KW_CORRUPT, "the file is neither a certificate nor a private key, or it is damaged");
    return status;
}

/* ---- PEM ------------------------------------------------------------------------------------------------------- */

enum pem_form {
    PEM_FORM_CERTIFICATE,
    PEM_FORM_TRUSTED,
    PEM_FORM_PKCS8,
    PEM_FORM_SEALED,
    PEM_FORM_RSA,
    PEM_FORM_EC,
    PEM_FORM_PKCS7,
    PEM_FORM_FOREIGN
};

static const struct {
    const char *name;
    enum pem_form form;
} pem_names[] = {
    {PEM_STRING_X509, PEM_FORM_CERTIFICATE},     {PEM_STRING_X509_OLD, PEM_FORM_CERTIFICATE},
    {PEM_STRING_X509_TRUSTED, PEM_FORM_TRUSTED}, {PEM_STRING_PKCS8INF, PEM_FORM_PKCS8},
    {PEM_STRING_PKCS8, PEM_FORM_SEALED},         {PEM_STRING_RSA, PEM_FORM_RSA},
    {PEM_STRING_ECPRIVATEKEY, PEM_FORM_EC},      {PEM_STRING_DSA, PEM_FORM_FOREIGN},
    {"OPENSSH PRIVATE KEY", PEM_FORM_FOREIGN},   {PEM_STRING_PKCS7, PEM_FORM_PKCS7},
    {PEM_STRING_PKCS7_SIGNED, PEM_FORM_PKCS7},   {PEM_STRING_CMS, PEM_FORM_PKCS7},
};

struct pem_object {
    char *name, *header;
    unsigned char *data;
    long length;
};

/* PEM_read_bio_ex allocates them apart, and keys in memory that it wipes. */
static void object_clear(struct pem_object *object)
{
    OPENSSL_secure_free(object->name);
    OPENSSL_secure_free(object->header);
    OPENSSL_secure_clear_free(object->data, object->length > 0 ? (size_t)object->length : 0);
    *object = (struct pem_object){0};
}

/* As PEM_do_header does, but with our own library context, where the legacy provider can be loaded. In place. */
static bool decrypt_in_place(const struct crypto *crypto, const EVP_CIPHER *cipher, const unsigned char *iv,
                             kw_input password, struct pem_object *object)
{
    unsigned char key[EVP_MAX_KEY_LENGTH];
    int length = 0, end = 0;
    EVP_MD *md5 = EVP_MD_fetch(crypto->library, "MD5", NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const bool done = md5 != NULL && context != NULL && object->length <= INT32_MAX &&
                      EVP_BytesToKey(cipher, md5, iv, password.data, (int)password.length, 1, key, NULL) > 0 &&
                      EVP_DecryptInit_ex2(context, cipher, key, iv, NULL) == 1 &&
                      EVP_DecryptUpdate(context, object->data, &length, object->data, (int)object->length) == 1 &&
                      EVP_DecryptFinal_ex(context, object->data + length, &end) == 1;
    if (done)
        object->length = length + end;
    EVP_CIPHER_CTX_free(context);
    EVP_MD_free(md5);
    OPENSSL_cleanse(key, sizeof(key));
    return done;
}

/* A traditional key may be encrypted as RFC 1421 has it. */
static kw_status decrypt_object(const struct pem_reading *reading, struct pem_object *object, kw_error *error)
{
    EVP_CIPHER_INFO cipher = {0};
    EVP_CIPHER *fetched = NULL;
    struct secret password = {0};
    struct pbe_limits limits = {.crypto = reading->crypto};
    ERR_clear_error();
    if (!PEM_get_EVP_CIPHER_INFO(object->header, &cipher)) {
        if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_UNSUPPORTED_ENCRYPTION)
            return crypto_error(error, KW_UNSUPPORTED, "the private key is encrypted with '%.100s'", object->header);
        return crypto_error(error, KW_CORRUPT, "the private key's header is malformed");
    }
    if (cipher.cipher == NULL)
        return KW_OK;
    kw_status status = pbe_cipher(&limits, EVP_CIPHER_get_nid(cipher.cipher), &fetched, error);
    if (status == KW_OK)
        status = ask_password(reading, &password, error);
    if (status == KW_OK && !decrypt_in_place(reading->crypto, fetched, cipher.iv, secret_view(&password), object))
        status = wrong_password(error);
    secret_clear(&password);
    EVP_CIPHER_free(fetched);
    pbe_close(&limits);
    return status;
}

static kw_status read_certificate(struct pem_reading *reading, kw_input der, bool trusted, kw_error *error)
{
    X509 *certificate = NULL;
    kw_status status = x509_read(reading->crypto, &der, &certificate, error);
    if (status != KW_OK)
        return status;
    if (der.length > 0 && !trusted) { /* behind a trusted one follows what it is trusted for */
        crypto_x509_free(certificate);
        return error_set(error, KW_CORRUPT, "a certificate in the file is malformed");
    }
    return push_certificate(reading, certificate, error);
}

static kw_status read_key(struct pem_reading *reading, struct pem_object *object, enum pem_form form, kw_error *error)
{
    bool known = false;
    const bool encrypted = object->header != NULL && strstr(object->header, "ENCRYPTED") != NULL;
    if (reading->item->pkcs8.data != NULL) {
        error_set(error, KW_INVALID_ARGUMENT, "the file holds more than one private key");
        error_remedy(error, "put each key into a file of its own, with its certificate");
        return KW_INVALID_ARGUMENT;
    }
    if (form == PEM_FORM_FOREIGN)
        return error_set(error, KW_UNSUPPORTED, "a private key in the form '%s' is not supported; PKCS#8 is",
                         object->name);
    kw_status status = decrypt_object(reading, object, error);
    if (status != KW_OK)
        return status;
    const kw_input der = {object->data, (size_t)object->length};
    if (form == PEM_FORM_RSA || form == PEM_FORM_EC)
        status = take_traditional(reading, der, form == PEM_FORM_RSA ? EVP_PKEY_RSA : EVP_PKEY_EC, &known, error);
    else
        status = take_key(reading, der, &known, error);
    return status == KW_CORRUPT && encrypted ? wrong_password(error) : status;
}

static kw_status read_object(struct pem_reading *reading, struct pem_object *object, kw_error *error)
{
    const kw_input der = {object->data, (size_t)object->length};
    for (size_t i = 0; i < sizeof(pem_names) / sizeof(pem_names[0]); i++) {
        const enum pem_form form = pem_names[i].form;
        if (strcmp(pem_names[i].name, object->name) != 0)
            continue;
        if (form == PEM_FORM_CERTIFICATE || form == PEM_FORM_TRUSTED)
            return read_certificate(reading, der, form == PEM_FORM_TRUSTED, error);
        if (form == PEM_FORM_PKCS7)
            return pkcs7_read(reading->crypto, der, reading->certificates, error);
        return read_key(reading, object, form, error);
    }
    if (reading->unknown++ == 0) {
        strncpy(reading->unknown_name, object->name, sizeof(reading->unknown_name) - 1);
        text_mask(reading->unknown_name);
    }
    return KW_OK;
}

static kw_status read_pem(struct pem_reading *reading, kw_input data, kw_error *error)
{
    crypto_enter();
    BIO *const text = BIO_new_mem_buf(data.data, (int)data.length);
    crypto_leave();
    struct pem_object object = {0};
    kw_status status = text == NULL ? error_memory(error) : KW_OK;
    while (status == KW_OK) {
        ERR_clear_error();
        if (!PEM_read_bio_ex(text, &object.name, &object.header, &object.data, &object.length, PEM_FLAG_SECURE)) {
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                status = crypto_error(error, KW_CORRUPT, "the PEM file is damaged");
            break;
        }
        status = read_object(reading, &object, error);
        object_clear(&object);
    }
    ERR_clear_error();
    crypto_bio_free(text);
    return status;
}

/* ---- All together -------------------------------------------------------------------------------------------------- */

static bool is_pem(kw_input data)
{
    static const char begin[] = "-----BEGIN ";
    return data.length >= sizeof(begin) && memmem(data.data, data.length, begin, sizeof(begin) - 1) != NULL;
}

/* The one that is the key's own, else the first. */
static kw_status choose_certificate_within(struct pem_reading *reading, kw_error *error)
{
    struct pfx_item *item = reading->item;
    EVP_PKEY *key = NULL;
    int own = 0;
    if (sk_X509_num(reading->certificates) == 0)
        return KW_OK;
    if (item->pkcs8.length > 0) {
        kw_status status = private_key_read(reading->crypto, secret_view(&item->pkcs8), &key, error);
        if (status != KW_OK)
            return status;
        ERR_set_mark();
        for (int i = sk_X509_num(reading->certificates) - 1; i >= 0; i--) {
            const EVP_PKEY *public_key = X509_get0_pubkey(sk_X509_value(reading->certificates, i));
            if (public_key != NULL && crypto_pkey_is(public_key, key))
                own = i;
        }
        ERR_pop_to_mark();
        crypto_pkey_free(key);
    }
    item->certificate = sk_X509_delete(reading->certificates, own);
    if (sk_X509_num(reading->certificates) > 0) {
        item->chain = reading->certificates;
        reading->certificates = NULL;
    }
    return KW_OK;
}

static kw_status choose_certificate(struct pem_reading *reading, kw_error *error)
{
    crypto_enter();
    const kw_status status = choose_certificate_within(reading, error);
    crypto_leave();
    return status;
}

/* What people often have instead, by its first bytes. */
static void tell_likely_form(kw_input data, kw_error *error)
{
    static const struct {
        const char *bytes;
        size_t length;
        const char *remedy;
    } forms[] = {
        {"\xfe\xed\xfe\xed", 4,
         "it looks like a Java keystore (JKS): `keytool -importkeystore -srckeystore FILE -destkeystore NEW.p12 "
         "-deststoretype PKCS12` makes a file that can be imported"},
        {"\xce\xce\xce\xce", 4,
         "it looks like a Java keystore (JCEKS): `keytool -importkeystore -srckeystore FILE -destkeystore NEW.p12 "
         "-deststoretype PKCS12` makes a file that can be imported"},
        {"\xff\xfe", 2, "it looks like text in UTF-16: save it in UTF-8 or ASCII"},
        {"\xfe\xff", 2, "it looks like text in UTF-16: save it in UTF-8 or ASCII"},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (data.length < forms[i].length || memcmp(data.data, forms[i].bytes, forms[i].length) != 0)
            continue;
        error_remedy(error, "%s", forms[i].remedy);
        return;
    }
}

kw_status pem_read(struct crypto *crypto, kw_input data, pem_ask ask, void *user, struct pfx_item *item,
                   kw_error *error)
{
    struct pfx_item made = {0};
    struct pem_reading reading = {
        .crypto = crypto, .ask = ask, .user = user, .item = &made, .certificates = sk_X509_new_null()};
    kw_status status = reading.certificates == NULL ? error_memory(error) : KW_OK;
    const bool pem = is_pem(data);
    if (status != KW_OK)
        goto out;
    if (data.length > INT32_MAX || (!pem && (data.length == 0 || data.data[0] != 0x30))) {
        status =
            error_set(error, KW_INVALID_ARGUMENT, "the file is neither a certificate nor a private key in PEM or DER");
        tell_likely_form(data, error);
        goto out;
    }
    status = pem ? read_pem(&reading, data, error) : read_der(&reading, data, error);
    if (status == KW_OK && made.pkcs8.length == 0 && sk_X509_num(reading.certificates) == 0)
        status = error_set(error, KW_INVALID_ARGUMENT, "the file has neither a certificate nor a private key%s%s%s",
                           reading.unknown > 0 ? ", but '" : "", reading.unknown_name, reading.unknown > 0 ? "'" : "");
    if (status == KW_OK)
        status = choose_certificate(&reading, error);
    if (status != KW_OK)
        goto out;
    *item = made;
    made = (struct pfx_item){0};
out:
    ERR_clear_error();
    pfx_item_clear(&made);
    sk_X509_pop_free(reading.certificates, crypto_x509_free);
    return status;
}
