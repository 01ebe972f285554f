/*
 * Every C_ function that the plugin calls, failing in every way that a token may fail: the operation fails with a sentence or goes on, the next
 * one works, no key is left over. And with lengths and counts that are not true: no crash, and the next operation works.
 *
 * Of the cases a sample by KW_TEST_SEED; all with KW_TEST_FULL=yes. One by itself, as its failure names it:
 *     with_token.sh softhsm test_pkcs11_faults OPERATION FUNCTION CKR AT once|always before|after
 * and all of one operation: test_pkcs11_faults OPERATION
 */
#include "moving_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE       70
#define TRANSFERS    20 /* of which each takes as long as several others */
#define SLOW_SECONDS 20.0
#define CALLS_TRIED  3 /* of a function in an operation */

/* Set-up: what the operations work on. */
static struct server server;
static kw_key *ec, *rsa;
static unsigned char sealed[512];
static size_t sealed_length;
static struct moving_key moving_rsa, moving_ec, *moving; /* the last: the one that is somewhere now */
static unsigned failures;
static const char *only; /* operation; NULL: all */

/* ---- The operations ------------------------------------------------------------------------------------------------ */

static void open_keys(void)
{
    kw_error error = {0};
    if (server_open(&server, &error) != KW_OK || kw_key_open(server.context, "general/ec", &ec, &error) != KW_OK ||
        kw_key_open(server.context, "general/rsa", &rsa, &error) != KW_OK)
        server_stop("the server does not open", &error);
}

static void close_keys(void)
{
    kw_key_free(ec);
    kw_key_free(rsa);
    ec = rsa = NULL;
    server_close(&server);
}

static kw_status run_sign(kw_error *error)
{
    return server_sign(ec, 1, error);
}

static kw_status run_decrypt(kw_error *error)
{
    unsigned char bytes[512];
    kw_output plain = {.data = bytes, .capacity = sizeof(bytes)};
    const kw_status status = kw_key_decrypt(rsa, NULL, (kw_input){sealed, sealed_length}, &plain, error);
    if (status == KW_OK && (plain.length != 4 || memcmp(bytes, "text", 4) != 0)) {
        snprintf(error->message, sizeof(error->message), "another plaintext came out");
        return KW_CORRUPT;
    }
    return status;
}

static kw_status run_create(kw_error *error)
{
    return server_create(&server, "general/new", "ec-p256", error);
}

static kw_status run_delete(kw_error *error)
{
    return kw_certificate_delete(server.context, "general/new", true, error);
}

/* From a start to the first signature. */
static kw_status run_open(kw_error *error)
{
    kw_status status = server_open(&server, error);
    if (status == KW_OK)
        status = kw_key_open(server.context, "general/ec", &ec, error);
    if (status == KW_OK)
        status = server_sign(ec, 1, error);
    return status;
}

static bool has_new(void)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = "general/new"};
    kw_certificate_list *list = NULL;
    const bool found = kw_certificates(server.context, &filter, &list, NULL) == KW_OK;
    kw_certificate_list_free(list);
    return found;
}

static void remove_new(void)
{
    kw_error error = {0};
    if (has_new() && run_delete(&error) != KW_OK)
        server_stop("what was made cannot be deleted", &error);
}

static void ensure_new(void)
{
    kw_error error = {0};
    if (!has_new() && run_create(&error) != KW_OK)
        server_stop("there cannot be made what shall be deleted", &error);
}

static void place(struct moving_key *key)
{
    if (moving != NULL && moving != key)
        moving_remove(moving);
    moving = key;
    moving_place(moving);
}

static void place_rsa(void)
{
    place(&moving_rsa);
}

static void place_ec(void)
{
    place(&moving_ec);
}

static kw_status run_transfer(kw_error *error)
{
    return moving_transfer(moving, error);
}

struct operation {
    const char *name;
    void (*before)(void); /* without faults */
    kw_status (*run)(kw_error *error);
};

