#include "text.h"
#include "verb.h"

#include <stdlib.h>

/* ---- connection list ---- */

static json_t *connection_json(const kw_connection_info *connection)
{
    return json_pack("{s:s,s:s,s:s,s:i,s:s,s:o,s:o,s:o,s:I}", "name", connection->name, "protocol",
                     connection->protocol, "host", connection->host, "port", (int)connection->port, "mode",
                     connection->mode, "ca", json_texts(connection->authorities, connection->authority_count),
                     "client_certificate", json_text(connection->client_certificate), "client_key",
                     json_text(connection->client_key), "timeout_ms", (json_int_t)connection->timeout_ms);
}

static kw_status print_list_json(const kw_connection_list *list, kw_error *error)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++) {
        if (json_array_append_new(array, connection_json(&list->connections[i])) != 0) {
            json_decref(array);
            return problem_memory(error);
        }
    }
    return json_print(array, error);
}

static kw_status add_row(struct table *table, const kw_connection_info *connection, kw_error *error)
{
    char *server = text_format("%s port %u", connection->host, connection->port);
    char *trusted = connection->authority_count > 0
                        ? text_join(connection->authorities, connection->authority_count, NULL)
                        : text_format("the system's");
    const char *const cells[] = {connection->name, connection->protocol,  server, connection->mode,
                                 trusted,          connection->client_key};
    kw_status status = server != NULL && trusted != NULL
                           ? table_add(table, cells, sizeof(cells) / sizeof(cells[0]), TINT_NONE, error)
                           : problem_memory(error);

    free(server);
    free(trusted);
    return status;
}

static kw_status print_list(const kw_connection_list *list, kw_error *error)
{
    static const struct column columns[] = {
        {.title = "NAME"},
        {.title = "PROTOCOL"},
        {.title = "SERVER", .gives_way = true},
        {.title = "MODE"},
        {.title = "TRUSTED", .gives_way = true, .optional = 2},
        {.title = "CLIENT KEY", .gives_way = true, .optional = 1},
    };
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    kw_status status = table != NULL ? KW_OK : problem_memory(error);

    for (size_t i = 0; status == KW_OK && i < list->count; i++)
        status = add_row(table, &list->connections[i], error);
    if (status == KW_OK)
        status = table_print(table, error);
    table_free(table);
    return status;
}

static kw_status connection_list_run(struct session *session, kw_error *error)
{
    kw_connection_list *list = NULL;
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_connections(session->context, &list, error);
    if (status != KW_OK)
        return status;
    if (session->json)
        status = print_list_json(list, error);
    else if (list->count > 0)
        status = print_list(list, error);
    else
        session_note(session, "The configuration has no connections.");
    kw_connection_list_free(list);
    return status;
}

const struct verb verb_connection_list = {
    .name = "connection list",
    .synopsis = "",
    .summary = "lists the connections of the configuration",
    .description = "Lists the profiles under `connections:`, one line each. Reads no file of theirs, and connects to\n"
                   "nothing.",
    .looks = true,
    .opens_as_is = true,
    .examples = {"keywright connection list", "keywright connection list --json"},
    .run = connection_list_run,
};

/* ---- connection check ---- */

static json_t *certificate_json(const kw_certificate_info *certificate)
{
    if (certificate == NULL)
        return json_null();
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:o}", "subject", certificate->subject, "issuer",
                     certificate->issuer, "serial", certificate->serial, "sha256", certificate->sha256, "not_before",
                     certificate->not_before_text, "not_after", certificate->not_after_text, "self_signed",
                     certificate->self_signed ? 1 : 0, "san", json_texts(certificate->san, certificate->san_count));
}

static json_t *failure_json(const kw_connection_report *report)
{
    json_t *failure;

    if (report->connected)
        return json_null();
    failure = json_pack("{s:s,s:s,s:o,s:o,s:o}", "cause", report->cause, "message", report->message, "detail",
                        json_text(report->detail), "remedy", json_text(report->remedy), "certificate",
                        certificate_json(report->failing));
    if (report->failing != NULL)
        json_object_set_new(failure, "position", json_integer((json_int_t)report->failing_position));
    return failure;
}

static kw_status print_report_json(const char *name, const kw_connection_report *report, kw_error *error)
{
    json_t *problems = json_array();

    for (size_t i = 0; i < report->problem_count; i++)
        json_array_append_new(
            problems, json_pack("{s:s,s:s}", "code", report->problems[i].code, "reason", report->problems[i].sentence));
    return json_print(json_pack("{s:s,s:b,s:b,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:b}", "name", name, "connected",
                                report->connected ? 1 : 0, "encrypted", report->encrypted ? 1 : 0, "verified",
                                report->verified ? 1 : 0, "failure", failure_json(report), "fallback",
                                json_text(report->fallback), "notice", json_text(report->notice), "address",
                                json_text(report->address), "protocol", json_text(report->protocol), "cipher",
                                json_text(report->cipher), "certificate", certificate_json(report->certificate),
                                "problems", problems, "client_certificate_wanted",
                                report->client_certificate_wanted ? 1 : 0, "client_certificate_sent",
                                report->client_certificate_sent ? 1 : 0),
                      error);
}

static const char *outcome(const kw_connection_report *report)
{
    return !report->connected   ? NULL
           : !report->encrypted ? "connected in plaintext: anybody on the line can read it"
           : report->verified   ? "connected over TLS, and the server's certificate is trusted"
                                : "connected over TLS; whose server it is was not verified";
}

