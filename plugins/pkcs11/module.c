/*
 * Modules: one for each path and process. libp11 loads them, initializes them and finds slots and tokens; all else goes through the module's
 * own function list. Once loaded they stay: C_Finalize in one part of a process ends the sessions of all others, and unloading has
 * crashed programs that were about to exit.
 */
#include "pkcs11.h"

#include <dlfcn.h>
#include <libp11.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct p11_libp11 {
    PKCS11_CTX *context;
    PKCS11_SLOT *slots; /* listed once, and never released: libp11 would close the sessions of everybody on them */
    unsigned count;
    bool listed;
};

static _Atomic(struct p11_module *) modules;

struct p11_module *p11_module_first(void)
{
    return atomic_load(&modules);
}

static bool same_text(const char *one, const char *other)
{
    return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

struct p11_module *p11_module_get(const char *path, const char *init_args)
{
    struct p11_module *module = NULL;
    p11_state_lock();
    for (module = atomic_load(&modules); module != NULL; module = module->next)
        if (strcmp(module->path, path) == 0)
            break;
    if (module == NULL) {
        module = calloc(1, sizeof(*module));
        char *own_path = strdup(path), *own_args = init_args != NULL ? strdup(init_args) : NULL;
        if (module == NULL || own_path == NULL || (init_args != NULL && own_args == NULL)) {
            free(own_path);
            free(own_args);
            free(module);
            module = NULL;
        } else {
            module->path = own_path;
            module->init_args = own_args;
            module->next = atomic_load(&modules);
            atomic_store(&modules, module);
        }
    } else if (module->functions == NULL && !same_text(module->init_args, init_args)) {
        /* It could not be loaded with the old ones. */
        char *own_args = init_args != NULL ? strdup(init_args) : NULL;
        if (init_args == NULL || own_args != NULL) {
            free(module->init_args);
            module->init_args = own_args;
        }
    }
    p11_state_unlock();
    return module;
}

bool p11_module_takes(const struct p11_module *module, const char *init_args)
{
    return same_text(module->init_args, init_args);
}

/* ---- Loading -------------------------------------------------------------------------------------------------- */

/* What libp11 left in libcrypto's queue; CKR_GENERAL_ERROR when it left nothing of the module's. */
static CK_RV libp11_reason(void)
{
    unsigned long error = ERR_peek_last_error();
    return error != 0 && ERR_GET_LIB(error) == ERR_get_CKR_code() ? (CK_RV)ERR_GET_REASON(error) : CKR_GENERAL_ERROR;
}

/* Before libp11, which prints what it cannot load. NULL: `use` says why; else a handle to be closed. */
static void *open_library(const struct p11_module *module, struct p11_use *use)
{
    void *handle = dlopen(module->path, RTLD_NOW | RTLD_LOCAL);
    const char *reason = handle == NULL ? dlerror() : NULL;
    if (handle == NULL) {
        p11_tell(use, KW_CONFIGURATION, "option library: '%s' cannot be loaded: %s", module->path,
                 reason != NULL ? reason : "no reason given");
    } else if (dlsym(handle, "C_GetFunctionList") == NULL) {
        p11_tell(use, KW_CONFIGURATION, "option library: '%s' is no PKCS#11 module: it has no C_GetFunctionList",
                 module->path);
        dlclose(handle);
        handle = NULL;
    }
    return handle;
}

static bool functions_are_there(const CK_FUNCTION_LIST *list)
{
    return list->C_Initialize != NULL && list->C_Finalize != NULL && list->C_GetTokenInfo != NULL &&
           list->C_GetSlotList != NULL && list->C_GetMechanismList != NULL && list->C_GetMechanismInfo != NULL &&
           list->C_SetPIN != NULL && list->C_OpenSession != NULL && list->C_CloseSession != NULL &&
           list->C_CloseAllSessions != NULL && list->C_GetSessionInfo != NULL && list->C_Login != NULL &&
           list->C_CreateObject != NULL && list->C_DestroyObject != NULL && list->C_GetAttributeValue != NULL &&
           list->C_SetAttributeValue != NULL && list->C_FindObjectsInit != NULL && list->C_FindObjects != NULL &&
           list->C_FindObjectsFinal != NULL && list->C_EncryptInit != NULL && list->C_Encrypt != NULL &&
           list->C_DecryptInit != NULL && list->C_Decrypt != NULL && list->C_SignInit != NULL && list->C_Sign != NULL &&
           list->C_GenerateKey != NULL && list->C_GenerateKeyPair != NULL && list->C_UnwrapKey != NULL &&
           list->C_DeriveKey != NULL && list->C_GenerateRandom != NULL;
}

/* Of the module that libp11 has just loaded. It gives the list to nobody; asking again costs one call. */
static kw_status take_functions(struct p11_module *module, struct p11_use *use)
{
    CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR) = NULL;
    CK_FUNCTION_LIST *list = NULL;
    void *handle = dlopen(module->path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD | RTLD_NODELETE);
    void *symbol = handle != NULL ? dlsym(handle, "C_GetFunctionList") : NULL;
    if (symbol == NULL)
        return p11_tell(use, KW_FAILED, "the module '%s' was loaded and is not there", module->path), use->status;
    memcpy(&get, &symbol, sizeof(get)); /* ISO C has no cast from an object's pointer to a function's */
    if (p11_did(use, "C_GetFunctionList", get(&list)) != CKR_OK || list == NULL || !functions_are_there(list)) {
        p11_tell(use, KW_FAILED, "the module '%s' is broken: its function list has gaps", module->path);
        return use->status;
    }
    module->functions = list;
    return KW_OK;
}

