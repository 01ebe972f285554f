/* A keyring whose roots, store and clock are the test's: no catalogue, and a store that is away whenever the test wants it. */
#ifndef KEYWRIGHT_TESTS_STAGE_H
#define KEYWRIGHT_TESTS_STAGE_H

#include "control/layout.h"
#include "subkey/keyring_private.h"

#include "../base/folder.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the wrapped functions answer, and how often they were asked. */
struct stage_roots {
    atomic_uint active;      /* 0: there is none yet */
    atomic_uint retired;     /* up to this version */
    atomic_int load, health; /* kw_status that they answer */
    atomic_int catalogue;    /* likewise, root_active, root_check and root_is_over */
    atomic_bool lacks_key;   /* the store answers, and has no key */
    atomic_uint lacks_of;    /* the first byte of the only master key that it lacks; 0: it lacks all */
    atomic_bool has_moved;   /* to another store */
    atomic_bool is_retired;  /* the master key is out of use */
    atomic_bool is_gone;     /* it was deleted */
    atomic_bool is_other;    /* roots are others than before */
    atomic_bool hold;        /* loads and probes wait until it is false */
    atomic_uint holding;     /* that wait */
    atomic_uint loads, makes, probes, looks;
    atomic_uint_least64_t ahead; /* how far the clock is */
    atomic_llong wall;           /* how far somebody has moved the wall clock, in seconds */
};
extern struct stage_roots roots;

struct stage {
    struct crypto *crypto;
    struct control *control;
    struct settings *settings;
    struct stores *stores;
    struct keyring *keyring;
    kw_error error;
};
void stage_open(void **state, struct stage *stage, const struct subkey_settings *subkeys);
void stage_close(struct stage *stage);
/* Rotates: the new version is the active one, and everybody is told. */
void stage_rotate(struct stage *stage);

extern const struct id master_id;

/* A handle, which must be had; of a root, which is made where there is none. */
kw_subkey *stage_get(struct stage *stage, const char *purpose, const char *context);
/* What is sealed by it, into a buffer of the caller's. */
kw_status stage_seal(kw_subkey *subkey, const char *text, unsigned char *sealed, size_t *length, kw_error *error);
/* Opens it and compares. */
kw_status stage_unseal(kw_subkey *subkey, const char *text, const unsigned char *sealed, size_t length,
                       kw_error *error);
#define SEALED_MAXIMUM 512
/* The version that a seal was made under. */
uint32_t stage_version(const unsigned char *sealed, size_t length);
void stage_good(struct stage *stage, kw_subkey *subkey);

#endif
