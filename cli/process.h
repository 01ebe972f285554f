/* What the command asks of the system for itself. */
#ifndef KEYWRIGHT_CLI_PROCESS_H
#define KEYWRIGHT_CLI_PROCESS_H

#include "problem.h"

/*
 * Locale for the width of characters; no core dumps, since plaintexts pass through this process; a reader that goes away ends the
 * output, not the work; descriptors 0, 1 and 2 are open.
 */
void process_prepare(void);
/* Whether all of standard output reached its place. KW_FAILED says why not; `quietly`: the reader had gone, which needs no words. */
KW_MUST_USE kw_status process_flush(bool *quietly, kw_error *error);

#endif
