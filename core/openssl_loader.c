/*
 * OSSL_STORE on keywright: URIs. A URI, and what the program expects and searches, become a list of objects when the first is asked for; each is
 * then made when its turn comes, so that no key is opened that nobody wants, and one that cannot be opened leaves the others alone.
 */
#include "openssl_module.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "openssl_search.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/store.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME ADDRESS_SCHEME

static OSSL_FUNC_store_open_fn loader_open_uri;
static OSSL_FUNC_store_settable_ctx_params_fn loader_settable_ctx_params;
static OSSL_FUNC_store_set_ctx_params_fn loader_set_ctx_params;
static OSSL_FUNC_store_load_fn loader_load;
static OSSL_FUNC_store_eof_fn loader_eof;
static OSSL_FUNC_store_close_fn loader_close;

enum object_kind { OBJECT_NAME, OBJECT_PRIVATE, OBJECT_PUBLIC, OBJECT_CERTIFICATE, OBJECT_PROBLEM };

struct object {
    enum object_kind kind;
    const kw_certificate_info *info; /* of the list; not of a problem */
    size_t position;                 /* of a certificate in its chain, of a problem among the list's */
};

struct loader {
    struct module_provider *module;
    char *path;   /* an address, or the beginning of several */
    char *type;   /* of ?type=; NULL: none */
    int expected; /* OSSL_STORE_INFO_...; 0: anything */
    struct search search;
    bool listed; /* what follows is there */
    kw_certificate_list *list;
    struct object *objects;
    size_t count, room, next;
};

/* ---- Which objects ---- */

/* A certificate's objects that a type, or what is expected, selects. */
struct selection {
    const char *type; /* NULL: none was given */
    int expected;
    bool private, public, certificate, issuers;
};

/* The first row that fits counts. A certificate comes with its issuers where a program reads both from one place. */
static const struct selection selections[] = {
    {.type = "private", .private = true},
    {.type = "public", .public = true},
    {.type = "cert", .certificate = true},
    {.type = "chain", .certificate = true, .issuers = true},
    {.expected = OSSL_STORE_INFO_PKEY, .private = true},
    {.expected = OSSL_STORE_INFO_PUBKEY, .public = true},
    {.expected = OSSL_STORE_INFO_CERT, .certificate = true, .issuers = true},
    {.private = true, .certificate = true, .issuers = true},
};

static const size_t selection_count = sizeof(selections) / sizeof(selections[0]);

static bool type_is_known(const char *type)
{
    for (size_t i = 0; i < selection_count; i++)
        if (selections[i].type != NULL && strcmp(selections[i].type, type) == 0)
            return true;
    return false;
}

/* NULL: what is expected is in no store, such as a revocation list. */
static const struct selection *select_objects(const struct loader *loader)
{
    for (size_t i = 0; i < selection_count; i++) {
        const struct selection *const row = &selections[i];
        if (loader->type != NULL ? row->type != NULL && strcmp(row->type, loader->type) == 0
                                 : row->type == NULL && row->expected == loader->expected)
            return row;
    }
    return NULL;
}

static kw_status add(struct loader *loader, enum object_kind kind, const kw_certificate_info *info, size_t position,
                     kw_error *error)
{
    if (loader->count == loader->room) {
        const size_t room = loader->room * 2 + 8;
        struct object *grown = calloc(room, sizeof(*grown));
        if (grown == NULL)
            return error_memory(error);
        if (loader->count > 0)
            memcpy(grown, loader->objects, loader->count * sizeof(*grown));
        free(loader->objects);
        loader->objects = grown;
        loader->room = room;
    }
    loader->objects[loader->count++] = (struct object){.kind = kind, .info = info, .position = position};
    return KW_OK;
}

static kw_status add_objects(struct loader *loader, const kw_certificate_info *info, const struct selection *selection,
                             kw_error *error)
{
    kw_status status = KW_OK;
    if (selection->private)
        status = add(loader, OBJECT_PRIVATE, info, 0, error);
    if (status == KW_OK && selection->public)
        status = add(loader, OBJECT_PUBLIC, info, 0, error);
    /* Who searches gets what was found, not those who signed it, unless that is what was asked for. */
    const bool issuers = selection->issuers && (loader->type != NULL || !search_is_set(&loader->search));
    const size_t chain = !selection->certificate ? 0 : issuers || info->chain_count == 0 ? info->chain_count : 1;
    for (size_t i = 0; i < chain && status == KW_OK; i++)
        status = add(loader, OBJECT_CERTIFICATE, info, i, error);
    return status;
}

/* An empty path, or one that ends with a slash: all that begin so. */
static bool is_collection(const char *path)
{
    const size_t length = strlen(path);
    return length == 0 || path[length - 1] == '/';
}

