/* What --help prints, made from the tables. */
#ifndef KEYWRIGHT_CLI_HELP_H
#define KEYWRIGHT_CLI_HELP_H

#include "verb.h"

extern const struct verb *const verbs[];
extern const size_t verb_count;

void help_all(void);
void help_verb(const struct verb *verb);
/* Lists the verbs of two words that begin with this one; false, and nothing printed, when there are none. */
bool help_group(const char *word);

/*
 * The verb that `words` begin with, and how many of them its name has. Errors: KW_INVALID_ARGUMENT (unknown, with the nearest
 * name; or half of a name of two words).
 */
KW_MUST_USE kw_status help_find_verb(const char *const *words, size_t word_count, const struct verb **verb,
                                     size_t *used, kw_error *error);

#endif
