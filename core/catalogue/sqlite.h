/* One connection to the SQLite file of a catalogue. For one thread at a time, and for the process that opened it. */
#ifndef KEYWRIGHT_CATALOGUE_SQLITE_H
#define KEYWRIGHT_CATALOGUE_SQLITE_H

#include "catalogue/row.h"
#include "catalogue/schema.h"

struct sqlite;
struct sqlite3_stmt; /* a statement under way */

/*
 * Errors of all functions, with the file in `where`: KW_UNAVAILABLE (locked for 30 s, disk full, unreadable), KW_PERMISSION,
 * KW_CORRUPT (also: tables are missing), KW_OUT_OF_MEMORY; of those that write also KW_EXISTS (unique), KW_CONFLICT (a
 * reference leads nowhere) and KW_INVALID_ARGUMENT.
 */

/* A file that exists. KW_PERMISSION when it cannot be written. */
KW_MUST_USE kw_status sqlite_open(const char *path, struct sqlite **sqlite, kw_error *error);
/* `checkpoint`: the last one to close tidies the write-ahead log into the file, unless the file was replaced. */
void sqlite_close(struct sqlite *sqlite, bool checkpoint);
/* Whether the file of this name is no longer the one that is open. */
bool sqlite_moved(struct sqlite *sqlite);

/* 0: an empty database. KW_CORRUPT: not a catalogue of ours. KW_UNSUPPORTED: of a newer version than `known`. */
KW_MUST_USE kw_status sqlite_version(struct sqlite *sqlite, unsigned known, unsigned *version, kw_error *error);
/* Write-ahead log: readers and a writer do not wait for each other. Stays set in the file. */
KW_MUST_USE kw_status sqlite_use_wal(struct sqlite *sqlite, kw_error *error);
/* Makes the tables; inside a transaction. */
KW_MUST_USE kw_status sqlite_define(struct sqlite *sqlite, unsigned version, kw_error *error);

/* A read transaction sees one state of the database throughout; a write transaction is alone from the start. */
KW_MUST_USE kw_status sqlite_begin(struct sqlite *sqlite, bool write, kw_error *error);
/* A failure rolls back. */
KW_MUST_USE kw_status sqlite_commit(struct sqlite *sqlite, kw_error *error);
void sqlite_rollback(struct sqlite *sqlite);
/* Not any more, too, when SQLite had to roll it back by itself. */
bool sqlite_in_transaction(const struct sqlite *sqlite);

/* Starts a statement. */
KW_MUST_USE kw_status sqlite_query(struct sqlite *sqlite, enum statement statement, const struct value *values,
                                   size_t count, struct sqlite3_stmt **query, kw_error *error);
/* The next row; its values are valid until the next call. */
KW_MUST_USE kw_status sqlite_next(struct sqlite *sqlite, struct sqlite3_stmt *query, struct value *values, size_t count,
                                  bool *found, kw_error *error);
/* Ends it; NULL is allowed. */
void sqlite_done(struct sqlite3_stmt *query);

/* A statement without rows. `changed` (may be NULL): how many rows it touched. */
KW_MUST_USE kw_status sqlite_run(struct sqlite *sqlite, enum statement statement, const struct value *values,
                                 size_t count, int64_t *changed, kw_error *error);
/* A statement whose one value is a number. */
KW_MUST_USE kw_status sqlite_number(struct sqlite *sqlite, enum statement statement, int64_t *number, kw_error *error);

#endif
