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

/* What it points to is the loader's. */
struct object {
    enum object_kind kind;
    const char *address;
    const char *subject;     /* of a name */
    kw_input certificate;    /* DER; of a public key, the one that has it */
    const kw_error *problem; /* of a problem alone */
};

/* A certificate, with what is known of it without opening its key. */
struct listed {
    const char *address, *name, *subject;
    const kw_input *chain;
    size_t chain_count;
};

struct loader {
    struct module_provider *module;
    char *path;   /* an address, or the beginning of several */
    char *type;   /* of ?type=; NULL: none */
    int expected; /* OSSL_STORE_INFO_...; 0: anything */
    struct search search;
    bool listed;               /* what follows is there */
    kw_certificate_list *list; /* of several */
    struct found found;        /* of one */
    kw_input *chain;           /* of one: views of its row */
    struct object *objects;
    size_t count, room, next;
    bool
        ended; /* not by a last object that failed, which libcrypto would take for no object; then by the call that follows */
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

static kw_status add(struct loader *loader, struct object object, kw_error *error)
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
    loader->objects[loader->count++] = object;
    return KW_OK;
}

static kw_status add_selected(struct loader *loader, const struct listed *listed, kw_error *error)
{
    const struct selection *const selection = select_objects(loader);
    struct object object = {.address = listed->address, .certificate = listed->chain[0]};
    kw_status status = KW_OK;
    if (selection == NULL)
        return KW_OK;
    object.kind = OBJECT_PRIVATE;
    if (selection->private)
        status = add(loader, object, error);
    object.kind = OBJECT_PUBLIC;
    if (selection->public && status == KW_OK)
        status = add(loader, object, error);
    /* Who searches gets what was found, not those who signed it, unless that is what was asked for. */
    const bool issuers = selection->issuers && (loader->type != NULL || !search_is_set(&loader->search));
    const size_t chain = !selection->certificate ? 0 : issuers ? listed->chain_count : 1;
    object.kind = OBJECT_CERTIFICATE;
    for (size_t i = 0; i < chain && status == KW_OK; i++) {
        object.certificate = listed->chain[i];
        status = add(loader, object, error);
    }
    return status;
}

/* Those that are searched, or all. */
static kw_status add_listed(struct loader *loader, const struct listed *listed, bool name, kw_error *error)
{
    const struct searched searched = {listed->address, listed->name, listed->chain[0]};
    if (search_is_set(&loader->search) && !search_matches(&loader->search, loader->module->crypto, &searched))
        return KW_OK;
    if (name)
        return add(loader, (struct object){.kind = OBJECT_NAME, .address = listed->address, .subject = listed->subject},
                   error);
    return add_selected(loader, listed, error);
}

/* ---- One certificate, or several ---- */

/* The DER certificates that stand one behind the other in the row. */
static kw_status split_chain(struct loader *loader, size_t *count, kw_error *error)
{
    kw_input rest = {loader->found.certificate.chain.data, loader->found.certificate.chain.length};
    kw_status status = KW_OK;
    size_t room = 0;
    for (*count = 0; status == KW_OK && (rest.length > 0 || *count == 0); ++*count) {
        X509 *certificate = NULL;
        kw_input der = rest;
        if (*count == room) {
            kw_input *grown = calloc(room + 8, sizeof(*grown));
            if (grown == NULL)
                return error_memory(error);
            if (room > 0)
                memcpy(grown, loader->chain, room * sizeof(*grown));
            free(loader->chain);
            loader->chain = grown;
            room += 8;
        }
        status = x509_read_bare(loader->module->crypto, &rest, &certificate, error);
        der.length -= rest.length;
        loader->chain[*count] = der;
        crypto_x509_free(certificate);
    }
    return status;
}

static kw_status list_one(struct loader *loader, kw_context *context, kw_error *error)
{
    struct kw_context view;
    struct listed listed = {.address = loader->path};
    context_take(context, &view);
    kw_status status = manager_find(&view, loader->path, &loader->found, error);
    context_give(&view);
    if (status == KW_OK)
        status = split_chain(loader, &listed.chain_count, error);
    if (status != KW_OK)
        return status;
    const struct address *const address = &loader->found.address;
    listed.name = address->parts[address->part_count - 1];
    listed.chain = loader->chain;
    return add_listed(loader, &listed, false, error);
}

