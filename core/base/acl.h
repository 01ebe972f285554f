/* Windows alone: who may do what to a file or directory, by its list of access rights, and lists for new ones. */
#ifndef KEYWRIGHT_BASE_ACL_H
#define KEYWRIGHT_BASE_ACL_H

#include <stdbool.h>
#include <stdint.h>
#include <wchar.h>

enum acl_use { ACL_READING, ACL_CHANGING };

#define ACL_NAME_SIZE 256
struct acl_finding {
    char owner[ACL_NAME_SIZE]; /* such as "BUILTIN\Administrators" */
    bool owner_trusted;        /* the system, its administrators, its installer, or this process's user */
    bool others;               /* may use it so who is neither trusted nor its owner */
    char other[ACL_NAME_SIZE]; /* one of them */
};

/* 0, or GetLastError's number. What is denied to somebody is not looked at: the finding may be too strict, never too lax. */
uint32_t acl_examine(const wchar_t *path, enum acl_use use, struct acl_finding *finding);
/* Whether the directory gives everybody, or everybody who has an account, any right. True where it cannot be read. */
bool acl_is_open(const wchar_t *directory);
/*
 * A security descriptor for what only this process's user, the system and its administrators may use; with `directory`, also what comes to be
 * in it. To be freed by acl_free. NULL: memory ran out.
 */
void *acl_private(bool directory);
void acl_free(void *descriptor);

/* The process's user, such as "NT AUTHORITY\SYSTEM". */
void acl_user(char name[ACL_NAME_SIZE]);

#endif
