#include "tls/profile.h"

#include "base/file.h"
#include "certificate/bundle.h"
#include "certificate/calls.h"
#include "certificate/key_check.h"
#include "certificate/pkcs12.h"
#include "config/source.h"
#include "tls/verdict.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define SECURITY_LEVEL   2 /* 112 bits */
#define KEY_FILE_MAXIMUM ((size_t)1 << 20)
#define NAMES_MAXIMUM    64

/* ---- Which ---- */

static bool is_address(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

kw_status profile_find(kw_context *context, const char *name, struct profile *profile, kw_error *error)
{
    const struct settings *settings = context->settings;
    const struct connection_settings *found = name != NULL ? settings_connection(settings, name) : NULL;
    const char *names[NAMES_MAXIMUM];
    char hint[HINT_SIZE];
    size_t count = 0;
    if (found == NULL) {
        for (; count < settings->connection_count && count < NAMES_MAXIMUM; count++)
            names[count] = settings->connections[count].name;
        error_set(error, KW_NOT_FOUND, "there is no connection '%s' in the configuration%s", name != NULL ? name : "",
                  nearest_hint(hint, name != NULL ? name : "", names, count));
        error_where(error, "%s", settings->path);
        error_remedy(error, "`keywright connection list` lists them; they are under `connections:`");
        return KW_NOT_FOUND;
    }
    *profile = (struct profile){
        .settings = found,
        .mode = connection_mode_find(found->mode),
        .prelude = prelude_find(found->protocol),
        .is_address = is_address(found->host),
    };
    profile->verifies =
        profile->mode >= CONNECTION_VERIFY_CA || (profile->mode == CONNECTION_REQUIRE && found->authority_count > 0);
    profile->verifies_host = profile->mode == CONNECTION_VERIFY_FULL;
    return KW_OK;
}

static bool key_is_in_store(const struct connection_settings *connection)
{
    return connection->client_key != NULL &&
           strncmp(connection->client_key, CONNECTION_STORE_KEY, strlen(CONNECTION_STORE_KEY)) == 0;
}

/* ---- What can be said before anything is connected ---- */

kw_status profile_check_addresses(const struct settings *settings, kw_error *error)
{
    for (size_t i = 0; i < settings->connection_count; i++) {
        const struct connection_settings *connection = &settings->connections[i];
        kw_error why = {0};
        struct address parsed;
        const struct kind *kind = NULL;
        if (!key_is_in_store(connection))
            continue;
        char *address = address_of_uri(connection->client_key);
        kw_status status = address != NULL ? address_parse(address, &parsed, &why)
                                           : error_set(&why, KW_INVALID_ARGUMENT, "it is no address");
        if (status == KW_OK)
            status = kind_of(&parsed, &kind, &why);
        free(address);
        if (status == KW_OK)
            continue;
        settings_error(settings, connection->client_key_place, error, "'client_key': '%s': %s", connection->client_key,
                       why.message);
        error_remedy(error, "write keywright:ADDRESS, such as keywright:general/db-client");
        return KW_CONFIGURATION;
    }
    return KW_OK;
}

static kw_status check_file(struct crypto *crypto, const struct settings *settings, const char *name, const char *path,
                            struct place place, kw_error *error)
{
    STACK_OF(X509) *certificates = NULL;
    kw_error why = {0};
    const kw_status status = bundle_read_file(crypto, path, &certificates, &why);
    bundle_free(certificates);
    if (status == KW_OK)
        return KW_OK;
    const bool named = strstr(why.message, path) != NULL;
    settings_error(settings, place, error, "'%s': %s%s%s", name, named ? "" : path, named ? "" : ": ", why.message);
    error_remedy(error, "name a file with certificates, in PEM or DER");
    return KW_CONFIGURATION;
}

kw_status profile_check_files(struct crypto *crypto, const struct settings *settings, kw_error *error)
{
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < settings->connection_count; i++) {
        const struct connection_settings *connection = &settings->connections[i];
        for (size_t j = 0; status == KW_OK && j < connection->authority_count; j++)
            status =
                check_file(crypto, settings, "ca", connection->authorities[j], connection->authorities_place, error);
        if (status == KW_OK && connection->client_certificate != NULL)
            status = check_file(crypto, settings, "client_certificate", connection->client_certificate,
                                connection->client_certificate_place, error);
    }
    return status;
}

/* ---- The client's certificate and key ---- */

struct identity {
    EVP_PKEY *key;
    STACK_OF(X509) *certificates; /* in any order */
};

static void identity_clear(struct identity *identity)
{
    crypto_pkey_free(identity->key);
    bundle_free(identity->certificates);
}

static kw_status blame(const struct cause **cause, enum cause_own own, kw_status status)
{
    if (status != KW_OK && status != KW_OUT_OF_MEMORY && cause != NULL)
        *cause = cause_own(own);
    return status;
}

