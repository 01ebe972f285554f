/*
 * What Keywright's road costs: kw_key_sign and kw_key_decrypt with softstore against bare libcrypto with the very same key.
 *
 * The baseline is the strictest there is: an EVP_PKEY_CTX per thread, initialised once and used again for each operation.
 */
#include "lanes.h"

#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS_DEFAULT    301
#define ROUND_NANOSECONDS 10000000.0 /* short, so that what else the machine does meets few of the many rounds */
#define THREADS_MAXIMUM   2
#define PASSWORD          "bench"

enum use { USE_SIGN, USE_DECRYPT };

struct subject {
    const char *name;
    const char *key;
    enum use use;
    double limit; /* of kw throughput over bare throughput */
};

static const struct subject subjects[] = {
    {"RSA-2048 sign (PSS)", "rsa-2048", USE_SIGN, 0.98}, {"RSA-2048 decrypt (OAEP)", "rsa-2048", USE_DECRYPT, 0.98},
    {"RSA-3072 sign (PSS)", "rsa-3072", USE_SIGN, 0.98}, {"RSA-3072 decrypt (OAEP)", "rsa-3072", USE_DECRYPT, 0.98},
    {"P-256 sign (ECDSA)", "ec-p256", USE_SIGN, 0.92},
};

/* One side of a comparison in one thread. */
struct side {
    const struct subject *subject;
    kw_key *key; /* NULL: the bare side */
    EVP_PKEY_CTX *bare;
    kw_input input;
};

static bool operate_keywright(void *user)
{
    const struct side *side = user;
    unsigned char bytes[1024];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    static const kw_algorithm sign_rsa = {
        .size = sizeof(sign_rsa), .scheme = KW_SCHEME_RSA_PSS, .hash = KW_HASH_SHA256, .salt_length = 32};
    static const kw_algorithm sign_ec = {.size = sizeof(sign_ec), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256};
    if (side->subject->use == USE_DECRYPT)
        return kw_key_decrypt(side->key, NULL, side->input, &output, NULL) == KW_OK;
    const bool rsa = kw_key_get_capabilities(side->key)->type == KW_KEY_RSA;
    return kw_key_sign(side->key, rsa ? &sign_rsa : &sign_ec, side->input, &output, NULL) == KW_OK;
}

static bool operate_bare(void *user)
{
    const struct side *side = user;
    unsigned char bytes[1024];
    size_t length = sizeof(bytes);
    if (side->subject->use == USE_DECRYPT)
        return EVP_PKEY_decrypt(side->bare, bytes, &length, side->input.data, side->input.length) == 1;
    return EVP_PKEY_sign(side->bare, bytes, &length, side->input.data, side->input.length) == 1;
}

static EVP_PKEY_CTX *bare_context(EVP_PKEY *pkey, enum use use)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    const bool rsa = EVP_PKEY_is_a(pkey, "RSA") == 1;
    bool good = context != NULL;
    if (good && use == USE_SIGN)
        good = EVP_PKEY_sign_init(context) == 1 && EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
               (!rsa || (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
                         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, 32) == 1));
    else if (good)
        good = EVP_PKEY_decrypt_init(context) == 1 &&
               EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1;
    if (!good)
        bench_stop("libcrypto's context", NULL);
    return context;
}

/* The same private key for libcrypto alone: exported, and read back. */
static EVP_PKEY *export_key(kw_context *context, const char *address)
{
    kw_error error = {0};
    kw_bytes content = {0};
    EVP_PKEY *pkey = NULL;
    X509 *certificate = NULL;
    setenv("KEYWRIGHT_BENCH_PASSWORD", PASSWORD, 1);
    const kw_export_options options = {.size = sizeof(options),
                                       .addresses = &address,
                                       .address_count = 1,
                                       .password_source = "env:KEYWRIGHT_BENCH_PASSWORD",
                                       .content = &content};
    if (kw_export(context, &options, NULL, NULL, &error) != KW_OK)
        bench_stop("export", &error);
    const unsigned char *at = content.data;
    PKCS12 *file = d2i_PKCS12(NULL, &at, (long)content.length);
    if (file == NULL || PKCS12_parse(file, PASSWORD, &pkey, &certificate, NULL) != 1)
        bench_stop("the exported key cannot be read", NULL);
    X509_free(certificate);
    PKCS12_free(file);
    kw_bytes_free(&content);
    return pkey;
}

