/* What keys are for: sign, decrypt, derive. */
#include "key.h"

#include <string.h>

#define MAXIMUM_DIGEST 64u
#define INFO_MAXIMUM   19u /* of a DigestInfo, before the digest */

static const struct hash {
    size_t length;
    CK_MECHANISM_TYPE mechanism;
    CK_ULONG mgf;
    unsigned char info[INFO_MAXIMUM]; /* RFC 8017 section 9.2, note 1 */
} hash_table[] = {
    [KW_HASH_SHA1] = {20,
                      CKM_SHA_1,
                      CKG_MGF1_SHA1,
                      {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2B, 0x0E, 0x03, 0x02, 0x1A, 0x05, 0x00, 0x04, 0x14}},
    [KW_HASH_SHA224] = {28,
                        CKM_SHA224,
                        CKG_MGF1_SHA224,
                        {0x30, 0x2D, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04, 0x05,
                         0x00, 0x04, 0x1C}},
    [KW_HASH_SHA256] = {32,
                        CKM_SHA256,
                        CKG_MGF1_SHA256,
                        {0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
                         0x00, 0x04, 0x20}},
    [KW_HASH_SHA384] = {48,
                        CKM_SHA384,
                        CKG_MGF1_SHA384,
                        {0x30, 0x41, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05,
                         0x00, 0x04, 0x30}},
    [KW_HASH_SHA512] = {64,
                        CKM_SHA512,
                        CKG_MGF1_SHA512,
                        {0x30, 0x51, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05,
                         0x00, 0x04, 0x40}},
};

/* One use of a key. */
struct operation {
    kw_plugin_key *key;
    kw_algorithm algorithm;
    CK_MECHANISM mechanism;
    CK_RSA_PKCS_PSS_PARAMS pss;
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    kw_input input;
    kw_output *output;
    bool copies;             /* a copy of the key may do */
    CK_OBJECT_HANDLE handle; /* of the key on the token */
    bool copy_due;
    CK_RV (*init)(struct p11_use *use, struct operation *operation, CK_OBJECT_HANDLE handle);
};

static const kw_host *host_of(const kw_plugin_key *key)
{
    return &key->instance->host;
}

/* The algorithm as the caller knew it, held against the key. */
static kw_status begin(kw_plugin_key *key, uint32_t operation, uint32_t schemes, const kw_algorithm *sent,
                       struct operation *made)
{
    *made = (struct operation){.key = key};
    p11_take(&made->algorithm, sizeof(made->algorithm), sent);
    uint32_t able = key->instance->abilities[key->public.type].schemes & schemes;
    if ((key->traits.operations & operation) == 0)
        return p11_report(host_of(key), KW_UNSUPPORTED, "key %s is not for this operation", key->name);
    if ((unsigned)made->algorithm.scheme > KW_SCHEME_ECDH || (able & KW_BIT(made->algorithm.scheme)) == 0)
        return p11_report(host_of(key), KW_UNSUPPORTED, "the token '%s' does not do this scheme with key %s",
                          key->instance->token->label, key->name);
    return KW_OK;
}

/* For schemes with a hash: it must be one of `hashes`; MGF1's is made explicit. */
static kw_status check_hashes(const kw_plugin_key *key, uint32_t hashes, kw_algorithm *algorithm)
{
    if (algorithm->mgf_hash == KW_HASH_NONE)
        algorithm->mgf_hash = algorithm->hash;
    if ((unsigned)algorithm->hash > KW_HASH_SHA512 || (hashes & KW_BIT(algorithm->hash)) == 0 ||
        (unsigned)algorithm->mgf_hash > KW_HASH_SHA512 || (hashes & KW_BIT(algorithm->mgf_hash)) == 0)
        return p11_report(host_of(key), KW_UNSUPPORTED, "the token '%s' does not do this hash with this scheme",
                          key->instance->token->label);
    return KW_OK;
}