struct asking {
    kw_context *context;
    const struct connection_settings *connection;
    bool has_none; /* a password was wanted, and there is no source */
};

static void log_warning(void *user, const char *sentence)
{
    log_write(user, KW_LOG_WARNING, "%s", sentence);
}

static kw_status ask_password(void *user, struct secret *password, kw_error *error)
{
    struct asking *asking = user;
    const struct source_reader reader = {.prompt = asking->context->prompt,
                                         .user = asking->context->prompt_user,
                                         .allow_inline = asking->context->settings->allow_inline_secrets,
                                         .allow_empty = true,
                                         .warning = log_warning,
                                         .warning_user = &asking->context->log};
    asking->has_none = asking->connection->client_key_password == NULL;
    if (asking->has_none)
        return error_set(error, KW_CONFIGURATION, "the key is encrypted, and client_key_password is not set");
    return source_read(asking->connection->client_key_password, &reader, "the password of the client's private key",
                       false, password, error);
}

static kw_status read_key_file(kw_context *context, const struct profile *profile, struct identity *identity,
                               const struct cause **cause, kw_error *error)
{
    struct asking asking = {.context = context, .connection = profile->settings};
    struct secret content = {0};
    struct pfx_item item = {0};
    kw_status status = file_read_secret(profile->settings->client_key, KEY_FILE_MAXIMUM, &content, error);
    if (status == KW_OK)
        status = pem_read(context->crypto, secret_view(&content), ask_password, &asking, &item, error);
    if (status == KW_OK && item.pkcs8.length == 0)
        status = error_set(error, KW_INVALID_ARGUMENT, "there is no private key in it");
    if (status == KW_OK)
        status = private_key_read(context->crypto, secret_view(&item.pkcs8), &identity->key, error);
    if (status != KW_OK)
        error_where(error, "%s", profile->settings->client_key);
    pfx_item_clear(&item);
    secret_clear(&content);
    return blame(cause,
                 asking.has_none               ? CAUSE_KEY_PASSWORD_MISSING
                 : status == KW_SECRET_REFUSED ? CAUSE_KEY_PASSWORD
                                               : CAUSE_CLIENT_KEY_FILE,
                 status);
}

/* All certificates that lie one behind the other. */
static kw_status read_chain(struct crypto *crypto, kw_input chain, STACK_OF(X509) **certificates, kw_error *error)
{
    kw_status status = KW_OK;
    *certificates = sk_X509_new_null();
    if (*certificates == NULL)
        return error_memory(error);
    while (status == KW_OK && chain.length > 0) {
        X509 *certificate = NULL;
        status = x509_read(crypto, &chain, &certificate, error);
        if (status == KW_OK && sk_X509_push(*certificates, certificate) <= 0) {
            crypto_x509_free(certificate);
            status = error_memory(error);
        }
    }
    return status;
}

static kw_status open_store_key(kw_context *context, const struct profile *profile, struct identity *identity,
                                kw_error *error)
{
    char *address = address_of_uri(profile->settings->client_key);
    struct found found = {0};
    kw_key *key = NULL;
    kw_status status = address != NULL ? manager_find(context, address, &found, error) : error_memory(error);
    if (status == KW_OK && profile->settings->client_certificate == NULL)
        status = read_chain(context->crypto, (kw_input){found.certificate.chain.data, found.certificate.chain.length},
                            &identity->certificates, error);
    if (status == KW_OK)
        status = manager_open_key(context, &found, &key, error);
    if (status == KW_OK)
        status = pkey_from_key(context->crypto, key, &identity->key, error);
    kw_key_free(key);
    found_clear(&found);
    free(address);
    return status;
}

static kw_status mismatch(const struct profile *profile, const struct cause **cause, kw_error *error)
{
    const struct cause *found =
        cause_own(key_is_in_store(profile->settings) ? CAUSE_KEY_MISMATCH_STORE : CAUSE_KEY_MISMATCH);
    if (cause != NULL)
        *cause = found;
    error_set(error, KW_REFUSED, "%s", found->reason);
    if (profile->settings->client_certificate != NULL)
        error_where(error, "%s", profile->settings->client_certificate);
    error_remedy(error, "%s", found->remedy);
    return KW_REFUSED;
}

