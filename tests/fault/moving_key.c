#include "moving_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char text[] = "what was encrypted at the beginning";

static void run(const char *command)
{
    int result = -1;
    const pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &result, 0) != child || result != 0)
        server_stop(command, NULL);
}

static void import(struct moving_key *moving)
{
    const kw_import_options options = {.size = sizeof(options),
                                       .path = moving->certificate,
                                       .key_path = moving->key,
                                       .address = MOVING_ADDRESS,
                                       .store = SERVER_SOFTSTORE};
    kw_error error = {0};
    if (kw_import(moving->server->context, &options, NULL, NULL, &error) != KW_OK)
        server_stop("the key that shall move cannot be imported", &error);
}

void moving_make(struct moving_key *moving, struct server *server, const char *name, const char *algorithm)
{
    char command[1200];
    kw_error error = {0};
    *moving = (struct moving_key){.server = server};
    snprintf(moving->certificate, sizeof(moving->certificate), "%s/%s.crt", server->directory, name);
    snprintf(moving->key, sizeof(moving->key), "%s/%s.key", server->directory, name);
    snprintf(command, sizeof(command),
             "umask 077 && openssl genpkey -algorithm %s -out %s 2>/dev/null && "
             "printf '[req]\\ndistinguished_name=dn\\n[dn]\\n' |"
             "openssl req -config /dev/stdin -x509 -new -key %s -subj /CN=moving -days 30 "
             "-addext basicConstraints=CA:FALSE -out %s",
             algorithm, moving->key, moving->key, moving->certificate);
    run(command);
    moving_remove(moving);
    import(moving);
    if (kw_cms_encrypt(server->context, MOVING_ADDRESS, (kw_input){(const unsigned char *)text, sizeof(text)},
                       &moving->sealed, &error) != KW_OK)
        server_stop("nothing can be encrypted to the key that shall move", &error);
    moving_remove(moving);
}

void moving_clear(struct moving_key *moving)
{
    kw_bytes_free(&moving->sealed);
}

enum moving_where moving_where(struct moving_key *moving)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = MOVING_ADDRESS};
    kw_certificate_list *list = NULL;
    enum moving_where where = MOVING_NOWHERE;
    if (kw_certificates(moving->server->context, &filter, &list, NULL) == KW_OK && list->count == 1)
        where = strcmp(list->certificates[0].store, SERVER_SOFTSTORE) == 0 ? MOVING_IN_SOFTSTORE : MOVING_ON_TOKEN;
    kw_certificate_list_free(list);
    return where;
}

void moving_remove(struct moving_key *moving)
{
    kw_error error = {0};
    if (moving_where(moving) != MOVING_NOWHERE &&
        kw_certificate_delete(moving->server->context, MOVING_ADDRESS, true, &error) != KW_OK)
        server_stop("the key that moved cannot be deleted", &error);
}

void moving_place(struct moving_key *moving)
{
    if (moving_where(moving) == MOVING_IN_SOFTSTORE)
        return;
    moving_remove(moving);
    import(moving);
}

kw_status moving_transfer(struct moving_key *moving, kw_error *error)
{
    const char *address = MOVING_ADDRESS;
    const kw_transfer_options options = {
        .size = sizeof(options), .addresses = &address, .address_count = 1, .store = "hsm", .wait_ms = 5000};
    return kw_transfer(moving->server->context, &options, NULL, NULL, error);
}

kw_status moving_decrypt(struct moving_key *moving, kw_error *error)
{
    kw_bytes plain = {0};
    kw_status status = kw_cms_decrypt(moving->server->context, MOVING_ADDRESS,
                                      (kw_input){moving->sealed.data, moving->sealed.length}, &plain, error);
    if (status == KW_OK && (plain.length != sizeof(text) || memcmp(plain.data, text, sizeof(text)) != 0)) {
        snprintf(error->message, sizeof(error->message), "another plaintext came out");
        status = KW_CORRUPT;
    }
    kw_bytes_free(&plain);
    return status;
}

/* By another process: closing the catalogue's file here would drop SQLite's locks. */
static long ask(const struct moving_key *moving, const char *question)
{
    char command[1200], path[300], line[32] = "";
    snprintf(path, sizeof(path), "%s/answer", moving->server->directory);
    snprintf(command, sizeof(command), "sqlite3 -cmd '.timeout 5000' %s/state/catalogue.db \"%s\" >%s",
             moving->server->directory, question, path);
    run(command);
    FILE *answer = fopen(path, "re");
    if (answer == NULL || fgets(line, sizeof(line), answer) == NULL || fclose(answer) != 0)
        server_stop(path, NULL);
    return strtol(line, NULL, 10);
}

long moving_in_softstore(struct moving_key *moving)
{
    return ask(moving, "SELECT count(*) FROM record WHERE store_id = '" SERVER_SOFTSTORE_ID
                       "' AND name <> CAST('kek' AS BLOB)");
}

long moving_journal(struct moving_key *moving)
{
    return ask(moving, "SELECT count(*) FROM journal");
}