static kw_status list_objects(struct loader *loader, kw_error *error)
{
    const bool collection = is_collection(loader->path), searching = search_is_set(&loader->search);
    const kw_certificate_filter filter = {
        .size = sizeof(filter),
        .all = !collection || search_is_exact(&loader->search),
        .address = collection ? NULL : loader->path,
    };
    const bool names = collection && loader->type == NULL && !searching;
    const struct selection *const selection = select_objects(loader);
    kw_context *context = NULL;
    kw_status status = module_context(loader->module, &context, error);
    if (status == KW_OK)
        status = kw_certificates(context, &filter, &loader->list, error);
    if (status != KW_OK)
        return status;
    /* Before the others, since libcrypto does not tell a last object that failed from the end. */
    for (size_t i = 0; i < loader->list->problem_count && status == KW_OK; i++)
        status = add(loader, OBJECT_PROBLEM, NULL, i, error);
    for (size_t i = 0; i < loader->list->count && status == KW_OK; i++) {
        const kw_certificate_info *const info = &loader->list->certificates[i];
        if (collection && strncmp(info->address, loader->path, strlen(loader->path)) != 0)
            continue;
        if (searching && !search_matches(&loader->search, loader->module->crypto, info))
            continue;
        if (names)
            status = add(loader, OBJECT_NAME, info, 0, error);
        else if (selection != NULL)
            status = add_objects(loader, info, selection, error);
    }
    return status;
}

/* ---- One object ---- */

static int give_name(const kw_certificate_info *info, OSSL_CALLBACK *object, void *argument)
{
    int type = OSSL_OBJECT_NAME, taken = 0;
    struct address address;
    char *uri = address_parse(info->address, &address, NULL) == KW_OK ? address_uri(&address) : NULL;
    char *subject = text_copy(info->subject);
    if (uri != NULL && subject != NULL) {
        const OSSL_PARAM parameters[] = {
            OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
            OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA, uri, 0),
            OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DESC, subject, 0),
            OSSL_PARAM_construct_end(),
        };
        taken = object(parameters, argument);
    }
    free(subject);
    free(uri);
    return taken;
}

static int give_certificate(kw_input der, OSSL_CALLBACK *object, void *argument)
{
    int type = OSSL_OBJECT_CERT;
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        /* libcrypto's parameters are not const; it only reads these. */
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, (void *)(uintptr_t)der.data, der.length),
        OSSL_PARAM_construct_end(),
    };
    return object(parameters, argument);
}

/* As bytes: the program's default provider makes a key of them, which then needs nothing of ours. */
static int give_public(const struct loader *loader, const kw_certificate_info *info, OSSL_CALLBACK *object,
                       void *argument)
{
    int type = OSSL_OBJECT_PKEY, taken = 0;
    char structure[] = "SubjectPublicKeyInfo";
    X509 *certificate = NULL;
    unsigned char *spki = NULL;
    kw_input der = info->chain[0];
    kw_error error = {0};
    if (x509_read_bare(loader->module->crypto, &der, &certificate, &error) != KW_OK)
        return failure_keep(&error);
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    if (length > 0) {
        const OSSL_PARAM parameters[] = {
            OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
            OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, structure, 0),
            OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, spki, (size_t)length),
            OSSL_PARAM_construct_end(),
        };
        taken = object(parameters, argument);
    }
    OPENSSL_free(spki);
    X509_free(certificate);
    return taken;
}

static int give_private(const struct loader *loader, const kw_certificate_info *info, OSSL_CALLBACK *object,
                        void *argument)
{
    struct keydata *data = NULL;
    kw_error error = {0};
    if (module_key(loader->module, info->address, &data, &error) != KW_OK)
        return failure_keep(&error);
    const int taken = module_give_key(&data, object, argument);
    keydata_free(data);
    return taken;
}

static int give(const struct loader *loader, const struct object *this, OSSL_CALLBACK *object, void *argument)
{
    if (this->kind == OBJECT_PROBLEM)
        return failure_keep(&loader->list->problems[this->position]);
    if (this->kind == OBJECT_NAME)
        return give_name(this->info, object, argument);
    if (this->kind == OBJECT_PRIVATE)
        return give_private(loader, this->info, object, argument);
    if (this->info->chain_count == 0)
        return failure_set(KW_CORRUPT, "the certificate of %s cannot be read", this->info->address);
    if (this->kind == OBJECT_PUBLIC)
        return give_public(loader, this->info, object, argument);
    return give_certificate(this->info->chain[this->position], object, argument);
}