/* The certificate that is the key's own, and behind it the others. */
static kw_status use_identity(const struct profile *profile, const struct identity *identity,
                              const struct cause **cause, SSL_CTX *tls, kw_error *error)
{
    int own = -1;
    for (int i = 0; own < 0 && i < sk_X509_num(identity->certificates); i++) {
        crypto_enter();
        const EVP_PKEY *public_key = X509_get0_pubkey(sk_X509_value(identity->certificates, i));
        crypto_leave();
        if (public_key != NULL && crypto_pkey_is(public_key, identity->key))
            own = i;
    }
    if (own < 0)
        return mismatch(profile, cause, error);
    crypto_enter();
    bool used = SSL_CTX_use_certificate(tls, sk_X509_value(identity->certificates, own)) == 1;
    for (int i = 0; used && i < sk_X509_num(identity->certificates); i++)
        used = i == own || SSL_CTX_add1_chain_cert(tls, sk_X509_value(identity->certificates, i)) == 1;
    used = used && SSL_CTX_use_PrivateKey(tls, identity->key) == 1;
    crypto_leave();
    if (used)
        return KW_OK;
    const kw_status status = crypto_error(error, KW_REFUSED, "libssl does not take the client's certificate");
    if (profile->settings->client_certificate != NULL)
        error_where(error, "%s", profile->settings->client_certificate);
    return blame(cause, CAUSE_CLIENT_CERTIFICATE_FILE, status);
}

static kw_status set_identity(kw_context *context, const struct profile *profile, const struct cause **cause,
                              SSL_CTX *tls, kw_error *error)
{
    struct identity identity = {0};
    kw_status status = KW_OK;
    if (profile->settings->client_key == NULL)
        return KW_OK;
    if (profile->settings->client_certificate != NULL)
        status = blame(
            cause, CAUSE_CLIENT_CERTIFICATE_FILE,
            bundle_read_file(context->crypto, profile->settings->client_certificate, &identity.certificates, error));
    if (status == KW_OK)
        status = key_is_in_store(profile->settings) ? open_store_key(context, profile, &identity, error)
                                                    : read_key_file(context, profile, &identity, cause, error);
    if (status == KW_OK)
        status = use_identity(profile, &identity, cause, tls, error);
    identity_clear(&identity);
    return status;
}

/* ---- All together ---- */

static kw_status make_store(kw_context *context, const struct profile *profile, X509_STORE **store, kw_error *error)
{
    const struct connection_settings *settings = profile->settings;
    return verdict_store(context->crypto, (const char *const *)settings->authorities, settings->authority_count,
                         settings->authority_count == 0, store, error);
}

/* RFC 7301's list: one name, and its length before it. */
static bool set_alpn(SSL_CTX *tls, const char *alpn)
{
    unsigned char list[64];
    const size_t length = alpn != NULL ? strlen(alpn) : 0;
    if (length == 0)
        return true;
    if (length >= sizeof(list))
        return false;
    list[0] = (unsigned char)length;
    memcpy(list + 1, alpn, length);
    return SSL_CTX_set_alpn_protos(tls, list, (unsigned)length + 1) == 0;
}

static SSL_CTX *new_context(struct crypto *crypto, const struct profile *profile)
{
    const struct prelude *prelude = profile->prelude;
    crypto_enter();
    SSL_CTX *made = SSL_CTX_new_ex(crypto->library, NULL, TLS_client_method());
    if (made == NULL || SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION) != 1 ||
        (prelude->version_maximum != 0 && SSL_CTX_set_max_proto_version(made, prelude->version_maximum) != 1) ||
        !set_alpn(made, prelude->alpn)) {
        SSL_CTX_free(made);
        made = NULL;
    } else {
        SSL_CTX_set_security_level(made, SECURITY_LEVEL);
        SSL_CTX_set_verify_depth(made, VERDICT_DEPTH_MAXIMUM);
        SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION);
        SSL_CTX_set_verify(made, profile->verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    }
    crypto_leave();
    return made;
}

void profile_context_free(SSL_CTX *tls)
{
    crypto_enter();
    SSL_CTX_free(tls);
    crypto_leave();
}

kw_status profile_context(kw_context *context, const struct profile *profile, const struct cause **cause, SSL_CTX **tls,
                          kw_error *error)
{
    X509_STORE *store = NULL;
    kw_status status = KW_OK;
    SSL_CTX *made = new_context(context->crypto, profile);
    if (made == NULL) {
        status = crypto_error(error, KW_FAILED, "libssl cannot be set up");
        goto out;
    }
    status = blame(cause, CAUSE_CA_FILE, make_store(context, profile, &store, error));
    if (status != KW_OK)
        goto out;
    /* From now on the store is the context's. */
    crypto_enter();
    SSL_CTX_set_cert_store(made, store);
    crypto_leave();
    if (profile->verifies_host &&
        !verdict_set_host(SSL_CTX_get0_param(made), profile->settings->host, profile->is_address)) {
        status = crypto_error(error, KW_FAILED, "'%s' can be in no certificate", profile->settings->host);
        goto out;
    }
    status = set_identity(context, profile, cause, made, error);
    if (status != KW_OK)
        goto out;
    *tls = made;
    made = NULL;
out:
    ERR_clear_error();
    profile_context_free(made);
    return status;
}