static const struct operation operations[] = {
    {"open", close_keys, run_open},          {"sign", NULL, run_sign},
    {"decrypt", NULL, run_decrypt},          {"create", remove_new, run_create},
    {"delete", ensure_new, run_delete},      {"transfer-rsa", place_rsa, run_transfer},
    {"transfer-ec", place_ec, run_transfer},
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* ---- The cases ------------------------------------------------------------------------------------------------------- */

struct answer {
    const char *name;
    CK_RV rv;
    bool after;               /* it may also come when the token has done what it was asked for */
    enum shim_action instead; /* not an error: a length or count that is not true */
};

static const struct answer answers[] = {
    {"CKR_DEVICE_REMOVED", CKR_DEVICE_REMOVED, true, SHIM_OBEY},
    {"CKR_SESSION_HANDLE_INVALID", CKR_SESSION_HANDLE_INVALID, false, SHIM_OBEY},
    {"CKR_OBJECT_HANDLE_INVALID", CKR_OBJECT_HANDLE_INVALID, false, SHIM_OBEY},
    {"CKR_USER_NOT_LOGGED_IN", CKR_USER_NOT_LOGGED_IN, false, SHIM_OBEY},
    {"CKR_GENERAL_ERROR", CKR_GENERAL_ERROR, true, SHIM_OBEY},
    {"CKR_HOST_MEMORY", CKR_HOST_MEMORY, true, SHIM_OBEY},
    {"CKR_FUNCTION_NOT_SUPPORTED", CKR_FUNCTION_NOT_SUPPORTED, false, SHIM_OBEY},
    {"CKR_DEVICE_MEMORY", CKR_DEVICE_MEMORY, true, SHIM_OBEY},
    {"longer", CKR_OK, false, SHIM_LONGER},
    {"huge", CKR_OK, false, SHIM_HUGE},
    {"shorter", CKR_OK, false, SHIM_SHORTER},
    {"empty", CKR_OK, false, SHIM_EMPTY},
};
#define ANSWERS (sizeof(answers) / sizeof(answers[0]))

struct fault {
    const struct operation *operation;
    enum shim_function function;
    const struct answer *answer;
    unsigned at;
    bool always, after;
};

/* Functions that answer with lengths or counts. */
static bool tells_lengths(enum shim_function function)
{
    static const enum shim_function all[] = {
        SHIM_C_GetSlotList, SHIM_C_GetMechanismList, SHIM_C_GetAttributeValue, SHIM_C_FindObjects,
        SHIM_C_Sign,        SHIM_C_Decrypt,          SHIM_C_Encrypt,           SHIM_C_WrapKey};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] == function)
            return true;
    return false;
}

/*
 * What a passing fault of the token may be called. Nothing of it says that data is wrong or a secret refused; of a transfer it may be that the
 * copy does not do what it must.
 */
static bool fitting(const struct operation *operation, kw_status status)
{
    if (operation->run == run_transfer && status == KW_REFUSED)
        return true;
    return status == KW_OK || status == KW_UNAVAILABLE || status == KW_TIMEOUT || status == KW_FAILED ||
           status == KW_OUT_OF_MEMORY || status == KW_UNSUPPORTED || status == KW_PERMISSION;
}

static void complain(const struct fault *fault, const char *what, kw_status status, const kw_error *error)
{
    failures++;
    fprintf(stderr, "FAILED: %s %s %s %u %s %s: %s: %s: %s\n", fault->operation->name, shim_names[fault->function],
            fault->answer->name, fault->at, fault->always ? "always" : "once", fault->after ? "after" : "before", what,
            kw_status_text(status), error->message);
}

/* What a token denied to have: nobody could remove it. */
static struct holding denied;

/* What is on the token is what the catalogue has. */
static bool nothing_left_over(struct holding *holding)
{
    *holding = server_held(&server);
    holding->private_keys -= denied.private_keys;
    holding->public_keys -= denied.public_keys;
    holding->certificates -= denied.certificates;
    const long listed = server_listed(&server);
    return holding->private_keys == listed && holding->public_keys <= listed && holding->certificates <= listed;
}

static void check_holding(const struct fault *fault)
{
    struct holding holding;
    char text[160];
    if (nothing_left_over(&holding))
        return;
    close_keys(); /* what could not be removed then is removed at the next start */
    open_keys();
    if (nothing_left_over(&holding))
        return;
    snprintf(text, sizeof(text),
             "%ld certificates, but on the token %ld private keys, %ld public keys, %ld certificates",
             server_listed(&server), holding.private_keys, holding.public_keys, holding.certificates);
    complain(fault, "something is left over", KW_OK, &(kw_error){.message = ""});
    fprintf(stderr, "    %s\n", text);
}