static int loader_load(void *context, OSSL_CALLBACK *object, void *argument, OSSL_PASSPHRASE_CALLBACK *passphrase,
                       void *passphrase_argument)
{
    struct loader *loader = context;
    kw_error error = {0};
    failure_forget();
    module_ask_by(passphrase, passphrase_argument);
    int given = 0;
    if (!loader->listed) {
        loader->listed = true; /* also when it fails: libcrypto asks until there is no more */
        const kw_status status = list_objects(loader, &error);
        if (status != KW_OK) {
            loader->next = loader->count;
            failure_keep(&error);
        }
    }
    if (loader->next < loader->count)
        given = give(loader, &loader->objects[loader->next++], object, argument);
    module_ask_by(NULL, NULL);
    return given;
}

static int loader_eof(void *context)
{
    const struct loader *loader = context;
    return loader->listed && loader->next == loader->count;
}

/* ---- URIs ---- */

static int loader_close(void *context)
{
    struct loader *loader = context;
    if (loader == NULL)
        return 1;
    kw_certificate_list_free(loader->list);
    search_clear(&loader->search);
    free(loader->objects);
    free(loader->path);
    free(loader->type);
    free(loader);
    return 1;
}

/* keywright:PATH[?type=TYPE] */
static int read_uri(struct loader *loader, const char *uri)
{
    static const char wanted[] = "type=";
    const char *const query = strchr(uri, '?');
    char *bare = query != NULL ? strndup(uri, (size_t)(query - uri)) : text_copy(uri);
    loader->path = bare != NULL ? address_of_uri(bare) : NULL;
    free(bare);
    if (loader->path == NULL)
        return failure_set(KW_INVALID_ARGUMENT, "%s is no URI of a key; one is " SCHEME ":database/NAME", uri);
    if (query == NULL)
        return 1;
    if (strncmp(query + 1, wanted, sizeof(wanted) - 1) != 0 || !type_is_known(query + sizeof(wanted)))
        return failure_set(KW_INVALID_ARGUMENT,
                           "%s: behind the '?' comes type=private, type=public, type=cert or type=chain", uri);
    loader->type = text_copy(query + sizeof(wanted));
    return loader->type != NULL;
}

static void *loader_open_uri(void *context, const char *uri)
{
    struct loader *made = calloc(1, sizeof(*made));
    failure_forget();
    if (made == NULL)
        return NULL;
    made->module = context;
    if (!read_uri(made, uri)) {
        loader_close(made);
        made = NULL;
    }
    return made;
}

static const OSSL_PARAM *loader_settable_ctx_params(void *context)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
        OSSL_PARAM_octet_string(OSSL_STORE_PARAM_SUBJECT, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_STORE_PARAM_ISSUER, NULL, 0),
        OSSL_PARAM_BN(OSSL_STORE_PARAM_SERIAL, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_STORE_PARAM_FINGERPRINT, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_ALIAS, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)context;
    return settable;
}

static int loader_set_ctx_params(void *context, const OSSL_PARAM parameters[])
{
    struct loader *loader = context;
    const OSSL_PARAM *expected = OSSL_PARAM_locate_const(parameters, OSSL_STORE_PARAM_EXPECT);
    failure_forget();
    if (expected != NULL && !OSSL_PARAM_get_int(expected, &loader->expected))
        return 0;
    return search_take(&loader->search, loader->module->crypto, parameters);
}

#ifdef OSSL_FUNC_STORE_OPEN_EX
/* OpenSSL 3.2: the same with parameters, and somebody to ask for a PIN already now, which nothing needs before the first load. */
static OSSL_FUNC_store_open_ex_fn loader_open_ex;

static void *loader_open_ex(void *context, const char *uri, const OSSL_PARAM parameters[],
                            OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    struct loader *made = loader_open_uri(context, uri);
    (void)passphrase;
    (void)passphrase_argument;
    if (made != NULL && parameters != NULL && !loader_set_ctx_params(made, parameters)) {
        loader_close(made);
        made = NULL;
    }
    return made;
}
#endif

static const OSSL_DISPATCH loader_functions[] = {
    {OSSL_FUNC_STORE_OPEN, (void (*)(void))loader_open_uri},
#ifdef OSSL_FUNC_STORE_OPEN_EX
    {OSSL_FUNC_STORE_OPEN_EX, (void (*)(void))loader_open_ex},
#endif
    {OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, (void (*)(void))loader_settable_ctx_params},
    {OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))loader_set_ctx_params},
    {OSSL_FUNC_STORE_LOAD, (void (*)(void))loader_load},
    {OSSL_FUNC_STORE_EOF, (void (*)(void))loader_eof},
    {OSSL_FUNC_STORE_CLOSE, (void (*)(void))loader_close},
    {0, NULL},
};

const OSSL_ALGORITHM module_loaders[] = {
    {SCHEME, PROVIDER_PROPERTY, loader_functions, "keys and certificates by " SCHEME ":ADDRESS"},
    {NULL, NULL, NULL, NULL},
};
