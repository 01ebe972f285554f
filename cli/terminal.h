/* Asking a person, at a terminal alone. */
#ifndef KEYWRIGHT_CLI_TERMINAL_H
#define KEYWRIGHT_CLI_TERMINAL_H

#include "problem.h"

/* Whether a person can be asked for a secret: standard input or standard error is a terminal. */
bool terminal_can_ask(void);
/* Whether a secret's source, NULL where none was given, is the terminal. */
bool source_is_prompt(const char *source);
/*
 * Asks for a secret without showing it; `confirm`: twice, until both are the same. `answer` has room for KW_SECRET_MAXIMUM bytes.
 * Errors: KW_CONFIGURATION (no terminal), KW_INVALID_ARGUMENT (too long), KW_FAILED (end of input, or two that differ three times).
 */
KW_MUST_USE kw_status terminal_secret(const char *what, bool confirm, kw_output *answer);
/* Asks a question that yes or no answers. KW_REFUSED: answered no, or standard input is no terminal (the remedy names --yes). */
KW_MUST_USE kw_status terminal_confirm(const char *question, kw_error *error);

#endif
