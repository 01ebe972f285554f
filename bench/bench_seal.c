/*
 * What Keywright's seals cost: bench_seal CONFIGURATION [ROUNDS]. bench/seal.sh makes the server, with the master key master-key/bench on a token.
 *
 * Against bare libcrypto: AES-256-GCM with a new key for each record and a counter as nonce, a context that is kept, a cipher that is fetched once. Against the token:
 * C_EncryptInit and C_Encrypt with AES-GCM, a session for each thread.
 */
#include "lanes.h"
#include "token.h"

#include <keywright/subkeys.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_DEFAULT    101
#define ROUND_NANOSECONDS 20000000.0
#define THREADS_MAXIMUM   2
#define RECORD            256
#define SEALED_MAXIMUM    512
#define TAG               16
#define ADDRESS           "master-key/bench"
#define PURPOSE           "password"

static const unsigned char record[RECORD] = {1}, associated[16] = {2};
static const kw_input plaintext = {record, sizeof(record)}, with = {associated, sizeof(associated)};

/* One side of a comparison in one thread; nothing of it lies near another's. */
struct side {
    kw_context *context;
    kw_subkey *subkey;
    EVP_CIPHER_CTX *gcm;
    struct token token;
    CK_OBJECT_HANDLE key;
    uint64_t counter;
    kw_output sealed;
    unsigned char bytes[SEALED_MAXIMUM], opened[RECORD], far[128];
};

/* ---- Operations ---- */

static bool seal(struct side *side, kw_subkey *subkey)
{
    side->sealed = (kw_output){.data = side->bytes, .capacity = sizeof(side->bytes)};
    return kw_seal(subkey, plaintext, with, &side->sealed, NULL) == KW_OK;
}

static bool seal_held(void *user)
{
    struct side *side = user;
    return seal(side, side->subkey);
}

static bool unseal_held(void *user)
{
    struct side *side = user;
    kw_output opened = {.data = side->opened, .capacity = sizeof(side->opened)};
    return kw_unseal(side->subkey, (kw_input){side->bytes, side->sealed.length}, with, &opened, NULL) == KW_OK;
}

static bool seal_by_name(void *user)
{
    struct side *side = user;
    kw_subkey *subkey = NULL;
    if (kw_subkey_get(side->context, ADDRESS, PURPOSE, (kw_input){0}, &subkey, NULL) != KW_OK)
        return false;
    const bool good = seal(side, subkey);
    kw_subkey_free(subkey);
    return good;
}

static bool unseal_by_name(void *user)
{
    struct side *side = user;
    kw_output opened = {.data = side->opened, .capacity = sizeof(side->opened)};
    kw_subkey *subkey = NULL;
    if (kw_subkey_get(side->context, ADDRESS, PURPOSE, (kw_input){0}, &subkey, NULL) != KW_OK)
        return false;
    const bool good = kw_unseal(subkey, (kw_input){side->bytes, side->sealed.length}, with, &opened, NULL) == KW_OK;
    kw_subkey_free(subkey);
    return good;
}

static void count_on(struct side *side, unsigned char key[32], unsigned char nonce[12])
{
    side->counter++;
    memset(key, 3, 32);
    memset(nonce, 0, 12);
    memcpy(key, &side->counter, sizeof(side->counter));
    memcpy(nonce, &side->counter, sizeof(side->counter));
}

static bool encrypt_bare(void *user)
{
    struct side *side = user;
    unsigned char key[32], nonce[12];
    int made = 0;
    count_on(side, key, nonce);
    return EVP_EncryptInit_ex(side->gcm, NULL, NULL, key, nonce) == 1 &&
           EVP_EncryptUpdate(side->gcm, NULL, &made, associated, sizeof(associated)) == 1 &&
           EVP_EncryptUpdate(side->gcm, side->bytes, &made, record, RECORD) == 1 &&
           EVP_EncryptFinal_ex(side->gcm, side->bytes + RECORD, &made) == 1 &&
           EVP_CIPHER_CTX_ctrl(side->gcm, EVP_CTRL_AEAD_GET_TAG, TAG, side->bytes + RECORD) == 1;
}

