/*
 * What Keywright's road costs with a token: bench_hsm CONFIGURATION ratio [ROUNDS] | calls | latency. bench/hsm.sh makes the server and
 * the token, whose keys are general/rsa-2048 and general/ec-p256.
 *
 * ratio: kw_key_sign against a bare loop of C_SignInit and C_Sign on the same key, each thread with a session of its own that it opened before.
 * calls: from the opening to the first signature, and for each further one, as the shim counts them.
 * latency: with the shim at 2 ms a call, 16 threads; two calls a signature would be 16 / 4 ms.
 */
#include "lanes.h"
#include "pkcs11_control.h"
#include "token.h"

#include <keywright/keywright.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_DEFAULT    101
#define ROUND_NANOSECONDS 20000000.0
#define THREADS_MAXIMUM   16
#define CALLS_OPEN        20
#define CALLS_SIGN        2
#define SIGNATURES        100
#define DELAY             2000 /* microseconds */
#define LATENCY_LIMIT     0.9

struct subject {
    const char *name;
    const char *address;
    CK_KEY_TYPE type;
    bool rsa;
    double limit; /* of kw throughput over bare throughput */
};

static const struct subject subjects[] = {
    {"RSA-2048 sign (PSS)", "general/rsa-2048", CKK_RSA, true, 0.97},
    {"P-256 sign (ECDSA)", "general/ec-p256", CKK_EC, false, 0.97},
};

/* One side of a comparison in one thread. */
struct side {
    const struct subject *subject;
    kw_key *key; /* NULL: the bare side */
    struct token token;
    CK_OBJECT_HANDLE bare;
};

static const char *wanted(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        bench_stop(name, NULL);
    return value;
}

static bool sign(const struct subject *subject, kw_key *key, kw_error *error)
{
    static const kw_algorithm rsa = {
        .size = sizeof(rsa), .scheme = KW_SCHEME_RSA_PSS, .hash = KW_HASH_SHA256, .salt_length = 32};
    static const kw_algorithm ec = {.size = sizeof(ec), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256};
    static const unsigned char digest[32] = {1};
    unsigned char bytes[512];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    return kw_key_sign(key, subject->rsa ? &rsa : &ec, (kw_input){digest, sizeof(digest)}, &output, error) == KW_OK;
}

static bool sign_ours(void *user)
{
    const struct side *side = user;
    return sign(side->subject, side->key, NULL);
}

static bool sign_bare(void *user)
{
    const struct side *side = user;
    CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_BYTE digest[32] = {1}, signature[512];
    CK_ULONG length = sizeof(signature);
    if (side->subject->rsa)
        mechanism = (CK_MECHANISM){CKM_RSA_PKCS_PSS, &pss, sizeof(pss)};
    const struct token *token = &side->token;
    return token->functions->C_SignInit(token->session, &mechanism, side->bare) == CKR_OK &&
           token->functions->C_Sign(token->session, digest, sizeof(digest), signature, &length) == CKR_OK;
}

/* The token's one private key of this type; copies in sessions are not the token's. */
static CK_OBJECT_HANDLE find_bare(struct token *token, CK_KEY_TYPE type)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)}, {CKA_TOKEN, &yes, sizeof(yes)}};
    CK_OBJECT_HANDLE found[2] = {0};
    CK_ULONG count = 0;
    if (token->functions->C_FindObjectsInit(token->session, attributes, 3) != CKR_OK ||
        token->functions->C_FindObjects(token->session, found, 2, &count) != CKR_OK || count != 1 ||
        token->functions->C_FindObjectsFinal(token->session) != CKR_OK)
        bench_stop("the token has not one key of this type", NULL);
    return found[0];
}

static void open_bare(struct side *side, const struct subject *subject, const char *library)
{
    *side = (struct side){.subject = subject};
    if (!token_open(&side->token, library, NULL, wanted("KW_TOKEN_LABEL")) ||
        token_login(&side->token, wanted("KW_TOKEN_PIN")) != CKR_OK)
        bench_stop("the token cannot be opened", NULL);
    side->bare = find_bare(&side->token, subject->type);
}

static void close_bare(struct side *side)
{
    side->token.functions->C_CloseSession(side->token.session);
}

/* Prints a row; false when it is below its limit. */
static bool measure(kw_context *context, const struct subject *subject, unsigned threads, unsigned rounds)
{
    struct side ours[2] = {0}, bare[2] = {0};
    struct lane ours_lanes[2] = {0}, bare_lanes[2] = {0};
    kw_error error = {0};
    kw_key *key = NULL;
    if (kw_key_open(context, subject->address, &key, &error) != KW_OK)
        bench_stop("open", &error);
    for (unsigned i = 0; i < threads; i++) {
        ours[i] = (struct side){.subject = subject, .key = key};
        open_bare(&bare[i], subject, wanted("KW_TOKEN_LIBRARY"));
        ours_lanes[i] = (struct lane){.operate = sign_ours, .user = &ours[i]};
        bare_lanes[i] = (struct lane){.operate = sign_bare, .user = &bare[i]};
    }
    const bool good = lanes_compare(&(struct comparison){.name = subject->name,
                                                         .ours = ours_lanes,
                                                         .bare = bare_lanes,
                                                         .threads = threads,
                                                         .rounds = rounds,
                                                         .round_nanoseconds = ROUND_NANOSECONDS,
                                                         .limit = subject->limit});
    for (unsigned i = 0; i < threads; i++)
        close_bare(&bare[i]);
    kw_key_free(key);
    return good;
}