/* The key is where the transfer says; it works at once, and after the same once more; nothing is left in the source. */
static void check_moving(const struct fault *fault, kw_status status)
{
    kw_error error = {0};
    const bool lie = fault->answer->instead != SHIM_OBEY;
    if (moving_where(moving) != (status == KW_OK ? MOVING_ON_TOKEN : MOVING_IN_SOFTSTORE))
        complain(fault, "the key is not where the transfer left it", status, &error);
    kw_status next = moving_decrypt(moving, &error);
    if (next != KW_OK && !lie)
        complain(fault, "what was encrypted to the key stays closed", next, &error);
    next = moving_transfer(moving, &error);
    if (next == KW_OK)
        next = moving_decrypt(moving, &error);
    if (next != KW_OK)
        complain(fault, "the same once more does not work", next, &error);
    if (moving_in_softstore(moving) != 0 || moving_journal(moving) != 0) {
        close_keys();
        open_keys();
    }
    if (moving_where(moving) != MOVING_ON_TOKEN || moving_in_softstore(moving) != 0 || moving_journal(moving) != 0)
        complain(fault, "the key has not left the store where it was", next, &error);
}

static void note_denied(const struct fault *fault)
{
    close_keys();
    open_keys();
    const long listed = server_listed(&server);
    const struct holding held = server_held(&server);
    if (held.private_keys < listed)
        complain(fault, "a certificate has lost its key", KW_OK, &(kw_error){.message = ""});
    denied = (struct holding){held.private_keys - listed, held.public_keys > listed ? held.public_keys - listed : 0,
                              held.certificates > listed ? held.certificates - listed : 0};
}

static void try_fault(const struct fault *fault)
{
    kw_error error = {0}, later = {0};
    if (fault->operation->before != NULL)
        fault->operation->before();
    const bool lie = fault->answer->instead != SHIM_OBEY;
    const enum shim_action failure = fault->after ? SHIM_FAIL_AFTER : SHIM_FAIL;
    shim_arm(server.control, fault->function, lie ? fault->answer->instead : failure, fault->answer->rv, fault->at,
             fault->always ? SHIM_ALWAYS : 1);
    const double begin = test_seconds();
    const kw_status status = fault->operation->run(&error);
    const double took = test_seconds() - begin;
    shim_disarm(server.control);
    if (!lie && !fitting(fault->operation, status))
        complain(fault, "this is not what a fault of the token is called", status, &error);
    if (status != KW_OK && error.message[0] == '\0')
        complain(fault, "it failed without a word", status, &error);
    if (took > SLOW_SECONDS)
        complain(fault, "it took too long", status, &error);
    if (fault->operation->run == run_open) {
        close_keys();
        open_keys();
    }
    kw_status next = run_sign(&later);
    if (next == KW_OK)
        next = run_decrypt(&later);
    if (next != KW_OK) {
        complain(fault, "the next operation does not work", next, &later);
        close_keys();
        open_keys();
    }
    if (lie)
        note_denied(fault);
    check_holding(fault);
    if (fault->operation->run == run_create || fault->operation->run == run_delete) {
        fault->operation->before();
        next = fault->operation->run(&later);
        if (next != KW_OK)
            complain(fault, "the same once more does not work", next, &later);
        check_holding(fault);
    }
    if (fault->operation->run == run_transfer) {
        check_moving(fault, status);
        if (lie) { /* beside the key there may be no certificate now, which would hide one that was denied */
            moving_remove(moving);
            note_denied(fault);
        }
        check_holding(fault);
    }
}

/* ---- All of them ------------------------------------------------------------------------------------------------------ */

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Calls of each function in the operation, without a fault. */
static void count_calls(const struct operation *operation, uint64_t calls[SHIM_ANY])
{
    kw_error error = {0};
    if (operation->before != NULL)
        operation->before();
    shim_forget_calls(server.control);
    if (operation->run(&error) != KW_OK)
        server_stop(operation->name, &error);
    for (unsigned i = 0; i < SHIM_ANY; i++)
        calls[i] = shim_calls(server.control, (enum shim_function)i);
    if (operation->run == run_open) {
        close_keys();
        open_keys();
    }
}

