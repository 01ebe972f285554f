#include "pager.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PAGER   "less"
#define CANNOT_RUN      126 /* and above: what a shell exits with when it cannot */
#define SIGNAL_STATUSES 128

/* There is one standard output, and so one pager. */
static struct {
    pid_t process; /* 0: none */
    int output;    /* what standard output was */
    const char *command;
    struct sigaction interrupt, quit;
} pager;

static bool pager_wanted(const struct session *session)
{
    return !session->json && !argument_given(&session->arguments, OPTION_NO_PAGER) && isatty(STDOUT_FILENO) &&
           getuid() == geteuid() && getgid() == getegid();
}

/* NULL: none is wanted. */
static const char *pager_command(void)
{
    const char *command = getenv("KEYWRIGHT_PAGER");

    if (command == NULL)
        command = getenv("PAGER");
    if (command == NULL)
        command = DEFAULT_PAGER;
    return command[0] == '\0' || strcmp(command, "cat") == 0 ? NULL : command;
}

/* A shell runs it, as everybody expects of $PAGER; the default is looked for, and does without. */
static bool spawn(const char *command, int input)
{
    char *by_shell[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)command, NULL};
    char *alone[] = {(char[]){DEFAULT_PAGER}, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int failed;

    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* these, this process ignores */
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGQUIT);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return false;
    }
    failed = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO) != 0 ||
             posix_spawnattr_setsigdefault(&attributes, &defaults) != 0 ||
             posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF) != 0;
    if (!failed && strcmp(command, DEFAULT_PAGER) == 0)
        failed = posix_spawnp(&pager.process, DEFAULT_PAGER, &actions, &attributes, alone, environ) != 0;
    else if (!failed)
        failed = posix_spawn(&pager.process, "/bin/sh", &actions, &attributes, by_shell, environ) != 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (failed)
        pager.process = 0;
    return !failed;
}

static void restore(void)
{
    sigaction(SIGINT, &pager.interrupt, NULL);
    sigaction(SIGQUIT, &pager.quit, NULL);
    if (pager.output >= 0)
        close(pager.output);
}

void pager_begin(const struct session *session)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const char *command;
    int ends[2];

    if (pager.process != 0 || !pager_wanted(session))
        return;
    /* Short output stays on the screen, colours are colours. No shell and no other file out of it: this may run under sudo. */
    setenv("LESS", "FRX", 0);
    setenv("LV", "-c", 0);
    setenv("LESSSECURE", "1", 1);
    command = pager_command();
    if (command == NULL || pipe2(ends, O_CLOEXEC) != 0)
        return;
    fflush(stdout);
    pager.output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    output_page();                                /* while standard output is still the terminal */
    sigaction(SIGINT, &ignore, &pager.interrupt); /* the pager's to act on */
    sigaction(SIGQUIT, &ignore, &pager.quit);
    if (pager.output >= 0 && spawn(command, ends[0]) && dup2(ends[1], STDOUT_FILENO) >= 0)
        pager.command = command;
    else
        restore();
    close(ends[0]);
    close(ends[1]);
}

kw_status pager_end(kw_status printed, kw_error *error)
{
    int result = 0;
    pid_t ended;

    if (pager.process == 0)
        return printed;
    fflush(stdout); /* what the reader has not read when he quits is not wanted */
    clearerr(stdout);
    dup2(pager.output, STDOUT_FILENO); /* closes the pipe */
    do {
        ended = waitpid(pager.process, &result, 0);
    } while (ended < 0 && errno == EINTR);
    pager.process = 0;
    restore();
    if (printed != KW_OK || ended < 0 || !WIFEXITED(result) || WEXITSTATUS(result) < CANNOT_RUN ||
        WEXITSTATUS(result) >= SIGNAL_STATUSES)
        return printed;
    problem_set(error, KW_FAILED, "the pager '%s' cannot be run", pager.command);
    problem_remedy(error, "set KEYWRIGHT_PAGER, or give --no-pager");
    return KW_FAILED;
}
