/* Other processes, and a state directory that they share with the test. */
#ifndef KEYWRIGHT_TESTS_PROCESSES_H
#define KEYWRIGHT_TESTS_PROCESSES_H

#include "../base/folder.h"
#include "control/layout.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static inline struct control *control_new(void **state)
{
    struct control *control = NULL;
    kw_error error = {0};
    if (control_open(*state, NULL, &control, &error) != KW_OK)
        fail_msg("%s", error.message);
    return control;
}

/* A process that does `body` and then waits until it is told to go on, or killed. */
struct process {
    pid_t id;
    int command, answer;
};
static inline struct process process_start(void (*body)(struct process *self, void *argument), void *argument)
{
    int down[2], up[2];
    char byte = 0;
    assert_int_equal(pipe(down), 0);
    assert_int_equal(pipe(up), 0);
    struct process made = {.id = fork(), .command = down[1], .answer = up[0]};
    assert_true(made.id >= 0);
    if (made.id == 0) {
        struct process self = {.command = down[0], .answer = up[1]};
        close(down[1]);
        close(up[0]);
        body(&self, argument);
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    assert_int_equal(read(made.answer, &byte, 1), 1);
    return made;
}
/* In it: says that it has come so far, and waits. */
static inline void process_pause(const struct process *self)
{
    char byte = 'x';
    if (write(self->answer, &byte, 1) != 1 || read(self->command, &byte, 1) != 1)
        _exit(1);
}
/* In the test: lets it go on, to its next pause. */
static inline void process_step(const struct process *process)
{
    char byte = 'x';
    assert_int_equal(write(process->command, &byte, 1), 1);
    assert_int_equal(read(process->answer, &byte, 1), 1);
}
/* Lets it go on to its end, which must be a good one. */
static inline void process_finish(const struct process *process)
{
    char byte = 'x';
    int code = -1;
    assert_int_equal(write(process->command, &byte, 1), 1);
    assert_int_equal(waitpid(process->id, &code, 0), process->id);
    assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    close(process->command);
    close(process->answer);
}
static inline void process_kill(const struct process *process)
{
    kill(process->id, SIGKILL);
    waitpid(process->id, NULL, 0);
    close(process->command);
    close(process->answer);
}

#endif
