/* Encrypted messages to and from a certificate; the openssl command is the other side. */
#include "../openssl/keyring.h"
#include "certificate/cms.h"
#include "scene.h"

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char text[] = "the password of a client: pässword\n";
static const kw_input plaintext = {(const unsigned char *)text, sizeof(text) - 1};

enum { RSA2048, P256, P384, ED25519, PARTIES };
static const char *const kinds[PARTIES] = {"rsa-2048", "ec-p256", "ec-p384", "ed25519"};
static const char *const names[PARTIES] = {"rsa", "p256", "p384", "ed25519"};

static struct scene scene;
static struct ring ring;
static struct pair pairs[PARTIES];
static X509 *certificates[PARTIES];

/* NAME.key, or NAME.crt when `key` is NULL. */
static void write_pem(const char *name, EVP_PKEY *key, X509 *certificate)
{
    char file[64];
    char *data = NULL;
    BIO *out = BIO_new(BIO_s_mem());
    if (key != NULL)
        assert_libcrypto(PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
    else
        assert_libcrypto(PEM_write_bio_X509(out, certificate));
    const long length = BIO_get_mem_data(out, &data);
    snprintf(file, sizeof(file), "%s.%s", name, key != NULL ? "key" : "crt");
    scene_write(&scene, file, (kw_input){(const unsigned char *)data, (size_t)length});
    BIO_free(out);
}

/* Recipients may be named by it. */
static void add_key_id(X509 *certificate, EVP_PKEY *key)
{
    static const unsigned char id[] = "an identifier";
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    assert_libcrypto(ASN1_OCTET_STRING_set(value, id, sizeof(id)));
    assert_libcrypto(X509_add1_ext_i2d(certificate, NID_subject_key_identifier, value, 0, X509V3_ADD_DEFAULT));
    ASN1_OCTET_STRING_free(value);
    assert_libcrypto(X509_sign(certificate, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()));
}

static int open_all(void **state)
{
    (void)state;
    scene_open(&scene);
    ring_open(&ring);
    const struct scene within = {.crypto = ring.crypto};
    for (size_t i = 0; i < PARTIES; i++) {
        pairs[i] = ring_add(&ring, kinds[i]);
        certificates[i] = scene_certificate(&within, pairs[i].plain, names[i], NULL, NULL, false);
        add_key_id(certificates[i], pairs[i].plain);
        write_pem(names[i], pairs[i].plain, NULL);
        write_pem(names[i], NULL, certificates[i]);
    }
    scene_write(&scene, "plain", plaintext);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARTIES; i++) {
        X509_free(certificates[i]);
        pair_clear(&pairs[i]);
    }
    ring_close(&ring);
    scene_close(&scene);
    return 0;
}

static kw_input view(const kw_bytes *bytes)
{
    return (kw_input){bytes->data, bytes->length};
}

static kw_status open_as(size_t party, kw_input cms, struct secret *content)
{
    scene.error = (kw_error){0};
    return cms_open(ring.crypto, certificates[party], pairs[party].ours, cms, content, &scene.error);
}

static void assert_opens_to(size_t party, kw_input cms, kw_input expected)
{
    struct secret content = {0};
    assert_ok(&scene, open_as(party, cms, &content));
    assert_int_equal(content.length, expected.length);
    assert_memory_equal(content.data, expected.data, expected.length);
    secret_clear(&content);
}

static void assert_opens(size_t party, kw_input cms)
{
    assert_opens_to(party, cms, plaintext);
}

static void assert_refuses(kw_status status, size_t party, kw_input cms, const char *part)
{
    struct secret content = {0};
    assert_status(&scene, status, open_as(party, cms, &content));
    assert_message(&scene, part);
    assert_null(content.data);
    assert_int_equal(ERR_peek_error(), 0);
}

/* What the openssl command makes of `arguments`, which end with a recipient. */
static kw_bytes encrypt(const char *arguments)
{
    char command[400];
    snprintf(command, sizeof(command), "openssl cms -encrypt -binary -in plain -out message %s", arguments);
    scene_do(&scene, command);
    return scene_read(&scene, "message");
}

