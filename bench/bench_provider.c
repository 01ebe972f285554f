/*
 * What the OpenSSL module costs a program: bench_provider NAME LIMIT OURS BARE [ROUNDS], two keys by URI that $OPENSSL_CONF makes usable.
 * bench/provider.sh calls it. Each operation is what TLS 1.3 does for a handshake: a new context, begun, with its parameters set, and a
 * message of some hundred bytes signed at once.
 */
#include "lanes.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/store.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS_DEFAULT    101
#define ROUND_NANOSECONDS 10000000.0
#define THREADS_MAXIMUM   2
#define MESSAGE_LENGTH    130

static bool sign(void *user)
{
    static const unsigned char message[MESSAGE_LENGTH] = {1};
    EVP_PKEY *key = user;
    unsigned char signature[1024];
    size_t length = sizeof(signature);
    EVP_PKEY_CTX *parameters = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && EVP_DigestSignInit_ex(context, &parameters, "SHA256", NULL, NULL, key, NULL) == 1 &&
                (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
                 (EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) > 0 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) > 0)) &&
                EVP_DigestSign(context, signature, &length, message, sizeof(message)) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

static EVP_PKEY *load(const char *uri)
{
    EVP_PKEY *key = NULL;
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info != NULL && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    if (key == NULL)
        bench_stop(uri, NULL);
    return key;
}

int main(int count, char **words)
{
    if (count < 5)
        bench_stop("usage: bench_provider NAME LIMIT OURS BARE [ROUNDS]", NULL);
    const double limit = strtod(words[2], NULL);
    const unsigned rounds = count > 5 ? (unsigned)strtoul(words[5], NULL, 10) : ROUNDS_DEFAULT;
    EVP_PKEY *ours = load(words[3]), *bare = load(words[4]);
    bool good = rounds > 0;
    if (EVP_PKEY_eq(ours, bare) != 1)
        bench_stop("these are two keys", NULL);
    lanes_print_head();
    for (unsigned threads = 1; threads <= THREADS_MAXIMUM; threads++) {
        struct lane ours_lanes[THREADS_MAXIMUM] = {0}, bare_lanes[THREADS_MAXIMUM] = {0};
        for (unsigned i = 0; i < threads; i++) {
            ours_lanes[i] = (struct lane){.operate = sign, .user = ours};
            bare_lanes[i] = (struct lane){.operate = sign, .user = bare};
        }
        good = lanes_compare(&(struct comparison){.name = words[1],
                                                  .ours = ours_lanes,
                                                  .bare = bare_lanes,
                                                  .threads = threads,
                                                  .rounds = rounds,
                                                  .round_nanoseconds = ROUND_NANOSECONDS,
                                                  .limit = limit}) &&
               good;
    }
    EVP_PKEY_free(ours);
    EVP_PKEY_free(bare);
    /* pkcs11-provider finalises the token's module when libcrypto ends, and SoftHSM does not stand that. */
    fflush(stdout);
    _exit(good ? 0 : 1);
}
