/* A directory of its own with a configuration, a catalogue and the stores of it, for the tests of the store floor. */
#ifndef KEYWRIGHT_TESTS_UNIT_STORE_FIXTURE_H
#define KEYWRIGHT_TESTS_UNIT_STORE_FIXTURE_H

#include "store/key.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    char directory[256];
    char module[512]; /* the copy of the module that was asked for last */
    struct settings *settings;
    struct crypto *crypto;
    struct catalogue *catalogue;
    struct stores *stores;
    struct log log;
    pthread_mutex_t lock;
    char lines[64][256]; /* of the log */
    size_t line_count;
    kw_prompt_callback prompt;
    void *prompt_user;
    const struct builtin_store *builtins;
    size_t builtin_count;
    const struct secret_service *secrets;
};

/* Only the directory. */
void fixture_begin(struct fixture *fixture);
/* Everything is closed and removed. */
void fixture_end(struct fixture *fixture);

/* A path in the directory; in static memory that the next 4 calls leave alone. */
const char *fixture_path(const struct fixture *fixture, const char *name);
void fixture_write(const struct fixture *fixture, const char *name, const char *text, unsigned mode);
/* Copies a module of tests/fault there. */
void fixture_module(struct fixture *fixture, const char *name, unsigned mode);
/* Reads `text` as the configuration; stores are not made yet. */
void fixture_configure(struct fixture *fixture, const char *text);
/* What holds for all of them, then one store "test" of this module with these options ("{...}"). */
void fixture_configure_store(struct fixture *fixture, const char *plugin, const char *options);
/* stores_new for what is configured, over a catalogue. */
kw_status fixture_stores(struct fixture *fixture, kw_error *error);
/* All of that: the memory plugin with these options. */
void fixture_open(struct fixture *fixture, const char *options);
/* The same with another module of tests/fault. */
void fixture_open_module(struct fixture *fixture, const char *name, const char *options);

struct store *fixture_store(struct fixture *fixture);
/* A new entry in the store, opened; of rsa-2048 it is always the same key. */
kw_key *fixture_key(struct fixture *fixture, const char *kind);
kw_key_template fixture_template(struct fixture *fixture, const char *kind);

/* How many lines of the log contain the text. */
size_t fixture_logged(struct fixture *fixture, const char *text);
/* Calls of one operation so far, of the store "test". */
uint64_t fixture_calls(struct fixture *fixture, const char *operation);

/* Fails the test unless `actual` is `expected`, and shows the error. */
#define expect_status(expected, actual, error) expect_status_at(expected, actual, error, __FILE__, __LINE__)
void expect_status_at(kw_status expected, kw_status actual, const kw_error *error, const char *file, int line);
/* Likewise unless the text contains the part. */
#define expect_text(text, part) expect_text_at(text, part, __FILE__, __LINE__)
void expect_text_at(const char *text, const char *part, const char *file, int line);

#endif