/* ---- From the openssl command ------------------------------------------------------------------------ */

static const struct {
    const char *arguments;
    size_t party;
} messages[] = {
    {"-outform DER -aes-256-cbc rsa.crt", RSA2048}, /* PKCS#1 v1.5, its default */
    {"-outform DER -aes128 -recip rsa.crt -keyopt rsa_padding_mode:oaep", RSA2048},
    {"-outform DER -aes-256-cbc -recip rsa.crt -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256", RSA2048},
    {"-outform DER -aes-256-cbc -recip rsa.crt -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha512 -keyopt "
     "rsa_mgf1_md:sha256",
     RSA2048},
    {"-outform DER -aes-256-gcm rsa.crt", RSA2048},
    {"-outform DER -aes-256-cbc -keyid rsa.crt", RSA2048},
    {"-outform DER -stream -aes-256-cbc rsa.crt", RSA2048}, /* indefinite lengths */
    {"-outform PEM -aes-256-cbc rsa.crt", RSA2048},
    {"-outform DER -aes-256-cbc p256.crt", P256},
    {"-outform DER -aes-128-cbc -recip p256.crt -keyopt ecdh_kdf_md:sha256", P256},
    {"-outform DER -aes-256-gcm p256.crt", P256},
    {"-outform DER -aes-256-cbc -keyid p256.crt", P256},
    {"-outform PEM -aes-256-cbc p384.crt", P384},
    {"-outform DER -aes-256-cbc -recip p384.crt -keyopt ecdh_kdf_md:sha384", P384},
};

static void open_of_openssls_message_gives_the_plaintext(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        kw_bytes message = encrypt(messages[i].arguments);
        assert_opens(messages[i].party, view(&message));
        kw_bytes_free(&message);
    }
}

static void open_of_several_recipients_works_for_each(void **state)
{
    (void)state;
    kw_bytes message = encrypt("-outform DER -aes-256-cbc p256.crt rsa.crt p384.crt");
    assert_opens(RSA2048, view(&message));
    assert_opens(P256, view(&message));
    assert_opens(P384, view(&message));
    kw_bytes_free(&message);
}

static void open_for_another_certificate_says_so(void **state)
{
    (void)state;
    kw_bytes one = encrypt("-outform DER -aes-256-cbc rsa.crt");
    kw_bytes two = encrypt("-outform DER -aes-256-cbc rsa.crt p256.crt");
    assert_refuses(KW_CIPHERTEXT_INVALID, P256, view(&one),
                   "not encrypted for this certificate; it has 1 other recipient");
    assert_refuses(KW_CIPHERTEXT_INVALID, P384, view(&two), "it has 2 other recipients");
    kw_bytes_free(&one);
    kw_bytes_free(&two);
}

/* A certificate of another key under the same names: the recipient matches, the key does not. */
static void open_with_another_key_is_invalid(void **state)
{
    (void)state;
    struct secret content = {0};
    struct pair other = ring_add(&ring, "ec-p256"), other_rsa = ring_add(&ring, "rsa-2048");
    kw_bytes message = encrypt("-outform DER -aes-256-gcm p256.crt rsa.crt");
    scene.error = (kw_error){0};
    assert_status(&scene, KW_CIPHERTEXT_INVALID,
                  cms_open(ring.crypto, certificates[P256], other.ours, view(&message), &content, &scene.error));
    assert_status(&scene, KW_CIPHERTEXT_INVALID,
                  cms_open(ring.crypto, certificates[RSA2048], other_rsa.ours, view(&message), &content, &scene.error));
    assert_null(content.data);
    kw_bytes_free(&message);
    pair_clear(&other);
    pair_clear(&other_rsa);
}

/* ---- To the openssl command --------------------------------------------------------------------------- */

