/*
 * The PKCS#11 shim, a module that forwards to a real one and can be told to misbehave, and how it is told so.
 *
 * KEYWRIGHT_SHIM_MODULE names the real module, KEYWRIGHT_SHIM_CONTROL a file of shim_create, which every process that loads the shim maps, and
 * whoever steers and counts them too: what is changed there holds from the next call on. Without it the shim just forwards. KEYWRIGHT_SHIM_INIT_ARGS
 * is what C_Initialize hands on as pReserved when the caller has nothing for it.
 *
 *   pkcs11_functions.h   the names of the functions, in the order of the function list
 *   pkcs11_control.c     the file
 *   pkcs11_shim.c        the module: counts, faults, handles
 *   pkcs11_forward.c     its functions
 *   pkcs11_steer.c       a command that steers, for tests in bash
 */
#ifndef PKCS11_CONTROL_H
#define PKCS11_CONTROL_H

#include <p11-kit/pkcs11.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHIM_MODULE_VARIABLE    "KEYWRIGHT_SHIM_MODULE"
#define SHIM_CONTROL_VARIABLE   "KEYWRIGHT_SHIM_CONTROL"
#define SHIM_INIT_ARGS_VARIABLE "KEYWRIGHT_SHIM_INIT_ARGS"

enum shim_function {
#define FUNCTION(name) SHIM_##name,
#include "pkcs11_functions.h"
#undef FUNCTION
    SHIM_ANY,     /* a row of its own: what it says holds for every function, and it counts the calls of all */
    SHIM_PRIVATE, /* one more: C_CreateObject of a private key, which can only fail */
    SHIM_ROWS
};

enum shim_action {
    SHIM_OBEY,
    SHIM_FAIL,       /* answers `value`, and the real module is not called */
    SHIM_FAIL_AFTER, /* the same, but the real module has done it */
    SHIM_HANG,       /* until the action changes */
    SHIM_CRASH,      /* the process is killed before the call */
    SHIM_CRASH_AFTER,
    SHIM_DROP, /* the token is pulled out just before the call, or when the real module has done it */
    SHIM_DROP_AFTER,
    SHIM_RENEW,   /* all sessions end just before the call */
    SHIM_LONGER,  /* each length and count is one more than there is room for */
    SHIM_HUGE,    /* 2^60 */
    SHIM_SHORTER, /* one less than it is */
    SHIM_EMPTY,   /* 0 */
    SHIM_ABSENT, /* NULL in the function list; C_GetFunctionList: the list is NULL. As it is when the list is asked for */
    SHIM_ACTIONS
};

#define SHIM_ALWAYS UINT64_MAX

struct shim_row {
    _Atomic uint64_t calls;
    _Atomic uint32_t delay;  /* microseconds before each call */
    _Atomic uint32_t action; /* enum shim_action */
    _Atomic uint64_t value;
    _Atomic uint64_t first, last; /* of the calls, counted from 1, that the action meets */
};

struct shim_control {
    _Atomic uint64_t magic;
    _Atomic uint32_t dropped; /* no token is present */
    _Atomic uint32_t epoch;   /* handles of an earlier one are invalid, and nobody is logged in */
    struct shim_row rows[SHIM_ROWS];
};

/* "C_Sign", "any" and so on; SHIM_ROWS when there is none of this name. */
extern const char *const shim_names[SHIM_ROWS];
enum shim_function shim_named(const char *name);

/* Makes the file anew, or maps one; NULL when it cannot, which is then said on standard error. */
struct shim_control *shim_create(const char *path);
struct shim_control *shim_map(const char *path);
void shim_unmap(struct shim_control *control);

/* The action for call number `at` from now on (1: the next), and those that follow, `times` of them. */
void shim_arm(struct shim_control *control, enum shim_function function, enum shim_action action, CK_RV value,
              uint64_t at, uint64_t times);
/* Every function obeys, without delay, and the token is there. Counts and handles stay. */
void shim_disarm(struct shim_control *control);
/* Whether the action of the function has met a call since it was armed. */
bool shim_met(struct shim_control *control, enum shim_function function);
uint64_t shim_calls(struct shim_control *control, enum shim_function function);
void shim_forget_calls(struct shim_control *control);

/* The token is pulled out; it comes back, with new handles; or only its sessions end, and with them the login. */
void shim_drop(struct shim_control *control);
void shim_restore(struct shim_control *control);
void shim_renew(struct shim_control *control);

#endif
