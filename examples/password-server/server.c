/*
 * password-server: a server that embeds Keywright. It shows its ssl-connection certificate in TLS, gives out the certificates of its databases,
 * takes passwords that are encrypted to them, and keeps these sealed. docs/embedding.md walks through it; service.h says what it does and what that costs.
 *
 * SIGHUP: reads Keywright's configuration anew. SIGTERM, SIGINT: ends, once the requests under way are done.
 */
#include "crowd.h"
#include "problem.h"
#include "wire.h"

#include <argp.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATABASES_MAXIMUM 16
#define BACKLOG           64
#define ADDRESS_MAXIMUM   300

/* ---- The command line ---- */

struct settings {
    const char *configuration, *host, *port, *domain, *vault;
    const char *databases[DATABASES_MAXIMUM];
    size_t database_count;
};

static const struct argp_option options[] = {
    {"configuration", 'c', "FILE", 0, "Keywright's configuration; else $KEYWRIGHT_CONFIG, else its usual place", 0},
    {"database", 'd', "NAME", 0, "serve this database; may be given several times", 0},
    {"domain", 'D', "NAME", 0, "the directory domain whose master key seals what is kept", 0},
    {"vault", 'v', "FILE", 0, "the SQLite database of what is kept", 0},
    {"host", 'h', "ADDRESS", 0, "listen there; else on 127.0.0.1", 0},
    {"port", 'p', "PORT", 0, "and there; else the system chooses", 0},
    {0},
};

static error_t take_option(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case 'c':
        settings->configuration = argument;
        return 0;
    case 'd':
        if (settings->database_count == DATABASES_MAXIMUM || !wire_is_name(argument))
            argp_error(state, "'%s' is no name of a database, or it is one too many", argument);
        settings->databases[settings->database_count++] = argument;
        return 0;
    case 'D':
        if (!wire_is_name(argument))
            argp_error(state, "'%s' is no name of a domain", argument);
        settings->domain = argument;
        return 0;
    case 'v':
        settings->vault = argument;
        return 0;
    case 'h':
        settings->host = argument;
        return 0;
    case 'p':
        settings->port = argument;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is not understood", argument);
        return 0;
    case ARGP_KEY_END:
        if (settings->database_count == 0 || settings->domain == NULL || settings->vault == NULL)
            argp_error(state, "--database, --domain and --vault are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = take_option,
    .doc = "Takes passwords over TLS and keeps them, with keys that Keywright holds.\v"
           "SIGHUP: reads the configuration anew. SIGTERM: ends.",
};

/* ---- Keywright: everything that costs the stores something is done here, before the first client comes ---- */

struct server {
    kw_context *context;
    SSL_CTX *tls;
    struct service service;
    struct crowd *crowd;
    int socket;
};

static void log_line(void *user, kw_log_level level, const char *line)
{
    (void)user;
    problem_log(level, "keywright: %s", line);
}

/* The domain's master key, for these databases: made at the first start, and extended when a database is new. */
static kw_status prepare_master(kw_context *context, const struct settings *settings, const char *address,
                                kw_error *error)
{
    const kw_certificate_template wanted = {
        .size = sizeof(wanted),
        .address = address,
        .databases = settings->databases,
        .database_count = settings->database_count,
    };
    const kw_status status = kw_certificate_create(context, &wanted, NULL, NULL, error);
    return status == KW_EXISTS ? KW_OK : status;
}

static kw_status server_start(struct server *server, const struct settings *settings, kw_error *error)
{
    const kw_open_options open = {
        .size = sizeof(open), .configuration = settings->configuration, .log = log_line, .open_stores = true};
    const kw_tls_server_options tls = {.size = sizeof(tls)}; /* ssl-connection */
    char master[ADDRESS_MAXIMUM];
    snprintf(master, sizeof(master), "master-key/%s", settings->domain);
    kw_status status = kw_open(&open, &server->context, error);
    if (status == KW_OK)
        status = databases_open(server->context, settings->databases, settings->database_count,
                                &server->service.databases, error);
    if (status == KW_OK)
        status = prepare_master(server->context, settings, master, error);
    if (status == KW_OK)
        status = vault_open(server->context, settings->vault, master, &server->service.vault, error);
    if (status == KW_OK)
        status = kw_tls_server(server->context, &tls, &server->tls, error);
    if (status != KW_OK)
        return status;
    server->crowd = crowd_new(server->tls, &server->service);
    return server->crowd != NULL ? KW_OK : problem_set(error, KW_OUT_OF_MEMORY, "out of memory");
}

/* In the order in which one needs the other: the context is last. */
static void server_stop(struct server *server)
{
    if (server->socket >= 0)
        close(server->socket);
    crowd_free(server->crowd);
    SSL_CTX_free(server->tls);
    vault_close(server->service.vault);
    databases_close(server->service.databases);
    kw_close(server->context);
}

/* What fails leaves everything as it was. */
static void server_reload(struct server *server)
{
    kw_error error = {0};
    if (kw_reload(server->context, false, NULL, &error) == KW_OK)
        problem_log(KW_LOG_INFO, "the configuration was read anew");
    else
        problem_tell("the configuration stays as it was", &error);
}

/* ---- The network ---- */

static kw_status listen_on(const struct settings *settings, int *listening, kw_error *error)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *at = NULL;
    const int answer = getaddrinfo(settings->host, settings->port, &wanted, &at), one = 1;
    if (answer != 0)
        return problem_set(error, KW_INVALID_ARGUMENT, "%s port %s: %s", settings->host, settings->port,
                           gai_strerror(answer));
    kw_status status = KW_OK;
    const int made = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    if (made < 0 || setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(made, at->ai_addr, at->ai_addrlen) != 0 || listen(made, BACKLOG) != 0) {
        status = problem_set(error, KW_FAILED, "%s port %s: %s", settings->host, settings->port, strerror(errno));
        if (made >= 0)
            close(made);
    } else {
        *listening = made;
    }
    freeaddrinfo(at);
    return status;
}