static void seal_is_opened_by_openssl_and_by_us(void **state)
{
    (void)state;
    for (size_t i = RSA2048; i <= P384; i++) {
        char command[200];
        kw_bytes message = {0};
        const uint64_t before = ring_calls(&ring);
        assert_ok(&scene, cms_seal(ring.crypto, certificates[i], plaintext, &message, &scene.error));
        assert_int_equal(ring_calls(&ring), before); /* the public key alone */
        scene_write(&scene, "sealed", view(&message));
        snprintf(command, sizeof(command),
                 "openssl cms -decrypt -binary -inform DER -in sealed -inkey %s.key -recip %s.crt -out opened",
                 names[i], names[i]);
        scene_do(&scene, command);
        kw_bytes opened = scene_read(&scene, "opened");
        assert_int_equal(opened.length, plaintext.length);
        assert_memory_equal(opened.data, plaintext.data, plaintext.length);
        assert_opens(i, view(&message));
        kw_bytes_free(&opened);
        kw_bytes_free(&message);
    }
}

static void seal_uses_the_algorithms_that_are_promised(void **state)
{
    (void)state;
    static const char *const expected[][3] = {
        [RSA2048] = {"aes-256-cbc", "rsaesOaep", "sha256"},
        [P256] = {"aes-256-cbc", "dhSinglePass-stdDH-sha256kdf-scheme", "id-aes256-wrap"}};
    for (size_t i = RSA2048; i <= P256; i++) {
        kw_bytes message = {0};
        assert_ok(&scene, cms_seal(ring.crypto, certificates[i], plaintext, &message, &scene.error));
        scene_write(&scene, "sealed", view(&message));
        for (size_t j = 0; j < 3; j++)
            scene_says(&scene, "openssl cms -cmsout -print -inform DER -in sealed -noout", expected[i][j]);
        kw_bytes_free(&message);
    }
}

static void seal_of_any_length_opens(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 15, 16, 17, 4096, 1000003};
    unsigned char *content = malloc(1000003);
    assert_non_null(content);
    for (size_t i = 0; i < 1000003; i++)
        content[i] = (unsigned char)(i * 7);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        kw_bytes message = {0};
        assert_ok(&scene,
                  cms_seal(ring.crypto, certificates[P256], (kw_input){content, lengths[i]}, &message, &scene.error));
        assert_opens_to(P256, view(&message), (kw_input){content, lengths[i]});
        kw_bytes_free(&message);
    }
    free(content);
}

static void ed25519_certificate_is_unsupported_and_named(void **state)
{
    (void)state;
    kw_bytes message = encrypt("-outform DER -aes-256-cbc rsa.crt"), sealed = {0};
    scene.error = (kw_error){0};
    assert_status(&scene, KW_UNSUPPORTED,
                  cms_seal(ring.crypto, certificates[ED25519], plaintext, &sealed, &scene.error));
    assert_message(&scene, "Ed25519");
    assert_null(sealed.data);
    assert_refuses(KW_UNSUPPORTED, ED25519, view(&message), "Ed25519");
    kw_bytes_free(&message);
}

/* ---- Text around it ----------------------------------------------------------------------------------- */

static void replace(kw_bytes *bytes, const char *before, const char *line_end, const char *after)
{
    struct buffer made = {0};
    buffer_append_text(&made, before);
    for (size_t i = 0; i < bytes->length; i++) {
        if (bytes->data[i] == '\n')
            buffer_append_text(&made, line_end);
        else
            buffer_append_u8(&made, bytes->data[i]);
    }
    buffer_append_text(&made, after);
    kw_bytes_free(bytes);
    assert_int_equal(buffer_take(&made, bytes), KW_OK);
}

static void open_of_pem_with_text_around_works(void **state)
{
    (void)state;
    static const char *const before[] = {"", "0 is how this text begins, as DER does\n\n",
                                         "From: a client\r\nHello,\r\n\r\n"};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 2; j++) {
            kw_bytes message = encrypt("-outform PEM -aes-256-cbc rsa.crt");
            replace(&message, before[i], j == 0 ? "\n" : "\r\n", j == 0 ? "-- \nA client\n" : "");
            assert_opens(RSA2048, view(&message));
            kw_bytes_free(&message);
        }
    }
}

