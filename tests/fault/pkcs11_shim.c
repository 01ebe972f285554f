#include "pkcs11_shim.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* Handles carry the epoch that they are of, in bits that no module here uses. */
#define EPOCH_SHIFT 32
#define EPOCH_BITS  (UINT64_C(0xffff) << EPOCH_SHIFT)
#define HUGE_LENGTH (UINT64_C(1) << 60)
#define HANG_STEP   2000 /* microseconds */

const CK_FUNCTION_LIST *shim_real;
static struct shim_control *control;
static struct shim_control own_control; /* without a file: it just forwards */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
/* Held shared by each call into the real module, and alone by who ends its sessions. */
static pthread_rwlock_t calls = PTHREAD_RWLOCK_INITIALIZER;
static _Atomic uint32_t epoch; /* what the real module's sessions are of */

static void wait_for(uint32_t microseconds)
{
    static _Thread_local bool exact;
    if (!exact)
        exact = prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) == 0;
    const struct timespec pause = {.tv_sec = microseconds / 1000000, .tv_nsec = (long)(microseconds % 1000000) * 1000};
    nanosleep(&pause, NULL);
}

/* ---- Loading ---------------------------------------------------------------------------------------------------- */

/* Whoever forked may have held the locks in other threads. */
static void renew_locks(void)
{
    const pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    const pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    loading = mutex;
    calls = lock;
}

static CK_RV load(void)
{
    const char *path = getenv(SHIM_MODULE_VARIABLE), *file = getenv(SHIM_CONTROL_VARIABLE);
    CK_RV (*get_function_list)(CK_FUNCTION_LIST **) = NULL;
    CK_FUNCTION_LIST *functions = NULL;
    control = file != NULL ? shim_map(file) : &own_control;
    if (control == NULL)
        return CKR_GENERAL_ERROR;
    void *module = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = module != NULL ? dlsym(module, "C_GetFunctionList") : NULL;
    if (symbol == NULL) {
        fprintf(stderr, "shim: %s\n", path != NULL ? dlerror() : SHIM_MODULE_VARIABLE " is not set");
        return CKR_GENERAL_ERROR;
    }
    memcpy(&get_function_list, &symbol, sizeof(get_function_list));
    const CK_RV rv = get_function_list(&functions);
    if (rv != CKR_OK)
        return rv;
    pthread_atfork(NULL, NULL, renew_locks);
    atomic_store(&epoch, atomic_load(&control->epoch));
    shim_real = functions;
    return CKR_OK;
}