/* What encrypt_bare made last, again and again: a new key to libcrypto each time. */
static bool decrypt_bare(void *user)
{
    struct side *side = user;
    unsigned char key[32], nonce[12];
    int made = 0;
    side->counter--;
    count_on(side, key, nonce);
    return EVP_DecryptInit_ex(side->gcm, NULL, NULL, key, nonce) == 1 &&
           EVP_DecryptUpdate(side->gcm, NULL, &made, associated, sizeof(associated)) == 1 &&
           EVP_DecryptUpdate(side->gcm, side->opened, &made, side->bytes, RECORD) == 1 &&
           EVP_CIPHER_CTX_ctrl(side->gcm, EVP_CTRL_AEAD_SET_TAG, TAG, side->bytes + RECORD) == 1 &&
           EVP_DecryptFinal_ex(side->gcm, side->opened + RECORD, &made) == 1;
}

static bool encrypt_on_token(void *user)
{
    struct side *side = user;
    CK_FUNCTION_LIST *const functions = side->token.functions;
    unsigned char key[32], nonce[12];
    CK_ULONG length = sizeof(side->bytes);
    count_on(side, key, nonce);
    CK_GCM_PARAMS parameters = {.pIv = nonce,
                                .ulIvLen = sizeof(nonce),
                                .ulIvBits = sizeof(nonce) * 8,
                                .pAAD = (CK_BYTE *)(uintptr_t)associated,
                                .ulAADLen = sizeof(associated),
                                .ulTagBits = TAG * 8};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &parameters, sizeof(parameters)};
    return functions->C_EncryptInit(side->token.session, &mechanism, side->key) == CKR_OK &&
           functions->C_Encrypt(side->token.session, (CK_BYTE *)(uintptr_t)record, RECORD, side->bytes, &length) ==
               CKR_OK &&
           length == RECORD + TAG;
}

/* ---- Sides ---- */

static const char *wanted(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        bench_stop(name, NULL);
    return value;
}

static void open_ours(struct side *side, kw_context *context)
{
    kw_error error = {0};
    side->context = context;
    if (kw_subkey_get(context, ADDRESS, PURPOSE, (kw_input){0}, &side->subkey, &error) != KW_OK)
        bench_stop("kw_subkey_get", &error);
    if (!seal_held(side) || !unseal_held(side) || memcmp(side->opened, record, RECORD) != 0)
        bench_stop("what was sealed does not come back", NULL);
}

static void open_bare(struct side *side)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    side->gcm = EVP_CIPHER_CTX_new();
    if (cipher == NULL || side->gcm == NULL || EVP_EncryptInit_ex(side->gcm, cipher, NULL, NULL, NULL) != 1 ||
        !encrypt_bare(side) || !decrypt_bare(side))
        bench_stop("libcrypto", NULL);
    EVP_CIPHER_free(cipher);
}

/* With an AES key of its own, which goes with the session. */
static void open_token(struct side *side)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG length = 32;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE attributes[] = {{CKA_VALUE_LEN, &length, sizeof(length)}, {CKA_ENCRYPT, &yes, sizeof(yes)}};
    if (!token_open(&side->token, wanted("KW_TOKEN_LIBRARY"), NULL, wanted("KW_TOKEN_LABEL")) ||
        token_login(&side->token, wanted("KW_TOKEN_PIN")) != CKR_OK ||
        side->token.functions->C_GenerateKey(side->token.session, &mechanism, attributes, 2, &side->key) != CKR_OK ||
        !encrypt_on_token(side))
        bench_stop("the token does not encrypt", NULL);
}

/* ---- Rows ---- */

struct row {
    const char *name;
    bool (*ours)(void *), (*bare)(void *);
    double limit, gain; /* 0: not measured */
    bool by_name;       /* nobody else has a handle meanwhile */
};

