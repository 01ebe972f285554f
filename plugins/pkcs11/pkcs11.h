/*
 * pkcs11: keys in a token behind a PKCS#11 module. What its files share.
 *
 *   pkcs11.c        the description, the options, instances, reports
 *   library.c       the module's file: who may have written it, its SHA-256; libcrypto in a context of its own
 *   gate.c          the gate that all calls of a module pass, and what a fork does to it
 *   module.c        modules: one a path and process, loaded by libp11, never unloaded; their slots and tokens
 *   token.c         finding a token by serial and label; the lock between processes
 *   login.c         opening it, logging in, the PIN
 *   renew.c         sessions, login and handles renewed together
 *   session.c       the pool of sessions; turns; an operation on a session, repeated where the token was lost and that is safe
 *   failure.c       what return values mean
 *   capability.c    what a token can do, by its mechanisms
 *   attribute.c     reading attributes, finding objects
 *   locator.c       locators
 *   spki.c          public keys: of attributes, as SubjectPublicKeyInfo; ECDSA signatures
 *   key.c           handles on keys, find, delete
 *   key_generate.c, key_import.c   making keys; key_made.c: what both do before and after
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
};

struct p11_module {
    struct p11_gate gate;
    char *path, *init_args;
    char maker[33], description[33];
    const CK_FUNCTION_LIST *functions; /* NULL: not loaded */
    struct p11_libp11 *libp11;
    struct p11_manners manners;
    bool is_ours;     /* nobody in this process had it before, so that it may be restarted */
    bool forked;      /* inherited by a fork, and not yet initialized in this process */
    bool down;        /* finalized, and not initialized again yet */
    bool descends;    /* this process is the child of one that had it */
    bool changing;    /* somebody has the turn to change objects; guarded by the state */
    uint64_t changed; /* when somebody last gave it back; the same */
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

/* ---- login.c --------------------------------------------------------------------------------------------------- */

/* Finds, opens and logs in for an instance that opens. */
KW_MUST_USE kw_status p11_token_open(kw_plugin_instance *instance, const kw_call *call);
/* Its sessions; and with the last instance of the token, the login. */
void p11_token_close(kw_plugin_instance *instance);
/* Asks the host for the PIN, to be offered at the next login. With no lock held. */
KW_MUST_USE kw_status p11_token_pin(kw_plugin_instance *instance, const kw_call *call);
/* Outside of the gate, right after a login with it: what became of the PIN; a result that is none of the PIN's says that it was not judged. */
void p11_token_settle(kw_plugin_instance *instance, CK_RV result);
/* The one in force was refused at a key's use: it is not sent again, and the next operation asks the host. */
void p11_token_distrust(kw_plugin_instance *instance, const kw_call *call);
KW_MUST_USE kw_status p11_token_change_pin(kw_plugin_instance *instance, const kw_call *call, kw_input pin);

/* A login is needed, and the host has not been asked for the PIN. */
#define P11_NEEDS_PIN (CKR_VENDOR_DEFINED | 0x4B58u)
/* A first session, which goes to the instance's pool, and the login. `inherited`: by a fork. With the gate shut. */
CK_RV p11_token_connect(struct p11_use *use, const struct p11_offer *offer, bool inherited);
/* With the gate shut, after a restart of the module. */
void p11_token_connect_others(struct p11_use *use, const struct p11_token *except);
/* Outside of the gate: reports a login that failed. */
kw_status p11_token_refused(struct p11_use *use, const struct p11_offer *offer, CK_RV result);

/* ---- renew.c --------------------------------------------------------------------------------------------------- */

/* Renews what belonged to `generation`, unless that was done meanwhile. */
KW_MUST_USE kw_status p11_token_renew(kw_plugin_instance *instance, const kw_call *call, unsigned generation);

/* ---- pkcs11.c ---------------------------------------------------------------------------------------------------- */

#define P11_SESSIONS_MAXIMUM 256u

struct p11_cursors;

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
        CK_SESSION_HANDLE handles[P11_SESSIONS_MAXIMUM]; /* that are free */
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
struct p11_manners p11_manners_of(const char *description);
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

/* ---- locator.c ------------------------------------------------------------------------------------------------------------ */

#define P11_ID_MAXIMUM    128u
#define P11_LABEL_MAXIMUM 128u