/*
 * Initializes with the key's handle. A handle that the token does not know may be old although the session is not (another process wrote
 * the key anew): it is looked up once before the token counts as lost. A key that asks for its PIN at each use gets it. Where a copy of the
 * key may do, it is taken, and nothing of this is needed: perform() does without it what fails with it.
 */
static CK_RV initialize(struct p11_use *use, struct operation *operation)
{
    kw_plugin_instance *instance = use->instance;
    CK_OBJECT_HANDLE handle, before;
    char room[24];
    CK_RV result = p11_key_handle(use, operation->key, false, &handle);
    if (result != CKR_OK)
        return result;
    const CK_OBJECT_HANDLE copy = operation->copies ? p11_copy_of(use, handle) : handle;
    use->by_copy = copy != handle;
    if (use->by_copy)
        return operation->init(use, operation, copy);
    result = operation->init(use, operation, handle);
    if (result == CKR_KEY_HANDLE_INVALID || result == CKR_OBJECT_HANDLE_INVALID) {
        CK_RV refusal = result;
        before = handle;
        p11_copy_drop(use, handle);
        result = p11_key_handle(use, operation->key, true, &handle);
        if (result != CKR_OK)
            return result;
        result = handle != before ? operation->init(use, operation, handle) : refusal;
    }
    operation->handle = handle;
    if (p11_failure_is_inability(result)) {
        use->dirty = true;
        return p11_tell(use, KW_UNSUPPORTED, "the token '%s' does not do this with key %s: %s answers %s",
                        instance->token->label, operation->key->name, use->function, p11_failure_name(result, room));
    }
    if (result != CKR_OK || !operation->key->traits.always_authenticate)
        return result;
    if (instance->wants_pin && instance->pin_length == 0) { /* an empty one would count as a wrong one */
        use->dirty = true;
        return p11_tell(use, KW_UNAVAILABLE,
                        "key %s of the token '%s' asks for the PIN, which this process does not have",
                        operation->key->name, instance->token->label);
    }
    result = p11_did(use, "C_Login",
                     instance->wants_pin ? use->functions->C_Login(use->session, CKU_CONTEXT_SPECIFIC, instance->pin,
                                                                   instance->pin_length)
                                         : use->functions->C_Login(use->session, CKU_CONTEXT_SPECIFIC, NULL, 0));
    return result == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : result;
}

/* ---- Sign -------------------------------------------------------------------------------------------------------- */

static CK_RV sign_init(struct p11_use *use, struct operation *operation, CK_OBJECT_HANDLE handle)
{
    return p11_did(use, "C_SignInit", use->functions->C_SignInit(use->session, &operation->mechanism, handle));
}

static CK_RV sign(struct p11_use *use, void *argument)
{
    struct operation *operation = argument;
    kw_plugin_key *key = operation->key;
    unsigned char room[P11_RSA_BYTES + 64];
    size_t field = (key->public.bits + 7) / 8, wanted = key->public.type == KW_KEY_RSA ? key->size : 2 * field;
    /* NSS makes EdDSA signatures into room of their length alone. */
    CK_ULONG length = operation->algorithm.scheme == KW_SCHEME_EDDSA ? wanted : sizeof(room);
    unsigned char *data = (unsigned char *)(uintptr_t)operation->input.data;
    if (use->copy_failed) {
        operation->copies = false;
        atomic_store(&key->no_copies, true);
    }
    CK_RV result = initialize(use, operation);
    if (result != CKR_OK)
        return result;
    result = p11_did(use, "C_Sign", use->functions->C_Sign(use->session, data, operation->input.length, room, &length));
    if (result != CKR_OK)
        return result;
    if (length != wanted)
        return p11_tell(use, KW_FAILED, "the module is broken: C_Sign gave a signature of %lu bytes instead of %zu",
                        length, wanted);
    if (operation->algorithm.scheme == KW_SCHEME_ECDSA) {
        unsigned char der[sizeof(room) + 16];
        const size_t encoded = p11_ecdsa_encode((kw_input){room, length}, der);
        if (encoded > key->size) /* a number that is longer than the curve's order */
            return p11_tell(use, KW_FAILED,
                            "the module is broken: C_Sign gave a signature that no key on this curve makes");
        memcpy(operation->output->data, der, encoded);
        operation->output->length = encoded;
    } else {
        memcpy(operation->output->data, room, length);
        operation->output->length = length;
    }
    operation->copy_due = operation->copies && !use->by_copy && p11_copy_used(use, operation->handle);
    return CKR_OK;
}

