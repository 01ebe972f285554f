/* A TCP connection to a server that nobody trusts yet: every wait ends at one deadline, every read is bounded, no signal is raised. */
#ifndef KEYWRIGHT_TLS_WIRE_H
#define KEYWRIGHT_TLS_WIRE_H

#include "base/error.h"

#define WIRE_ADDRESS_MAXIMUM 64

struct wire {
    int socket;        /* not blocking; -1: none */
    uint64_t deadline; /* clock_milliseconds */
    unsigned timeout_ms;
    bool ended;                         /* by the other side */
    char address[WIRE_ADDRESS_MAXIMUM]; /* that answered, or that was tried last */
};

/* No connection yet; from now on the time runs. */
void wire_begin(struct wire *wire, unsigned timeout_ms);
/*
 * To the first of the host's addresses that answers. The time is over the asking of name servers, too. KW_UNAVAILABLE: the name is unknown, or no
 * address answers; KW_TIMEOUT.
 */
KW_MUST_USE kw_status wire_connect(struct wire *wire, const char *host, const char *port, kw_error *error);
void wire_close(struct wire *wire);

/* `what` the server does not do if time runs out ("the server does not answer"). KW_TIMEOUT, KW_FAILED. */
KW_MUST_USE kw_status wire_wait(const struct wire *wire, short events, const char *what, kw_error *error);
/* All of it. KW_TIMEOUT; KW_FAILED: the connection ended, and `ended` is set. */
KW_MUST_USE kw_status wire_send(struct wire *wire, kw_input bytes, const char *what, kw_error *error);
/* At least one byte, or `*got` 0 and `ended` where there will be none. KW_TIMEOUT, KW_FAILED. */
KW_MUST_USE kw_status wire_receive_some(struct wire *wire, void *bytes, size_t size, size_t *got, const char *what,
                                        kw_error *error);
/* So many. KW_FAILED: also when the connection ends before that. */
KW_MUST_USE kw_status wire_receive(struct wire *wire, void *bytes, size_t length, const char *what, kw_error *error);
/* Whether the server has already sent something that nobody has read. */
bool wire_has_more(const struct wire *wire);

#endif
