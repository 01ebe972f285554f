#include "base/forks.h"

#include <pthread.h>

void forks_watch(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    pthread_atfork(prepare, parent, child);
}
