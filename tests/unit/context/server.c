#include "server.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void server_check(kw_status expected, kw_status actual, const kw_error *error, const char *expression, const char *file,
                  int line)
{
    if (actual == expected && (actual != KW_OK || error->message[0] == '\0'))
        return;
    if (actual == expected)
        print_error("%s\n  succeeded, and left an error behind: %s: %s\n", expression, error->where, error->message);
    else
        print_error("%s\n  gave '%s' instead of '%s': %s%s%s\n", expression, kw_status_text(actual),
                    kw_status_text(expected), error->where, error->where[0] != '\0' ? ": " : "",
                    actual != KW_OK ? error->message : "");
    _fail(file, line);
}

const char *server_path(struct server *server, const char *name)
{
    static _Thread_local char path[256];
    snprintf(path, sizeof(path), "%s/%s", server->directory, name);
    return path;
}

void server_write_file(struct server *server, const char *name, const void *data, size_t length, unsigned mode)
{
    const int file = open(server_path(server, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode_t)mode);
    assert_true(file >= 0);
    assert_int_equal(write(file, data, length), (ssize_t)length);
    assert_int_equal(close(file), 0);
}

size_t server_read_file(struct server *server, const char *name, unsigned char *data, size_t room)
{
    const int file = open(server_path(server, name), O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    const ssize_t length = read(file, data, room);
    assert_true(length >= 0 && (size_t)length < room);
    close(file);
    return (size_t)length;
}

void server_write(struct server *server, const char *extra)
{
    static const char form[] = "version: 1\n"
                               "state: state\n"
                               "catalogue_key: file:catalogue-key\n"
                               "store: local\n"
                               "plugin_directories: [" KW_TEST_PLUGIN_DIRECTORY "]\n"
                               "stores:\n"
                               "  local:\n"
                               "    id: 7c9e6679\n"
                               "    plugin: softstore\n"
                               "    options: {passphrase: file:passphrase, scrypt_log2_n: 14}\n"
                               "%s";
    static const char quick[] = "certificates:\n"
                                "  ssl-connection: {key: ec-p256}\n"
                                "  server-encryption: {key: ec-p256}\n";
    char text[4096];
    const char *temporary = getenv("TMPDIR");
    *server = (struct server){0};
    snprintf(server->directory, sizeof(server->directory), "%s/keywright-test-XXXXXX",
             temporary != NULL ? temporary : "/tmp");
    assert_non_null(mkdtemp(server->directory));
    snprintf(server->configuration, sizeof(server->configuration), "%s/keywright.yaml", server->directory);
    const int length = snprintf(text, sizeof(text), form, extra != NULL ? extra : quick);
    server_write_file(server, "keywright.yaml", text, (size_t)length, 0600);
    server_write_file(server, "catalogue-key", "0123456789abcdef0123456789abcdef\n", 33, 0600);
    server_write_file(server, "passphrase", "correct horse\n", 14, 0600);
}

void server_reopen(struct server *server)
{
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    kw_close(server->context);
    server->context = NULL;
    assert_ok(server, kw_open(&options, &server->context, &server->error));
}

void server_start(struct server *server, const char *extra)
{
    server_write(server, extra);
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    assert_ok(server, kw_apply(&options, NULL, NULL, &server->error));
    server_reopen(server);
}

static int remove_one(const char *path, const struct stat *about, int flag, struct FTW *walk)
{
    (void)about;
    (void)flag;
    (void)walk;
    return remove(path);
}

void server_stop(struct server *server)
{
    kw_close(server->context);
    server->context = NULL;
    nftw(server->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void server_run(const char *command)
{
    int result = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

kw_status server_create(struct server *server, const char *address, const char *database)
{
    const kw_certificate_template wanted = {
        .size = sizeof(wanted),
        .address = address,
        .databases = &database,
        .database_count = database != NULL ? 1 : 0,
        .key = "ec-p256",
    };
    return kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error);
}

size_t server_count(struct server *server, bool all, const char *database, const char *address)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .all = all, .database = database};
    kw_certificate_list *list = NULL;
    bool found = address == NULL;
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    const size_t count = list->count;
    for (size_t i = 0; i < count; i++)
        found = found || strcmp(list->certificates[i].address, address) == 0;
    kw_certificate_list_free(list);
    if (!found)
        print_error("%s is not in the list\n", address);
    assert_true(found);
    return count;
}
