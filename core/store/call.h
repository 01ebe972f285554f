/*
 * One call of a plugin: its deadline, how it is counted and timed, and what its answer means. The call itself is in store.c. Nothing here
 * allocates or locks, and the clock is read twice: signing comes through here.
 */
#ifndef KEYWRIGHT_STORE_CALL_H
#define KEYWRIGHT_STORE_CALL_H

#include "store/instance.h"

struct call {
    struct store *store;
    enum store_operation operation;
    uint64_t started;
    kw_call context;
};

struct call call_begin(struct store *store, enum store_operation operation);
KW_MUST_USE kw_status call_end(const struct call *call, kw_status answer, kw_error *error);

/* What the plugin is shown of a caller's buffer. */
kw_output output_copy_of(const kw_output *output);
/*
 * The same as call_end for a call that answers with bytes: `given` is what output_copy_of made. A length is believed only when it can be
 * true: what a broken plugin claims is KW_FAILED.
 */
KW_MUST_USE kw_status call_end_output(const struct call *call, kw_status answer, const kw_output *given,
                                      kw_output *output, kw_error *error);
/* And for a locator, which the catalogue must be able to keep. */
KW_MUST_USE kw_status call_end_locator(const struct call *call, kw_status answer, const kw_output *given,
                                       kw_output *locator, kw_error *error);

/* KW_FAILED: the plugin broke a rule of plugin.h. */
KW_MUST_USE kw_status call_broken(const struct call *call, kw_error *error, const char *what);

#endif
