/*
 * What the server does for its clients; wire.h has the form of requests. What each costs the store of the master key and the databases' keys, once
 * the server has started:
 *
 *   certificate         the database's certificate                                          nothing
 *   webviewer-task      keeps the password of a task                                        one decryption
 *   directory-profile   keeps the password of a profile's account (master-key mode)         one decryption
 *   enrol, login        keeps, and checks, the password of a user (master-key mode)         one decryption
 *   use                 does something with a password that is kept                         nothing
 */
#ifndef PASSWORD_SERVICE_H
#define PASSWORD_SERVICE_H

#include "database.h"
#include "vault.h"

#include <jansson.h>

struct service {
    struct databases *databases;
    struct vault *vault;
};

/* The answer to a request, which json_decref frees; NULL: out of memory. Logs one line, with `client` in it. Any thread. */
json_t *service_answer(const struct service *service, const json_t *json, const char *client);

#endif
