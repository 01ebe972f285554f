/*
 * Where a secret comes from: file:PATH, env:NAME, credential:NAME (systemd), fd:N, prompt, for a store's secret also subkey:MASTER-KEY, and
 * inline:TEXT where the configuration allows it. The value of a file or descriptor loses one trailing newline. No message ever holds a value.
 */
#ifndef KEYWRIGHT_CONFIG_SOURCE_H
#define KEYWRIGHT_CONFIG_SOURCE_H

#include "base/buffer.h"
#include "base/secret.h"

struct source_reader {
    kw_prompt_callback prompt; /* NULL: nobody to ask */
    void *user;
    bool allow_inline;
    bool allow_empty;                                  /* for what somebody else chose */
    void (*warning)(void *user, const char *sentence); /* may be NULL */
    void *warning_user;
    /* The value of subkey:ADDRESS; NULL: there are none here. */
    kw_status (*subkey)(void *user, const char *address, struct secret *secret, kw_error *error);
    void *subkey_user;
};

/* What is allowed besides what always is. */
enum { SOURCE_INLINE = 1 << 0, SOURCE_SUBKEY = 1 << 1 };

/*
 * Whether it is well formed: KW_OK or KW_CONFIGURATION with the reason (an inline secret that is not allowed: KW_CONFIGURATION).
 * A text that looks like a secret itself is not repeated in the message.
 */
KW_MUST_USE kw_status source_check(const char *source, unsigned allowed, kw_error *error);
/* ADDRESS of subkey:ADDRESS, else NULL. */
const char *source_subkey(const char *source);
/* file:PATH with PATH made absolute by `directory`; others copied. NULL when memory ran out. */
char *source_resolve(const char *source, const char *directory);
/*
 * Adds what besides its value tells that somebody has given another one: of a file, which it is, how long, and when it was written. Nothing of
 * other sources: a systemd credential is made anew, with the same value, at each start.
 */
void source_identify(const char *source, struct buffer *identity);
/* The path of a file: source, else NULL. */
const char *source_path(const char *source);
/* Warns when others than its owner may read a file that holds a secret, and says how to mend it. */
void source_warn(const char *path, void (*warning)(void *user, const char *sentence), void *user);
/*
 * Reads it. `what` names what the secret is for, in a prompt and in errors. `confirm`: a prompt asks twice. At most KW_SECRET_MAXIMUM bytes.
 * Errors: KW_CONFIGURATION (absent, empty unless allowed, unreadable, too long), KW_PERMISSION.
 */
KW_MUST_USE kw_status source_read(const char *source, const struct source_reader *reader, const char *what,
                                  bool confirm, struct secret *secret, kw_error *error);

#endif
