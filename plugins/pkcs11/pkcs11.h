/*
 * pkcs11: keys in a token behind a PKCS#11 module. What its files share.
 *
 *   pkcs11.c        the description, the options, instances, reports
 *   library.c       the module's file: who may have written it, its SHA-256; libcrypto in a context of its own
 *   gate.c          the gate that all calls of a module pass, and what a fork does to it
 *   module.c        modules: one a path and process, loaded by libp11, never unloaded; their slots and tokens
 *   token.c         finding a token by serial and label; the lock between processes
 *   pin.c           the PIN: asked for, refused, in force, changed
 *   login.c         opening a token, logging in
 *   renew.c         sessions, login and handles renewed together
 *   session.c       the pool of sessions; turns; an operation on a session, repeated where the token was lost and that is safe
 *   copy.c          copies of keys in sessions
 *   failure.c       what return values mean
 *   capability.c    what a token can do, by its mechanisms
 *   attribute.c     reading attributes, finding objects
 *
 * And in key.h:
 *
 *   locator.c       locators
 *   spki.c          public keys: of attributes, as SubjectPublicKeyInfo; ECDSA signatures
 *   key.c           handles on keys, find, delete
 *   key_generate.c, key_import.c   making keys; key_made.c: what both do before and after; key_wrap.c: keys that come wrapped
 *   list.c          the list of keys and its cursors
 *   certificate.c   certificates beside keys
 *   use.c           sign, decrypt, derive
 */
#ifndef P11_H
#define P11_H

#include <keywright/plugin.h>

#include <openssl/types.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define P11_SENTENCE 700u

/* ---- library.c -------------------------------------------------------------------------------------------- */

/* The file's real path, to be freed: absolute, local, and of nobody but its owner's to write. NULL: `sentence` says why not. */
char *p11_library_check(const char *path, char sentence[P11_SENTENCE]);
/* Its SHA-256, against 64 hex digits. To be called inside of a gate. */
bool p11_library_pinned(const char *path, const char *sha256, char sentence[P11_SENTENCE]);
/* libcrypto's context for what this plugin parses, made once, never freed. NULL: it cannot be made. */
OSSL_LIB_CTX *p11_library_context(void);

/* ---- gate.c ------------------------------------------------------------------------------------------------- */

/*
 * Every call of a module, and every use of libcrypto, lies between enter and leave, with no call to the host between them. Who shuts the
 * gate is alone: to renew sessions, whose handles a module may give out again, and during a fork. The state mutex guards all else that
 * threads share; it is held for moments, never across a call of a module or of the host.
 */
struct p11_gate {
    atomic_uint inside;
    atomic_bool shut;
    bool by_fork; /* the fork under way has shut it */
};

/* False: whoever is alone did not open it before `milliseconds` had passed. */
KW_MUST_USE bool p11_gate_enter(struct p11_gate *gate, unsigned milliseconds);
void p11_gate_leave(struct p11_gate *gate);
/* False: others did not leave before `milliseconds` had passed; the gate is open. */
bool p11_gate_shut(struct p11_gate *gate, unsigned milliseconds);
void p11_gate_open(struct p11_gate *gate);
/* When the plugin is loaded: handlers of forks that are registered later, such as the host's, run before these. */
void p11_watch_forks(void);
/* How many milliseconds a fork waits for calls under way: a module that hangs must not hang the process. Tests set it. */
extern unsigned p11_gate_patience;

void p11_state_lock(void);
void p11_state_unlock(void);
/* With the state locked: waits until something changes, at most `milliseconds`. */
void p11_state_wait(unsigned milliseconds);
void p11_state_changed(void);

/* ---- module.c ------------------------------------------------------------------------------------------------ */

struct p11_token;

/* One token as the module describes it. */
struct p11_offer {
    CK_SLOT_ID slot;
    char label[33], serial[17], maker[33], model[17];
    bool initialized, login_required, pin_set, own_keypad, final_try, locked, has_random, read_only;
};