/* For whoever waits for it: where clients can connect. */
static void tell_ready(int listening)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof(own);
    char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
    if (getsockname(listening, (struct sockaddr *)&own, &length) == 0 &&
        getnameinfo((const struct sockaddr *)&own, length, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        printf("listening on %s port %s\n", host, port);
    fflush(stdout);
}

/* Signals come by a descriptor, so nothing is done within a handler. Blocked before there are threads, which inherit that. */
static int take_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0)
        return -1;
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

/* Until a signal ends it. */
static void server_run(struct server *server, int signals)
{
    for (;;) {
        struct pollfd ready[] = {{.fd = signals, .events = POLLIN}, {.fd = server->socket, .events = POLLIN}};
        struct signalfd_siginfo signal;
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            return;
        if (ready[0].revents != 0 && read(signals, &signal, sizeof(signal)) == (ssize_t)sizeof(signal)) {
            if (signal.ssi_signo != SIGHUP)
                return;
            server_reload(server);
        }
        if (ready[1].revents == 0)
            continue;
        const int client = accept4(server->socket, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0)
            crowd_admit(server->crowd, client);
        else if (errno == EMFILE || errno == ENFILE)
            sleep(1); /* until somebody leaves */
    }
}

int main(int count, char **arguments)
{
    struct settings settings = {.host = "127.0.0.1", .port = "0"};
    struct server server = {.socket = -1};
    kw_error error = {0};
    argp_parse(&argp, count, arguments, 0, NULL, &settings);
    const int signals = take_signals();
    kw_status status = signals >= 0 ? KW_OK : problem_set(&error, KW_FAILED, "signals: %s", strerror(errno));
    if (status == KW_OK)
        status = server_start(&server, &settings, &error);
    if (status == KW_OK)
        status = listen_on(&settings, &server.socket, &error);
    if (status == KW_OK) {
        tell_ready(server.socket);
        server_run(&server, signals);
        problem_log(KW_LOG_INFO, "ending");
    } else {
        problem_tell("password-server cannot start", &error);
    }
    server_stop(&server);
    if (signals >= 0)
        close(signals);
    return status == KW_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
