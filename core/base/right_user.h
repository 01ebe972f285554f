/* Users by number, for what is POSIX's alone. */
#ifndef KEYWRIGHT_BASE_RIGHT_USER_H
#define KEYWRIGHT_BASE_RIGHT_USER_H

#include <sys/types.h>

/* "nobody", or the number where it has no name. */
#define RIGHT_USER_SIZE 64
void right_user(uid_t user, char text[RIGHT_USER_SIZE]);

#endif
