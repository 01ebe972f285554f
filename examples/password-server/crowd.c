#include "crowd.h"

#include "channel.h"
#include "problem.h"

#include <netdb.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLACES       64
#define HANDSHAKE_MS 10000
#define REQUEST_MS   30000 /* for the next request to come, whole */
#define ANSWER_MS    10000
#define CLIENT_SIZE  80

/* Taken until its thread is joined, which whoever admits and frees does: one thread. */
struct place {
    struct crowd *crowd;
    pthread_t thread;
    bool taken, ended; /* `ended` and `socket` under the mutex */
    int socket;
};

struct crowd {
    SSL_CTX *tls;
    const struct service *service;
    pthread_mutex_t mutex;
    struct place places[PLACES];
};

/* ---- One client ---- */

static void name_client(int socket, char text[CLIENT_SIZE])
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof(peer);
    char host[CLIENT_SIZE - 8] = "unknown", port[8] = "";
    if (getpeername(socket, (struct sockaddr *)&peer, &length) == 0 &&
        getnameinfo((const struct sockaddr *)&peer, length, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(host, sizeof(host), "unknown");
    snprintf(text, CLIENT_SIZE, "%s %s", host, port);
}

/* OpenSSL's reason; of a key whose store is away, the store's (tls.h). */
static void tell_failure(const char *client, enum channel_result result)
{
    const char *more = NULL;
    int flags = 0;
    const unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &more, &flags);
    if (code == 0)
        problem_log(KW_LOG_INFO, "%s: %s", client, channel_result_text(result));
    else
        problem_log(KW_LOG_WARNING, "%s: %s: %s%s%s", client, channel_result_text(result),
                    ERR_reason_error_string(code), (flags & ERR_TXT_STRING) != 0 ? ": " : "",
                    (flags & ERR_TXT_STRING) != 0 ? more : "");
}

static enum channel_result converse(const struct crowd *crowd, struct channel *channel, const char *client)
{
    enum channel_result result = channel_handshake(channel, HANDSHAKE_MS);
    while (result == CHANNEL_OK) {
        json_t *request = NULL, *answer = NULL;
        result = channel_receive(channel, &request, REQUEST_MS);
        if (result == CHANNEL_OK) {
            answer = service_answer(crowd->service, request, client);
            result = answer != NULL ? channel_send(channel, answer, ANSWER_MS) : CHANNEL_BROKEN;
        }
        json_decref(answer);
        json_decref(request);
    }
    return result;
}

static void serve(const struct crowd *crowd, int socket)
{
    struct channel channel;
    char client[CLIENT_SIZE];
    name_client(socket, client);
    if (!channel_open(&channel, crowd->tls, socket)) {
        problem_log(KW_LOG_ERROR, "%s: no TLS connection can be made of it", client);
        return;
    }
    SSL_set_accept_state(channel.ssl);
    const enum channel_result result = converse(crowd, &channel, client);
    if (result != CHANNEL_CLOSED)
        tell_failure(client, result);
    channel_close(&channel);
}

/* ---- All of them ---- */

static void *run(void *user)
{
    struct place *place = user;
    serve(place->crowd, place->socket);
    pthread_mutex_lock(&place->crowd->mutex);
    close(place->socket);
    place->ended = true;
    pthread_mutex_unlock(&place->crowd->mutex);
    return NULL;
}

static bool has_ended(struct place *place)
{
    pthread_mutex_lock(&place->crowd->mutex);
    const bool ended = place->ended;
    pthread_mutex_unlock(&place->crowd->mutex);
    return ended;
}

static struct place *find_place(struct crowd *crowd)
{
    struct place *found = NULL;
    for (size_t i = 0; i < PLACES; i++) {
        struct place *place = &crowd->places[i];
        if (place->taken && has_ended(place)) {
            pthread_join(place->thread, NULL);
            place->taken = false;
        }
        if (!place->taken)
            found = place;
    }
    return found;
}

void crowd_admit(struct crowd *crowd, int socket)
{
    struct place *place = find_place(crowd);
    if (place == NULL) {
        problem_log(KW_LOG_WARNING, "%d clients are connected, and one more is turned away", PLACES);
        close(socket);
        return;
    }
    place->socket = socket;
    place->ended = false;
    const int reason = pthread_create(&place->thread, NULL, run, place);
    place->taken = reason == 0;
    if (reason != 0) {
        problem_log(KW_LOG_ERROR, "no thread can be started: %s", strerror(reason));
        close(socket);
    }
}

struct crowd *crowd_new(SSL_CTX *tls, const struct service *service)
{
    struct crowd *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->tls = tls;
    made->service = service;
    pthread_mutex_init(&made->mutex, NULL);
    for (size_t i = 0; i < PLACES; i++)
        made->places[i].crowd = made;
    return made;
}

void crowd_free(struct crowd *crowd)
{
    if (crowd == NULL)
        return;
    /* A request under way is done; the next one does not come. */
    pthread_mutex_lock(&crowd->mutex);
    for (size_t i = 0; i < PLACES; i++)
        if (crowd->places[i].taken && !crowd->places[i].ended)
            shutdown(crowd->places[i].socket, SHUT_RD);
    pthread_mutex_unlock(&crowd->mutex);
    for (size_t i = 0; i < PLACES; i++)
        if (crowd->places[i].taken)
            pthread_join(crowd->places[i].thread, NULL);
    pthread_mutex_destroy(&crowd->mutex);
    free(crowd);
}