/* How a key is found: by type and CKA_ID; by type and label where it has no CKA_ID. */
struct p11_locator {
    CK_KEY_TYPE type;
    unsigned char id[P11_ID_MAXIMUM];
    size_t id_length;
    unsigned char label[P11_LABEL_MAXIMUM];
    size_t label_length;
};

#define P11_LOCATOR_MAXIMUM (32u + 3u * P11_LABEL_MAXIMUM)
/* Such as "ec:id=00ff"; the number of bytes without the NUL. */
size_t p11_locator_write(const struct p11_locator *locator, char text[P11_LOCATOR_MAXIMUM]);
bool p11_locator_read(kw_input text, struct p11_locator *locator);
/* As an output of an operation. */
kw_status p11_locator_put(const struct p11_locator *locator, kw_output *output);

/* ---- spki.c --------------------------------------------------------------------------------------------------------------- */

#define P11_SPKI_MAXIMUM  640u
#define P11_RSA_BYTES     512u
#define P11_POINT_MAXIMUM 160u

/* A public key by its attributes. */
struct p11_public {
    kw_key_type type;
    kw_curve curve;
    uint32_t bits; /* RSA: of the modulus; EC: of the field */
    unsigned char modulus[P11_RSA_BYTES];
    size_t modulus_length; /* without leading zeros */
    unsigned char spki[P11_SPKI_MAXIMUM];
    size_t spki_length;
};

/* CKA_EC_PARAMS of a curve; by the second form where a token wants it so (0: the first). Empty: there is none. */
kw_input p11_curve_parameters(kw_key_type type, kw_curve curve, unsigned form);
uint32_t p11_curve_bits(kw_curve curve);
CK_KEY_TYPE p11_type_of(kw_key_type type);
/* False: not a key that this plugin knows. `parameters` and `point` are of EC keys, `modulus` and `exponent` of RSA keys. */
bool p11_public_rsa(kw_input modulus, kw_input exponent, struct p11_public *public);
bool p11_public_ec(kw_input parameters, kw_input point, struct p11_public *public);
bool p11_public_spki(kw_input spki, struct p11_public *public);
/* CKA_EC_POINT of an EC or Ed25519 key. */
size_t p11_public_point(const struct p11_public *public, unsigned char point[P11_POINT_MAXIMUM]);
/* r and s, each half of `raw`, as ECDSA-Sig-Value. `der` has room for 2 * (raw.length / 2 + 4) + 4 bytes. */
size_t p11_ecdsa_encode(kw_input raw, unsigned char *der);
size_t p11_ecdsa_maximum(uint32_t bits);
/* The point of an EC key as the token takes it for ECDH; the peer must be on the curve, which libcrypto judges. Inside of the gate. */
bool p11_peer_point(kw_input spki, kw_curve curve, unsigned char point[P11_POINT_MAXIMUM], size_t *length);

/* ---- key.c ------------------------------------------------------------------------------------------------------------------ */

struct kw_plugin_key {
    kw_plugin_instance *instance;
    struct p11_locator locator;
    char name[P11_LOCATOR_MAXIMUM];
    struct p11_public public;
    uint32_t operations; /* KW_CAN_SIGN, DECRYPT, DERIVE */
    bool always_authenticate;
    size_t size; /* of the longest output */
    /* Of which generation the handle is, and the handle; both in one, since threads share the key. */
    pthread_mutex_t mutex;
    unsigned generation;
    CK_OBJECT_HANDLE handle;
};

/* The one private key of a locator. KW_NOT_FOUND, KW_REFUSED (ambiguous), told. */
CK_RV p11_key_search(struct p11_use *use, const struct p11_locator *locator, CK_OBJECT_HANDLE *handle);
/* Objects of a class where a key lies, by its CKA_ID, or its label where it has none. */
CK_RV p11_place_find(struct p11_use *use, const struct p11_locator *locator, CK_OBJECT_CLASS class,
                     CK_OBJECT_HANDLE found[P11_MATCHES], size_t *count);
/* The key's handle in this generation, looked up where it is of another, or by the caller's wish. */
CK_RV p11_key_handle(struct p11_use *use, kw_plugin_key *key, bool search, CK_OBJECT_HANDLE *handle);
/* The public key of a private key, by its own attributes, else by the objects beside it. */
CK_RV p11_key_read_public(struct p11_use *use, CK_OBJECT_HANDLE handle, const struct p11_locator *locator,
                          struct p11_public *public, uint32_t *operations, bool *always_authenticate);
