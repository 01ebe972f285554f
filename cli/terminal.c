#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#define TRIES 3

/* The signals that end or stop the process while the terminal does not echo. */
static const int caught_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGALRM, SIGPIPE};
#define CAUGHT_COUNT (sizeof(caught_signals) / sizeof(caught_signals[0]))

static volatile sig_atomic_t caught[CAUGHT_COUNT];

static void catch_signal(int number)
{
    for (size_t i = 0; i < CAUGHT_COUNT; i++) {
        if (caught_signals[i] == number)
            caught[i] = 1;
    }
}

bool source_is_prompt(const char *source)
{
    return source == NULL || strcmp(source, "prompt") == 0;
}

bool terminal_can_ask(void)
{
    return isatty(STDIN_FILENO) || isatty(STDERR_FILENO);
}

static void show(int output, const char *text)
{
    size_t length = strlen(text);

    for (size_t done = 0; done < length;) {
        ssize_t wrote = write(output, text + done, length - done);
        if (wrote <= 0)
            return;
        done += (size_t)wrote;
    }
}

/* One line without its newline. Signals come only while it waits, with `mask` in force. KW_CONFLICT: one came. */
static kw_status read_line(int input, const sigset_t *mask, kw_output *line)
{
    kw_status status = KW_OK;

    line->length = 0;
    for (;;) {
        struct pollfd ready = {.fd = input, .events = POLLIN};
        char byte;
        if (ppoll(&ready, 1, NULL, mask) < 0)
            return errno == EINTR ? KW_CONFLICT : KW_FAILED;
        ssize_t got = read(input, &byte, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return line->length > 0 && got == 0 ? status : KW_FAILED;
        if (byte == '\n' || byte == '\r')
            return status;
        if (line->length < line->capacity)
            line->data[line->length++] = (unsigned char)byte;
        else
            status = KW_INVALID_ARGUMENT;
    }
}

/*
 * One line while the terminal does not echo. What ends or stops the process meanwhile takes effect after the terminal is as it was
 * before; when it goes on (it had been stopped), the question is asked again.
 */
static kw_status read_unseen(int input, int output, const char *question, kw_output *line)
{
    kw_status status;
    bool again;

    do {
        struct sigaction before[CAUGHT_COUNT], action = {.sa_handler = catch_signal};
        sigset_t blocked, mask;
        struct termios seen, unseen;
        bool changed = false;

        again = false;
        sigemptyset(&action.sa_mask);
        sigemptyset(&blocked);
        for (size_t i = 0; i < CAUGHT_COUNT; i++)
            sigaddset(&blocked, caught_signals[i]);
        pthread_sigmask(SIG_BLOCK, &blocked, &mask);
        for (size_t i = 0; i < CAUGHT_COUNT; i++) {
            caught[i] = 0;
            sigaction(caught_signals[i], &action, &before[i]);
        }
        if (tcgetattr(input, &seen) == 0) {
            unseen = seen;
            unseen.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
            changed = tcsetattr(input, TCSAFLUSH, &unseen) == 0;
        }
        show(output, question);
        status = read_line(input, &mask, line);
        show(output, "\n");
        if (changed)
            tcsetattr(input, TCSAFLUSH, &seen);
        for (size_t i = 0; i < CAUGHT_COUNT; i++)
            sigaction(caught_signals[i], &before[i], NULL);
        pthread_sigmask(SIG_SETMASK, &mask, NULL);
        for (size_t i = 0; i < CAUGHT_COUNT; i++) {
            if (caught[i] == 0)
                continue;
            raise(caught_signals[i]);
            again = true;
        }
    } while (again || status == KW_CONFLICT);
    return status;
}

kw_status terminal_secret(const char *what, bool confirm, kw_output *answer)
{
    int terminal = -1, input = STDIN_FILENO, output = STDERR_FILENO;
    kw_status status = KW_CONFIGURATION;
    unsigned char second[KW_SECRET_MAXIMUM];
    kw_output repeated = {.data = second, .capacity = sizeof(second)};
    char question[320];

    if (!terminal_can_ask())
        return KW_CONFIGURATION;
    /* With one of the two redirected, the terminal itself. */
    if (!isatty(input) || !isatty(output)) {
        terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (terminal < 0 && !isatty(input))
            return KW_CONFIGURATION;
        if (terminal >= 0)
            input = output = terminal;
    }
    (void)mlock(second, sizeof(second)); /* as far as the system allows */
    for (int attempt = 0; attempt < TRIES; attempt++) {
        snprintf(question, sizeof(question), "%s: ", what);
        status = read_unseen(input, output, question, answer);
        if (status != KW_OK || !confirm)
            goto out;
        snprintf(question, sizeof(question), "%s, again: ", what);
        status = read_unseen(input, output, question, &repeated);
        if (status != KW_OK)
            goto out;
        if (answer->length == repeated.length && memcmp(answer->data, second, repeated.length) == 0)
            goto out;
        show(output, "The two differ.\n");
        status = KW_FAILED;
    }
out:
    explicit_bzero(second, sizeof(second));
    (void)munlock(second, sizeof(second));
    if (terminal >= 0)
        close(terminal);
    return status;
}

kw_status terminal_confirm(const char *question, kw_error *error)
{
    char line[64] = "";

    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        problem_set(error, KW_REFUSED, "this needs a yes, and there is no terminal to ask at: %s", question);
        problem_remedy(error, "give --yes when you are sure");
        return KW_REFUSED;
    }
    fprintf(stderr, "%s [y/N] ", question);
    fflush(stderr);
    if (fgets(line, sizeof(line), stdin) == NULL)
        fputc('\n', stderr);
    line[strcspn(line, "\r\n")] = '\0';
    if (strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0)
        return KW_OK;
    return problem_set(error, KW_REFUSED, "not confirmed: nothing was changed");
}
