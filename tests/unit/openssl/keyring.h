/* A real store (softstore) in a fresh directory, with keys whose private half the test knows too: the judge is libcrypto with that. */
#ifndef KEYWRIGHT_TESTS_OPENSSL_KEYRING_H
#define KEYWRIGHT_TESTS_OPENSSL_KEYRING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "catalogue/catalogue.h"
#include "openssl/pkey.h"
#include "store/store.h"

#include <openssl/evp.h>

struct ring {
    char directory[160];
    struct crypto *crypto;
    struct settings settings;
    struct catalogue *catalogue;
    struct stores *stores;
    struct store *store;
};

struct pair {
    const struct key_kind *kind;
    kw_key *key;
    EVP_PKEY *ours;      /* through the provider */
    EVP_PKEY *plain;     /* the same key in the default provider */
    unsigned char *spki; /* its SubjectPublicKeyInfo */
    int spki_length;
};

void ring_open(struct ring *ring);
/* A store of the plugin `memory`, which is in the directory `modules`, that does what its option `fault` says. */
void ring_open_faulty(struct ring *ring, const char *modules, const char *fault);
void ring_close(struct ring *ring);
struct pair ring_add(struct ring *ring, const char *kind);
/* The same, and what finds it in the store; `locator` has room for KW_LOCATOR_MAXIMUM bytes. */
struct pair ring_add_known(struct ring *ring, const char *kind, struct id *id, kw_output *locator);
void pair_clear(struct pair *pair);
/* Calls of the store's backend so far. */
uint64_t ring_calls(const struct ring *ring);

/* kw_status must be KW_OK, or the message is shown. */
void ring_check(kw_status status, const kw_error *error, const char *file, int line);
#define assert_works(status, error) ring_check(status, error, __FILE__, __LINE__)

/* libcrypto's result must be positive, or its queue is shown. */
void ring_check_libcrypto(int result, const char *expression, const char *file, int line);
#define assert_libcrypto(expression) ring_check_libcrypto((expression), #expression, __FILE__, __LINE__)

#endif
