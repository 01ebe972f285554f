/* Files: read whole with a limit, write whole or not at all, and who may touch them. */
#ifndef KEYWRIGHT_BASE_FILE_H
#define KEYWRIGHT_BASE_FILE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/path.h"
#include "base/secret.h"

/* A regular file of at most `limit` bytes. Errors: KW_NOT_FOUND, KW_PERMISSION, KW_INVALID_ARGUMENT (not a regular file, too large). */
KW_MUST_USE kw_status file_read(const char *path, size_t limit, kw_bytes *content, kw_error *error);
/* The same into locked memory; nothing of it remains elsewhere. */
KW_MUST_USE kw_status file_read_secret(const char *path, size_t limit, struct secret *content, kw_error *error);
/* What a descriptor still gives, at most `limit` bytes. It stays open. */
KW_MUST_USE kw_status file_read_descriptor(int descriptor, size_t limit, struct secret *content, kw_error *error);

/*
 * Written beside, synced, renamed: an existing file is replaced whole or not at all. Symbolic links stay, and the file that they lead
 * to is replaced. A device or a pipe cannot be replaced: it is written to, after waiting for a pipe's reader. Errors besides those of
 * writing: KW_NOT_FOUND (the directory, or a link that leads nowhere), KW_INVALID_ARGUMENT (a directory).
 */
KW_MUST_USE kw_status file_replace(const char *path, kw_input content, unsigned mode, kw_error *error);
/* A new file; KW_EXISTS when there is one. Synced. */
KW_MUST_USE kw_status file_create(const char *path, kw_input content, unsigned mode, kw_error *error);
/* Gives a file that is complete and synced its name, durably, where nobody has it: KW_EXISTS. Both on one file system. */
KW_MUST_USE kw_status file_publish(const char *unnamed, const char *path, kw_error *error);

/* Who runs as root leaves nothing behind that the owner of `directory` cannot use: gives it to them. Else it does nothing. */
KW_MUST_USE kw_status file_give_to_owner(const char *path, const char *directory, kw_error *error);

/* Makes a directory; one that exists is fine. */
KW_MUST_USE kw_status file_make_directory(const char *path, unsigned mode, kw_error *error);
/* The same; `made` becomes whether this call made it, so that of many callers one is told so. */
KW_MUST_USE kw_status file_claim_directory(const char *path, unsigned mode, bool *made, kw_error *error);
bool file_exists(const char *path);
/* Whether someone other than the owner and root may read it. */
bool file_others_read(const char *path);
/*
 * KW_OK when nobody but root and this user can change the file: it and its directory belong to one of them and are writable
 * by the owner alone. KW_REFUSED else, and the error says which and how to mend it.
 */
KW_MUST_USE kw_status file_check_trusted(const char *path, kw_error *error);

#endif