/* What a signature scheme demands of its hash, salt and digest. */
static kw_status check_sign(const kw_plugin_key *key, kw_algorithm *algorithm, kw_input input)
{
    if (algorithm->is_message != 0)
        return p11_report(host_of(key), KW_UNSUPPORTED, "messages are hashed by the host");
    /* An ECDSA signature does not name its hash, so a digest may come without one. */
    if (algorithm->scheme == KW_SCHEME_ECDSA && algorithm->hash == KW_HASH_NONE) {
        if (input.length == 0 || input.length > MAXIMUM_DIGEST)
            return p11_report(host_of(key), KW_INVALID_ARGUMENT, "a digest has 1 to %u bytes", MAXIMUM_DIGEST);
        return KW_OK;
    }
    kw_status status = check_hashes(key, key->instance->abilities[key->public.type].sign_hashes, algorithm);
    if (status != KW_OK)
        return status;
    size_t length = hash_table[algorithm->hash].length;
    if (input.length != length)
        return p11_report(host_of(key), KW_INVALID_ARGUMENT, "the digest has %zu bytes instead of %zu", input.length,
                          length);
    /* RFC 8017 section 9.1.1 step 3, with emBits = modulus bits - 1 */
    if (algorithm->scheme == KW_SCHEME_RSA_PSS && algorithm->salt_length > (key->public.bits + 6) / 8 - length - 2)
        return p11_report(host_of(key), KW_INVALID_ARGUMENT, "a salt of %u bytes is too long for this key",
                          algorithm->salt_length);
    return KW_OK;
}

static kw_status check_block(const kw_plugin_key *key, kw_input input)
{
    if (input.length != key->size)
        return p11_report(host_of(key), KW_INVALID_ARGUMENT, "the block has %zu bytes instead of %zu", input.length,
                          key->size);
    if (memcmp(input.data, key->public.modulus, key->size) >= 0)
        return p11_report(host_of(key), KW_INVALID_ARGUMENT, "the block is not below the modulus");
    return KW_OK;
}

/*
 * FIPS 186-5 section 6.4.1 takes the leftmost bits; some tokens refuse more than they use. Zeros in front leave the number as it is, and
 * some want them.
 */
static kw_input fit_digest(const kw_plugin_key *key, kw_input digest, unsigned char room[MAXIMUM_DIGEST])
{
    size_t field = (key->public.bits + 7) / 8;
    kw_input fit = {digest.data, digest.length > field ? field : digest.length};
    size_t whole = fit.length <= 32 ? 32 : fit.length <= 48 ? 48 : MAXIMUM_DIGEST;
    if (!key->instance->module->manners.whole_digests || whole > field)
        return fit;
    memset(room, 0, whole - fit.length);
    memcpy(room + (whole - fit.length), fit.data, fit.length);
    return (kw_input){room, whole};
}

