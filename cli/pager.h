/* Long output at a terminal, a page at a time. */
#ifndef KEYWRIGHT_CLI_PAGER_H
#define KEYWRIGHT_CLI_PAGER_H

#include "session.h"

/*
 * Sends standard output through $KEYWRIGHT_PAGER, else $PAGER, else less where it is installed; an empty one, or "cat", means none. Nothing
 * happens where standard output is no terminal, with --json or --no-pager, or where the process has another user's rights.
 */
void pager_begin(const struct session *session);
/*
 * Waits until the reader is done with it, and hands on how the printing went. A reader who quits early is no failure. KW_FAILED: the
 * pager could not be run.
 */
KW_MUST_USE kw_status pager_end(kw_status printed, kw_error *error);

#endif