static const struct row against_libcrypto[] = {
    {"seal", seal_held, encrypt_bare, 0.75, 0.95, false},
    {"unseal", unseal_held, decrypt_bare, 0.75, 0.95, false},
    {"seal, subkey by name", seal_by_name, encrypt_bare, 0.6, 0, true},
    {"unseal, subkey by name", unseal_by_name, decrypt_bare, 0.6, 0, true},
};
static const struct row against_token[] = {{"seal", seal_held, encrypt_on_token, 10, 0, false}};

static bool measure(const struct row *row, struct side *ours, struct side *bare, unsigned rounds)
{
    struct lane ours_lanes[THREADS_MAXIMUM] = {0}, bare_lanes[THREADS_MAXIMUM] = {0};
    struct comparison comparison[THREADS_MAXIMUM];
    bool good = true;
    for (unsigned i = 0; i < THREADS_MAXIMUM; i++) {
        ours_lanes[i] = (struct lane){.operate = row->ours, .user = &ours[i]};
        bare_lanes[i] = (struct lane){.operate = row->bare, .user = &bare[i]};
        comparison[i] = (struct comparison){.name = row->name,
                                            .ours = ours_lanes,
                                            .bare = bare_lanes,
                                            .threads = i + 1,
                                            .rounds = rounds,
                                            .round_nanoseconds = ROUND_NANOSECONDS,
                                            .limit = row->limit};
        good = lanes_compare(&comparison[i]) && good;
    }
    if (row->gain > 0) {
        char name[64];
        snprintf(name, sizeof(name), "%s: gain of two", row->name);
        comparison[1].name = name;
        comparison[1].limit = row->gain;
        good = lanes_compare_gain(&comparison[0], &comparison[1]) && good;
    }
    return good;
}

int main(int count, char **words)
{
    static struct side ours[THREADS_MAXIMUM], bare[THREADS_MAXIMUM], tokens[THREADS_MAXIMUM];
    const unsigned rounds = count > 2 ? (unsigned)strtoul(words[2], NULL, 10) : ROUNDS_DEFAULT;
    kw_open_options options = {.size = sizeof(options)};
    kw_error error = {0};
    kw_context *context = NULL;
    bool good = true;
    if (count < 2 || count > 3 || rounds == 0)
        bench_stop("usage: bench_seal CONFIGURATION [ROUNDS]", NULL);
    options.configuration = words[1];
    if (kw_open(&options, &context, &error) != KW_OK)
        bench_stop("kw_open", &error);
    for (unsigned i = 0; i < THREADS_MAXIMUM; i++) {
        open_ours(&ours[i], context);
        open_bare(&bare[i]);
        open_token(&tokens[i]);
    }
    printf("kw_seal and kw_unseal of %d bytes against bare libcrypto, one run, %u rounds each\n", RECORD, rounds);
    lanes_print_head();
    for (size_t i = 0; i < sizeof(against_libcrypto) / sizeof(against_libcrypto[0]); i++) {
        for (unsigned side = 0; side < THREADS_MAXIMUM && against_libcrypto[i].by_name; side++) {
            kw_subkey_free(ours[side].subkey);
            ours[side].subkey = NULL;
        }
        good = measure(&against_libcrypto[i], ours, bare, rounds) && good;
    }
    for (unsigned i = 0; i < THREADS_MAXIMUM; i++)
        open_ours(&ours[i], context);
    printf("against C_EncryptInit and C_Encrypt (AES-GCM) on the token\n");
    for (size_t i = 0; i < sizeof(against_token) / sizeof(against_token[0]); i++)
        good = measure(&against_token[i], ours, tokens, rounds) && good;
    for (unsigned i = 0; i < THREADS_MAXIMUM; i++) {
        kw_subkey_free(ours[i].subkey);
        EVP_CIPHER_CTX_free(bare[i].gcm);
        tokens[i].token.functions->C_CloseSession(tokens[i].token.session);
    }
    kw_close(context);
    return good ? 0 : 1;
}
