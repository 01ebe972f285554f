#include "tls/resolve.h"

#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000

/* Shared by who asks and the thread that has the answer; who is last frees it. */
struct question {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* by CLOCK_MONOTONIC */
    bool answered, abandoned;
    int answer; /* of getaddrinfo */
    struct addrinfo *found;
    char port[8];
    char host[];
};

static kw_status unknown(int answer, kw_error *error)
{
    error_set(error, KW_UNAVAILABLE, "the host is not known: %s", gai_strerror(answer));
    error_remedy(error, "check how it is spelt, and the name servers");
    return KW_UNAVAILABLE;
}

/* Where an interface has but a loopback address, AI_ADDRCONFIG hides that. */
static int ask(const char *host, const char *port, struct addrinfo **found)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    const struct addrinfo any = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    const int answer = getaddrinfo(host, port, &wanted, found);
    return answer != 0 ? getaddrinfo(host, port, &any, found) : 0;
}

static void question_free(struct question *question)
{
    if (question->found != NULL)
        freeaddrinfo(question->found);
    pthread_cond_destroy(&question->changed);
    pthread_mutex_destroy(&question->lock);
    free(question);
}

static void *ask_in_thread(void *argument)
{
    struct question *question = argument;
    struct addrinfo *found = NULL;
    const int answer = ask(question->host, question->port, &found);
    pthread_mutex_lock(&question->lock);
    question->answer = answer;
    question->found = answer == 0 ? found : NULL;
    question->answered = true;
    const bool last = question->abandoned;
    pthread_cond_signal(&question->changed);
    pthread_mutex_unlock(&question->lock);
    if (last)
        question_free(question);
    return NULL;
}

static struct question *question_new(const char *host, const char *port)
{
    struct question *made = calloc(1, sizeof(*made) + strlen(host) + 1);
    pthread_condattr_t attributes;
    if (made == NULL)
        return NULL;
    memcpy(made->host, host, strlen(host) + 1);
    snprintf(made->port, sizeof(made->port), "%s", port);
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return made;
}

/* The program's signals are for the program's threads. */
static bool start(struct question *question)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = pthread_create(&thread, &attributes, ask_in_thread, question) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

static void wait_until(struct question *question, uint64_t now, uint64_t deadline)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const uint64_t nanoseconds = (uint64_t)until.tv_nsec + (deadline - now) % 1000 * 1000000;
    until.tv_sec += (time_t)((deadline - now) / 1000 + nanoseconds / SECOND_NS);
    until.tv_nsec = (long)(nanoseconds % SECOND_NS);
    pthread_cond_timedwait(&question->changed, &question->lock, &until);
}

static kw_status take_answer(struct question *question, uint64_t deadline, struct addrinfo **addresses, kw_error *error)
{
    kw_status status = KW_OK;
    uint64_t now;
    pthread_mutex_lock(&question->lock);
    while (!question->answered && (now = clock_milliseconds()) < deadline)
        wait_until(question, now, deadline);
    const bool answered = question->answered;
    question->abandoned = !answered;
    pthread_mutex_unlock(&question->lock);
    if (!answered)
        return KW_TIMEOUT;
    if (question->answer != 0)
        status = unknown(question->answer, error);
    *addresses = question->found;
    question->found = NULL;
    question_free(question);
    return status;
}

kw_status resolve(const char *host, const char *port, uint64_t deadline, struct addrinfo **addresses, kw_error *error)
{
    const struct addrinfo written = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    /* An address needs nobody's answer. */
    if (getaddrinfo(host, port, &written, addresses) == 0)
        return KW_OK;
    *addresses = NULL;
    struct question *question = question_new(host, port);
    if (question == NULL)
        return error_memory(error);
    if (!start(question)) {
        question_free(question);
        return error_set(error, KW_UNAVAILABLE, "no thread can be started to ask for the host's addresses");
    }
    return take_answer(question, deadline, addresses, error);
}
