/* The algorithm that --hash, --padding and --format mean for a key. */
#ifndef KEYWRIGHT_CLI_ALGORITHM_H
#define KEYWRIGHT_CLI_ALGORITHM_H

#include "session.h"

/* Of a raw signature over a message. Errors: KW_INVALID_ARGUMENT (unknown names, or not for this type of key). */
KW_MUST_USE kw_status algorithm_signature(const struct session *session, const kw_key *key, kw_algorithm *algorithm,
                                          kw_error *error);
/* OAEP with SHA-256. */
kw_algorithm algorithm_oaep(void);
/* Whether --format says oaep rather than cms. Errors: KW_INVALID_ARGUMENT (neither). */
KW_MUST_USE kw_status algorithm_format(const struct session *session, bool *oaep, kw_error *error);

#endif
