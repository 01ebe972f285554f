/* Putting the floors together: what opening, applying and checking share. */
#ifndef KEYWRIGHT_CONTEXT_H
#define KEYWRIGHT_CONTEXT_H

#include "certificate/manager.h"

#include <pthread.h>
#include <sys/stat.h>

/* The configuration file that the options, the environment or the built-in default name; absolute. NULL when memory ran out. */
char *configuration_path(const kw_open_options *options);
/* Whether the options or the environment name one. */
bool configuration_is_named(const kw_open_options *options);

/* Settings alone: read, and everything in them that a floor above config knows about checked (addresses, kinds, keys). */
KW_MUST_USE kw_status configuration_read(const kw_open_options *options, settings_warning warning, void *user,
                                         struct settings **settings, kw_error *error);

/* kw_open that adds no certificates, with a choice: `create` makes the state directory and the catalogue where they are missing. */
KW_MUST_USE kw_status context_open(const kw_open_options *options, bool create, kw_context **context, kw_error *error);

/* The stores of a configuration, and the library's own. `before` as in stores_options. Of the whole context. */
KW_MUST_USE kw_status context_make_stores(kw_context *context, struct settings *settings, struct stores *before,
                                          struct stores **stores, kw_error *error);

/*
 * A view of the context for one call, with the configuration in force: first takes one that the process was told of. Of a view, the same
 * again.
 */
void context_take(kw_context *context, struct kw_context *view);
void context_give(struct kw_context *view);
/* The first part of it: takes a new configuration that the process was told of. One atomic load when there is none. */
void context_follow(kw_context *context);
/*
 * For the OpenSSL module: the context of this configuration that the process has open, else a new one, which a program's kw_open takes part in later.
 * Of `options` the configuration and the prompt count. context_leave it, with `program` false; kw_close is context_leave of the program.
 */
KW_MUST_USE kw_status context_join(const kw_open_options *options, kw_context **context, kw_error *error);
void context_leave(kw_context *context, bool program);

/* What the above share with contexts.c. */
KW_MUST_USE kw_status context_open_for_module(const kw_open_options *options, kw_context **context, kw_error *error);
/* In a new context that is in no list yet: whom it belongs to, and what it logs and asks by. */
KW_MUST_USE kw_status callbacks_start(kw_context *context, const kw_open_options *options, bool program,
                                      kw_error *error);
void callbacks_free(kw_context *context);
void contexts_add(kw_context *context);
/* For the program: one that the module has opened; `*context` stays as it is when there is none. */
KW_MUST_USE kw_status contexts_claim(const kw_open_options *options, kw_context **context, kw_error *error);
/* Whether it was the last user: then it is in the list no more. */
bool contexts_leave(kw_context *context, bool program);
/*
 * openings.c: between the two, this thread finds or opens a context of this configuration. Begins once no other thread is at it, but for a program's own
 * openings, which are contexts of their own each. `opening` stays where it is until it has ended. KW_FAILED: memory ran out, and nothing has begun.
 */
struct opening {
    char *path;
    struct stat file; /* st_ino 0: there is none */
    bool program;
    pthread_t thread;
    struct opening *next;
};
KW_MUST_USE kw_status opening_begin(struct opening *opening, const kw_open_options *options, bool program,
                                    kw_error *error);
void opening_end(struct opening *opening);
/* Once plugins have been loaded, and before they are used. */
void context_watch_forks(void);
/* The first half of context_take, for keys: a program may use nothing else for years. A kw_context that is no view. */
void context_renew(void *whole);
/* Publishes which stores there are, so that nobody moves a key to one that this process does not have. */
KW_MUST_USE kw_status context_tell_stores(kw_context *context, kw_error *error);
/* reload.c: notes the configuration as the one in force, unless other processes are at work, which may have another. What fails is told to the log. */
void context_note_configuration(kw_context *context);

/* Adds what a start finds missing, as the kinds say: server-encryption. What fails is told to the log. */
void context_add_missing(kw_context *context);

#endif
