/* A server for tests: a fresh directory with a configuration, its catalogue, and a context opened on it. */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include <keywright/keywright.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct server {
    char directory[64];
    char configuration[96];
    kw_context *context;
    kw_error error; /* of the last call that was given it */
};

/* Asserts KW_OK, shows the error otherwise, and asserts that a call that succeeds leaves the error as it was. */
#define assert_ok(server, expression) assert_status(server, KW_OK, expression)
#define assert_status(server, expected, expression)                                                                    \
    ((server)->error = (kw_error){.remedy = "untouched"},                                                              \
     server_check((expected), (expression), &(server)->error, #expression, __FILE__, __LINE__))
void server_check(kw_status expected, kw_status actual, const kw_error *error, const char *expression, const char *file,
                  int line);

/* Everything but the context: files with quick keys for what `apply` makes; `extra` is appended to the YAML. */
void server_write(struct server *server, const char *extra);
/* server_write, kw_apply, kw_open. */
void server_start(struct server *server, const char *extra);
void server_reopen(struct server *server);
/* Closes, and removes the directory. */
void server_stop(struct server *server);

/* A file in the server's directory: its path in a buffer of the server's, good until the next call. */
const char *server_path(struct server *server, const char *name);
void server_write_file(struct server *server, const char *name, const void *data, size_t length, unsigned mode);
size_t server_read_file(struct server *server, const char *name, unsigned char *data, size_t room);

/* Runs a program by the shell; asserts that it succeeds. */
void server_run(const char *command);

/* kw_certificate_create with a quick key. */
kw_status server_create(struct server *server, const char *address, const char *database);
/* How many certificates a filter shows; with `address` not NULL, asserts that it is among them. */
size_t server_count(struct server *server, bool all, const char *database, const char *address);

#endif
