/* Handles on keys; finding and deleting them. */
#include "key.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static const CK_BBOOL yes = CK_TRUE;

/* ---- Searching ----------------------------------------------------------------------------------------------------- */

#define TEMPLATE_MAXIMUM 5u

/* What objects of this class at this place have; a key's place is its CKA_ID, or its label where it has none. */
static size_t place_template(const struct p11_locator *locator, const CK_OBJECT_CLASS *class,
                             CK_ATTRIBUTE template[TEMPLATE_MAXIMUM])
{
    size_t count = 0;
    template[count++] = p11_attribute(CKA_CLASS, class, sizeof(*class));
    template[count++] = p11_attribute(CKA_TOKEN, &yes, sizeof(yes));
    template[count++] = p11_attribute(CKA_ID, locator->id, locator->id_length);
    if (locator->id_length == 0)
        template[count++] = p11_attribute(CKA_LABEL, locator->label, locator->label_length);
    if (*class != CKO_CERTIFICATE)
        template[count++] = p11_attribute(CKA_KEY_TYPE, &locator->type, sizeof(locator->type));
    return count;
}

CK_RV p11_place_find(struct p11_use *use, const struct p11_locator *locator, CK_OBJECT_CLASS class,
                     CK_OBJECT_HANDLE found[P11_MATCHES], size_t *count)
{
    CK_ATTRIBUTE template[TEMPLATE_MAXIMUM];
    size_t attributes = place_template(locator, &class, template);
    return p11_objects_find(use, template, attributes, found, count);
}

CK_RV p11_key_search(struct p11_use *use, const struct p11_locator *locator, CK_OBJECT_HANDLE *handle)
{
    char name[P11_LOCATOR_MAXIMUM], rights[P11_RIGHTS];
    CK_OBJECT_HANDLE found[P11_MATCHES];
    size_t count = 0;
    CK_RV result = p11_place_find(use, locator, CKO_PRIVATE_KEY, found, &count);
    if (result == CKR_OK && count == 0)
        result = p11_objects_absent(use);
    if (result != CKR_OK)
        return result;
    p11_locator_write(locator, name);
    p11_token_rights(rights);
    if (count == 0)
        return p11_tell(use, KW_NOT_FOUND, "the token '%s' has no private key %s%s", use->instance->token->label, name,
                        rights);
    if (count > 1)
        return p11_tell(use, KW_REFUSED, "the token '%s' has more than one private key %s; none of them is taken",
                        use->instance->token->label, name);
    *handle = found[0];
    return CKR_OK;
}

CK_RV p11_key_handle(struct p11_use *use, kw_plugin_key *key, bool search, CK_OBJECT_HANDLE *handle)
{
    pthread_mutex_lock(&key->mutex);
    bool known = key->generation == use->generation && key->handle != 0 && !search;
    *handle = key->handle;
    pthread_mutex_unlock(&key->mutex);
    if (known)
        return CKR_OK;
    CK_RV result = p11_key_search(use, &key->locator, handle);
    if (result != CKR_OK)
        return result;
    pthread_mutex_lock(&key->mutex);
    key->generation = use->generation;
    key->handle = *handle;
    pthread_mutex_unlock(&key->mutex);
    return CKR_OK;
}

/* ---- Public keys --------------------------------------------------------------------------------------------------------- */

static kw_input view_of(const CK_ATTRIBUTE *attribute)
{
    return p11_attribute_has(attribute) ? (kw_input){attribute->pValue, attribute->ulValueLen} : (kw_input){NULL, 0};
}

/* From the public key object beside the private key. */
static bool read_beside(struct p11_use *use, const struct p11_locator *locator, struct p11_public *public,
                        CK_RV *result)
{
    unsigned char first[P11_RSA_BYTES + 8], second[P11_POINT_MAXIMUM];
    CK_OBJECT_HANDLE found[P11_MATCHES];
    size_t count = 0;
    bool rsa = locator->type == CKK_RSA, known = false;
    *result = p11_place_find(use, locator, CKO_PUBLIC_KEY, found, &count);
    for (size_t i = 0; *result == CKR_OK && i < count && !known; i++) {
        CK_ATTRIBUTE parts[] = {
            p11_attribute(rsa ? CKA_MODULUS : CKA_EC_PARAMS, first, sizeof(first)),
            p11_attribute(rsa ? CKA_PUBLIC_EXPONENT : CKA_EC_POINT, second, sizeof(second)),
        };
        *result = p11_attributes_get(use, found[i], parts, 2);
        known = *result == CKR_OK && (rsa ? p11_public_rsa(view_of(&parts[0]), view_of(&parts[1]), public)
                                          : p11_public_ec(view_of(&parts[0]), view_of(&parts[1]), public));
    }
    return known;
}

