/* The services that the host offers one store's plugin: the table kw_host of plugin.h. */
#ifndef KEYWRIGHT_STORE_HOST_H
#define KEYWRIGHT_STORE_HOST_H

#include "store/store.h"

/* `settings` and `module` must live as long as the host. `builtin`: the store is one of the library itself; else NULL. */
KW_MUST_USE kw_status host_new(const struct stores_options *options, const struct store_settings *settings,
                               const struct module *module, const struct builtin_store *builtin, kw_host_context **host,
                               kw_error *error);
void host_free(kw_host_context *host);
const kw_host *host_table(const kw_host_context *host);

/* At the start of each call: forgets what was reported in this thread, and warns once of secrets that could not be locked. */
void host_call_begin(const kw_host_context *host);
/* The calls to the backend that the plugin told of in this thread since then. */
uint32_t host_call_count(void);
/* One line for the log. */
void host_tell_call(const kw_host_context *host, kw_log_level level, const char *operation, uint64_t milliseconds,
                    bool succeeded);
/* What the plugin reported in this thread since then; "" for nothing. */
const char *host_call_sentence(void);
/* The last failure of a host service in this thread since then, or NULL: why the plugin could not go on. */
const kw_error *host_call_error(void);

/* For a built-in store: why the operation under way in this thread is about to fail, with place and remedy. */
void host_call_explain(const kw_error *error);
/* Around what an operation does with other stores: what those told is not this operation's. */
struct host_nesting {
    uint32_t count;
    bool refusal_was_told;
};
void host_nest_begin(struct host_nesting *nesting);
void host_nest_end(const struct host_nesting *nesting);

/*
 * Secrets of a backend that may lock, handed out during a call: the call's end tells what became of them. Each costs a look at a variable of
 * the thread when there is none.
 */
void host_secrets_begin(void);
bool host_secrets_told(void);
void host_secrets_tell(bool told);
void host_secrets_settle(const kw_host_context *host, kw_status answer);
/* The backend refused what was handed out last, of all the store's secrets: for a plugin that does not say so itself. */
void host_secrets_refused(kw_host_context *host);
/*
 * Tells those who derive secrets what became of the store that was given some: true when it was refused, and another is worth trying.
 */
bool host_secrets_opened(kw_host_context *host, bool accepted);
/* Before a key is used: KW_UNAVAILABLE where the store was opened by a subkey of a master key whose store has been away for too long. */
KW_MUST_USE kw_status host_secrets_serve(kw_host_context *host, kw_error *error);
/* Where an option is set that the plugin's sentence begins with, as plugin.h has it. */
void host_place_option(const kw_host_context *host, kw_error *error);
/* Where the configuration says where the refused secret comes from, and what to do. */
void host_explain_refusal(kw_host_context *host, kw_error *error);
/* After a change of the secret: what was refused before may be right now. */
void host_secret_changed(kw_host_context *host, const char *option);

void host_fork_prepare(kw_host_context *host);
void host_fork_done(kw_host_context *host); /* on both sides */

#endif