static void open_of_pem_skips_other_blocks(void **state)
{
    (void)state;
    kw_bytes message = encrypt("-outform PEM -aes-256-cbc rsa.crt"), certificate = scene_read(&scene, "p256.crt");
    struct buffer both = {0};
    buffer_append(&both, certificate.data, certificate.length);
    buffer_append(&both, message.data, message.length);
    assert_opens(RSA2048, buffer_view(&both));
    buffer_free(&both);
    assert_refuses(KW_CIPHERTEXT_INVALID, RSA2048, view(&certificate), "no block -----BEGIN CMS-----");
    kw_bytes_free(&message);
    kw_bytes_free(&certificate);
}

/* ---- What is no message, or a changed one --------------------------------------------------------------- */

static void open_of_garbage_is_invalid(void **state)
{
    (void)state;
    static const char *const garbage[] = {"x", "0", "no message at all", "-----BEGIN CMS-----\n",
                                          "-----BEGIN CMS-----\nAAAA\n-----END CMS-----\n"};
    assert_refuses(KW_CIPHERTEXT_INVALID, RSA2048, (kw_input){NULL, 0}, "it is empty");
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
        assert_refuses(KW_CIPHERTEXT_INVALID, RSA2048, input_text(garbage[i]), "no CMS message");
}

static void open_of_a_message_cut_anywhere_is_invalid(void **state)
{
    (void)state;
    kw_bytes message = encrypt("-outform DER -aes-256-cbc rsa.crt");
    for (size_t length = 1; length < message.length; length += 7)
        assert_refuses(KW_CIPHERTEXT_INVALID, RSA2048, (kw_input){message.data, length}, "no CMS message");
    kw_bytes_free(&message);
}

static void open_of_a_message_with_something_behind_is_invalid(void **state)
{
    (void)state;
    kw_bytes message = encrypt("-outform DER -aes-256-cbc rsa.crt");
    struct buffer longer = {0};
    buffer_append(&longer, message.data, message.length);
    buffer_append_u8(&longer, '\n');
    assert_refuses(KW_CIPHERTEXT_INVALID, RSA2048, buffer_view(&longer), "something follows");
    buffer_free(&longer);
    kw_bytes_free(&message);
}

static void open_of_a_signed_message_says_what_it_is(void **state)
{
    (void)state;
    scene_do(&scene, "openssl cms -sign -binary -in plain -signer rsa.crt -inkey rsa.key -outform DER -out message");
    kw_bytes message = scene_read(&scene, "message");
    assert_refuses(KW_CIPHERTEXT_INVALID, RSA2048, view(&message), "signedData");
    kw_bytes_free(&message);
}

/* Authenticated content: a change of any byte of it is found. */
static void open_of_changed_authenticated_content_is_invalid(void **state)
{
    (void)state;
    static const size_t parties[] = {RSA2048, P256};
    static const char *const arguments[] = {"-outform DER -aes-256-gcm rsa.crt", "-outform DER -aes-256-gcm p256.crt"};
    for (size_t i = 0; i < 2; i++) {
        kw_bytes message = encrypt(arguments[i]);
        /* The content's ciphertext, then its 16 byte tag in an OCTET STRING, are last. */
        const size_t last = message.length - 1, content = message.length - 18 - plaintext.length / 2;
        message.data[last] ^= 1;
        assert_refuses(KW_CIPHERTEXT_INVALID, parties[i], view(&message), "cannot be decrypted");
        message.data[last] ^= 1;
        message.data[content] ^= 1;
        assert_refuses(KW_CIPHERTEXT_INVALID, parties[i], view(&message), "cannot be decrypted");
        message.data[content] ^= 1;
        assert_opens(parties[i], view(&message));
        kw_bytes_free(&message);
    }
}

static void open_of_a_cipher_that_is_unknown_is_unsupported(void **state)
{
    (void)state;
    static const unsigned char aes_256_cbc[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a};
    kw_bytes message = encrypt("-outform DER -aes-256-cbc rsa.crt");
    unsigned char *at = memmem(message.data, message.length, aes_256_cbc, sizeof(aes_256_cbc));
    assert_non_null(at);
    at[8] = 0x7f;
    assert_refuses(KW_UNSUPPORTED, RSA2048, view(&message), "does not have the cipher");
    kw_bytes_free(&message);
}