/* What a module wants otherwise than the standard has it. */
struct p11_manners {
    bool plain_templates; /* making a key, nothing is said of uses that it shall not have */
    bool whole_digests;   /* ECDSA: digests of 32 and 48 bytes alone */
    bool failures_stay;   /* a decryption that failed is not over, and its key cannot be deleted */
    bool ends_at_fork;    /* what a child inherits is of no use: finalized before a fork, initialized at the next use */
    bool checks_objects;  /* looks at each use of the token's whether they have changed; gives no handle out twice */
};

struct p11_module {
    struct p11_gate gate;
    char *path, *init_args;
    char maker[33], description[33];
    const CK_FUNCTION_LIST *functions; /* NULL: not loaded */
    struct p11_libp11 *libp11;
    struct p11_manners manners;
    bool is_ours;       /* nobody in this process had it before, so that it may be restarted */
    bool forked;        /* inherited by a fork, and not yet initialized in this process */
    bool down;          /* finalized, and not initialized again yet */
    bool descends;      /* this process is the child of one that had it */
    uint64_t restarted; /* or loaded (p11_now): for stores whose token was never there; set with the gate shut */
    bool changing;      /* somebody has the turn to change objects; guarded by the state */
    uint64_t changed;   /* when somebody last gave it back; the same */
    atomic_uint turns;  /* how often it was given back */
    struct p11_token *tokens;
    struct p11_module *next;
};

/* Of all modules; they are never removed. With the state locked, or while a fork is under way. */
struct p11_module *p11_module_first(void);
/* The module of this path, made when there is none; not loaded. NULL: out of memory. */
struct p11_module *p11_module_get(const char *path, const char *init_args);
/* Whether it is, or will be, initialized with these. */
bool p11_module_takes(const struct p11_module *module, const char *init_args);

/* Before a fork, with the gate shut. */
void p11_module_before_fork(struct p11_module *module);

struct p11_use;
/* The following are called with the gate shut. They count in `use`, and on failure leave status and sentence there. */
KW_MUST_USE kw_status p11_module_load(struct p11_module *module, struct p11_use *use);
/* Finalizes and initializes it again, which some need to see a token that came back. */
KW_MUST_USE kw_status p11_module_restart(struct p11_module *module, struct p11_use *use);
/* The token of a slot; false: there is none, or it does not say. */
bool p11_module_offer(struct p11_module *module, struct p11_use *use, CK_SLOT_ID slot, struct p11_offer *offer);
/* The tokens that are there; `offers` is freed by free. */
KW_MUST_USE kw_status p11_module_offers(struct p11_module *module, struct p11_use *use, struct p11_offer **offers,
                                        size_t *count);

#define P11_MARK 32u /* tells a PIN from another, and nothing more */

/* ---- token.c --------------------------------------------------------------------------------------------------- */

#define P11_RIGHTS 120u
/* What goes behind a sentence that something is not in the token, since modules hide what a process may not read; empty for root. */
void p11_token_rights(char text[P11_RIGHTS]);

/* A token that instances of this process use, logged in once for all of them. Never freed. Guarded by the state. */
struct p11_token {
    struct p11_module *module;
    char label[33], serial[17];
    CK_SLOT_ID slot;     /* set with the gate shut */
    unsigned generation; /* of sessions, login and object handles; set with the gate shut */
    bool ready;          /* logged in; likewise */
    bool distrusted;     /* its PIN was refused since; likewise */
    uint64_t restarted;  /* when its module was, for its sake (p11_now); likewise */
    /* What it refused last, from which host, and when (0: nothing); likewise. */
    unsigned char refused[P11_MARK];
    const kw_host_context *refused_by;
    uint64_t refused_at;
    kw_plugin_instance *instances;
    /* A session that keeps the login when an instance closes its own and others stay: a token logs out with the last one. */
    CK_SESSION_HANDLE anchor;
    unsigned anchor_generation; /* 0: there is none */
    bool renewing;
    kw_status failure; /* of the last renewal */
    char failure_sentence[P11_SENTENCE];
    struct p11_token *next;
};

