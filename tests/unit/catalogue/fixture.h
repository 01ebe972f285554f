/* A catalogue in a directory of its own, rows to put into it, and a way around it: the same file through SQLite alone. */
#ifndef KEYWRIGHT_TESTS_CATALOGUE_FIXTURE_H
#define KEYWRIGHT_TESTS_CATALOGUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "catalogue/catalogue.h"

struct fixture {
    char directory[256]; /* fresh; removed by teardown */
    char state[300];     /* the state directory in it */
    struct crypto *crypto;
    struct catalogue *catalogue;
};

extern const kw_input fixture_key;
extern const char fixture_store[]; /* an id of a store */

/* CMocka fixtures: with a catalogue that is open, or only the directory. */
int fixture_setup(void **state);
int fixture_setup_empty(void **state);
int fixture_teardown(void **state);

/* Opens the fixture's catalogue again after fixture_close. */
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);

struct id fixture_id(struct fixture *fixture);
/* Rows as a server would write them; cleared by the functions of the catalogue. */
struct entry_row fixture_entry(struct fixture *fixture, const char *address);
struct certificate_row fixture_certificate(struct fixture *fixture, const struct id *entry, unsigned number);
struct journal_row fixture_journal(struct fixture *fixture, const char *address);
/* An entry with one certificate, written. */
void fixture_put(struct fixture *fixture, const char *address, struct id *entry, struct id *certificate);

/* A record of that store; the value that is read has at most 64 bytes and is dropped. */
kw_status fixture_record_put(struct catalogue *catalogue, const char *name, const char *value, kw_error *error);
kw_status fixture_record_get(struct catalogue *catalogue, const char *name, kw_error *error);

/* Statements on the file itself, without the rules of the tables. */
void fixture_execute(struct fixture *fixture, const char *format, ...) KW_PRINTF(2, 3);
int64_t fixture_number(struct fixture *fixture, const char *format, ...) KW_PRINTF(2, 3);

/* Fails the test with the error's text. */
#define assert_ok(call)             fixture_assert_status((call), KW_OK, &error, #call, __FILE__, __LINE__)
#define assert_status(status, call) fixture_assert_status((call), (status), &error, #call, __FILE__, __LINE__)
void fixture_assert_status(kw_status status, kw_status expected, const kw_error *error, const char *what,
                           const char *file, int line);
#define assert_contains(text, part) fixture_assert_contains((text), (part), __FILE__, __LINE__)
void fixture_assert_contains(const char *text, const char *part, const char *file, int line);

/* For children and threads, where an assertion cannot end the test: the number of the line, or 0. */
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, error.message);                         \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

/* Runs `body` in a child without a catalogue of the parent; the child's exit status is its result. */
int fixture_child(int (*body)(struct fixture *fixture, int number), struct fixture *fixture, int number);
/* Waits for a child; -1 when it did not exit by itself. */
int fixture_wait(int child);

#endif