/* ---- What an attacker may learn -------------------------------------------------------------------------- */

/* Where the 256 bytes of the content key are, encrypted. */
static unsigned char *encrypted_key(const kw_bytes *message)
{
    static const unsigned char header[] = {0x04, 0x82, 0x01, 0x00};
    unsigned char *at = memmem(message->data, message->length, header, sizeof(header));
    assert_non_null(at);
    return at + sizeof(header);
}

/* A raw RSA encryption of a block, or a PKCS#1 v1.5 one of a content key. */
static void encrypt_block(unsigned char *out, const unsigned char *block, size_t length, int padding)
{
    size_t out_length = 256;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, pairs[RSA2048].plain, NULL);
    assert_libcrypto(EVP_PKEY_encrypt_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, padding));
    assert_libcrypto(EVP_PKEY_encrypt(context, out, &out_length, block, length));
    EVP_PKEY_CTX_free(context);
}

/* The kw_error of opening it, which must fail; authenticated content, so that no wrong key passes by chance. */
static kw_error failure(const kw_bytes *message)
{
    struct secret content = {0};
    assert_int_not_equal(open_as(RSA2048, view(message), &content), KW_OK);
    assert_null(content.data);
    assert_int_equal(ERR_peek_error(), 0);
    assert_false(pkey_take_error(NULL));
    return scene.error;
}

static void bad_rsa_block_looks_like_a_wrong_content_key(void **state)
{
    (void)state;
    unsigned char block[256];
    kw_bytes message = encrypt("-outform DER -aes-256-gcm rsa.crt");
    unsigned char *key = encrypted_key(&message);

    memset(block, 0x5a, 32); /* well formed, the wrong key */
    encrypt_block(key, block, 32, RSA_PKCS1_PADDING);
    const kw_error wrong_key = failure(&message);
    assert_int_equal(wrong_key.status, KW_CIPHERTEXT_INVALID);

    static const struct {
        size_t at;
        unsigned char value;
    } bad[] = {{0, 0x01}, {1, 0x01}, {5, 0x00}, {223, 0x77}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(block, 0x77, sizeof(block)); /* 00 02 padding 00 key */
        block[0] = 0;
        block[1] = 2;
        block[223] = 0;
        block[bad[i].at] = bad[i].value;
        encrypt_block(key, block, sizeof(block), RSA_NO_PADDING);
        const kw_error bad_block = failure(&message);
        assert_memory_equal(&bad_block, &wrong_key, sizeof(bad_block));
    }
    static const size_t lengths[] = {0, 1, 16, 31, 33, 200}; /* well formed, keys of other lengths */
    memset(block, 0x5a, sizeof(block));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        encrypt_block(key, block, lengths[i], RSA_PKCS1_PADDING);
        const kw_error bad_length = failure(&message);
        assert_memory_equal(&bad_length, &wrong_key, sizeof(bad_length));
    }
    memset(key, 0xff, 256); /* not below the modulus */
    const kw_error too_large = failure(&message);
    assert_memory_equal(&too_large, &wrong_key, sizeof(too_large));
    kw_bytes_free(&message);
}

/* What a message opens to with content that any key opens (OFB has no padding and no tag). */
static struct secret opened(const kw_bytes *message)
{
    struct secret content = {0};
    assert_ok(&scene, open_as(RSA2048, view(message), &content));
    return content;
}

/* Were the key that stands in for an invalid one a new one each time, sending the same again would tell. */
static void bad_rsa_block_opens_to_the_same_each_time(void **state)
{
    (void)state;
    unsigned char block[256];
    kw_bytes message = encrypt("-outform DER -aes-256-ofb rsa.crt");
    unsigned char *key = encrypted_key(&message);
    for (int kind = 0; kind < 5; kind++) {
        memset(block, 0x77, sizeof(block));
        block[0] = 0;
        block[1] = kind == 1 ? 1 : 2;   /* the wrong type */
        block[223] = kind == 2 ? 7 : 0; /* no end of the padding */
        if (kind == 3)
            block[200] = 0; /* a key that is too long */
        encrypt_block(key, block, sizeof(block), RSA_NO_PADDING);
        if (kind == 4)
            memset(key, 0xff, sizeof(block)); /* not below the modulus */
        struct secret one = opened(&message), two = opened(&message);
        assert_int_equal(one.length, plaintext.length);
        assert_int_equal(two.length, plaintext.length);
        assert_memory_equal(one.data, two.data, one.length);
        assert_memory_not_equal(one.data, plaintext.data, one.length);
        secret_clear(&one);
        secret_clear(&two);
    }
    kw_bytes_free(&message);
}