/* From a certificate beside it. */
static bool read_certificate(struct p11_use *use, const struct p11_locator *locator, struct p11_public *public,
                             CK_RV *result)
{
    CK_OBJECT_HANDLE found[P11_MATCHES];
    size_t count = 0;
    bool known = false;
    *result = p11_place_find(use, locator, CKO_CERTIFICATE, found, &count);
    for (size_t i = 0; *result == CKR_OK && i < count && !known; i++) {
        *result = p11_certificate_public(use, found[i], public, &known);
        known = known && p11_type_of(public->type) == locator->type;
    }
    return known;
}

CK_RV p11_key_read_public(struct p11_use *use, CK_OBJECT_HANDLE handle, const struct p11_locator *locator,
                          struct p11_public *public, struct p11_traits *traits)
{
    char name[P11_LOCATOR_MAXIMUM];
    unsigned char first[P11_RSA_BYTES + 8], second[64], spki[P11_SPKI_MAXIMUM];
    unsigned char label[1024]; /* a label that does not fit would keep some modules from telling the rest */
    CK_BBOOL sign = CK_FALSE, decrypt = CK_FALSE, derive = CK_FALSE, authenticate = CK_FALSE;
    bool rsa = locator->type == CKK_RSA;
    /* Some modules stop at the first that they do not know: that one is last. */
    CK_ATTRIBUTE parts[] = {
        p11_attribute(CKA_SIGN, &sign, sizeof(sign)),
        p11_attribute(rsa ? CKA_DECRYPT : CKA_DERIVE, rsa ? &decrypt : &derive, sizeof(decrypt)),
        p11_attribute(rsa ? CKA_MODULUS : CKA_EC_PARAMS, first, sizeof(first)),
        p11_attribute(CKA_LABEL, label, sizeof(label)),
        p11_attribute(CKA_ALWAYS_AUTHENTICATE, &authenticate, sizeof(authenticate)),
        p11_attribute(rsa ? CKA_PUBLIC_EXPONENT : CKA_PUBLIC_KEY_INFO, rsa ? second : spki,
                      rsa ? sizeof(second) : sizeof(spki)),
    };
    CK_RV result = p11_attributes_get(use, handle, parts, sizeof(parts) / sizeof(parts[0]));
    if (result != CKR_OK)
        return result;
    *traits = (struct p11_traits){.always_authenticate = p11_attribute_is_true(&parts[4])};
    if (p11_attribute_has(&parts[3]))
        memcpy(traits->label, label,
               parts[3].ulValueLen < KW_KEY_LABEL_MAXIMUM ? parts[3].ulValueLen : KW_KEY_LABEL_MAXIMUM);
    bool known = rsa ? p11_public_rsa(view_of(&parts[2]), view_of(&parts[5]), public)
                     : p11_public_spki(view_of(&parts[5]), public) && p11_type_of(public->type) == locator->type;
    if (!known)
        known = read_beside(use, locator, public, &result) ||
                (result == CKR_OK && read_certificate(use, locator, public, &result));
    if (result != CKR_OK)
        return result;
    p11_locator_write(locator, name);
    if (!known)
        return p11_tell(use, KW_UNSUPPORTED,
                        "the token '%s' has no public key or certificate beside the private key %s, or one that "
                        "keywright does not know",
                        use->instance->token->label, name);
    traits->operations = (p11_attribute_is_true(&parts[0]) ? KW_CAN_SIGN : 0u) |
                         (rsa && p11_attribute_is_true(&parts[1]) ? KW_CAN_DECRYPT : 0u) |
                         (!rsa && p11_attribute_is_true(&parts[1]) ? KW_CAN_DERIVE : 0u);
    return CKR_OK;
}

/* ---- Handles ------------------------------------------------------------------------------------------------------------------ */

