#include "server.h"

#include "token.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Noreturn void server_stop(const char *what, const kw_error *error)
{
    fprintf(stderr, "%s: %s: %s\n", what, error != NULL ? error->where : "", error != NULL ? error->message : "");
    exit(2);
}

const char *test_wanted(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        server_stop(name, &(kw_error){.message = "is not set: run this by with_token.sh"});
    return value;
}

unsigned test_seed(void)
{
    const char *seed = getenv("KW_TEST_SEED");
    return seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : 1;
}

bool test_is_full(void)
{
    const char *full = getenv("KW_TEST_FULL");
    return full != NULL && strcmp(full, "yes") == 0;
}

double test_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- The judge ---------------------------------------------------------------------------------------------------- */

static _Noreturn void judge(int question, int answer)
{
    struct token token;
    char byte = 0;
    struct holding holding = {-1, -1, -1};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char init_args[512];
    snprintf(init_args, sizeof(init_args), "%s", test_wanted("KW_TOKEN_INIT_ARGS"));
    const bool good = token_open(&token, test_wanted("KW_TOKEN_LIBRARY"), init_args, test_wanted("KW_TOKEN_LABEL")) &&
                      token_login(&token, test_wanted("KW_TOKEN_PIN")) == CKR_OK;
    while (read(question, &byte, 1) == 1) {
        if (good)
            holding = (struct holding){token_count(&token, CKO_PRIVATE_KEY), token_count(&token, CKO_PUBLIC_KEY),
                                       token_count(&token, CKO_CERTIFICATE)};
        if (write(answer, &holding, sizeof(holding)) != (ssize_t)sizeof(holding))
            break;
    }
    _exit(0);
}

static void start_judge(struct server *server)
{
    int questions[2], answers[2];
    if (pipe(questions) != 0 || pipe(answers) != 0)
        server_stop("no pipe", NULL);
    server->judge = fork();
    if (server->judge == 0) {
        close(questions[1]);
        close(answers[0]);
        judge(questions[0], answers[1]);
    }
    close(questions[0]);
    close(answers[1]);
    server->question = questions[1];
    server->answer = answers[0];
}

struct holding server_held(struct server *server)
{
    struct holding holding = {-1, -1, -1};
    if (write(server->question, "?", 1) != 1 ||
        read(server->answer, &holding, sizeof(holding)) != (ssize_t)sizeof(holding))
        server_stop("the judge does not answer", NULL);
    return holding;
}

/* ---- The server --------------------------------------------------------------------------------------------------- */

static void write_secret(const char *directory, const char *name, const char *content, const char *mode)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, mode);
    if (file == NULL || fputs(content, file) < 0 || fclose(file) != 0 || chmod(path, 0600) != 0)
        server_stop(path, NULL);
}

void server_make(struct server *server, const char *options)
{
    kw_error error = {0};
    char control[300], text[1024];
    *server = (struct server){.context = NULL};
    snprintf(server->directory, sizeof(server->directory), "%s/server-XXXXXX", test_wanted("TMPDIR"));
    if (mkdtemp(server->directory) == NULL)
        server_stop("no directory", NULL);
    snprintf(control, sizeof(control), "%s/control", server->directory);
    snprintf(server->configuration, sizeof(server->configuration), "%s/keywright.yaml", server->directory);
    server->control = shim_create(control);
    if (server->control == NULL)
        server_stop("no control file", NULL);
    start_judge(server);
    setenv(SHIM_CONTROL_VARIABLE, control, 1);
    setenv(SHIM_MODULE_VARIABLE, test_wanted("KW_TOKEN_LIBRARY"), 1);
    setenv(SHIM_INIT_ARGS_VARIABLE, test_wanted("KW_TOKEN_INIT_ARGS"), 1);
    if (kw_initialise(server->directory, NULL, NULL, NULL, &error) != KW_OK)
        server_stop("init", &error);
    snprintf(text, sizeof(text),
             "  hsm:\n    id: \"0b1d02aa\"\n    plugin: pkcs11\n"
             "    options: {library: %s, token_label: %s, pin: \"file:pin\"%s}\n"
             "  " SERVER_SOFTSTORE ":\n    id: \"" SERVER_SOFTSTORE_ID "\"\n    plugin: softstore\n"
             "    options: {passphrase: \"file:pin\", scrypt_log2_n: 14}\n",
             SHIM, test_wanted("KW_TOKEN_LABEL"), options);
    write_secret(server->directory, "keywright.yaml", text, "a");
    write_secret(server->directory, "pin", test_wanted("KW_TOKEN_PIN"), "w");
}

kw_status server_open(struct server *server, kw_error *error)
{
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    return kw_open(&options, &server->context, error);
}

void server_close(struct server *server)
{
    kw_close(server->context);
    server->context = NULL;
}

static int remove_entry(const char *path, const struct stat *found, int type, struct FTW *place)
{
    (void)found;
    (void)type;
    (void)place;
    return remove(path);
}

void server_remove(struct server *server)
{
    server_close(server);
    close(server->question);
    close(server->answer);
    waitpid(server->judge, NULL, 0);
    shim_unmap(server->control);
    nftw(server->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

kw_status server_create(struct server *server, const char *address, const char *key, kw_error *error)
{
    const kw_certificate_template wanted = {.size = sizeof(wanted), .address = address, .key = key, .store = "hsm"};
    return kw_certificate_create(server->context, &wanted, NULL, NULL, error);
}

kw_status server_sign(kw_key *key, unsigned char number, kw_error *error)
{
    const unsigned char message[] = {'m', number};
    unsigned char bytes[1024];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    kw_status status = kw_key_sign(key, NULL, (kw_input){message, sizeof(message)}, &signature, error);
    if (status == KW_OK)
        status =
            kw_key_verify(key, NULL, (kw_input){message, sizeof(message)}, (kw_input){bytes, signature.length}, error);
    return status;
}

int64_t server_outage(struct server *server)
{
    kw_state *facts = NULL;
    int64_t since = -1;
    if (kw_state_get(server->context, &facts, NULL) != KW_OK)
        return -1;
    for (size_t i = 0; i < facts->store_count; i++)
        if (strcmp(facts->stores[i].name, "hsm") == 0)
            since = facts->stores[i].outage_since;
    kw_state_free(facts);
    return since;
}

long server_listed(struct server *server)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .store = "hsm"};
    kw_certificate_list *list = NULL;
    const kw_status status = kw_certificates(server->context, &filter, &list, NULL);
    const long count = status == KW_OK ? (long)list->count : status == KW_NOT_FOUND ? 0 : -1;
    kw_certificate_list_free(list);
    return count;
}
