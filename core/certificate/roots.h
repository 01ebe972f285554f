/* Root secrets and the manager's verbs: rotated, retired, given another key, moved with theirs, and in nobody's way when a key is to go. */
#ifndef KEYWRIGHT_CERTIFICATE_ROOTS_H
#define KEYWRIGHT_CERTIFICATE_ROOTS_H

#include "certificate/manager.h"
#include "subkey/root_set.h"

/* What the functions of subkey/root.h work on. Borrows from the context. */
struct root_place roots_place(kw_context *context);
bool kind_has_roots(const struct kind *kind);

/* kw_rotate on a master key without a new key pair: a new root; and all that are not wrapped to the recovery certificate are. */
KW_MUST_USE kw_status roots_rotate(kw_context *context, const struct found *found, kw_event_callback event, void *user,
                                   kw_error *error);
KW_MUST_USE kw_status roots_retire(kw_context *context, const struct found *found, unsigned version, bool force,
                                   kw_event_callback event, void *user, kw_error *error);

/*
 * Of an entry that gets another key: its roots, unwrapped. NULL: it is no master key, or there is no such entry. `recovery_key`: a file; NULL: by the present key.
 */
KW_MUST_USE kw_status roots_take(kw_context *context, const struct kind *kind, const char *address,
                                 const char *recovery_key, const char *password_source, struct root_set **set,
                                 kw_error *error);

/* Whether a key of this type could open the master key's roots in another store. KW_UNSUPPORTED. Without roots it always can. */
KW_MUST_USE kw_status roots_check_store(kw_context *context, const struct found *found, const struct store *store,
                                        kw_key_type type, kw_error *error);

/* Within a transaction that takes a certificate away. KW_REFUSED: its key opens roots that are not retired. */
KW_MUST_USE kw_status roots_check_unneeded(kw_context *context, const struct found *found, kw_error *error);
/* KW_REFUSED: some root of the master key is not retired. */
KW_MUST_USE kw_status roots_check_retired(kw_context *context, const struct entry_row *entry, kw_error *error);
/* Within a transaction that takes the entry away, with nothing but retired ones left. After its commit: roots_forget. */
KW_MUST_USE kw_status roots_drop(kw_context *context, const struct entry_row *entry, kw_error *error);
/* Nothing of a master key that is gone is noted any more. Not before the commit: rows that stay must not lose their marks. */
void roots_forget(kw_context *context, const struct entry_row *entry);

/* The versions of an entry, for people. Rows that are damaged are told in the log; what is left out is none. */
void roots_describe(kw_context *context, const struct entry_row *entry, struct arena *arena, kw_certificate_info *info);
/* Whether some root is not wrapped to the configured recovery certificate; false where none is configured. */
bool roots_lack_recovery(kw_context *context, const struct kind *kind, const struct entry_row *entry);

#endif
