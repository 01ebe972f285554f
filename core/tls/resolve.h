/* The addresses of a host, within a time: getaddrinfo itself waits as long as the system's name servers let it. */
#ifndef KEYWRIGHT_TLS_RESOLVE_H
#define KEYWRIGHT_TLS_RESOLVE_H

#include "base/error.h"
#include <netdb.h>

/*
 * Freed by freeaddrinfo. `deadline` is of clock_milliseconds. Names are asked for by a thread, which ends by itself when it has its answer, also where
 * nobody waits for that any more. KW_UNAVAILABLE: the name is unknown. KW_TIMEOUT, without words: the caller knows how long it was.
 */
KW_MUST_USE kw_status resolve(const char *host, const char *port, uint64_t deadline, struct addrinfo **addresses,
                              kw_error *error);

#endif
