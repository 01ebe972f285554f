/*
 * The furthest that this server has seen the roots of each master key: what the rows' HMACs do not see is an older copy of the catalogue, or of one row, that
 * somebody put back. A file of the state directory, STATE/root-marks, not of the catalogue: a server that opens a catalogue for the first time has no marks
 * and takes it as it is. It carries an HMAC under the catalogue key.
 */
#ifndef KEYWRIGHT_SUBKEY_HIGH_WATER_H
#define KEYWRIGHT_SUBKEY_HIGH_WATER_H

#include "subkey/root.h"

#define HIGH_WATER_FILE "root-marks"

/* Rows are never deleted one by one, and each change raises a row's generation: an older or a missing row makes the sum smaller. */
struct high_water {
    uint32_t versions;    /* of the master key */
    uint64_t generations; /* the sum of its rows' */
};

/*
 * Zeros where the master key has none. Read it before the rows that are held against it, since others raise it. Errors: KW_CORRUPT (the file was changed),
 * KW_PERMISSION.
 */
KW_MUST_USE kw_status high_water_read(const struct root_place *place, const struct id *master, struct high_water *mark,
                                      kw_error *error);
/* Durable. Only upwards, whatever other processes do at the same time; of rows that are committed. */
KW_MUST_USE kw_status high_water_raise(const struct root_place *place, const struct id *master,
                                       const struct high_water *seen, kw_error *error);
/* For a master key that is deleted, or that a file brings back. None is fine. */
KW_MUST_USE kw_status high_water_forget(const struct root_place *place, const struct id *master, kw_error *error);
/* KW_CORRUPT: what was read of the master key is older than the mark. */
KW_MUST_USE kw_status high_water_check(const struct root_place *place, const struct id *master,
                                       const struct high_water *mark, const struct high_water *read, kw_error *error);

#endif