static kw_status list_several(struct loader *loader, kw_context *context, kw_error *error)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .all = search_is_exact(&loader->search)};
    const bool names = loader->type == NULL && !search_is_set(&loader->search);
    kw_status status = kw_certificates(context, &filter, &loader->list, error);
    for (size_t i = 0; status == KW_OK && i < loader->list->problem_count; i++)
        status = add(loader, (struct object){.kind = OBJECT_PROBLEM, .problem = &loader->list->problems[i]}, error);
    for (size_t i = 0; status == KW_OK && i < loader->list->count; i++) {
        const kw_certificate_info *const info = &loader->list->certificates[i];
        const struct listed listed = {info->address, info->name, info->subject, info->chain, info->chain_count};
        if (info->chain_count > 0 && strncmp(info->address, loader->path, strlen(loader->path)) == 0)
            status = add_listed(loader, &listed, names, error);
    }
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
    kw_context *context = NULL;
    const kw_status status = module_context(loader->module, &context, error);
    if (status != KW_OK)
        return status;
    return is_collection(loader->path) ? list_several(loader, context, error) : list_one(loader, context, error);
}

/* ---- One object ---- */

static int give_name(const struct object *this, OSSL_CALLBACK *object, void *argument)
{
    int type = OSSL_OBJECT_NAME, taken = 0;
    struct address address;
    char *uri = address_parse(this->address, &address, NULL) == KW_OK ? address_uri(&address) : NULL;
    char *subject = text_copy(this->subject);
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

/* Bytes that libcrypto makes something of by itself. */
static int give_bytes(int type, char *structure, kw_input der, OSSL_CALLBACK *object, void *argument)
{
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, structure, 0),
        /* libcrypto's parameters are not const; it only reads these. */
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, (void *)(uintptr_t)der.data, der.length),
        OSSL_PARAM_construct_end(),
    };
    return object(parameters, argument);
}

/* The program's default provider makes the key, which then needs nothing of ours. */
static int give_public(const struct loader *loader, const struct object *this, OSSL_CALLBACK *object, void *argument)
{
    char structure[] = "SubjectPublicKeyInfo";
    int taken = 0;
    X509 *certificate = NULL;
    unsigned char *spki = NULL;
    kw_input der = this->certificate;
    kw_error error = {0};
    if (x509_read_bare(loader->module->crypto, &der, &certificate, &error) != KW_OK)
        return failure_keep(&error);
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    if (length > 0)
        taken = give_bytes(OSSL_OBJECT_PKEY, structure, (kw_input){spki, (size_t)length}, object, argument);
    OPENSSL_free(spki);
    crypto_x509_free(certificate);
    return taken;
}

static int give_private(const struct loader *loader, const struct object *this, OSSL_CALLBACK *object, void *argument)
{
    struct keydata *data = NULL;
    kw_error error = {0};
    if (module_key(loader->module, this->address, &data, &error) != KW_OK)
        return failure_keep(&error);
    const int taken = module_give_key(&data, object, argument);
    keydata_free(data);
    return taken;
}

static int give_certificate(const struct object *this, OSSL_CALLBACK *object, void *argument)
{
    char structure[] = "Certificate";
    return give_bytes(OSSL_OBJECT_CERT, structure, this->certificate, object, argument);
}

static int give(const struct loader *loader, const struct object *this, OSSL_CALLBACK *object, void *argument)
{
    if (this->kind == OBJECT_PROBLEM)
        return failure_keep(this->problem);
    if (this->kind == OBJECT_NAME)
        return give_name(this, object, argument);
    if (this->kind == OBJECT_PRIVATE)
        return give_private(loader, this, object, argument);
    if (this->kind == OBJECT_PUBLIC)
        return give_public(loader, this, object, argument);
    return give_certificate(this, object, argument);
}

static int loader_load(void *context, OSSL_CALLBACK *object, void *argument, OSSL_PASSPHRASE_CALLBACK *passphrase,
                       void *passphrase_argument)
{
    struct loader *loader = context;
    kw_error error = {0};
    int given = 0;
    failure_forget();
    module_ask_by(passphrase, passphrase_argument);
    if (!loader->listed) {
        loader->listed = true;
        if (list_objects(loader, &error) != KW_OK) {
            loader->next = loader->count;
            failure_keep(&error);
            goto out;
        }
    }
    if (loader->next < loader->count)
        given = give(loader, &loader->objects[loader->next++], object, argument);
    else
        loader->ended = true;
    loader->ended = loader->ended || (given && loader->next == loader->count);
out:
    module_ask_by(NULL, NULL);
    return given;
}

static int loader_eof(void *context)
{
    const struct loader *loader = context;
    return loader->ended;
}

/* ---- URIs ---- */

static int loader_close(void *context)
{
    struct loader *loader = context;
    if (loader == NULL)
        return 1;
    kw_certificate_list_free(loader->list);
    found_clear(&loader->found);
    free(loader->chain);
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