/* Alone in this process (the gate is shut) and among processes. end also counts. */
struct p11_alone {
    int file;
};
KW_MUST_USE kw_status p11_alone_begin(kw_plugin_instance *instance, const kw_call *call, struct p11_alone *alone);
void p11_alone_end(kw_plugin_instance *instance, struct p11_use *use, struct p11_alone *alone);
/* The lock among processes alone, if it can be had at once. -1: no. */
int p11_processes_try(const struct p11_module *module);
void p11_processes_unlock(int file);

/* Both with the gate shut. The one token that is wanted, if a login may be tried; `opening`: another that is there is a mistake in the options. */
KW_MUST_USE kw_status p11_token_choose(const kw_plugin_instance *instance, struct p11_use *use, bool opening,
                                       struct p11_offer *chosen);
struct p11_token *p11_token_get(struct p11_module *module, const struct p11_offer *offer);
/* In the child of a fork: nothing of the parent's is used. */
void p11_token_forked(struct p11_token *token);

/* ---- pin.c ----------------------------------------------------------------------------------------------------- */

/* Asks the host for the PIN, to be offered at the next login. With no lock held. */
KW_MUST_USE kw_status p11_token_pin(kw_plugin_instance *instance, const kw_call *call);
/* Outside of the gate, right after a login with it: what became of the PIN; a result that is none of the PIN's says that it was not judged. */
void p11_token_settle(kw_plugin_instance *instance, CK_RV result);
/* The one in force was refused at a key's use: it is not sent again, and the next operation asks the host. */
void p11_token_distrust(kw_plugin_instance *instance, const kw_call *call);
/* KW_TIMEOUT: the token does not say which of the two PINs it has now. */
KW_MUST_USE kw_status p11_token_change_pin(kw_plugin_instance *instance, const kw_call *call, kw_input pin);

/* The rest with the gate shut. What the host has given is wiped; was right, for all stores of the token; was refused. */
void p11_pin_forget_offered(kw_plugin_instance *instance);
void p11_pin_keep(kw_plugin_instance *instance);
void p11_pin_note_refusal(const kw_plugin_instance *instance);
/* Whether the token has refused it a moment ago, from another store. */
bool p11_pin_was_refused(const kw_plugin_instance *instance);
/* Whether a store that is open logged in with it. */
bool p11_pin_is_known(const kw_plugin_instance *instance);

/* ---- login.c --------------------------------------------------------------------------------------------------- */

/* Finds, opens and logs in for an instance that opens. */
KW_MUST_USE kw_status p11_token_open(kw_plugin_instance *instance, const kw_call *call);
/* Its sessions; and with the last instance of the token, the login. */
void p11_token_close(kw_plugin_instance *instance);
/* With the gate shut: a session of its own, in use->session; which becomes the first of the instance's pool. */
CK_RV p11_token_session(struct p11_use *use, CK_SLOT_ID slot);
void p11_token_take_session(struct p11_use *use);

/* A login is needed, and the host has not been asked for the PIN. */
#define P11_NEEDS_PIN (CKR_VENDOR_DEFINED | 0x4B58u)
/* A first session, which goes to the instance's pool, and the login. `inherited`: by a fork. With the gate shut. */
CK_RV p11_token_connect(struct p11_use *use, const struct p11_offer *offer, bool inherited);
/* With the gate shut, after a restart of the module. */
void p11_token_connect_others(struct p11_use *use, const struct p11_token *except);
/* Outside of the gate: reports a login that failed. */
kw_status p11_token_refused(struct p11_use *use, const struct p11_offer *offer, CK_RV result);

/* ---- renew.c --------------------------------------------------------------------------------------------------- */

/*
 * With the gate shut, when `token` cannot be found or opened (NULL: one that never was there): whether the module may be started anew for it
 * now, which some need to see a token that came.
 */
bool p11_restart_is_due(struct p11_use *use, const struct p11_token *token);
/* Starts it anew, and logs in again where it was logged in. */
KW_MUST_USE kw_status p11_restart(struct p11_use *use, struct p11_token *token);
/* Renews what belonged to `generation`, unless that was done meanwhile. */
KW_MUST_USE kw_status p11_token_renew(kw_plugin_instance *instance, const kw_call *call, unsigned generation);