static void give_capabilities(const kw_plugin_key *key, kw_key_capabilities *capabilities)
{
    const struct p11_ability *ability = &key->instance->abilities[key->public.type];
    kw_key_capabilities can = {
        .type = key->public.type,
        .bits = key->public.bits,
        .curve = key->public.curve,
        .operations = key->traits.operations | (key->instance->capabilities.operations & KW_CAN_DELETE),
        .features = (key->instance->capabilities.features & (KW_FEATURE_HARDWARE | KW_FEATURE_SHARED)) |
                    (key->traits.always_authenticate ? KW_FEATURE_ALWAYS_AUTHENTICATE : 0u),
        .schemes = ability->schemes,
    };
    if ((key->traits.operations & KW_CAN_SIGN) == 0)
        can.schemes &= ~(KW_BIT(KW_SCHEME_RSA_PKCS1) | KW_BIT(KW_SCHEME_RSA_PSS) | KW_BIT(KW_SCHEME_ECDSA) |
                         KW_BIT(KW_SCHEME_EDDSA));
    else
        can.sign_hashes = ability->sign_hashes;
    if ((key->traits.operations & KW_CAN_DECRYPT) == 0)
        can.schemes &= ~KW_BIT(KW_SCHEME_RSA_OAEP);
    else
        can.oaep_hashes = ability->oaep_hashes;
    if ((key->traits.operations & KW_CAN_DERIVE) == 0)
        can.schemes &= ~KW_BIT(KW_SCHEME_ECDH);
    memcpy(can.label, key->traits.label, sizeof(can.label));
    p11_give(capabilities, &can, sizeof(can));
}

static CK_RV open_key(struct p11_use *use, void *argument)
{
    kw_plugin_key *key = argument;
    CK_OBJECT_HANDLE handle = 0;
    CK_RV result = p11_key_search(use, &key->locator, &handle);
    if (result == CKR_OK)
        result = p11_key_read_public(use, handle, &key->locator, &key->public, &key->traits);
    key->handle = handle;
    key->generation = use->generation;
    return result;
}

static kw_status read_locator(const kw_host *host, kw_input text, struct p11_locator *locator)
{
    if (!p11_locator_read(text, locator))
        return p11_report(host, KW_INVALID_ARGUMENT,
                          "the locator is not one of pkcs11's, such as rsa:id=0a1b, ec:id=0a1b or ec:label=name");
    return KW_OK;
}

kw_status p11_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input locator, kw_plugin_key **key,
                       kw_key_capabilities *capabilities)
{
    const kw_host *host = &instance->host;
    kw_status status = KW_OK;
    kw_plugin_key *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return p11_report(host, KW_OUT_OF_MEMORY, "out of memory");
    made->instance = instance;
    pthread_mutex_init(&made->mutex, NULL);
    status = read_locator(host, locator, &made->locator);
    if (status == KW_OK)
        status = p11_perform(instance, call, "open the key", open_key, made);
    if (status != KW_OK)
        goto out;
    p11_locator_write(&made->locator, made->name);
    made->traits.operations &= instance->abilities[made->public.type].operations;
    size_t field = (made->public.bits + 7) / 8;
    made->size = made->public.type == KW_KEY_RSA  ? made->public.modulus_length
                 : made->public.type == KW_KEY_EC ? p11_ecdsa_maximum(made->public.bits)
                                                  : 2 * field;
    give_capabilities(made, capabilities);
    *key = made;
    made = NULL;
out:
    p11_key_close(made);
    return status;
}

void p11_key_close(kw_plugin_key *key)
{
    if (key == NULL)
        return;
    pthread_mutex_destroy(&key->mutex);
    free(key);
}

kw_status p11_key_public(kw_plugin_key *key, const kw_call *call, kw_output *spki)
{
    (void)call;
    if (!p11_fits(spki, key->public.spki_length))
        return KW_BUFFER_TOO_SMALL;
    memcpy(spki->data, key->public.spki, key->public.spki_length);
    return KW_OK;
}

/* ---- Find, delete ---------------------------------------------------------------------------------------------------------------- */

