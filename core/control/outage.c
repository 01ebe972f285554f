#include "control/layout.h"

#include "base/clock.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- Which start of the machine this is ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t boot; /* never 0 */

/* FNV-1a of the kernel's random id; where it cannot be read, all starts look the same. */
static void read_boot(void)
{
    char id[64];
    uint64_t hash = UINT64_C(14695981039346656037);
    const int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    const ssize_t length = descriptor < 0 ? 0 : read(descriptor, id, sizeof(id));
    for (ssize_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)id[i]) * UINT64_C(1099511628211);
    if (descriptor >= 0)
        close(descriptor);
    boot = hash == 0 ? 1 : hash;
}

static uint64_t this_boot(void)
{
    pthread_once(&once, read_boot);
    return boot;
}

/* Places are taken in order, and never given back. */
struct control_outage *control_outage(struct control *control, const char *id)
{
    const uint64_t wanted = store_hash(id);
    (void)this_boot();
    for (size_t i = 0; i < CONTROL_OUTAGES; i++) {
        struct control_outage_place *const place = &control->region->file->outages[i];
        uint64_t store = 0;
        if (atomic_compare_exchange_strong(&place->store, &store, wanted) || store == wanted)
            return &place->outage;
    }
    return NULL;
}

/* ---- Outages ---- */

/* Seconds by which the wall clock is corrected without being moved. */
#define WALL_SLACK 2

static bool is_of_now(struct control_outage *outage)
{
    return number_get(&outage->boot) == this_boot() && number_get(&outage->since) <= clock_milliseconds();
}

bool outage_fail(struct control_outage *outage)
{
    const uint64_t now = clock_milliseconds();
    uint64_t since = number_get(&outage->since);
    const bool begins = since == 0 || !is_of_now(outage);
    if (begins) {
        number_set(&outage->boot, this_boot());
        if (!atomic_compare_exchange_strong(&outage->since, &since, now))
            return false; /* somebody else has found it just now */
        number_set(&outage->wall, (uint64_t)clock_wall());
    }
    number_set(&outage->failed, now);
    return begins;
}

bool outage_end(struct control_outage *outage)
{
    const bool was_of_now = is_of_now(outage);
    return number_get(&outage->since) != 0 && atomic_exchange(&outage->since, 0) != 0 && was_of_now;
}

bool outage_lasts(struct control_outage *outage, uint64_t *milliseconds)
{
    const uint64_t since = number_get(&outage->since), now = clock_milliseconds();
    if (since == 0 || !is_of_now(outage))
        return false;
    *milliseconds = now > since ? now - since : 0;
    return true;
}

int64_t outage_began(struct control_outage *outage, uint64_t lasts)
{
    const int64_t counted = clock_wall() - (int64_t)(lasts / 1000), noted = (int64_t)number_get(&outage->wall);
    return noted >= counted - WALL_SLACK && noted <= counted + WALL_SLACK ? noted : counted;
}

uint64_t outage_tried(struct control_outage *outage)
{
    const uint64_t failed = number_get(&outage->failed), now = clock_milliseconds();
    return failed == 0 || failed > now || number_get(&outage->boot) != this_boot() ? UINT64_MAX : now - failed;
}

/* ---- Keys in stores ---- */

void outage_place(struct control_outage *key, const char *store_id)
{
    number_set(&key->where, store_hash(store_id));
}

bool control_store_away(struct control *control, const char *store_id, uint64_t *milliseconds, int64_t *began)
{
    const uint64_t wanted = store_hash(store_id);
    bool is_away = false;
    *milliseconds = 0;
    for (size_t i = 0; i < CONTROL_OUTAGES; i++) {
        struct control_outage_place *const place = &control->region->file->outages[i];
        uint64_t lasts = 0;
        if ((number_get(&place->store) != wanted && number_get(&place->outage.where) != wanted) ||
            !outage_lasts(&place->outage, &lasts) || (is_away && lasts <= *milliseconds))
            continue;
        is_away = true;
        *milliseconds = lasts;
        if (began != NULL)
            *began = outage_began(&place->outage, lasts);
    }
    return is_away;
}
