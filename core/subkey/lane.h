/*
 * A message needs a context of AES-256-GCM, one of AES-256 that has the key, and a nonce. None of them can be used by two threads at once, so they lie
 * in *lanes*: a thread takes one for the time of a message, nearly always the one that it had before, and nobody waits. Nothing belongs to a thread, so
 * nothing is left when one ends.
 */
#ifndef KEYWRIGHT_SUBKEY_LANE_H
#define KEYWRIGHT_SUBKEY_LANE_H

#include "subkey/xaes.h"

#include <openssl/types.h>
#include <stdalign.h>

enum { LANES = 32, NONCES_LENGTH = 16384, CACHE_LINE = 64 };
/* Message keys that are made at once, and of how many keys a lane keeps some. */
enum { AHEAD = 8, AHEAD_KEYS = 16 };

/* Random bytes for nonces, used once each. The kernel fills the pages with zeros in the child of a fork, so that none of them is left there. */
struct nonces {
    size_t left;          /* bytes, at the end of what follows */
    size_t ahead_is_ours; /* the lane's `ahead` was made in this process */
    unsigned char bytes[(NONCES_LENGTH - 2 * sizeof(size_t)) / XAES_NONCE_LENGTH * XAES_NONCE_LENGTH];
};
_Static_assert(sizeof(struct nonces) <= NONCES_LENGTH, "a lane has so much for its nonces");

/*
 * Nonces with the message keys that belong to them, used once each. For a key that seals one message after the other some are made for the next ones: eight cost
 * little more than one, and next to nothing where AES-256 must be set up for them.
 */
struct ahead {
    struct message_keys {
        uint64_t number; /* the xaes_secret's; 0: of none */
        size_t left;     /* at the end of what follows */
        unsigned char nonces[AHEAD][XAES_NONCE_LENGTH], keys[AHEAD][XAES_KEY_LENGTH];
    } of[AHEAD_KEYS];
};

struct lane {
    alignas(CACHE_LINE) atomic_uint holder; /* 0: free; else the generation of the process that took it */
    unsigned index;
    unsigned generation;   /* that all below is of */
    EVP_CIPHER_CTX *gcm;   /* has the key of the last message */
    EVP_CIPHER_CTX *guest; /* AES-256 for the first message of a key, wiped right after it */
    struct nonces *nonces; /* NULL: the lane is for one message alone */
    struct ahead *ahead;   /* in locked memory; NULL: not needed yet */
};

struct lanes {
    struct lane lanes[LANES];
    struct crypto *crypto;
    unsigned char *nonces; /* NONCES_LENGTH for each lane */
};
/* `lanes` is zeroed. What lanes_clear has to give back is there after a failure too. */
KW_MUST_USE kw_status lanes_init(struct lanes *lanes, struct crypto *crypto, kw_error *error);
/* Also of zeros. */
void lanes_clear(struct lanes *lanes);

/* `alone` where all are taken: without anything in it, for one message. */
struct lane *lane_take(struct lanes *lanes, struct lane *alone);
void lane_give_back(struct lane *lane);
/* A nonce that neither another thread nor another process has. */
KW_MUST_USE kw_status lane_nonce(struct lanes *lanes, struct lane *lane, unsigned char nonce[XAES_NONCE_LENGTH],
                                 kw_error *error);
/* The place for message keys of the key with this number, whose present owner may be another one. NULL: one at a time. */
struct message_keys *lane_ahead(struct lane *lane, uint64_t number);

#endif
