/*
 * Rows as the catalogue sees them, whatever database keeps them: values in the order of the table's columns, then a generation, then
 * an HMAC over the table's name, the generation and all values.
 */
#ifndef KEYWRIGHT_CATALOGUE_ROW_H
#define KEYWRIGHT_CATALOGUE_ROW_H

#include "base/id.h"

enum value_type { VALUE_NULL = 0, VALUE_INTEGER = 1, VALUE_TEXT = 2, VALUE_BYTES = 3 };

struct value {
    enum value_type type;
    int64_t integer;
    kw_input bytes; /* borrowed */
};

struct value value_text(const char *text);
struct value value_bytes(kw_input bytes);
struct value value_integer(int64_t integer);

struct table {
    const char *name;
    size_t columns;     /* without generation and mac, which follow them */
    const char *remedy; /* for a row that does not verify: what to do, and what goes on without it */
};

extern const struct table table_entry, table_certificate, table_record, table_store, table_journal, table_root;

#define ROW_COLUMNS_MAXIMUM 12
#define ROW_IDS_MAXIMUM     3

/* Zero but for `table`. Points into itself: never copied. */
struct row {
    const struct table *table;
    struct value values[ROW_COLUMNS_MAXIMUM];
    size_t count;
    char ids[ROW_IDS_MAXIMUM][ID_TEXT_SIZE]; /* what values of row_add_id point to */
    size_t id_count;
    unsigned char mac[SHA256_LENGTH];
};

/* ---- Writing: add each column in order, then seal ---- */

void row_add_integer(struct row *row, int64_t integer);
void row_add_text(struct row *row, const char *text); /* borrowed */
void row_add_bytes(struct row *row, kw_input bytes);  /* borrowed */
/* As hex digits; an id of zeros as NULL. */
void row_add_id(struct row *row, const struct id *id);
/* Adds generation and mac. */
KW_MUST_USE kw_status row_seal(struct row *row, struct crypto *crypto, kw_input key, uint64_t generation,
                               kw_error *error);

/* ---- Reading: verify, then take each column in order ---- */

/* How many values a stored row has. */
size_t row_width(const struct table *table);
/* Whether the stored mac is that of the stored values. */
KW_MUST_USE kw_status row_verify(const struct row *row, struct crypto *crypto, kw_input key, bool *verified,
                                 kw_error *error);

struct row_reader {
    const struct row *row;
    size_t next;
    bool malformed; /* some value is not what this version writes */
    bool no_memory;
};

int64_t row_take_integer(struct row_reader *reader, int64_t minimum, int64_t maximum);
char *row_take_text(struct row_reader *reader);                     /* a copy; NULL on failure */
kw_input row_take_bytes(struct row_reader *reader, size_t maximum); /* borrowed */
struct id row_take_id(struct row_reader *reader);
/* The number of the text among `names`; names[0] is not looked at. */
unsigned row_take_name(struct row_reader *reader, const char *const *names, size_t count);
uint64_t row_generation(const struct row *row);

#endif
