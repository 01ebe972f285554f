#include "session.h"

#include "file.h"
#include "terminal.h"
#include "verb.h"
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static void session_log(void *user, kw_log_level level, const char *line)
{
    const struct session *session = user;

    if (level > session->verbosity)
        return;
    if (level <= KW_LOG_WARNING)
        message_warning(line);
    else
        message_note(line);
}

static kw_status session_prompt(void *user, const char *what, bool confirm, kw_output *answer)
{
    struct session *session = user;

    if (!terminal_can_ask()) {
        session->nobody_to_ask = true;
        return KW_CONFIGURATION;
    }
    return terminal_secret(what, confirm, answer);
}

kw_open_options session_options(struct session *session)
{
    return (kw_open_options){
        .size = sizeof(kw_open_options),
        .configuration = argument_text(&session->arguments, OPTION_CONFIGURATION),
        .log = session_log,
        .prompt = session_prompt,
        .user = session,
    };
}

kw_status session_open(struct session *session, kw_error *error)
{
    kw_open_options options = session_options(session);

    options.as_is = session->verb->opens_as_is;
    options.looks = session->verb->looks;
    return kw_open(&options, &session->context, error);
}

void session_close(struct session *session)
{
    if (session->context != NULL)
        kw_close(session->context);
    session->context = NULL;
    json_decref(session->events);
    json_decref(session->reminders);
    session->events = session->reminders = NULL;
    arguments_free(&session->arguments);
}

void session_event(void *user, const kw_event *event)
{
    struct session *session = user;
    char sentence[1024], progress[1100];

    if (session->json && event->reminder) {
        snprintf(sentence, sizeof(sentence), "%s: %s", event->certificate, event->what);
        if (session->reminders == NULL)
            session->reminders = json_array();
        json_array_append_new(session->reminders, json_string(sentence));
        return;
    }
    if (session->json) {
        if (session->events == NULL)
            session->events = json_array();
        json_array_append_new(session->events, json_pack("{s:o,s:s,s:b}", "certificate", json_text(event->certificate),
                                                         "what", event->what, "warning", event->warning ? 1 : 0));
        return;
    }
    if (event->certificate == NULL)
        snprintf(sentence, sizeof(sentence), "%s", event->what);
    else if (strchr(event->what, ' ') == NULL)
        snprintf(sentence, sizeof(sentence), "%s %s", event->what, event->certificate);
    else
        snprintf(sentence, sizeof(sentence), "%s: %s", event->certificate, event->what);
    if (session->quiet)
        return;
    if (event->total > 1 && isatty(STDOUT_FILENO)) {
        snprintf(progress, sizeof(progress), "%zu of %zu: %s", event->done, event->total, sentence);
        message_result(progress);
        return;
    }
    if (event->reminder)
        message_note(sentence);
    else if (event->warning)
        message_warning(sentence);
    else
        message_result(sentence);
}

kw_status session_done(struct session *session, json_t *members, kw_error *error)
{
    json_t *document;

    if (!session->json) {
        json_decref(members);
        return KW_OK;
    }
    document = members != NULL ? members : json_object();
    if (json_object_set_new(document, "events", session->events != NULL ? session->events : json_array()) != 0) {
        json_decref(document);
        document = NULL;
    }
    session->events = NULL;
    if (document != NULL && session->reminders != NULL) {
        json_object_set_new(document, "reminders", session->reminders);
        session->reminders = NULL;
    }
    return json_print(document, error);
}

void session_note(const struct session *session, const char *format, ...)
{
    char sentence[1024];
    va_list arguments;

    if (session->quiet || session->json)
        return;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    message_note(sentence);
}

const char *session_certificate(const struct session *session)
{
    return argument_word(&session->arguments, 0);
}

kw_status session_check_output(const struct session *session, const char *path, kw_error *error)
{
    if (!session->json || !file_is_standard(path))
        return KW_OK;
    problem_set(error, KW_INVALID_ARGUMENT, "--json and '-o -' both want standard output");
    problem_remedy(error, "give -o a file");
    return KW_INVALID_ARGUMENT;
}
