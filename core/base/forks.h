/* What a fork needs of the floors. */
#ifndef KEYWRIGHT_BASE_FORKS_H
#define KEYWRIGHT_BASE_FORKS_H

/* As pthread_atfork; where processes do not fork, nothing is called. */
void forks_watch(void (*prepare)(void), void (*parent)(void), void (*child)(void));

#endif
