/* A configuration that is read anew: complete, checked, and what is new in it opened, before it may be put in force. */
#ifndef KEYWRIGHT_CANDIDATE_H
#define KEYWRIGHT_CANDIDATE_H

#include "changes.h"

/* Zero-initialise. */
struct candidate {
    struct settings *settings;
    struct stores *stores;
};
void candidate_clear(struct candidate *candidate);

/* Of the file that `view` has. KW_REFUSED: state or catalogue key are others. */
KW_MUST_USE kw_status candidate_read(const kw_context *view, struct candidate *candidate, kw_error *error);
/* KW_REFUSED, that `what` is not what a reload can change. */
KW_MUST_USE kw_status candidate_refuse(const char *what, const struct settings *settings, kw_error *error);
/* Opens the stores that are new, or set up otherwise than in `view`, or whose settings `changes` (NULL: none) names. */
KW_MUST_USE kw_status candidate_open(const kw_context *view, const struct candidate *candidate,
                                     const kw_changes *changes, kw_error *error);
/* Adds a warning to `changes` for each store that keys of certificates are in, and that the candidate lacks; `before` has its name. */
KW_MUST_USE kw_status candidate_warn(const kw_context *view, const struct candidate *candidate,
                                     const struct lines *before, kw_changes *changes, kw_error *error);

#endif
