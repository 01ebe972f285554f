/* The machine that this runs on. */
#ifndef KEYWRIGHT_BASE_MACHINE_H
#define KEYWRIGHT_BASE_MACHINE_H

#include "base/crypto.h"

#define MACHINE_ID_TEXT_SIZE 33
#define MACHINE_ID_MAXIMUM   128 /* of the file, in bytes */

/*
 * 32 hex digits that are the same as long as this system is installed, made of the id in the file (machine-id(5)) as systemd makes ids
 * for applications: HMAC-SHA256 of the application's id under the machine's. Who knows it cannot find the machine's id, nor what other
 * applications make of it. Without a path: /etc/machine-id; on Windows the MachineGuid that its installation made. Errors: KW_NOT_FOUND
 * (no file, or there is no id in it yet), KW_CORRUPT, KW_PERMISSION.
 */
KW_MUST_USE kw_status machine_id(struct crypto *crypto, const char *path, char text[MACHINE_ID_TEXT_SIZE],
                                 kw_error *error);

/* What says the system's own id, as the file does, and where that is. */
KW_MUST_USE kw_status machine_system_id(kw_bytes *content, const char **where, kw_error *error);

#endif