/* ---- pkcs11.c ---------------------------------------------------------------------------------------------------- */

#define P11_SESSIONS_MAXIMUM 256u

struct p11_cursors;

#define P11_COPIES 4u /* places for keys, in a session */

/* A key that a session has signed with. */
struct p11_copy {
    CK_OBJECT_HANDLE key;  /* on the token; 0: an empty place */
    CK_OBJECT_HANDLE copy; /* in the session; 0: none */
    uint64_t known;        /* the token had the key (p11_now) */
    unsigned turns;        /* p11_module.turns at that moment */
    unsigned uses;         /* that a copy could have been for */
};

/* One that is free. */
struct p11_session {
    CK_SESSION_HANDLE handle;
    struct p11_copy copies[P11_COPIES];
};

/* What a token can do; schemes and hashes by type of key. */
struct p11_ability {
    uint32_t operations, schemes, sign_hashes, oaep_hashes;
};

struct kw_plugin_instance {
    kw_host host; /* a copy; what the host did not know is NULL */
    struct p11_module *module;
    struct p11_token *token;
    char *token_label, *token_serial; /* as configured; NULL: any */
    uint64_t timeout;                 /* milliseconds */
    uint64_t key_copies;              /* for so long after the token has shown a key, milliseconds; 0: none */
    atomic_uint copies_made;
    bool always_authenticate;
    kw_plugin_instance *next; /* of the token's */
    bool is_listed;
    bool wants_pin, has_random, read_only;
    /* The host's secret memory, KW_SECRET_MAXIMUM bytes each: what the token accepted, written with the gate shut (length 0: none), and
     * what the host has given for the next login. */
    unsigned char *pin, *offered_pin;
    size_t pin_length, offered_length;
    kw_capabilities capabilities;
    struct p11_ability abilities[KW_KEY_X25519 + 1];
    struct p11_cursors *cursors;
    struct { /* guarded by the state */
        unsigned generation;
        unsigned limit, open, free;
        struct p11_session sessions[P11_SESSIONS_MAXIMUM]; /* that are free */
    } pool;
};

