/* The open catalogue, for the files of this folder: who may use which connection when, and rows that are sealed and verified. */
#ifndef KEYWRIGHT_CATALOGUE_HANDLE_H
#define KEYWRIGHT_CATALOGUE_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buffer.h"
#include "base/secret.h"
#include "catalogue/catalogue.h"
#include "catalogue/sqlite.h"

/*
 * Two connections, so that readers never wait for a writer, not even for one of this process that itself waits for another
 * process. Each belongs to whoever holds its mutex, and is made at the first use.
 */
struct catalogue {
    struct crypto *crypto;
    const struct log *log;
    char *path;
    char *description;
    struct secret key;     /* the catalogue key, for catalogue_derive */
    struct secret row_key; /* of rows' HMACs */
    atomic_uint schema_version;
    pthread_mutex_t write_mutex, read_mutex;
    struct sqlite *writer, *reader;
    long process;                /* that opened the connections */
    _Atomic(const void *) owner; /* marks the thread whose transaction is open; it holds write_mutex */
};

/* ---- open.c: finding, making and checking the file ---- */

/* A connection to the catalogue's file, whose key has been checked. KW_NOT_FOUND when there is none yet. */
KW_MUST_USE kw_status catalogue_connect(struct catalogue *catalogue, struct sqlite **sqlite, kw_error *error);
/* Makes the state directory and the file where they are missing. */
KW_MUST_USE kw_status catalogue_make(struct catalogue *catalogue, const char *state_directory, kw_error *error);

/* ---- catalogue.c: access ---- */

enum access { ACCESS_READ, ACCESS_WRITE };

/*
 * Begins a transaction of one operation, or joins the one that this thread has begun. A catalogue_leave belongs to each enter that
 * succeeds: it commits when `status` is KW_OK, else rolls back (but never the thread's own transaction), and returns what
 * came of it.
 */
KW_MUST_USE kw_status catalogue_enter(struct catalogue *catalogue, enum access access, struct sqlite **sqlite,
                                      kw_error *error);
KW_MUST_USE kw_status catalogue_leave(struct catalogue *catalogue, enum access access, kw_status status,
                                      kw_error *error);

/* ---- catalogue.c: rows ---- */

/*
 * One row by its key. `row->table` says which; its values are valid until sqlite_done(*query), which is the caller's to call also after
 * a failure. `found` may tell that there is none.
 */
KW_MUST_USE kw_status catalogue_row_get(struct sqlite *sqlite, enum statement statement, const struct value *values,
                                        size_t count, struct row *row, struct sqlite3_stmt **query, bool *found,
                                        kw_error *error);
/* KW_CORRUPT, naming the row, when it does not verify. */
KW_MUST_USE kw_status catalogue_row_verify(struct catalogue *catalogue, struct sqlite *sqlite, const struct row *row,
                                           kw_error *error);
/* KW_CORRUPT for a row that verifies and yet is not understood. */
KW_MUST_USE kw_status catalogue_row_malformed(struct sqlite *sqlite, const struct row *row, kw_error *error);
/* What a reader came upon. */
KW_MUST_USE kw_status catalogue_row_end(struct sqlite *sqlite, const struct row_reader *reader, kw_error *error);
/* Deletes the row with this id; KW_NOT_FOUND. Also one that does not verify: this is how it is removed. */
KW_MUST_USE kw_status catalogue_row_delete(struct catalogue *catalogue, enum statement statement, const char *what,
                                           const struct id *id, kw_error *error);
/* The generation after this one. */
uint64_t catalogue_next_generation(uint64_t generation);

/* Fills `text` with what people call the row, such as "entry database/sales". */
#define ROW_NAME_SIZE 800
void row_describe(struct sqlite *sqlite, const struct row *row, char text[ROW_NAME_SIZE]);

/* ---- Rows that do not verify, met while many are read; told when no lock is held ---- */

struct corruption {
    struct buffer errors; /* of kw_error */
};

/* Takes note of the error and returns KW_OK where it is KW_CORRUPT of a row and somebody listens; else returns its status. */
KW_MUST_USE kw_status corruption_note(struct corruption *corruption, catalogue_corrupt corrupt, kw_status status,
                                      const kw_error *noted, kw_error *error);
void corruption_tell(const struct corruption *corruption, catalogue_corrupt corrupt, void *user);
void corruption_free(struct corruption *corruption);

/* ---- Rows of each table ---- */

KW_MUST_USE kw_status entry_row_read(struct sqlite *sqlite, const struct row *row, struct entry_row *entry,
                                     kw_error *error);
KW_MUST_USE kw_status certificate_row_read(struct sqlite *sqlite, const struct row *row,
                                           struct certificate_row *certificate, kw_error *error);

#endif
