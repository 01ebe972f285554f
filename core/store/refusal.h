/*
 * What became of secrets that were handed to plugins whose backend may lock (KW_TRAIT_LOCKS), beyond the process: one small file for each
 * store and option in STATE/secrets. A secret is known there by an HMAC over everything that makes it a new one when it changes: its
 * value, where it comes from, the store's settings. The HMAC's key is derived from the catalogue key and a random key beside the files, so
 * that neither alone is enough to guess a PIN.
 *
 * An attempt is written down before the secret is handed out, and one process at a time has one; so a process that dies in between has left
 * word of it, and no two send the same wrong PIN.
 */
#ifndef KEYWRIGHT_STORE_REFUSAL_H
#define KEYWRIGHT_STORE_REFUSAL_H

#include "catalogue/catalogue.h"

struct refusal_place {
    const char *state_directory;
    struct crypto *crypto;
    struct catalogue *catalogue;
    const char *store_id, *option;
    uint64_t deadline; /* until when another attempt is waited for (clock_milliseconds); 0: none but the usual */
};

/* A secret that was handed out, and what its backend says is not known yet. */
struct refusal_attempt;

enum refusal_outcome {
    REFUSAL_UNDECIDED, /* it was never judged: as if it had not been handed out */
    REFUSAL_ACCEPTED,
    REFUSAL_REFUSED
};

/*
 * Whether `secret` may be handed out: the attempt is then on record. `settings` are all else that makes it a new one. Waits for another process's attempt.
 * `mac` is what it is known by, set also when it is refused.
 * Errors: KW_SECRET_REFUSED (it was refused, or it is not known what became of it), KW_UNAVAILABLE (another attempt does not end), and
 * KW_PERMISSION, KW_REFUSED, KW_CORRUPT (its refusal could not be remembered: says why).
 */
KW_MUST_USE kw_status refusal_begin(const struct refusal_place *place, kw_input secret, kw_input settings,
                                    unsigned char mac[SHA256_LENGTH], struct refusal_attempt **attempt,
                                    kw_error *error);
/* Writes down what became of it, and frees it. What cannot be written is told to the log: the attempt stays on record. */
void refusal_end(struct refusal_attempt *attempt, enum refusal_outcome outcome, const struct log *log);
/* The secret was changed: what is on record says nothing any more. */
KW_MUST_USE kw_status refusal_forget(const struct refusal_place *place, kw_error *error);
/* One that was handed out before is refused later, by a backend that was given it again. */
KW_MUST_USE kw_status refusal_note(const struct refusal_place *place, const unsigned char mac[SHA256_LENGTH],
                                   kw_error *error);

#endif
