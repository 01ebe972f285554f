#include "openssl/pkey.h"

#include "openssl/provider.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- Why an operation failed ---- */

/* libcrypto's functions have no room for a kw_error, and some hide what went wrong; so it waits here. */
static _Thread_local kw_error last_failure;
static _Thread_local bool failed;
static _Thread_local size_t expected_length;

void pkey_expect_length(size_t length)
{
    expected_length = length;
}

size_t pkey_expected_length(void)
{
    return expected_length;
}

void failure_forget(void)
{
    failed = false;
}

int failure_keep(const kw_error *error)
{
    char place[sizeof(error->where) + 32] = "";
    last_failure = *error;
    failed = true;
    if (error->where[0] != '\0' && error->line > 0)
        snprintf(place, sizeof(place), "%s:%u:%u: ", error->where, error->line, error->column);
    else if (error->where[0] != '\0')
        snprintf(place, sizeof(place), "%s: ", error->where);
    ERR_raise_data(reason_library(), reason_of(error->status), "keywright: %s%s%s%s", place, error->message,
                   error->remedy[0] != '\0' ? "; " : "", error->remedy);
    return 0;
}

int failure_set(kw_status status, const char *format, ...)
{
    kw_error error = {0};
    char text[sizeof(error.message)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    error_set(&error, status, "%s", text);
    return failure_keep(&error);
}

bool pkey_take_error(kw_error *error)
{
    const bool taken = failed;
    if (taken && error != NULL)
        *error = last_failure;
    failed = false;
    return taken;
}

kw_status pkey_error(kw_error *error, kw_status status, const char *what)
{
    kw_error taken = {0};
    if (!pkey_take_error(&taken))
        return crypto_error(error, status, "%s", what);
    ERR_clear_error();
    if (error != NULL)
        *error = taken;
    return taken.status;
}

/* ---- The provider and its keys ---- */

kw_status pkey_provider_attach(struct crypto *crypto, kw_error *error)
{
    if (crypto->key_provider != NULL)
        return error_set(error, KW_EXISTS, "the provider of this library context is attached already");
    /* What needs no store is done by the default provider, whatever order libcrypto would try the providers in. */
    if (!OSSL_PROVIDER_add_builtin(crypto->library, PROVIDER_NAME, provider_start) ||
        !EVP_set_default_properties(crypto->library, "?" DELEGATE_PROPERTY))
        return crypto_error(error, KW_FAILED, "libcrypto does not take the provider of the library's own keys");
    crypto->key_provider = OSSL_PROVIDER_load(crypto->library, PROVIDER_NAME);
    if (crypto->key_provider == NULL)
        return crypto_error(error, KW_FAILED, "the provider of the library's own keys cannot be loaded");
    return KW_OK;
}

static kw_status make_pkey(struct crypto *crypto, kw_key *key, EVP_PKEY **pkey, kw_error *error)
{
    const char *type = keydata_type(key);
    kw_status status = KW_OK;
    EVP_PKEY_CTX *context = NULL;
    EVP_PKEY *made = NULL;
    void *pointer = key;
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_octet_ptr(PROVIDER_PARAM_KEY, &pointer, sizeof(kw_key *)),
                               OSSL_PARAM_construct_end()};
    failure_forget();
    if (type == NULL)
        return error_set(error, KW_UNSUPPORTED, "this type of key can neither sign nor decrypt for certificates");
    context = EVP_PKEY_CTX_new_from_name(crypto->library, type, PROVIDER_PROPERTY);
    if (context == NULL || EVP_PKEY_fromdata_init(context) <= 0 ||
        EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, parameters) <= 0) {
        status = pkey_error(error, KW_FAILED, "libcrypto does not take the key");
        goto out;
    }
    *pkey = made;
    made = NULL;
out:
    EVP_PKEY_free(made);
    EVP_PKEY_CTX_free(context);
    return status;
}

kw_status pkey_from_key(struct crypto *crypto, kw_key *key, EVP_PKEY **pkey, kw_error *error)
{
    crypto_enter();
    const kw_status status = make_pkey(crypto, key, pkey, error);
    crypto_leave();
    return status;
}