kw_status p11_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input input,
                   kw_output *signature)
{
    unsigned char data[INFO_MAXIMUM + MAXIMUM_DIGEST];
    struct operation operation;
    kw_status status = begin(key, KW_CAN_SIGN,
                             KW_BIT(KW_SCHEME_RSA_PKCS1) | KW_BIT(KW_SCHEME_RSA_PSS) | KW_BIT(KW_SCHEME_RSA_RAW) |
                                 KW_BIT(KW_SCHEME_ECDSA) | KW_BIT(KW_SCHEME_EDDSA),
                             sent, &operation);
    if (status != KW_OK)
        return status;
    kw_algorithm *algorithm = &operation.algorithm;
    if (algorithm->scheme == KW_SCHEME_RSA_RAW)
        status = check_block(key, input);
    else if (algorithm->scheme != KW_SCHEME_EDDSA)
        status = check_sign(key, algorithm, input);
    if (status != KW_OK)
        return status;
    if (!p11_fits(signature, key->size))
        return KW_BUFFER_TOO_SMALL;
    operation.input = input;
    operation.output = signature;
    operation.init = sign_init;
    operation.copies = key->instance->key_copies > 0 && key->instance->module->manners.checks_objects &&
                       !key->traits.always_authenticate && !atomic_load(&key->no_copies);
    if (algorithm->scheme == KW_SCHEME_RSA_PKCS1) {
        const struct hash *hash = &hash_table[algorithm->hash];
        size_t head = algorithm->hash == KW_HASH_SHA1 ? 15 : INFO_MAXIMUM;
        memcpy(data, hash->info, head);
        memcpy(data + head, input.data, input.length);
        operation.input = (kw_input){data, head + input.length};
        operation.mechanism.mechanism = CKM_RSA_PKCS;
    } else if (algorithm->scheme == KW_SCHEME_RSA_PSS) {
        operation.pss = (CK_RSA_PKCS_PSS_PARAMS){.hashAlg = hash_table[algorithm->hash].mechanism,
                                                 .mgf = hash_table[algorithm->mgf_hash].mgf,
                                                 .sLen = algorithm->salt_length};
        operation.mechanism = (CK_MECHANISM){CKM_RSA_PKCS_PSS, &operation.pss, sizeof(operation.pss)};
    } else if (algorithm->scheme == KW_SCHEME_RSA_RAW) {
        operation.mechanism.mechanism = CKM_RSA_X_509;
    } else if (algorithm->scheme == KW_SCHEME_ECDSA) {
        operation.input = fit_digest(key, input, data);
        operation.mechanism.mechanism = CKM_ECDSA;
    } else {
        operation.mechanism.mechanism = CKM_EDDSA;
    }
    status = p11_perform(key->instance, call, "sign", sign, &operation);
    if (status == KW_OK && operation.copy_due && !p11_copies_make(key->instance, operation.handle))
        atomic_store(&key->no_copies, true);
    return status;
}

/* ---- Decrypt ---------------------------------------------------------------------------------------------------------- */

static CK_RV decrypt_init(struct p11_use *use, struct operation *operation, CK_OBJECT_HANDLE handle)
{
    return p11_did(use, "C_DecryptInit", use->functions->C_DecryptInit(use->session, &operation->mechanism, handle));
}

static CK_RV decrypt(struct p11_use *use, void *argument)
{
    struct operation *operation = argument;
    kw_output *output = operation->output;
    size_t size = operation->key->size;
    CK_ULONG length = size;
    unsigned char *data = (unsigned char *)(uintptr_t)operation->input.data;
    CK_RV result = initialize(use, operation);
    if (result != CKR_OK)
        return result;
    result = p11_did(use, "C_Decrypt",
                     use->functions->C_Decrypt(use->session, data, operation->input.length, output->data, &length));
    if (result != CKR_OK && operation->key->instance->module->manners.failures_stay &&
        use->functions->C_DecryptFinal != NULL) {
        unsigned char rest[P11_RSA_BYTES];
        CK_ULONG rest_length = sizeof(rest);
        (void)p11_did(use, NULL, use->functions->C_DecryptFinal(use->session, rest, &rest_length));
    }
    bool raw = operation->algorithm.scheme == KW_SCHEME_RSA_RAW;
    if (result == CKR_OK && length > size)
        return p11_tell(use, KW_FAILED, "the module is broken: C_Decrypt gave %lu bytes, and the modulus has %zu",
                        length, size);
    if (result == CKR_OK && raw && length < size) { /* without its leading zeros */
        memmove(output->data + (size - length), output->data, length);
        memset(output->data, 0, size - length);
        length = size;
    }
    /* Tokens have many words for what is wrong with a ciphertext; the caller gets one. */
    bool ours = p11_failure_is_loss(result) || result == CKR_HOST_MEMORY || result == CKR_DEVICE_MEMORY ||
                result == CKR_FUNCTION_NOT_SUPPORTED;
    if (result != CKR_OK && !raw && !ours) {
        use->dirty = true;
        return p11_tell(use, KW_CIPHERTEXT_INVALID, "the ciphertext was not made for this key, or was changed");
    }
    output->length = result == CKR_OK ? length : 0;
    return result;
}