/* Counts the faults from *number on, and tries those whose number is drawn; `others`: of those before the first transfer. */
static void enumerate(const bool *drawn, size_t room, size_t *number, size_t *others)
{
    for (size_t i = 0; i < OPERATIONS; i++) {
        if (only != NULL && strcmp(operations[i].name, only) != 0)
            continue;
        if (operations[i].run == run_transfer && *others == 0)
            *others = *number;
        static uint64_t calls[OPERATIONS][SHIM_ANY];
        if (drawn == NULL)
            count_calls(&operations[i], calls[i]);
        for (unsigned f = 0; f < SHIM_ANY; f++)
            for (unsigned at = 1; at <= calls[i][f] && at <= CALLS_TRIED; at++)
                for (size_t a = 0; a < ANSWERS * 4; a++) {
                    const struct fault fault = {.operation = &operations[i],
                                                .function = (enum shim_function)f,
                                                .answer = &answers[a / 4],
                                                .at = at,
                                                .always = a % 2 == 1,
                                                .after = a / 2 % 2 == 1};
                    if (fault.after ? !fault.answer->after
                                    : fault.answer->instead != SHIM_OBEY && !tells_lengths(fault.function))
                        continue;
                    if (drawn != NULL && *number < room && drawn[*number])
                        try_fault(&fault);
                    ++*number;
                }
    }
}

static void try_sample(void)
{
    size_t count = 0, number = 0, others = 0;
    enumerate(NULL, 0, &count, &others);
    if (count == 0)
        server_stop("there is no such operation", NULL);
    bool *drawn = calloc(count, sizeof(*drawn));
    if (drawn == NULL)
        server_stop("out of memory", NULL);
    random_state = test_seed() + UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < count; i++)
        drawn[i] = test_is_full() || only != NULL;
    for (size_t i = 0; i < SAMPLE && only == NULL; i++)
        drawn[next_random() % others] = true;
    for (size_t i = 0; i < TRANSFERS && only == NULL; i++)
        drawn[others + next_random() % (count - others)] = true;
    const double begin = test_seconds();
    enumerate(drawn, count, &number, &others);
    printf("%zu faults, of which %s; seed %u; %.1f s; %u failures\n", count,
           test_is_full() || only != NULL ? "all" : "a sample", test_seed(), test_seconds() - begin, failures);
    free(drawn);
}

static bool try_named(char **words)
{
    struct fault fault = {.function = shim_named(words[1]),
                          .at = (unsigned)strtoul(words[3], NULL, 10),
                          .always = strcmp(words[4], "always") == 0,
                          .after = strcmp(words[5], "after") == 0};
    for (size_t i = 0; i < OPERATIONS; i++)
        if (strcmp(operations[i].name, words[0]) == 0)
            fault.operation = &operations[i];
    for (size_t i = 0; i < ANSWERS; i++)
        if (strcmp(answers[i].name, words[2]) == 0)
            fault.answer = &answers[i];
    if (fault.operation == NULL || fault.answer == NULL || fault.function >= SHIM_ANY)
        return false;
    try_fault(&fault);
    return true;
}

int main(int count, char **words)
{
    kw_error error = {0};
    kw_output output = {.data = sealed, .capacity = sizeof(sealed)};
    server_make(&server, ", timeout: 3s");
    if (server_open(&server, &error) != KW_OK || server_create(&server, "general/ec", "ec-p256", &error) != KW_OK ||
        server_create(&server, "general/rsa", "rsa-2048", &error) != KW_OK)
        server_stop("set-up", &error);
    server_close(&server);
    open_keys();
    if (kw_key_encrypt(rsa, NULL, (kw_input){(const unsigned char *)"text", 4}, &output, &error) != KW_OK)
        server_stop("encrypt", &error);
    sealed_length = output.length;
    moving_make(&moving_rsa, &server, "rsa", "RSA -pkeyopt rsa_keygen_bits:2048");
    moving_make(&moving_ec, &server, "ec", "EC -pkeyopt ec_paramgen_curve:P-256");
    only = count == 2 ? words[1] : NULL;
    if (count == 7 && !try_named(words + 1)) {
        fputs("usage: test_pkcs11_faults [OPERATION [FUNCTION CKR AT once|always before|after]]\n", stderr);
        failures++;
    }
    if (count != 7)
        try_sample();
    close_keys();
    moving_clear(&moving_rsa);
    moving_clear(&moving_ec);
    server_remove(&server);
    return failures == 0 ? 0 : 1;
}
