/*
 * What the processes that share a state directory tell each other, through the mapped file STATE/run/control:
 *
 *  - the *generation*, a number that is raised when keys have moved or the configuration has changed. Reading it is one atomic load, so
 *    every operation on a key can compare it with what it saw last;
 *  - a *slot* for each open context of each process: how many operations it has under way since which generation, and what it has
 *    acknowledged. So whoever raised the generation can tell when nobody uses what was there before. A forked child gets a slot
 *    of its own through the mapping that it inherits, without any path or right;
 *  - *counters* of stores' operations, which stay when a process ends (count.c).
 *
 * A slot's process is alive while it holds the fcntl lock of the slot's byte, so neither a crash nor a pid that is used again
 * deceives, and a program that is executed has none. A program that closes descriptors that are not its own loses the lock; it is taken
 * again when the generation has changed. No content of the file is trusted: it can delay, and count wrongly, and nothing else.
 */
#ifndef KEYWRIGHT_CONTROL_CONTROL_H
#define KEYWRIGHT_CONTROL_CONTROL_H

#include "base/log.h"

struct control;

/*
 * Takes part. Makes the file, of mode 0600 and the state directory's owner, where there is none; one that is damaged or of another kind is
 * made anew, with a warning, unless a process uses it. Borrows `log`. Errors: KW_PERMISSION (it belongs to others, or the right to write is
 * missing), KW_REFUSED (others may write it), KW_CORRUPT (damaged and in use), KW_UNAVAILABLE (disk full).
 */
KW_MUST_USE kw_status control_open(const char *state_directory, const struct log *log, struct control **control,
                                   kw_error *error);
/* NULL is allowed. No operation may be under way. */
void control_close(struct control *control);
/* Registers what a fork needs. Before a floor above registers its own. */
void control_watch_forks(void);

/* ---- The generation ---- */

/* One atomic load. It only grows, also when the file is made anew. */
uint64_t control_generation(const struct control *control);
/*
 * After a change that is committed: operations that begin from now on see the new generation. KW_UNAVAILABLE: operations hang that began
 * under several generations before, so that no more can be told apart; names their processes.
 */
KW_MUST_USE kw_status control_raise(struct control *control, uint64_t *generation, kw_error *error);
/* The same for a new configuration: its number grows too. */
KW_MUST_USE kw_status control_raise_configuration(struct control *control, uint64_t *generation, kw_error *error);
uint64_t control_configuration(const struct control *control);

/* ---- An operation on a key ---- */

/* Between enter and leave, what belonged to the generation that enter answered is not taken away. For one thread. */
struct control_use {
    struct control_slot *slot; /* NULL: this process found none */
    unsigned stripe, phase;
    uint64_t forks;
};
/* Two atomic operations on a cache line of this process. May be nested. */
uint64_t control_enter(struct control *control, struct control_use *use);
/* In a child that was forked in between it does nothing. */
void control_leave(struct control *control, const struct control_use *use);

/*
 * Whether this process was forked from one that had opened the state, and has not proved yet that it can read it itself. Until then
 * nothing that it inherited may be taken away.
 */
bool control_inherited(const struct control *control);
/* It has just read the state by itself: from now on its operations can be relied on to read it anew when the generation changes. */
void control_prove(struct control *control);
/* All that this process has loaded is of this generation or a later one. Needed of one that has not proved itself, and for its children. */
void control_acknowledge(struct control *control, uint64_t generation);

/* ---- The stores that a process knows ---- */

#define CONTROL_STORES   32u /* of one with more, none is known */
#define CONTROL_WHO_SIZE 400 /* "process 4711 (nginx), process 4712 (nginx) and 3 more" */

/* Which stores this context's configuration has, by id; a child inherits it. */
void control_know(struct control *control, const char *const *store_ids, size_t count);
/* Whether every living process knows the store: a key that moves there is lost for one that does not, which `who` names. */
KW_MUST_USE kw_status control_knows(struct control *control, const char *store_id, bool *knows,
                                    char who[CONTROL_WHO_SIZE], kw_error *error);

/* ---- What has become of a new configuration ---- */

/* This context has the configuration of that number, or could not take it and goes on with the one before; a child inherits the answer. */
void control_answer(struct control *control, uint64_t configuration, bool taken);

/* Of the contexts that are open in all processes; one that has neither taken nor refused it has not looked at it yet. */
struct control_answers {
    size_t contexts, taken, refused;
    char waiting[CONTROL_WHO_SIZE], refusing[CONTROL_WHO_SIZE];
};
KW_MUST_USE kw_status control_answers_get(struct control *control, uint64_t configuration,
                                          struct control_answers *answers, kw_error *error);

/* ---- Waiting for the others ---- */

/*
 * Whether no living process can still use what came before `generation`: none has an operation under way that began before it, and every
 * one that has not proved itself has acknowledged. Else `who` names those that delay.
 */
KW_MUST_USE kw_status control_settled(struct control *control, uint64_t generation, bool *settled,
                                      char who[CONTROL_WHO_SIZE], kw_error *error);
/*
 * Until then: KW_TIMEOUT after so many milliseconds, with who delays in `who` and in the error. Whoever waits has read the state in the same call, and so
 * proves itself: a forked process does not wait for itself.
 */
KW_MUST_USE kw_status control_wait(struct control *control, uint64_t generation, uint64_t milliseconds,
                                   char who[CONTROL_WHO_SIZE], kw_error *error);
/* Contexts that are open now, in all processes. */
size_t control_contexts(struct control *control);

#endif