/* Prints a row; false when it is below its limit. */
static bool measure(kw_context *context, const struct subject *subject, unsigned threads, unsigned rounds)
{
    struct side ours[THREADS_MAXIMUM] = {0}, bare[THREADS_MAXIMUM] = {0};
    struct lane ours_lanes[THREADS_MAXIMUM] = {0}, bare_lanes[THREADS_MAXIMUM] = {0};
    unsigned char digest[32] = {1}, ciphertext[1024];
    kw_output sealed = {.data = ciphertext, .capacity = sizeof(ciphertext)};
    kw_input input = {digest, sizeof(digest)};
    char address[64];
    kw_error error = {0};
    kw_key *key = NULL;
    snprintf(address, sizeof(address), "general/%s", subject->key);
    EVP_PKEY *pkey = export_key(context, address);
    if (kw_key_open(context, address, &key, &error) != KW_OK)
        bench_stop("open", &error);
    if (subject->use == USE_DECRYPT) {
        if (kw_key_encrypt(key, NULL, input, &sealed, &error) != KW_OK)
            bench_stop("encrypt", &error);
        input = (kw_input){ciphertext, sealed.length};
    }
    for (unsigned i = 0; i < threads; i++) {
        ours[i] = (struct side){.subject = subject, .key = key, .input = input};
        bare[i] = (struct side){.subject = subject, .bare = bare_context(pkey, subject->use), .input = input};
        ours_lanes[i] = (struct lane){.operate = operate_keywright, .user = &ours[i]};
        bare_lanes[i] = (struct lane){.operate = operate_bare, .user = &bare[i]};
    }
    const bool good = lanes_compare(&(struct comparison){.name = subject->name,
                                                         .ours = ours_lanes,
                                                         .bare = bare_lanes,
                                                         .threads = threads,
                                                         .rounds = rounds,
                                                         .round_nanoseconds = ROUND_NANOSECONDS,
                                                         .limit = subject->limit});
    for (unsigned i = 0; i < threads; i++)
        EVP_PKEY_CTX_free(bare[i].bare);
    EVP_PKEY_free(pkey);
    kw_key_free(key);
    return good;
}

int main(int count, char **words)
{
    const char *temporary = getenv("TMPDIR");
    char directory[256];
    char configuration[300];
    kw_error error = {0};
    kw_context *context = NULL;
    bool good = true;
    const unsigned rounds = count > 1 ? (unsigned)strtoul(words[1], NULL, 10) : ROUNDS_DEFAULT;
    snprintf(directory, sizeof(directory), "%s/keywright-bench-XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (rounds == 0 || mkdtemp(directory) == NULL)
        bench_stop("usage: bench_key [ROUNDS]", NULL);
    snprintf(configuration, sizeof(configuration), "%s/keywright.yaml", directory);
    const kw_open_options options = {.size = sizeof(options), .configuration = configuration};
    if (kw_initialise(directory, NULL, NULL, NULL, &error) != KW_OK || kw_open(&options, &context, &error) != KW_OK)
        bench_stop("set-up", &error);
    static const char *const keys[] = {"rsa-2048", "rsa-3072", "ec-p256"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char address[64];
        snprintf(address, sizeof(address), "general/%s", keys[i]);
        const kw_certificate_template wanted = {.size = sizeof(wanted), .address = address, .key = keys[i]};
        if (kw_certificate_create(context, &wanted, NULL, NULL, &error) != KW_OK)
            bench_stop("create", &error);
    }
    printf(
        "kw_key_sign and kw_key_decrypt (softstore) against bare libcrypto (%s), same key, one run, %u rounds each\n",
        OpenSSL_version(OPENSSL_VERSION), rounds);
    lanes_print_head();
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        for (unsigned threads = 1; threads <= THREADS_MAXIMUM; threads++)
            good = measure(context, &subjects[i], threads, rounds) && good;
    kw_close(context);
    return good ? 0 : 1;
}
