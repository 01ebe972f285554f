/*
 * What the command says: tables and details that fit the terminal, JSON documents, and messages. Results go to standard output,
 * all else to standard error. Nothing that comes from a file or a certificate reaches a terminal as a control character.
 */
#ifndef KEYWRIGHT_CLI_OUTPUT_H
#define KEYWRIGHT_CLI_OUTPUT_H

#include "problem.h"
#include <jansson.h>
#include <stdio.h>

enum tint { TINT_NONE, TINT_GOOD, TINT_WARNING, TINT_BAD, TINT_FAINT, TINT_STRONG };

struct column {
    const char *title; /* NULL in all: no line of titles */
    bool gives_way;    /* is cut first where the terminal is too narrow */
    bool wraps;        /* goes on in the next line instead */
    unsigned optional; /* is left out where cutting does not do, the highest number first; 0: never */
};

/*
 * From now on standard output is a pager's at the terminal that it is now: what is printed fits it and is coloured as there, and tables
 * repeat their titles.
 */
void output_page(void);

/* A table for standard output: fitted to the width of a terminal, whole elsewhere. NULL: out of memory. */
struct table;
struct table *table_new(const struct column *columns, size_t count);
void table_free(struct table *table);
/* Adds a row; cells that are NULL or not given are empty. `tint` colours the row. */
KW_MUST_USE kw_status table_add(struct table *table, const char *const *cells, size_t count, enum tint tint,
                                kw_error *error);
KW_MUST_USE kw_status table_print(struct table *table, kw_error *error);

/* Labels and values, one below the other; long values go on below themselves. */
struct table *details_new(void);
/* Left out when `value` is NULL. An empty label continues the value above. */
KW_MUST_USE kw_status details_add(struct table *details, const char *label, const char *value, kw_error *error);
/* The same, with the value coloured. */
KW_MUST_USE kw_status details_add_tinted(struct table *details, const char *label, const char *value, enum tint tint,
                                         kw_error *error);
KW_MUST_USE kw_status details_format(struct table *details, kw_error *error, const char *label, const char *format, ...)
    CLI_PRINTF(4, 5);

/* Prints the document, and a newline, to standard output, and releases it. NULL: out of memory. */
KW_MUST_USE kw_status json_print(json_t *document, kw_error *error);
/* A string, or null. */
json_t *json_text(const char *text);
/* An array of strings. */
json_t *json_texts(const char *const *texts, size_t count);

/* "keywright: WHERE:LINE:COLUMN: message" and, below it, the remedy; with `json` one JSON object in one line. */
void message_error(const kw_error *error, bool json);
void message_warning(const char *sentence);
/* A plain sentence. */
void message_note(const char *sentence);
/* A plain sentence that is a result: to standard output. */
void message_result(const char *sentence);

#endif