/* By the id that the key was made with, whatever its type. */
static CK_RV find_key(struct p11_use *use, void *argument)
{
    struct p11_locator *locator = argument;
    static const CK_OBJECT_CLASS private_key = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[] = {
        p11_attribute(CKA_CLASS, &private_key, sizeof(private_key)),
        p11_attribute(CKA_TOKEN, &yes, sizeof(yes)),
        p11_attribute(CKA_ID, locator->id, locator->id_length),
    };
    CK_OBJECT_HANDLE found[P11_MATCHES];
    size_t count = 0;
    CK_RV result = p11_objects_find(use, template, 3, found, &count);
    if (result == CKR_OK && count == 0)
        result = p11_objects_absent(use);
    if (result != CKR_OK)
        return result;
    if (count == 0)
        return p11_tell(use, KW_NOT_FOUND, "the token '%s' has no private key with this id",
                        use->instance->token->label);
    if (count > 1)
        return p11_tell(use, KW_REFUSED, "the token '%s' has more than one private key with this id",
                        use->instance->token->label);
    CK_ATTRIBUTE type = p11_attribute(CKA_KEY_TYPE, &locator->type, sizeof(locator->type));
    return p11_attributes_get(use, found[0], &type, 1);
}

kw_status p11_key_find(kw_plugin_instance *instance, const kw_call *call, const unsigned char id[KW_KEY_ID_LENGTH],
                       kw_output *locator)
{
    struct p11_locator found = {.type = CKK_RSA, .id_length = KW_KEY_ID_LENGTH};
    memcpy(found.id, id, KW_KEY_ID_LENGTH);
    if (!p11_fits(locator, P11_LOCATOR_MAXIMUM))
        return KW_BUFFER_TOO_SMALL;
    kw_status status = p11_perform(instance, call, "look for a key", find_key, &found);
    return status == KW_OK ? p11_locator_put(&found, locator) : status;
}

static CK_RV destroy_all(struct p11_use *use, const CK_OBJECT_HANDLE *objects, size_t count)
{
    CK_RV result = CKR_OK;
    for (size_t i = 0; result == CKR_OK && i < count; i++)
        result = p11_did(use, "C_DestroyObject", use->functions->C_DestroyObject(use->session, objects[i]));
    return result;
}

CK_RV p11_key_destroy(struct p11_use *use, const struct p11_locator *locator)
{
    CK_OBJECT_HANDLE keys[P11_MATCHES], public_keys[P11_MATCHES], certificates[P11_MATCHES];
    size_t count = 0, public_count = 0, certificate_count = 0;
    /* All is looked up before anything goes, since the public key tells which certificates are the key's. */
    CK_RV result = p11_place_find(use, locator, CKO_PRIVATE_KEY, keys, &count);
    if (result == CKR_OK)
        result = p11_place_find(use, locator, CKO_PUBLIC_KEY, public_keys, &public_count);
    if (result == CKR_OK && count == 1)
        result = p11_certificates_find(use, locator, keys[0], certificates, &certificate_count);
    /* The private key last: as long as it is there, the deletion can be asked for again. */
    if (result == CKR_OK)
        result = destroy_all(use, public_keys, public_count);
    if (result == CKR_OK)
        result = destroy_all(use, certificates, certificate_count);
    if (result == CKR_OK)
        result = destroy_all(use, keys, count);
    if (result == CKR_OK)
        result = p11_place_find(use, locator, CKO_PRIVATE_KEY, keys, &count);
    if (result == CKR_OK && count > 0)
        return p11_tell(use, KW_FAILED, "the token '%s' says that the key is deleted, and still has it",
                        use->instance->token->label);
    return result;
}

struct deletion {
    struct p11_locator locator;
    CK_OBJECT_HANDLE key;
};

static CK_RV delete_key(struct p11_use *use, void *argument)
{
    struct deletion *deletion = argument;
    CK_RV result = p11_key_search(use, &deletion->locator, &deletion->key);
    return result == CKR_OK ? p11_key_destroy(use, &deletion->locator) : result;
}

kw_status p11_key_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator)
{
    struct deletion deletion = {.key = 0};
    kw_status status = read_locator(&instance->host, locator, &deletion.locator);
    if (status == KW_OK)
        status = p11_change(instance, call, "delete the key", delete_key, &deletion);
    if (status == KW_OK)
        p11_copies_sweep(instance, deletion.key);
    return status;
}
