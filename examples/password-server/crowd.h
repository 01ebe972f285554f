/* The clients that are being served: a thread each, and not more than there are places. All functions are called by one thread. */
#ifndef PASSWORD_CROWD_H
#define PASSWORD_CROWD_H

#include "service.h"

#include <openssl/ssl.h>

struct crowd;

/* Borrows both. NULL: out of memory. */
struct crowd *crowd_new(SSL_CTX *tls, const struct service *service);
/* Takes the socket over: serves whoever is there in a thread of its own, or closes it when there is no place. */
void crowd_admit(struct crowd *crowd, int socket);
/* Lets requests under way be answered, ends all connections, and frees. NULL is allowed. */
void crowd_free(struct crowd *crowd);

#endif