kw_status p11_decrypt(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input ciphertext,
                      kw_output *plaintext)
{
    struct operation operation;
    kw_status status =
        begin(key, KW_CAN_DECRYPT, KW_BIT(KW_SCHEME_RSA_OAEP) | KW_BIT(KW_SCHEME_RSA_RAW), sent, &operation);
    if (status != KW_OK)
        return status;
    kw_algorithm *algorithm = &operation.algorithm;
    operation.mechanism.mechanism = CKM_RSA_X_509;
    if (algorithm->scheme == KW_SCHEME_RSA_OAEP) {
        /* Some tokens ignore a label, which cannot be seen from here. With raw RSA the host does it right. */
        if (algorithm->label.length > 0 &&
            (key->instance->abilities[KW_KEY_RSA].schemes & KW_BIT(KW_SCHEME_RSA_RAW)) != 0)
            return p11_report(host_of(key), KW_UNSUPPORTED, "OAEP with a label is left to the host, by raw RSA");
        status = check_hashes(key, key->instance->abilities[KW_KEY_RSA].oaep_hashes, algorithm);
        if (status != KW_OK)
            return status;
        operation.oaep = (CK_RSA_PKCS_OAEP_PARAMS){
            .hashAlg = hash_table[algorithm->hash].mechanism,
            .mgf = hash_table[algorithm->mgf_hash].mgf,
            .source = CKZ_DATA_SPECIFIED,
            .pSourceData = algorithm->label.length > 0 ? (void *)(uintptr_t)algorithm->label.data : NULL,
            .ulSourceDataLen = algorithm->label.length,
        };
        operation.mechanism = (CK_MECHANISM){CKM_RSA_PKCS_OAEP, &operation.oaep, sizeof(operation.oaep)};
    }
    if (!p11_fits(plaintext, key->size))
        return KW_BUFFER_TOO_SMALL;
    operation.input = ciphertext;
    operation.output = plaintext;
    operation.init = decrypt_init;
    if (ciphertext.length != key->size || memcmp(ciphertext.data, key->public.modulus, key->size) >= 0)
        status =
            p11_report(host_of(key), KW_CIPHERTEXT_INVALID, "the ciphertext was not made for this key, or was changed");
    else
        status = p11_perform(key->instance, call, "decrypt", decrypt, &operation);
    if (status != KW_OK)
        plaintext->length = 0;
    return status;
}

/* ---- Derive ------------------------------------------------------------------------------------------------------------ */

struct agreement {
    struct operation operation;
    unsigned char point[P11_POINT_MAXIMUM];
    size_t point_length, length;
    CK_ECDH1_DERIVE_PARAMS parameters;
    CK_OBJECT_HANDLE secret;
};