static void bad_oaep_block_looks_like_a_wrong_content_key(void **state)
{
    (void)state;
    kw_bytes message = encrypt("-outform DER -aes-256-gcm -recip rsa.crt -keyopt rsa_padding_mode:oaep");
    unsigned char *key = encrypted_key(&message), wrong[32] = {0};
    encrypt_block(key, wrong, sizeof(wrong), RSA_PKCS1_OAEP_PADDING);
    const kw_error wrong_key = failure(&message);
    key[100] ^= 1;
    const kw_error bad_block = failure(&message);
    assert_memory_equal(&bad_block, &wrong_key, sizeof(bad_block));
    kw_bytes_free(&message);
}

/* libcrypto goes on with a random content key; the store's reason must come out nevertheless. */
static void failing_store_is_told_and_not_hidden(void **state)
{
    (void)state;
    static const char *const party_kinds[] = {"rsa-2048", "ec-p256"};
    struct ring away;
    ring_open_faulty(&away, MODULES, "away");
    const struct scene within = {.crypto = away.crypto};
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = ring_add(&away, party_kinds[i]);
        X509 *certificate = scene_certificate(&within, pair.plain, "away", NULL, NULL, false);
        write_pem("away", NULL, certificate);
        for (size_t j = 0; j < 2; j++) {
            struct secret content = {0};
            kw_bytes message = {0};
            if (j == 0)
                message = encrypt("-outform DER -aes-256-cbc away.crt");
            else
                assert_ok(&scene, cms_seal(away.crypto, certificate, plaintext, &message, &scene.error));
            scene.error = (kw_error){0};
            assert_status(&scene, KW_UNAVAILABLE,
                          cms_open(away.crypto, certificate, pair.ours, view(&message), &content, &scene.error));
            assert_message(&scene, "the device is not plugged in");
            assert_null(content.data);
            kw_bytes_free(&message);
        }
        X509_free(certificate);
        pair_clear(&pair);
    }
    ring_close(&away);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_of_openssls_message_gives_the_plaintext),
        cmocka_unit_test(open_of_several_recipients_works_for_each),
        cmocka_unit_test(open_for_another_certificate_says_so),
        cmocka_unit_test(open_with_another_key_is_invalid),
        cmocka_unit_test(seal_is_opened_by_openssl_and_by_us),
        cmocka_unit_test(seal_uses_the_algorithms_that_are_promised),
        cmocka_unit_test(seal_of_any_length_opens),
        cmocka_unit_test(ed25519_certificate_is_unsupported_and_named),
        cmocka_unit_test(open_of_pem_with_text_around_works),
        cmocka_unit_test(open_of_pem_skips_other_blocks),
        cmocka_unit_test(open_of_garbage_is_invalid),
        cmocka_unit_test(open_of_a_message_cut_anywhere_is_invalid),
        cmocka_unit_test(open_of_a_message_with_something_behind_is_invalid),
        cmocka_unit_test(open_of_a_signed_message_says_what_it_is),
        cmocka_unit_test(open_of_changed_authenticated_content_is_invalid),
        cmocka_unit_test(open_of_a_cipher_that_is_unknown_is_unsupported),
        cmocka_unit_test(bad_rsa_block_looks_like_a_wrong_content_key),
        cmocka_unit_test(bad_rsa_block_opens_to_the_same_each_time),
        cmocka_unit_test(bad_oaep_block_looks_like_a_wrong_content_key),
        cmocka_unit_test(failing_store_is_told_and_not_hidden),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
