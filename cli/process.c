#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void process_prepare(void)
{
    struct rlimit none = {0, 0};

    /* So that no file of ours becomes descriptor 1 or 2 and takes what is printed. */
    for (int file = STDIN_FILENO; file <= STDERR_FILENO; file++) {
        if (fcntl(file, F_GETFD) < 0)
            (void)open("/dev/null", file == STDIN_FILENO ? O_RDONLY : O_WRONLY);
    }
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGPIPE, SIG_IGN);
    /* Without a locale names are UTF-8 all the same. */
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "ANSI_X3.4-1968") == 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

/* Whether standard output is a pipe that nobody reads any more. */
static bool reader_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};

    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

kw_status process_flush(bool *quietly, kw_error *error)
{
    bool failed = ferror(stdout) != 0;

    errno = 0;
    if (fflush(stdout) != 0)
        failed = true;
    int reason = errno;
    /* Some file systems tell at close alone. */
    if (!failed && close(STDOUT_FILENO) != 0 && errno != EBADF) {
        failed = true;
        reason = errno;
    }
    if (!failed)
        return KW_OK;
    *quietly = reason == EPIPE || (reason == 0 && reader_gone());
    return problem_set(error, KW_FAILED, "standard output cannot be written%s%s", reason != 0 ? ": " : "",
                       reason != 0 ? strerror(reason) : "");
}
