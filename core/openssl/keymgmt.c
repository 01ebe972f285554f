/*
 * Keys of every type: libcrypto sees the public half as the default provider tells it, and never gets the private one. What differs by type is in
 * keymgmt_types.c.
 */
#include "openssl/keymgmt.h"

#include "base/buffer.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

/* ---- Life ---- */

struct keydata *keydata_new(const struct provider *provider, const char *type)
{
    struct keydata *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->provider = provider;
    made->type = type;
    return made;
}

void keydata_free(struct keydata *data)
{
    if (data == NULL)
        return;
    const unsigned depth = crypto_step_out();
    kw_key_free(data->key);
    crypto_step_in(depth);
    crypto_pkey_free(data->public);
    free(data->uri);
    free(data);
}

void keymgmt_free(void *data)
{
    keydata_free(data);
}

/* libcrypto's names by kw_key_type. */
static const char *const type_names[] = {
    [KW_KEY_RSA] = "RSA", [KW_KEY_EC] = "EC", [KW_KEY_ED25519] = "ED25519", [KW_KEY_X25519] = "X25519"};

static bool keydata_set_key(struct keydata *data, kw_key *key)
{
    EVP_PKEY *public = key_public_pkey(key);
    if (!EVP_PKEY_up_ref(public))
        return false;
    data->key = key_reference(key);
    data->pss = *key_pss(key);
    data->public = public;
    data->has_public = true;
    return true;
}

const char *keydata_type(const kw_key *key)
{
    const kw_key_type type = kw_key_get_capabilities(key)->type;
    if (key_pss(key)->only)
        return "RSA-PSS";
    return (size_t)type < sizeof(type_names) / sizeof(type_names[0]) ? type_names[type] : NULL;
}

struct keydata *keydata_of_key(const struct provider *provider, kw_key *key)
{
    struct keydata *made = keydata_new(provider, keydata_type(key));
    if (made != NULL && !keydata_set_key(made, key)) {
        keydata_free(made);
        made = NULL;
    }
    return made;
}

void *keymgmt_load(const void *reference, size_t length)
{
    struct keydata *taken = NULL;
    if (length != sizeof(taken))
        return NULL;
    /* The loader keeps what is not taken, so it must learn of it; the interface has it const. */
    struct keydata **handed = (struct keydata **)(uintptr_t)reference;
    taken = *handed;
    *handed = NULL;
    return taken;
}

/* A copy of the parameters alone takes a public key later, so it is one of its own. */
static EVP_PKEY *copy_parameters(EVP_PKEY *from)
{
    crypto_enter();
    EVP_PKEY *made = EVP_PKEY_new();
    if (made != NULL && !EVP_PKEY_copy_parameters(made, from)) {
        EVP_PKEY_free(made);
        made = NULL;
    }
    crypto_leave();
    return made;
}

void *keymgmt_dup(const void *data, int selection)
{
    const struct keydata *from = data;
    struct keydata *made = keydata_new(from->provider, from->type);
    if (made == NULL || from->public == NULL)
        return made;
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0 || !from->has_public) {
        made->public = copy_parameters(from->public);
    } else if (EVP_PKEY_up_ref(from->public)) {
        made->public = from->public;
        made->has_public = true;
        if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && from->key != NULL)
            made->key = key_reference(from->key);
        made->in_memory = from->in_memory && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
        made->pkcs1 = from->pkcs1;
        made->pss = from->pss;
        if (made->key != NULL && from->uri != NULL)
            made->uri = text_copy(from->uri);
    }
    if (made->public == NULL) {
        keymgmt_free(made);
        made = NULL;
    }
    return made;
}

/* ---- Questions ---- */

int keymgmt_has(const void *data, int selection)
{
    const struct keydata *key = data;
    if (key == NULL || key->public == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 && !key->has_public)
        return 0;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 || key->key != NULL || key->in_memory;
}

int keymgmt_match(const void *left, const void *right, int selection)
{
    const struct keydata *one = left, *other = right;
    if (one->public == NULL || other->public == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0) {
        crypto_enter();
        const int same = EVP_PKEY_parameters_eq(one->public, other->public) == 1;
        crypto_leave();
        return same;
    }
    /* The private half belongs to the public one: the store reads both from one key. */
    return one->has_public && other->has_public && crypto_pkey_is(one->public, other->public);
}

/* What can be known of the private half without using it is that the store has opened it. */
int keymgmt_validate(const void *data, int selection, int type)
{
    const struct keydata *key = data;
    int valid = 0;
    if (!keymgmt_has(key, selection))
        return 0;
    crypto_enter();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(key->provider->library, key->public, DELEGATE_PROPERTY);
    if (context == NULL)
        valid = 0;
    else if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0)
        valid = EVP_PKEY_param_check(context) == 1;
    else if (type == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK)
        valid = EVP_PKEY_public_check_quick(context) == 1;
    else
        valid = EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    crypto_leave();
    return valid;
}