/* Tells the host why, and returns `status`. Outside of the gate. */
kw_status p11_report(const kw_host *host, kw_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__
/* What clang's analyser cannot see from here: it is never told that all is well. */
static inline kw_status p11_not_ok(kw_status status)
{
    return status == KW_OK ? KW_FAILED : status;
}
#define p11_report(...) p11_not_ok(p11_report(__VA_ARGS__))
#endif
/* This thread's reports are dropped: what cleans up must not cover why it has to. */
void p11_be_quiet(bool wanted);
/* Copies what the sender of a struct knew of it; the rest is zero. Both begin with their size. */
void p11_take(void *own, size_t own_size, const void *sent);
/* The other way: fills what the receiver, who has set its size, knows. */
void p11_give(void *receiver, const void *own, size_t own_size);
/* Reports that the gate did not open in time. */
kw_status p11_shut_out(const kw_plugin_instance *instance);
/* Milliseconds until the call's deadline, at most the store's timeout; 0: it has passed. */
unsigned p11_patience(const kw_plugin_instance *instance, const kw_call *call);
kw_status p11_deadline(const kw_plugin_instance *instance, const kw_call *call);
/* Whether `length` bytes fit; sets output->length to it. */
bool p11_fits(kw_output *output, size_t length);
/* Milliseconds on a clock that only goes forward. */
uint64_t p11_now(void);

/* ---- session.c --------------------------------------------------------------------------------------------------- */

/* An operation under way on a session. */
struct p11_use {
    kw_plugin_instance *instance;
    const kw_call *call;
    const CK_FUNCTION_LIST *functions;
    CK_SESSION_HANDLE session;
    struct p11_copy copies[P11_COPIES]; /* the session's */
    uint64_t asked;                     /* when, and after how many turns, the operation began that may use a copy */
    unsigned asked_turns;
    bool by_copy;     /* the operation was done, or has failed, with a copy */
    bool copy_failed; /* and so it is done again without */
    unsigned generation;
    bool begun;           /* what was done may not be done twice */
    bool dirty;           /* the session is in the middle of something, although the body says P11_TOLD */
    bool changes;         /* makes, changes or deletes objects: one at a time does */
    int turn;             /* the lock among processes while it does; -1: without it */
    unsigned waited;      /* for other processes' turns, milliseconds */
    uint32_t calls;       /* of the module, not yet told to the host */
    const char *function; /* that failed */
    kw_status status;     /* for P11_TOLD */
    char sentence[P11_SENTENCE];
};

/* What a function gives back when use->status and use->sentence say more than a return value could. */
#define P11_TOLD (CKR_VENDOR_DEFINED | 0x4B57u)

/* Each call of a module goes through here: counts it, and remembers which failed. */
CK_RV p11_did(struct p11_use *use, const char *function, CK_RV result);
/* P11_TOLD, with status and sentence. */
CK_RV p11_tell(struct p11_use *use, kw_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Inside of the gate: no call to the host. */
typedef CK_RV (*p11_body)(struct p11_use *use, void *argument);
/*
 * Runs `body` on a session of the pool, and once more when the token was lost before use->begun: sessions, login and handles are then
 * renewed. `what` is what fails, such as "sign". Reports.
 */
KW_MUST_USE kw_status p11_perform(kw_plugin_instance *instance, const kw_call *call, const char *what, p11_body body,
                                  void *argument);
/* The same for what makes, changes or deletes objects of the token, which happens by turns. */
KW_MUST_USE kw_status p11_change(kw_plugin_instance *instance, const kw_call *call, const char *what, p11_body body,
                                 void *argument);
/* Tells the host the calls that were made. Outside of the gate. */
void p11_count(struct p11_use *use);

/* ---- failure.c ---------------------------------------------------------------------------------------------------- */

/* The name, such as CKR_DEVICE_REMOVED; of others "0x...", in `room`. */
const char *p11_failure_name(CK_RV result, char room[24]);
kw_status p11_failure_status(CK_RV result);
/* Whether session, login or handles are gone. */
bool p11_failure_is_loss(CK_RV result);
/* Whether the PIN was not accepted, or will not be. */
bool p11_failure_is_refusal_of_pin(CK_RV result);
/* Whether the call did nothing, so that it may be repeated whatever it was. */
bool p11_failure_is_before(CK_RV result);
/* Whether the token says that it cannot do this, or not so. */
bool p11_failure_is_inability(CK_RV result);

/* ---- capability.c --------------------------------------------------------------------------------------------------- */

/* A body: fills the instance's capabilities and abilities. */
CK_RV p11_capability_read(struct p11_use *use, void *argument);
struct p11_manners p11_manners_of(const char *maker, const char *description);
#define P11_RSA_MINIMUM 2048u
#define P11_RSA_MAXIMUM 4096u

/* ---- attribute.c ------------------------------------------------------------------------------------------------------ */

/*
 * Reads attributes of an object in one call. An attribute that the object has not, or does not give out, or whose length the module
 * misstates, has a length of CK_UNAVAILABLE_INFORMATION afterwards. Fails when the call itself does.
 */
CK_RV p11_attributes_get(struct p11_use *use, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, size_t count);
bool p11_attribute_has(const CK_ATTRIBUTE *attribute);
/* An attribute of type CK_BBOOL that is there and true. */
bool p11_attribute_is_true(const CK_ATTRIBUTE *attribute);
/* Attributes that are read into `room`, one after another. */
CK_ATTRIBUTE p11_attribute(CK_ATTRIBUTE_TYPE type, const void *value, size_t length);

#define P11_MATCHES 16u
/* At most P11_MATCHES objects that match; *count is P11_MATCHES when there may be more. */
CK_RV p11_objects_find(struct p11_use *use, CK_ATTRIBUTE *template, size_t attributes,
                       CK_OBJECT_HANDLE found[P11_MATCHES], size_t *count);
/* Nothing was found: whether that is so, or the token or the login is gone. CKR_OK: it is so. */
CK_RV p11_objects_absent(struct p11_use *use);
/* The same, as a body. */
CK_RV p11_token_look(struct p11_use *use, void *argument);

#endif
