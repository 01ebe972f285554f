/*
 * Who is about to open a context: until it is in the list of contexts nobody finds it there, and who comes meanwhile would open a second one. A
 * program's second kw_open is a context of its own anyway, so it waits for no other of the program's.
 */
#include "context.h"

#include <stdlib.h>
#include <string.h>

/* Below every other lock: nothing else is taken while it is held. */
static pthread_mutex_t openings_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opening_ended = PTHREAD_COND_INITIALIZER;
static struct opening *openings;

/* ---- Forks ---- */

static void before_fork(void)
{
    pthread_mutex_lock(&openings_mutex);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&openings_mutex);
}

/* Who was opening, or waited, is not in this process; unless it is an opening that forks, as one that asks for a PIN by another program does. */
static void after_fork_in_child(void)
{
    struct opening **at = &openings;
    while (*at != NULL) {
        if (pthread_equal((*at)->thread, pthread_self()))
            at = &(*at)->next;
        else
            *at = (*at)->next;
    }
    opening_ended = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pthread_mutex_unlock(&openings_mutex);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- Openings ---- */

static bool same_configuration(const struct opening *one, const struct opening *other)
{
    return strcmp(one->path, other->path) == 0 ||
           (one->file.st_ino != 0 && one->file.st_dev == other->file.st_dev && one->file.st_ino == other->file.st_ino);
}

/* A prompt's answer may need a key of the same configuration, on the same thread: that one cannot wait. */
static bool must_wait(const struct opening *opening)
{
    for (const struct opening *other = openings; other != NULL; other = other->next)
        if (!(opening->program && other->program) && !pthread_equal(other->thread, opening->thread) &&
            same_configuration(opening, other))
            return true;
    return false;
}

kw_status opening_begin(struct opening *opening, const kw_open_options *options, bool program, kw_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *opening = (struct opening){.path = configuration_path(options), .program = program, .thread = pthread_self()};
    if (opening->path == NULL)
        return error_memory(error);
    if (stat(opening->path, &opening->file) != 0)
        opening->file.st_ino = 0;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&openings_mutex);
    while (must_wait(opening))
        pthread_cond_wait(&opening_ended, &openings_mutex);
    opening->next = openings;
    openings = opening;
    pthread_mutex_unlock(&openings_mutex);
    return KW_OK;
}

void opening_end(struct opening *opening)
{
    pthread_mutex_lock(&openings_mutex);
    for (struct opening **at = &openings; *at != NULL; at = &(*at)->next) {
        if (*at == opening) {
            *at = opening->next;
            break;
        }
    }
    pthread_cond_broadcast(&opening_ended);
    pthread_mutex_unlock(&openings_mutex);
    free(opening->path);
}