static bool absent(enum shim_function function)
{
    return atomic_load(&control->rows[function].action) == SHIM_ABSENT;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static CK_FUNCTION_LIST offered;
    struct call call;
    pthread_mutex_lock(&loading);
    CK_RV rv = shim_real == NULL ? load() : CKR_OK;
    if (rv == CKR_OK) {
        offered = shim_functions;
        offered.version = shim_real->version;
        offered.C_GetFunctionList = C_GetFunctionList;
#define FUNCTION(name)                                                                                                 \
    if (absent(SHIM_##name))                                                                                           \
        offered.name = NULL;
#include "pkcs11_functions.h"
#undef FUNCTION
    }
    pthread_mutex_unlock(&loading);
    if (rv != CKR_OK)
        return rv;
    call_begin(&call, SHIM_C_GetFunctionList);
    if (call.rv == CKR_OK)
        *list = absent(SHIM_C_GetFunctionList) ? NULL : &offered;
    return call_end(&call);
}

/* ---- A call ------------------------------------------------------------------------------------------------------ */

/* Counts the call in the row, and takes over its action when it is this call's turn. */
static uint32_t enter(struct call *call, struct shim_row *row)
{
    const uint64_t number = atomic_fetch_add(&row->calls, 1) + 1;
    const uint32_t action = atomic_load(&row->action);
    if (action != SHIM_OBEY && number >= atomic_load(&row->first) && number <= atomic_load(&row->last)) {
        call->action = (enum shim_action)action;
        call->value = (CK_RV)atomic_load(&row->value);
    }
    while (call->action == SHIM_HANG && atomic_load(&row->action) == SHIM_HANG)
        wait_for(HANG_STEP);
    return atomic_load(&row->delay);
}

/* All sessions of an earlier epoch end, and with them the login. */
static void follow_epoch(void)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = sizeof(slots) / sizeof(slots[0]);
    pthread_rwlock_wrlock(&calls);
    const uint32_t wanted = atomic_load(&control->epoch);
    if (atomic_load(&epoch) != wanted) {
        if (shim_real->C_GetSlotList(CK_FALSE, slots, &count) == CKR_OK)
            for (CK_ULONG i = 0; i < count; i++)
                shim_real->C_CloseAllSessions(slots[i]);
        atomic_store(&epoch, wanted);
    }
    pthread_rwlock_unlock(&calls);
}

void call_begin(struct call *call, enum shim_function function)
{
    *call = (struct call){.function = function};
    uint32_t delay = enter(call, &control->rows[function]);
    delay += enter(call, &control->rows[SHIM_ANY]);
    if (delay > 0)
        wait_for(delay);
    if (call->action == SHIM_CRASH)
        kill(getpid(), SIGKILL);
    if (call->action == SHIM_DROP)
        shim_drop(control);
    if (call->action == SHIM_RENEW)
        shim_renew(control);
    if (call->action == SHIM_FAIL)
        call->rv = call->value;
    if (call->rv != CKR_OK)
        return;
    if (atomic_load(&epoch) != atomic_load(&control->epoch))
        follow_epoch();
    /* What waits for a token to come or go must not keep others from closing its sessions. */
    call->locked = function != SHIM_C_WaitForSlotEvent;
    if (call->locked)
        pthread_rwlock_rdlock(&calls);
}

CK_RV call_end(struct call *call)
{
    if (call->locked)
        pthread_rwlock_unlock(&calls);
    if (call->action == SHIM_CRASH_AFTER)
        kill(getpid(), SIGKILL);
    if (call->action == SHIM_DROP_AFTER) {
        shim_drop(control);
        return CKR_DEVICE_REMOVED;
    }
    return call->action == SHIM_FAIL_AFTER ? call->value : call->rv;
}

void private_in(struct call *call, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    const CK_OBJECT_CLASS private_key = CKO_PRIVATE_KEY;
    bool private = false;
    for (CK_ULONG i = 0; attributes != NULL && i < count && !private; i++) {
        const CK_ATTRIBUTE *at = &attributes[i];
        private = at->type == CKA_CLASS && at->ulValueLen == sizeof(private_key) &&
                  memcmp(at->pValue, &private_key, sizeof(private_key)) == 0;
    }
    if (!private || call->rv != CKR_OK)
        return;
    struct call own = {.function = call->function};
    (void)enter(&own, &control->rows[SHIM_PRIVATE]);
    if (own.action == SHIM_FAIL)
        call->rv = own.value;
}

/* ---- Handles ------------------------------------------------------------------------------------------------------ */

static CK_ULONG epoch_bits(void)
{
    return ((CK_ULONG)atomic_load(&epoch) << EPOCH_SHIFT) & EPOCH_BITS;
}

static void handle_in(struct call *call, CK_ULONG *handle, CK_RV invalid)
{
    if (call->rv != CKR_OK || *handle == CK_INVALID_HANDLE)
        return;
    if ((*handle & EPOCH_BITS) != epoch_bits())
        call->rv = invalid;
    else
        *handle &= ~EPOCH_BITS;
}

static void handle_out(const struct call *call, CK_ULONG *handle)
{
    if (call->rv != CKR_OK || handle == NULL)
        return;
    if ((*handle & EPOCH_BITS) != 0) {
        fprintf(stderr, "shim: a handle of %s has more bits than are known: %lx\n", shim_names[call->function],
                *handle);
        abort();
    }
    *handle |= epoch_bits();
}

void session_in(struct call *call, CK_SESSION_HANDLE *session)
{
    if (call->rv == CKR_OK && atomic_load(&control->dropped) != 0)
        call->rv = CKR_DEVICE_REMOVED;
    handle_in(call, session, CKR_SESSION_HANDLE_INVALID);
}

void object_in(struct call *call, CK_OBJECT_HANDLE *object)
{
    handle_in(call, object, CKR_OBJECT_HANDLE_INVALID);
}

void session_out(const struct call *call, CK_SESSION_HANDLE *session)
{
    handle_out(call, session);
}

void object_out(const struct call *call, CK_OBJECT_HANDLE *object)
{
    handle_out(call, object);
}

/* ---- Lengths ------------------------------------------------------------------------------------------------------ */

static CK_ULONG misstated(const struct call *call, CK_ULONG length, CK_ULONG room)
{
    const CK_ULONG told[SHIM_ACTIONS] = {
        [SHIM_LONGER] = room + 1, [SHIM_HUGE] = HUGE_LENGTH, [SHIM_SHORTER] = length > 0 ? length - 1 : 0};
    const bool lies = call->action >= SHIM_LONGER && call->action <= SHIM_EMPTY;
    return lies ? told[call->action] : length;
}

void room_in(struct call *call, const void *buffer, const CK_ULONG *length)
{
    call->room = buffer != NULL && length != NULL ? *length : CK_UNAVAILABLE_INFORMATION;
}

void length_out(const struct call *call, CK_ULONG *length)
{
    if (call->rv == CKR_OK && length != NULL)
        *length = misstated(call, *length, call->room == CK_UNAVAILABLE_INFORMATION ? *length : call->room);
}

void attributes_in(struct call *call, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    for (CK_ULONG i = 0; attributes != NULL && i < count && i < ATTRIBUTES_MAXIMUM; i++)
        call->rooms[i] = attributes[i].pValue != NULL ? attributes[i].ulValueLen : CK_UNAVAILABLE_INFORMATION;
}

void attributes_out(const struct call *call, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    for (CK_ULONG i = 0; call->rv == CKR_OK && i < count && i < ATTRIBUTES_MAXIMUM; i++) {
        const CK_ULONG length = attributes[i].ulValueLen;
        const CK_ULONG room = call->rooms[i] == CK_UNAVAILABLE_INFORMATION ? length : call->rooms[i];
        attributes[i].ulValueLen = misstated(call, length, room);
    }
}

/* ---- Slots --------------------------------------------------------------------------------------------------------- */

void slot_in(struct call *call)
{
    if (call->rv == CKR_OK && atomic_load(&control->dropped) != 0)
        call->rv = CKR_TOKEN_NOT_PRESENT;
}

void slots_out(const struct call *call, CK_BBOOL token_present, CK_ULONG *count)
{
    if (call->rv == CKR_OK && token_present && atomic_load(&control->dropped) != 0)
        *count = 0;
    length_out(call, count);
}

void slot_info_out(const struct call *call, CK_SLOT_INFO *info)
{
    if (call->rv == CKR_OK && atomic_load(&control->dropped) != 0)
        info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
}
