/*
 * The list of keys. A cursor is a number, but where a list stands is a name: the instance remembers the name behind each cursor. A cursor
 * that moves gives up its place; of those that were abandoned, the oldest goes first.
 */
#include "softstore.h"

#include <stdlib.h>
#include <string.h>

#define PLACES 256u

struct softstore_cursors {
    pthread_mutex_t mutex;
    uint64_t last; /* the cursor that was given out last; they only grow */
    struct {
        uint64_t cursor; /* 0: free */
        struct softstore_name name;
    } places[PLACES];
};

struct softstore_cursors *softstore_cursors_new(void)
{
    struct softstore_cursors *cursors = calloc(1, sizeof(*cursors));
    if (cursors != NULL)
        pthread_mutex_init(&cursors->mutex, NULL);
    return cursors;
}

void softstore_cursors_free(struct softstore_cursors *cursors)
{
    if (cursors == NULL)
        return;
    pthread_mutex_destroy(&cursors->mutex);
    free(cursors);
}

void softstore_cursors_lock(struct softstore_cursors *cursors)
{
    pthread_mutex_lock(&cursors->mutex);
}

void softstore_cursors_unlock(struct softstore_cursors *cursors)
{
    pthread_mutex_unlock(&cursors->mutex);
}

static bool recall(struct softstore_cursors *cursors, uint64_t cursor, struct softstore_name *name)
{
    bool found = false;
    pthread_mutex_lock(&cursors->mutex);
    for (size_t i = 0; i < PLACES && !found; i++) {
        found = cursors->places[i].cursor == cursor;
        if (found)
            *name = cursors->places[i].name;
    }
    pthread_mutex_unlock(&cursors->mutex);
    return found;
}

/* Puts `name` in the place of `before`, else in a free one, else in the oldest. */
static uint64_t remember(struct softstore_cursors *cursors, uint64_t before, const struct softstore_name *name)
{
    size_t place = 0;
    pthread_mutex_lock(&cursors->mutex);
    for (size_t i = 1; i < PLACES && !(before != 0 && cursors->places[place].cursor == before); i++)
        if (cursors->places[i].cursor < cursors->places[place].cursor ||
            (before != 0 && cursors->places[i].cursor == before))
            place = i;
    uint64_t cursor = ++cursors->last;
    cursors->places[place].cursor = cursor;
    cursors->places[place].name = *name;
    pthread_mutex_unlock(&cursors->mutex);
    return cursor;
}

/* A cursor at its end needs no place. */
static void forget(struct softstore_cursors *cursors, uint64_t cursor)
{
    pthread_mutex_lock(&cursors->mutex);
    for (size_t i = 0; i < PLACES; i++)
        if (cursors->places[i].cursor == cursor)
            cursors->places[i].cursor = 0;
    pthread_mutex_unlock(&cursors->mutex);
}

kw_status softstore_key_list(kw_plugin_instance *instance, const kw_call *call, uint64_t *cursor, kw_output *locator)
{
    const kw_host *host = &instance->host;
    unsigned char name[KW_RECORD_NAME_MAXIMUM], after[KW_RECORD_NAME_MAXIMUM];
    struct softstore_name found;
    kw_input behind = {after, 0};
    if (!softstore_fits(locator, SOFTSTORE_NAME_LENGTH))
        return KW_BUFFER_TOO_SMALL;
    kw_status status = softstore_deadline(host, call);
    if (status != KW_OK)
        return status;
    if (*cursor != 0) {
        if (!recall(instance->cursors, *cursor, &found))
            return softstore_report(host, KW_CONFLICT, "too many lists were begun meanwhile; begin this one again");
        memcpy(after, found.text, SOFTSTORE_NAME_LENGTH);
        behind.length = SOFTSTORE_NAME_LENGTH;
    }
    for (;;) {
        kw_output next = {.data = name, .capacity = sizeof(name)};
        kw_input prefix = {(const unsigned char *)SOFTSTORE_PREFIX, SOFTSTORE_PREFIX_LENGTH};
        status = host->record_next(host->context, prefix, behind, &next);
        if (status == KW_NOT_FOUND) {
            if (*cursor != 0)
                forget(instance->cursors, *cursor);
            return status;
        }
        if (status != KW_OK)
            return softstore_report(host, status, "the records cannot be listed");
        if (softstore_name_read((kw_input){name, next.length}, &found))
            break;
        memcpy(after, name, next.length); /* not one of ours */
        behind.length = next.length;
    }
    *cursor = remember(instance->cursors, *cursor, &found);
    locator->length = SOFTSTORE_NAME_LENGTH;
    memcpy(locator->data, found.text, SOFTSTORE_NAME_LENGTH);
    return KW_OK;
}
