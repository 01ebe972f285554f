/* One run of the command: what was given, the open context, and how it speaks. Verbs are const tables. */
#ifndef KEYWRIGHT_CLI_SESSION_H
#define KEYWRIGHT_CLI_SESSION_H

#include "options.h"
#include "output.h"

struct verb;

struct session {
    const struct verb *verb;
    struct arguments arguments;
    bool json, quiet, yes;
    kw_log_level verbosity;
    kw_context *context; /* by session_open */
    json_t *events;      /* what session_event was told, with --json */
    json_t *reminders;   /* the sentences among it that are for the user to do */
    bool nobody_to_ask;  /* a secret was wanted from a person, and there was no terminal */
};

/* How a kw_open, kw_apply, ... of this run goes. */
kw_open_options session_options(struct session *session);
/* Opens the context, as the verb wants it. */
KW_MUST_USE kw_status session_open(struct session *session, kw_error *error);
void session_close(struct session *session);

/* A kw_event_callback whose `user` is the session: prints, or collects for session_done. */
void session_event(void *user, const kw_event *event);
/*
 * The end of a verb whose result is what it did: with --json prints an object of `members` (released; NULL: none) and, where the verb
 * told any, "events" and "reminders"; otherwise nothing.
 */
KW_MUST_USE kw_status session_done(struct session *session, json_t *members, kw_error *error);
/* A sentence for people: not with --quiet, not with --json. */
void session_note(const struct session *session, const char *format, ...) CLI_PRINTF(2, 3);

/* The CERT that a verb works on: its first word. */
const char *session_certificate(const struct session *session);

/* "-" and --json both want standard output: KW_INVALID_ARGUMENT. */
KW_MUST_USE kw_status session_check_output(const struct session *session, const char *path, kw_error *error);

#endif