/* The public key's own answers: sizes, group, default digest. A name such as prime256v1 is what TLS 1.3 asks for. */
int keymgmt_get_params(void *data, OSSL_PARAM parameters[])
{
    const struct keydata *key = data;
    crypto_enter();
    const int answered = key->public != NULL && EVP_PKEY_get_params(key->public, parameters);
    crypto_leave();
    return answered;
}

/*
 * CMS makes the sender's ephemeral key out of a copy of our parameters and the point in the message. A key that has its public half never
 * changes.
 */
int keymgmt_set_params(void *data, const OSSL_PARAM parameters[])
{
    struct keydata *key = data;
    const OSSL_PARAM *point = OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);
    const void *bytes = NULL;
    size_t length = 0;
    if (point == NULL)
        return 1;
    if (key->public == NULL || key->has_public)
        return failure_set(KW_REFUSED, "a key that has a public key is never given another");
    if (!OSSL_PARAM_get_octet_string_ptr(point, &bytes, &length))
        return 0;
    crypto_enter();
    key->has_public = EVP_PKEY_set1_encoded_public_key(key->public, bytes, length) > 0;
    crypto_leave();
    return key->has_public;
}

/* ---- In and out ---- */

static int import_key(struct keydata *key, const OSSL_PARAM *parameter)
{
    const void *pointer = NULL;
    size_t length = 0;
    if (!OSSL_PARAM_get_octet_ptr(parameter, &pointer, &length) || pointer == NULL)
        return failure_set(KW_INVALID_ARGUMENT, "the parameter " PROVIDER_PARAM_KEY " holds no key");
    kw_key *taken = (kw_key *)pointer;
    if (!EVP_PKEY_is_a(key_public_pkey(taken), key->type))
        return failure_set(KW_INVALID_ARGUMENT, "the key is no %s key", key->type);
    key->pkcs1 = true; /* which serves CMS alone within the library */
    return keydata_set_key(key, taken);
}

/*
 * What another provider holds: parameters, a public key, or a key in memory. The peer of a key agreement comes with all there is of it, where a program
 * has both ends; so a private half that can agree is taken, too.
 */
static int import_foreign(struct keydata *key, int selection, const OSSL_PARAM parameters[])
{
    int imported = 0;
    OSSL_PARAM *copy = OSSL_PARAM_dup(parameters);
    crypto_enter();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(key->provider->library, key->type, DELEGATE_PROPERTY);
    const bool has_public = OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_PUB_KEY) != NULL ||
                            OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_RSA_N) != NULL;
    /* Some ask for the private half and have the public one alone, which the default provider takes too. */
    const bool wants_public = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0 && has_public;
    const bool private = wants_public && OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_PRIV_KEY) != NULL &&
                         (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
    const int wanted = private ? EVP_PKEY_KEYPAIR : wants_public ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEY_PARAMETERS;
    if (copy == NULL || context == NULL || EVP_PKEY_fromdata_init(context) <= 0 ||
        EVP_PKEY_fromdata(context, &key->public, wanted, copy) <= 0)
        goto out;
    key->has_public = wants_public;
    key->in_memory = private;
    key->pss = pss_of_pkey(key->public);
    imported = 1;
out:
    EVP_PKEY_CTX_free(context);
    crypto_leave();
    OSSL_PARAM_free(copy);
    return imported;
}

int keymgmt_import(void *data, int selection, const OSSL_PARAM parameters[])
{
    struct keydata *key = data;
    const OSSL_PARAM *handed = OSSL_PARAM_locate_const(parameters, PROVIDER_PARAM_KEY);
    if (key->public != NULL)
        return failure_set(KW_REFUSED, "a key is never given another key's content");
    if (handed != NULL)
        return import_key(key, handed);
    /* Whoever holds another private key in memory keeps using it there: libcrypto then goes on to the key's own provider. */
    const bool agrees = strcmp(key->type, "EC") == 0 || strcmp(key->type, "X25519") == 0;
    if (OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_RSA_D) != NULL ||
        (!agrees && OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_PRIV_KEY) != NULL))
        return failure_set(KW_REFUSED, "private keys come in through a store");
    return import_foreign(key, selection, parameters);
}

/*
 * Of a key in a store libcrypto falls back to our own operations, and tools say that they cannot write it, only when this fails. Of a public
 * key it asks for all there is before another provider works with it.
 */
int keymgmt_export(void *data, int selection, OSSL_CALLBACK *callback, void *argument)
{
    const struct keydata *key = data;
    if (key->public == NULL || ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && key->key != NULL))
        return 0;
    if (!key->in_memory)
        selection &= ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
    /* An RSA key has no parameters alone: the default provider would take an empty key for them, and its text encoder crash on that. */
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0 && strncmp(key->type, "RSA", 3) == 0)
        return 0;
    /* The callback is libcrypto's, and may come back: to be called outside. */
    OSSL_PARAM *content = NULL;
    crypto_enter();
    const int told = EVP_PKEY_todata(key->public, selection, &content);
    crypto_leave();
    const int taken = told && callback(content, argument);
    OSSL_PARAM_free(content);
    return taken;
}