static bool measure_ratios(kw_context *context, unsigned rounds)
{
    bool good = true;
    printf("kw_key_sign (pkcs11) against a bare loop of C_SignInit and C_Sign, same key, one run, %u rounds each\n",
           rounds);
    lanes_print_head();
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        for (unsigned threads = 1; threads <= 2; threads++)
            good = measure(context, &subjects[i], threads, rounds) && good;
    return good;
}

static kw_context *open_context(const char *configuration)
{
    const kw_open_options options = {.size = sizeof(options), .configuration = configuration};
    kw_error error = {0};
    kw_context *context = NULL;
    if (kw_open(&options, &context, &error) != KW_OK)
        bench_stop("kw_open", &error);
    return context;
}

static struct shim_control *open_control(void)
{
    struct shim_control *control = shim_map(wanted(SHIM_CONTROL_VARIABLE));
    if (control == NULL)
        exit(2);
    return control;
}

static bool within(const char *what, double value, double limit, bool most)
{
    const bool good = most ? value <= limit : value >= limit;
    printf("%-50s %8.2f   %s %5.2f  %s\n", what, value, most ? "at most " : "at least", limit, good ? "ok" : "BEYOND");
    return good;
}

static bool count_calls(const char *configuration)
{
    struct shim_control *control = open_control();
    kw_error error = {0};
    kw_key *key = NULL;
    bool good = true;
    shim_forget_calls(control);
    kw_context *context = open_context(configuration);
    if (kw_key_open(context, subjects[1].address, &key, &error) != KW_OK || !sign(&subjects[1], key, &error))
        bench_stop("sign", &error);
    const uint64_t opened = shim_calls(control, SHIM_ANY);
    for (unsigned i = 0; i < SHIM_ANY; i++)
        if (shim_calls(control, (enum shim_function)i) > 0)
            printf("    %-24s %llu\n", shim_names[i], (unsigned long long)shim_calls(control, (enum shim_function)i));
    good = within("C_ calls from kw_open to the first signature", (double)opened, CALLS_OPEN, true) && good;
    for (unsigned i = 0; i < SIGNATURES; i++)
        if (!sign(&subjects[1], key, &error))
            bench_stop("sign", &error);
    const double each = (double)(shim_calls(control, SHIM_ANY) - opened) / SIGNATURES;
    good = within("C_ calls for each further signature", each, CALLS_SIGN, true) && good;
    kw_key_free(key);
    kw_close(context);
    shim_unmap(control);
    return good;
}

/* Of what 16 threads could do that wait for two calls of 2 ms each, and cost nothing beside. */
static double delayed(struct shim_control *control, struct lane *lanes)
{
    lanes_time(lanes, THREADS_MAXIMUM, 2); /* each has its session */
    atomic_store(&control->rows[SHIM_ANY].delay, DELAY);
    const double nanoseconds = lanes_time(lanes, THREADS_MAXIMUM, SIGNATURES * 3);
    shim_disarm(control);
    return SIGNATURES * 3 * 2.0 * DELAY * 1000 / nanoseconds;
}

static bool measure_latency(const char *configuration)
{
    struct shim_control *control = open_control();
    struct side ours[THREADS_MAXIMUM] = {0}, bare[THREADS_MAXIMUM] = {0};
    struct lane ours_lanes[THREADS_MAXIMUM] = {0}, bare_lanes[THREADS_MAXIMUM] = {0};
    kw_error error = {0};
    kw_key *key = NULL;
    kw_context *context = open_context(configuration);
    if (kw_key_open(context, subjects[1].address, &key, &error) != KW_OK)
        bench_stop("open", &error);
    for (unsigned i = 0; i < THREADS_MAXIMUM; i++) {
        ours[i] = (struct side){.subject = &subjects[1], .key = key};
        open_bare(&bare[i], &subjects[1], SHIM);
        ours_lanes[i] = (struct lane){.operate = sign_ours, .user = &ours[i]};
        bare_lanes[i] = (struct lane){.operate = sign_bare, .user = &bare[i]};
    }
    printf("%-50s %8.2f\n", "P-256, 16 threads, 2 ms a call, bare loop", delayed(control, bare_lanes));
    const double ratio = delayed(control, ours_lanes);
    for (unsigned i = 0; i < THREADS_MAXIMUM; i++)
        close_bare(&bare[i]);
    kw_key_free(key);
    kw_close(context);
    shim_unmap(control);
    return within("P-256, 16 threads, 2 ms a call: of 16 / 4 ms", ratio, LATENCY_LIMIT, false);
}

int main(int count, char **words)
{
    bool good = false;
    if (count == 3 && strcmp(words[2], "calls") == 0) {
        good = count_calls(words[1]);
    } else if (count == 3 && strcmp(words[2], "latency") == 0) {
        good = measure_latency(words[1]);
    } else if (count >= 3 && count <= 4 && strcmp(words[2], "ratio") == 0) {
        const unsigned rounds = count > 3 ? (unsigned)strtoul(words[3], NULL, 10) : ROUNDS_DEFAULT;
        if (rounds == 0)
            bench_stop("usage: bench_hsm CONFIGURATION ratio [ROUNDS]", NULL);
        kw_context *context = open_context(words[1]);
        good = measure_ratios(context, rounds);
        kw_close(context);
    } else {
        bench_stop("usage: bench_hsm CONFIGURATION ratio [ROUNDS] | calls | latency", NULL);
    }
    return good ? 0 : 1;
}