static kw_status add_shown(struct table *details, const char *label, const char *before, const char *value,
                           kw_error *error)
{
    char *shown = text_shown(value);
    kw_status status =
        shown != NULL ? details_format(details, error, label, "%s%s", before, shown) : problem_memory(error);

    free(shown);
    return status;
}

/* All of it is in the JSON. */
static kw_status add_names(struct table *details, const kw_certificate_info *certificate, kw_error *error)
{
    kw_status status = KW_OK;

    for (size_t i = 0; status == KW_OK && i < certificate->san_count && i < TEXT_NAMES_MAXIMUM; i++)
        status = add_shown(details, "", "", certificate->san[i], error);
    if (status == KW_OK && certificate->san_count > TEXT_NAMES_MAXIMUM)
        status = details_format(details, error, "", "and %zu more", certificate->san_count - TEXT_NAMES_MAXIMUM);
    return status;
}

static kw_status add_certificate(struct table *details, const char *label, const kw_certificate_info *certificate,
                                 kw_error *error)
{
    kw_status status = add_shown(details, label, "", certificate->subject, error);

    if (status == KW_OK)
        status = add_shown(details, "", "issued by ",
                           certificate->self_signed ? "itself (self-signed)" : certificate->issuer, error);
    if (status == KW_OK)
        status = details_format(details, error, "", "valid from %s until %s", certificate->not_before_text,
                                certificate->not_after_text);
    if (status == KW_OK)
        status = add_names(details, certificate, error);
    if (status == KW_OK)
        status = details_format(details, error, "", "SHA-256 %s", certificate->sha256);
    return status;
}

static kw_status add_failing(const kw_connection_report *report, struct table *details, kw_error *error)
{
    kw_status status;

    if (report->failing == NULL)
        return KW_OK;
    status = report->failing_position == 0
                 ? details_add(details, "It concerns", "the server's certificate", error)
                 : details_format(details, error, "It concerns", "certificate %u above the server's in its path",
                                  report->failing_position);
    return status == KW_OK ? add_certificate(details, "", report->failing, error) : status;
}

/* What would fail it in verify-full, where the mode lets it pass. */
static kw_status add_problems(const kw_connection_report *report, struct table *details, kw_error *error)
{
    kw_status status = KW_OK;

    for (size_t i = 0; status == KW_OK && report->connected && i < report->problem_count; i++)
        status = details_add(details, i == 0 ? "Not verified" : "", report->problems[i].sentence, error);
    return status;
}

static kw_status print_report(const kw_connection_report *report, kw_error *error)
{
    struct table *details = details_new();
    kw_status status = details != NULL ? KW_OK : problem_memory(error);

    if (status == KW_OK)
        status = details_add(details, "Result", outcome(report), error);
    if (status == KW_OK)
        status = details_add(details, "Reason", report->detail, error);
    if (status == KW_OK)
        status = add_failing(report, details, error);
    if (status == KW_OK)
        status = details_add(details, "Fallback", report->fallback, error);
    if (status == KW_OK)
        status = details_add(details, "Server says", report->notice, error);
    if (status == KW_OK)
        status = details_add(details, "Address", report->address, error);
    if (status == KW_OK && report->protocol != NULL)
        status = details_format(details, error, "TLS", "%s, %s", report->protocol, report->cipher);
    if (status == KW_OK && report->certificate != NULL && report->certificate != report->failing &&
        (report->failing == NULL || report->failing_position > 0))
        status = add_certificate(details, "Certificate", report->certificate, error);
    if (status == KW_OK)
        status = add_problems(report, details, error);
    if (status == KW_OK && report->client_certificate_wanted)
        status = details_add(
            details, "Client certificate",
            report->client_certificate_sent ? "asked for, and sent" : "asked for; there is none to send", error);
    if (status == KW_OK) {
        if (!report->connected)
            message_result(report->message);
        status = table_print(details, error);
    }
    table_free(details);
    return status;
}

static kw_status connection_check_run(struct session *session, kw_error *error)
{
    const char *name = argument_word(&session->arguments, 0);
    kw_connection_report *report = NULL;
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_connection_check(session->context, name, &report, error);
    if (status != KW_OK)
        return status;
    status = session->json ? print_report_json(name, report, error) : print_report(report, error);
    if (status == KW_OK && !report->connected) {
        status = problem_set(error, report->status, "%s", report->message);
        snprintf(error->where, sizeof(error->where), "%s", name);
        if (report->remedy != NULL)
            problem_remedy(error, "%s", report->remedy);
    }
    kw_connection_report_free(report);
    return status;
}

const struct verb verb_connection_check = {
    .name = "connection check",
    .synopsis = "NAME",
    .summary = "tries a connection, and says what is wrong with it",
    .description =
        "Connects as a client of the profile NAME would, up to where it would log in: the protocol's\n"
        "beginning, TLS, the server's certificate as the mode verifies it, the client's certificate. What\n"
        "fails is said with its reason, the certificate that it is about, and the remedy. Exit status: 0\n"
        "connected as the mode wants; 1 not; 3 the configuration, or a file that it names holds something else; 4\n"
        "no such profile, or a file of it is missing; 6 not reached, or the client key's store is away; 7 the\n"
        "password of the client's key is wrong. --json prints its document in any case where there is something\n"
        "to tell.",
    .words = "NAME",
    .words_minimum = 1,
    .words_maximum = 1,
    .looks = true,
    .opens_as_is = true,
    .examples = {"keywright connection check warehouse", "keywright connection check warehouse --json"},
    .run = connection_check_run,
};