/* Removes a private key, its public key, and its certificates: what else has the same CKA_ID stays. */
CK_RV p11_key_destroy(struct p11_use *use, const struct p11_locator *locator);

kw_status p11_key_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator);
kw_status p11_key_find(kw_plugin_instance *instance, const kw_call *call, const unsigned char id[KW_KEY_ID_LENGTH],
                       kw_output *locator);
kw_status p11_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input locator, kw_plugin_key **key,
                       kw_key_capabilities *capabilities);
void p11_key_close(kw_plugin_key *key);
kw_status p11_key_public(kw_plugin_key *key, const kw_call *call, kw_output *spki);

/* ---- key_made.c ---------------------------------------------------------------------------------------------------------------- */

/* A key that is being made. */
struct p11_making {
    kw_key_template wanted;
    struct p11_locator locator;
    CK_OBJECT_CLASS private_class, public_class;
    CK_KEY_TYPE type;
    CK_BBOOL yes, no, sign, decrypt, derive, authenticate;
    CK_ATTRIBUTE private_template[32], public_template[16];
    size_t private_count, public_count;
    CK_OBJECT_HANDLE private_key, public_key;
    bool plain;   /* as the token wants it: never narrow */
    bool is_ours; /* nothing had this id before */
    bool apt;     /* of uses that are not allowed, only those are named that a key of this type could have */
};

/* What generate and import check before they do anything. */
kw_status p11_making_begin(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *sent,
                           struct p11_making *making, kw_output *locator);
/* Bodies' parts: nothing with this id is there yet; what was made is what was asked for. */
CK_RV p11_making_is_new(struct p11_use *use, struct p11_making *making);
CK_RV p11_making_check(struct p11_use *use, struct p11_making *making, const struct p11_public *expected);

/* After a failure: whatever was made is removed again, quietly. */
void p11_making_undo(kw_plugin_instance *instance, struct p11_making *making);
/* What both templates have in every case; `narrow`: also that other uses are not allowed, which some tokens do not take. */
void p11_making_fill(struct p11_making *making, bool narrow);
void p11_making_private(struct p11_making *making, CK_ATTRIBUTE_TYPE type, const void *value, size_t length);
void p11_making_public(struct p11_making *making, CK_ATTRIBUTE_TYPE type, const void *value, size_t length);

kw_status p11_key_generate(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                           kw_output *locator);
kw_status p11_key_import(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                         kw_input pkcs8, kw_output *locator);

/* ---- key_wrap.c ----------------------------------------------------------------------------------------------------------------- */

#define P11_PKCS8_MAXIMUM 8192u
/* Gives the token the private key as what C_UnwrapKey makes of its PKCS#8, of at most that length. */
CK_RV p11_unwrap_private(struct p11_use *use, struct p11_making *making, kw_input pkcs8);

/* ---- list.c, certificate.c ------------------------------------------------------------------------------------------------------ */

struct p11_cursors *p11_cursors_new(void);
void p11_cursors_free(struct p11_cursors *cursors);
kw_status p11_key_list(kw_plugin_instance *instance, const kw_call *call, uint64_t *cursor, kw_output *locator);

/* The public key in a certificate; `known` false: there is none that this plugin knows. */
CK_RV p11_certificate_public(struct p11_use *use, CK_OBJECT_HANDLE certificate, struct p11_public *public, bool *known);
/* The certificates where a private key lies that are for it; none where its public key is not known. */
CK_RV p11_certificates_find(struct p11_use *use, const struct p11_locator *locator, CK_OBJECT_HANDLE key,
                            CK_OBJECT_HANDLE found[P11_MATCHES], size_t *count);

kw_status p11_certificate_put(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                              kw_input certificate);
kw_status p11_certificate_get(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                              kw_output *certificate);
kw_status p11_certificate_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator);

/* ---- use.c -------------------------------------------------------------------------------------------------------------------------- */

kw_status p11_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input input,
                   kw_output *signature);
kw_status p11_decrypt(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input ciphertext,
                      kw_output *plaintext);
kw_status p11_derive(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input peer,
                     kw_output *shared);

#endif
