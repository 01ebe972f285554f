/*
 * What Keywright's road costs: kw_key_sign and kw_key_decrypt with softstore against bare libcrypto with the very same key.
 *
 * The baseline is the strictest there is: an EVP_PKEY_CTX per thread, initialised once and used again for each operation. Both sides
 * take turns in one run, and what counts is the median of the ratios of neighbours, since machines change their speed as they go.
 */
#include <keywright/keywright.h>

#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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
struct lane {
    const struct subject *subject;
    kw_key *key; /* NULL: the bare side */
    EVP_PKEY_CTX *bare;
    kw_input input;
    unsigned long operations;
    pthread_barrier_t *barrier;
    double started, finished;
    bool failed;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void stop(const char *what, const kw_error *error)
{
    fprintf(stderr, "bench: %s%s%s\n", what, error != NULL ? ": " : "", error != NULL ? error->message : "");
    exit(2);
}

static bool operate_keywright(struct lane *lane, kw_output *output)
{
    static const kw_algorithm sign_rsa = {
        .size = sizeof(sign_rsa), .scheme = KW_SCHEME_RSA_PSS, .hash = KW_HASH_SHA256, .salt_length = 32};
    static const kw_algorithm sign_ec = {.size = sizeof(sign_ec), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256};
    if (lane->subject->use == USE_DECRYPT)
        return kw_key_decrypt(lane->key, NULL, lane->input, output, NULL) == KW_OK;
    const bool rsa = kw_key_get_capabilities(lane->key)->type == KW_KEY_RSA;
    return kw_key_sign(lane->key, rsa ? &sign_rsa : &sign_ec, lane->input, output, NULL) == KW_OK;
}

static bool operate_bare(struct lane *lane, kw_output *output)
{
    output->length = output->capacity;
    if (lane->subject->use == USE_DECRYPT)
        return EVP_PKEY_decrypt(lane->bare, output->data, &output->length, lane->input.data, lane->input.length) == 1;
    return EVP_PKEY_sign(lane->bare, output->data, &output->length, lane->input.data, lane->input.length) == 1;
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;
    unsigned char bytes[1024];
    pthread_barrier_wait(lane->barrier);
    lane->started = now();
    for (unsigned long i = 0; i < lane->operations && !lane->failed; i++) {
        kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
        lane->failed = lane->key != NULL ? !operate_keywright(lane, &output) : !operate_bare(lane, &output);
    }
    lane->finished = now();
    return NULL;
}

/* Nanoseconds for all lanes to do their operations at once: from the first that begins to the last that ends, by their own clocks. */
static double time_lanes(struct lane *lanes, unsigned threads, unsigned long operations)
{
    pthread_t handles[THREADS_MAXIMUM];
    pthread_barrier_t barrier;
    if (pthread_barrier_init(&barrier, NULL, threads) != 0)
        stop("no barrier", NULL);
    for (unsigned i = 0; i < threads; i++) {
        lanes[i].operations = operations;
        lanes[i].barrier = &barrier;
        if (pthread_create(&handles[i], NULL, run_lane, &lanes[i]) != 0)
            stop("no thread", NULL);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(handles[i], NULL);
    pthread_barrier_destroy(&barrier);
    double started = lanes[0].started, finished = lanes[0].finished;
    for (unsigned i = 0; i < threads; i++) {
        if (lanes[i].failed)
            stop("an operation failed", NULL);
        started = lanes[i].started < started ? lanes[i].started : started;
        finished = lanes[i].finished > finished ? lanes[i].finished : finished;
    }
    return finished - started;
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
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
        stop("libcrypto's context", NULL);
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
        stop("export", &error);
    const unsigned char *at = content.data;
    PKCS12 *file = d2i_PKCS12(NULL, &at, (long)content.length);
    if (file == NULL || PKCS12_parse(file, PASSWORD, &pkey, &certificate, NULL) != 1)
        stop("the exported key cannot be read", NULL);
    X509_free(certificate);
    PKCS12_free(file);
    kw_bytes_free(&content);
    return pkey;
}

/* Prints a row; false when it is below its limit. */
static bool measure(kw_context *context, const struct subject *subject, unsigned threads, unsigned rounds)
{
    struct lane ours[THREADS_MAXIMUM] = {0}, bare[THREADS_MAXIMUM] = {0};
    unsigned char digest[32] = {1}, ciphertext[1024];
    kw_output sealed = {.data = ciphertext, .capacity = sizeof(ciphertext)};
    kw_input input = {digest, sizeof(digest)};
    double *ratios = calloc(rounds, sizeof(*ratios)), *costs = calloc(rounds, sizeof(*costs));
    char address[64];
    kw_error error = {0};
    kw_key *key = NULL;
    snprintf(address, sizeof(address), "general/%s", subject->key);
    EVP_PKEY *pkey = export_key(context, address);
    if (ratios == NULL || costs == NULL || kw_key_open(context, address, &key, &error) != KW_OK)
        stop("open", &error);
    if (subject->use == USE_DECRYPT) {
        if (kw_key_encrypt(key, NULL, input, &sealed, &error) != KW_OK)
            stop("encrypt", &error);
        input = (kw_input){ciphertext, sealed.length};
    }
    for (unsigned i = 0; i < threads; i++) {
        ours[i] = (struct lane){.subject = subject, .key = key, .input = input};
        bare[i] = (struct lane){.subject = subject, .bare = bare_context(pkey, subject->use), .input = input};
    }
    unsigned long operations = 16;
    while (time_lanes(bare, threads, operations) < ROUND_NANOSECONDS / 2)
        operations *= 2;
    time_lanes(ours, threads, operations);
    for (unsigned round = 0; round < rounds; round++) {
        const bool ours_first = round % 2 == 0;
        const double first = time_lanes(ours_first ? ours : bare, threads, operations);
        const double second = time_lanes(ours_first ? bare : ours, threads, operations);
        ratios[round] = ours_first ? second / first : first / second;
        costs[round] = (ours_first ? first : second) / (double)operations / 1000;
    }
    const double ratio = median(ratios, rounds);
    printf("%-26s %7u %12.2f %8.3f %8.3f %8.3f %7.2f  %s\n", subject->name, threads, median(costs, rounds),
           ratios[rounds / 4], ratio, ratios[rounds * 3 / 4], subject->limit, ratio >= subject->limit ? "ok" : "BELOW");
    for (unsigned i = 0; i < threads; i++)
        EVP_PKEY_CTX_free(bare[i].bare);
    EVP_PKEY_free(pkey);
    kw_key_free(key);
    free(ratios);
    free(costs);
    return ratio >= subject->limit;
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
        stop("usage: bench_key [ROUNDS]", NULL);
    snprintf(configuration, sizeof(configuration), "%s/keywright.yaml", directory);
    const kw_open_options options = {.size = sizeof(options), .configuration = configuration};
    if (kw_initialise(directory, NULL, NULL, NULL, &error) != KW_OK || kw_open(&options, &context, &error) != KW_OK)
        stop("set-up", &error);
    static const char *const keys[] = {"rsa-2048", "rsa-3072", "ec-p256"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char address[64];
        snprintf(address, sizeof(address), "general/%s", keys[i]);
        const kw_certificate_template wanted = {.size = sizeof(wanted), .address = address, .key = keys[i]};
        if (kw_certificate_create(context, &wanted, NULL, NULL, &error) != KW_OK)
            stop("create", &error);
    }
    printf(
        "kw_key_sign and kw_key_decrypt (softstore) against bare libcrypto (%s), same key, one run, %u rounds each\n",
        OpenSSL_version(OPENSSL_VERSION), rounds);
    printf("%-26s %7s %12s %8s %8s %8s %7s\n", "operation", "threads", "us/op", "quarter", "median", "quarter",
           "limit");
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        for (unsigned threads = 1; threads <= THREADS_MAXIMUM; threads++)
            good = measure(context, &subjects[i], threads, rounds) && good;
    kw_close(context);
    return good ? 0 : 1;
}