/* Names go to terminals and logs. */
static void take_name(char *own, size_t size, const char *name)
{
    snprintf(own, size, "%.*s", (int)size - 1, name != NULL ? name : "");
    for (char *at = own; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            *at = '?';
}

kw_status p11_module_load(struct p11_module *module, struct p11_use *use)
{
    char room[24];
    kw_status status = KW_OK;
    struct p11_libp11 *made = calloc(1, sizeof(*made));
    ERR_set_mark();
    void *before = dlopen(module->path, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    void *library = open_library(module, use);
    if (library == NULL) {
        status = use->status;
        goto out;
    }
    if (made != NULL)
        made->context = PKCS11_CTX_new();
    if (made == NULL || made->context == NULL) {
        p11_tell(use, KW_OUT_OF_MEMORY, "out of memory");
        status = use->status;
        goto out;
    }
    if (module->init_args != NULL)
        PKCS11_CTX_init_args(made->context, module->init_args);
    use->calls += 3; /* C_GetFunctionList, C_Initialize, C_GetInfo */
    if (PKCS11_CTX_load(made->context, module->path) != 0) {
        p11_tell(use, KW_UNAVAILABLE,
                 "the module '%s' cannot be initialized: C_Initialize answers %s; some need init_args, a running "
                 "service, or access to their files",
                 module->path, p11_failure_name(libp11_reason(), room));
        status = use->status;
        goto out;
    }
    module->is_ours = before == NULL;
    module->restarted = p11_now();
    status = take_functions(module, use);
    take_name(module->maker, sizeof(module->maker), made->context->manufacturer);
    take_name(module->description, sizeof(module->description), made->context->description);
    module->manners = p11_manners_of(module->maker, module->description);
    module->libp11 = made; /* also after a failure: libp11's context cannot be freed without unloading */
    made = NULL;
out:
    if (made != NULL && made->context != NULL)
        PKCS11_CTX_free(made->context);
    free(made);
    /* What was loaded stays loaded. */
    if (library != NULL)
        dlclose(library);
    if (before != NULL)
        dlclose(before);
    ERR_pop_to_mark();
    return status;
}

static kw_status initialize_again(struct p11_module *module, struct p11_use *use)
{
    char room[24];
    /* NSS has parameters where the standard has the reserved pointer, and its reserved pointer behind them. */
    struct {
        CK_C_INITIALIZE_ARGS standard;
        void *behind;
    } arguments = {.standard = {.flags = CKF_OS_LOCKING_OK, .pReserved = module->init_args}};
    CK_RV result = p11_did(use, "C_Initialize", module->functions->C_Initialize(&arguments.standard));
    if (result == CKR_OK || result == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        module->forked = module->down = false;
        return KW_OK;
    }
    if (module->descends)
        p11_tell(use, KW_UNAVAILABLE,
                 "the module '%s' cannot be initialized in this process: C_Initialize answers %s; the process was "
                 "forked and runs as user "
                 "%u, who needs the token's files or device, and what the module reads from the environment",
                 module->path, p11_failure_name(result, room), (unsigned)geteuid());
    else
        p11_tell(use, KW_UNAVAILABLE, "the module '%s' cannot be initialized again: C_Initialize answers %s",
                 module->path, p11_failure_name(result, room));
    return use->status;
}

static void finalize(struct p11_module *module)
{
    (void)module->functions->C_Finalize(NULL);
    module->down = true;
    for (struct p11_token *token = module->tokens; token != NULL; token = token->next) {
        token->generation++;
        token->ready = false;
    }
}

kw_status p11_module_restart(struct p11_module *module, struct p11_use *use)
{
    finalize(module);
    use->calls++;
    return initialize_again(module, use);
}

void p11_module_before_fork(struct p11_module *module)
{
    if (module->functions != NULL && module->manners.ends_at_fork && module->is_ours && !module->forked &&
        !module->down)
        finalize(module);
}

/* ---- Slots and tokens -------------------------------------------------------------------------------------------- */

static void take_offer(const PKCS11_SLOT *slot, struct p11_offer *offer)
{
    const PKCS11_TOKEN *token = slot->token;
    *offer = (struct p11_offer){
        .slot = PKCS11_get_slotid_from_slot((PKCS11_SLOT *)(uintptr_t)slot),
        .initialized = token->initialized != 0,
        .login_required = token->loginRequired != 0,
        .pin_set = token->userPinSet != 0,
        .own_keypad = token->secureLogin != 0,
        .final_try = token->userPinFinalTry != 0,
        .locked = token->userPinLocked != 0,
        .has_random = token->hasRng != 0,
        .read_only = token->readOnly != 0,
    };
    take_name(offer->label, sizeof(offer->label), token->label);
    take_name(offer->serial, sizeof(offer->serial), token->serialnr);
    take_name(offer->maker, sizeof(offer->maker), token->manufacturer);
    take_name(offer->model, sizeof(offer->model), token->model);
}

/* As libp11 lists them, the first time. */
static kw_status offers_of_libp11(struct p11_module *module, struct p11_use *use, struct p11_offer **offers,
                                  size_t *count)
{
    char room[24];
    struct p11_libp11 *own = module->libp11;
    use->calls += 2; /* C_GetSlotList */
    if (PKCS11_enumerate_slots(own->context, &own->slots, &own->count) != 0) {
        p11_tell(use, KW_UNAVAILABLE, "the module '%s' does not list its slots: %s", module->path,
                 p11_failure_name(libp11_reason(), room));
        return use->status;
    }
    own->listed = true;
    *offers = calloc((size_t)own->count + 1, sizeof(**offers));
    if (*offers == NULL)
        return p11_tell(use, KW_OUT_OF_MEMORY, "out of memory"), use->status;
    for (unsigned i = 0; i < own->count; i++) {
        use->calls += own->slots[i].token != NULL ? 2 : 1; /* C_GetSlotInfo, C_GetTokenInfo */
        if (own->slots[i].token != NULL)
            take_offer(&own->slots[i], &(*offers)[(*count)++]);
    }
    return KW_OK;
}

/* Of a field that is padded with blanks. */
static void take_padded(char *own, const unsigned char *field, size_t length)
{
    char text[65];
    while (length > 0 && (field[length - 1] == ' ' || field[length - 1] == '\0'))
        length--;
    memcpy(text, field, length);
    text[length] = '\0';
    take_name(own, length + 1, text);
}

bool p11_module_offer(struct p11_module *module, struct p11_use *use, CK_SLOT_ID slot, struct p11_offer *offer)
{
    CK_TOKEN_INFO info = {.flags = 0};
    if (p11_did(use, "C_GetTokenInfo", module->functions->C_GetTokenInfo(slot, &info)) != CKR_OK)
        return false;
    *offer = (struct p11_offer){
        .slot = slot,
        .initialized = (info.flags & CKF_TOKEN_INITIALIZED) != 0,
        .login_required = (info.flags & CKF_LOGIN_REQUIRED) != 0,
        .pin_set = (info.flags & CKF_USER_PIN_INITIALIZED) != 0,
        .own_keypad = (info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0,
        .final_try = (info.flags & CKF_USER_PIN_FINAL_TRY) != 0,
        .locked = (info.flags & CKF_USER_PIN_LOCKED) != 0,
        .has_random = (info.flags & CKF_RNG) != 0,
        .read_only = (info.flags & CKF_WRITE_PROTECTED) != 0,
    };
    take_padded(offer->label, info.label, sizeof(info.label));
    take_padded(offer->serial, info.serialNumber, sizeof(info.serialNumber));
    take_padded(offer->maker, info.manufacturerID, sizeof(info.manufacturerID));
    take_padded(offer->model, info.model, sizeof(info.model));
    return true;
}

#define SLOTS_MAXIMUM 256u

/* Later times: without libp11, whose second list crashes (0.4.12), and where one slot that fails hides all others. */
static kw_status offers_again(struct p11_module *module, struct p11_use *use, struct p11_offer **offers, size_t *count)
{
    char room[24];
    CK_SLOT_ID slots[SLOTS_MAXIMUM];
    CK_ULONG found = SLOTS_MAXIMUM;
    CK_RV result = p11_did(use, "C_GetSlotList", module->functions->C_GetSlotList(CK_TRUE, slots, &found));
    if (result != CKR_OK || found > SLOTS_MAXIMUM) {
        p11_tell(use, KW_UNAVAILABLE, "the module '%s' does not list its slots: %s", module->path,
                 p11_failure_name(result, room));
        return use->status;
    }
    *offers = calloc(found + 1, sizeof(**offers));
    if (*offers == NULL)
        return p11_tell(use, KW_OUT_OF_MEMORY, "out of memory"), use->status;
    for (CK_ULONG i = 0; i < found; i++)
        if (p11_module_offer(module, use, slots[i], &(*offers)[*count]))
            (*count)++;
    return KW_OK;
}

kw_status p11_module_offers(struct p11_module *module, struct p11_use *use, struct p11_offer **offers, size_t *count)
{
    kw_status status = module->forked || module->down ? initialize_again(module, use) : KW_OK;
    if (status != KW_OK)
        return status;
    ERR_set_mark();
    status = module->libp11->listed ? offers_again(module, use, offers, count)
                                    : offers_of_libp11(module, use, offers, count);
    ERR_pop_to_mark();
    return status;
}
