/* What the files share that know of keys. */
#ifndef P11_KEY_H
#define P11_KEY_H

#include "pkcs11.h"

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

/* What a private key says of itself. */
struct p11_traits {
    uint32_t operations; /* KW_CAN_SIGN, DECRYPT, DERIVE */
    bool always_authenticate;
    char label[KW_KEY_LABEL_MAXIMUM + 1];
};

struct kw_plugin_key {
    kw_plugin_instance *instance;
    struct p11_locator locator;
    char name[P11_LOCATOR_MAXIMUM];
    struct p11_public public;
    struct p11_traits traits;
    size_t size;           /* of the longest output */
    atomic_bool no_copies; /* the token makes none of this key */
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
                          struct p11_public *public, struct p11_traits *traits);
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

/* ---- copy.c --------------------------------------------------------------------------------------------------------------------- */

/* What is used for a key now: its copy in this session, where the token has shown the key a moment ago; else the key. */
CK_OBJECT_HANDLE p11_copy_of(struct p11_use *use, CK_OBJECT_HANDLE key);
/*
 * After p11_copy_of has given the key itself, and the token has done with it what was wanted. True: it is time for a copy, outside of the gate.
 */
bool p11_copy_used(struct p11_use *use, CK_OBJECT_HANDLE key);
/* Outside of the gate: for the sessions that are due, if one can be alone soon. False: the token makes none of this key. */
bool p11_copies_make(kw_plugin_instance *instance, CK_OBJECT_HANDLE key);
/* Something has failed: the copy is destroyed. */
void p11_copy_drop(struct p11_use *use, CK_OBJECT_HANDLE key);
/* Destroys a free session's copies of a key (0: of all). */
void p11_copies_end(struct p11_use *use, struct p11_session *session, CK_OBJECT_HANDLE key);
/* Outside of the gate: destroys the copies of a key that was deleted, as far as that can be done now; they are not used in any case. */
void p11_copies_sweep(kw_plugin_instance *instance, CK_OBJECT_HANDLE key);

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