static CK_RV derive_init(struct p11_use *use, struct operation *operation, CK_OBJECT_HANDLE handle)
{
    struct agreement *agreement = (struct agreement *)operation; /* its first member */
    static const CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
    static const CK_KEY_TYPE generic = CKK_GENERIC_SECRET;
    static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG length = agreement->length;
    CK_ATTRIBUTE template[] = {
        p11_attribute(CKA_CLASS, &secret_key, sizeof(secret_key)),
        p11_attribute(CKA_KEY_TYPE, &generic, sizeof(generic)),
        p11_attribute(CKA_TOKEN, &no, sizeof(no)),
        p11_attribute(CKA_SENSITIVE, &no, sizeof(no)),
        p11_attribute(CKA_EXTRACTABLE, &yes, sizeof(yes)),
        p11_attribute(CKA_VALUE_LEN, &length, sizeof(length)),
    };
    return p11_did(
        use, "C_DeriveKey",
        use->functions->C_DeriveKey(use->session, &operation->mechanism, handle, template, 6, &agreement->secret));
}

static CK_RV derive(struct p11_use *use, void *argument)
{
    struct operation *operation = argument;
    struct agreement *agreement = argument;
    unsigned char wrapped[P11_POINT_MAXIMUM + 3];
    kw_output *output = operation->output;
    CK_ECDH1_DERIVE_PARAMS *parameters = &agreement->parameters;
    agreement->parameters = (CK_ECDH1_DERIVE_PARAMS){
        .kdf = CKD_NULL, .ulPublicDataLen = agreement->point_length, .pPublicData = agreement->point};
    operation->mechanism = (CK_MECHANISM){CKM_ECDH1_DERIVE, parameters, sizeof(*parameters)};
    CK_RV result = initialize(use, operation);
    if (result == P11_TOLD && use->status == KW_UNSUPPORTED) {
        /* Some tokens want the point as CKA_EC_POINT has it. */
        size_t head = agreement->point_length < 0x80 ? 2 : 3;
        wrapped[0] = 0x04;
        wrapped[1] = 0x81;
        wrapped[head - 1] = (unsigned char)agreement->point_length;
        memcpy(wrapped + head, agreement->point, agreement->point_length);
        parameters->pPublicData = wrapped;
        parameters->ulPublicDataLen = agreement->point_length + head;
        result = initialize(use, operation);
    }
    if (result != CKR_OK)
        return result;
    CK_ATTRIBUTE value = p11_attribute(CKA_VALUE, output->data, agreement->length);
    result = p11_attributes_get(use, agreement->secret, &value, 1);
    (void)p11_did(use, NULL, use->functions->C_DestroyObject(use->session, agreement->secret));
    if (result != CKR_OK)
        return result;
    if (!p11_attribute_has(&value))
        return p11_tell(use, KW_UNSUPPORTED, "the token '%s' does not give out what ECDH with key %s results in",
                        use->instance->token->label, operation->key->name);
    size_t missing = agreement->length - value.ulValueLen;
    memmove(output->data + missing, output->data, value.ulValueLen);
    memset(output->data, 0, missing);
    output->length = agreement->length;
    return CKR_OK;
}

kw_status p11_derive(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input peer,
                     kw_output *shared)
{
    struct agreement agreement = {.point_length = 0};
    kw_status status = begin(key, KW_CAN_DERIVE, KW_BIT(KW_SCHEME_ECDH), sent, &agreement.operation);
    if (status != KW_OK)
        return status;
    agreement.length = (key->public.bits + 7) / 8;
    if (!p11_fits(shared, agreement.length))
        return KW_BUFFER_TOO_SMALL;
    if (!p11_gate_enter(&key->instance->module->gate, p11_patience(key->instance, call)))
        return p11_shut_out(key->instance);
    bool fits = p11_peer_point(peer, key->public.curve, agreement.point, &agreement.point_length);
    p11_gate_leave(&key->instance->module->gate);
    if (!fits)
        return p11_report(host_of(key), KW_INVALID_ARGUMENT, "the peer's key is not on the curve of key %s", key->name);
    agreement.operation.output = shared;
    agreement.operation.init = derive_init;
    return p11_perform(key->instance, call, "derive a secret", derive, &agreement);
}
