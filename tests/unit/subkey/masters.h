/* A real store with master keys in a catalogue, for the tests of the subkey floor. */
#ifndef KEYWRIGHT_TESTS_SUBKEY_MASTERS_H
#define KEYWRIGHT_TESTS_SUBKEY_MASTERS_H

#include "../openssl/keyring.h"
#include "base/clock.h"
#include "subkey/root.h"

struct masters {
    struct ring ring;
    struct control *control;
    struct root_place place;
    kw_error error; /* of the last call that was given it */
};

void masters_open(struct masters *masters);
/* The same for a set-up and a tear-down. */
struct masters *masters_new(void);
void masters_free(struct masters *masters);
/* A store of the plugin `memory` with this fault. */
void masters_open_faulty(struct masters *masters, const char *modules, const char *fault);
void masters_close(struct masters *masters);
/* A key of this kind with an entry, or (the entry exists) its next certificate, which becomes the current one. The pair is the caller's. */
struct pair masters_add(struct masters *masters, const char *address, const char *kind, struct id *entry);

/* The status must be `expected`, or the message is shown. */
#define assert_answers(masters, expected, call)                                                                        \
    masters_check((expected), (call), &(masters)->error, #call, __FILE__, __LINE__)
#define assert_fine(masters, call) assert_answers(masters, KW_OK, call)
void masters_check(kw_status expected, kw_status actual, const kw_error *error, const char *what, const char *file,
                   int line);
/* The message of the last error must contain it. */
#define assert_says(masters, part) masters_says((masters), (part), __FILE__, __LINE__)
void masters_says(const struct masters *masters, const char *part, const char *file, int line);
/* A statement on the catalogue's file itself, without any rule; the catalogue must be idle. */
void masters_execute(struct masters *masters, const char *format, ...) KW_PRINTF(2, 3);

#endif
