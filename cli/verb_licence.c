#include "file.h"
#include "verb.h"

#include <string.h>

static kw_status licence_request_run(struct session *session, kw_error *error)
{
    const char *output = argument_text(&session->arguments, OPTION_OUTPUT);
    const bool standard = output == NULL || file_is_standard(output);
    kw_bytes request = {0};
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_licence_request(session->context, &request, error);
    /* The request is JSON itself. */
    if (status == KW_OK)
        status = file_write(standard ? "-" : output, (kw_input){request.data, request.length}, false, error);
    if (status == KW_OK && session->json && !standard)
        status = json_print(json_pack("{s:s,s:s}", "certificate", "server-encryption", "output", output), error);
    else if (status == KW_OK && !standard)
        session_note(session, "Send %s to the issuer of your licence.", output);
    kw_bytes_free(&request);
    return status;
}

static const struct verb_option request_options[] = {
    {OPTION_OUTPUT, "FILE", "where the request goes; else standard output", false, false},
};

const struct verb verb_licence_request = {
    .name = "licence request",
    .synopsis = "[-o FILE]",
    .summary = "makes a request for an offline licence",
    .description = "Makes a JSON document for the issuer of a licence: the fingerprint of the server-encryption\n"
                   "certificate and an id of this machine, signed by the certificate's key. The machine's own id\n"
                   "(/etc/machine-id) is not in it, and cannot be found from it.",
    VERB_OPTIONS(request_options),
    .examples = {"keywright licence request -o request.json"},
    .run = licence_request_run,
};

static kw_status print_json(const kw_licence *licence, kw_error *error)
{
    json_t *content = json_loads(licence->content, 0, NULL);

    return json_print(json_pack("{s:b,s:s,s:b,s:o,s:o,s:o,s:o,s:o}", "valid", 1, "issuer", licence->issuer, "encrypted",
                                licence->encrypted ? 1 : 0, "certificate_sha256",
                                json_text(licence->certificate_sha256), "machine_id", json_text(licence->machine_id),
                                "not_before", json_text(licence->not_before_text), "not_after",
                                json_text(licence->not_after_text), "licence", content),
                      error);
}

static kw_status print_text(const kw_licence *licence, kw_error *error)
{
    struct table *details = details_new();
    kw_status status = details != NULL ? KW_OK : problem_memory(error);

    if (status == KW_OK)
        status = details_add(details, "Licence", "valid for this server", error);
    if (status == KW_OK)
        status = details_add(details, "Issuer", licence->issuer, error);
    if (status == KW_OK)
        status = details_format(details, error, "Bound to", "%s%s%s%s",
                                licence->certificate_sha256 != NULL ? "the server-encryption certificate" : "",
                                licence->certificate_sha256 != NULL && licence->machine_id != NULL ? ", " : "",
                                licence->machine_id != NULL ? "this machine" : "",
                                licence->encrypted ? " (encrypted to server-encryption)" : "");
    if (status == KW_OK)
        status = details_add(details, "Valid from", licence->not_before_text, error);
    if (status == KW_OK)
        status = details_add(details, "Valid until",
                             licence->not_after_text != NULL ? licence->not_after_text : "no end", error);
    if (status == KW_OK)
        status = table_print(details, error);
    table_free(details);
    return status;
}

static kw_status licence_verify_run(struct session *session, kw_error *error)
{
    const char *path = argument_word(&session->arguments, 0);
    struct content content = {0};
    kw_licence *licence = NULL;
    kw_status status = file_read(path, &content, error);

    if (status == KW_OK)
        status = session_open(session, error);
    if (status != KW_OK)
        goto out;
    status = kw_licence_verify(session->context, content_input(&content), &licence, error);
    if (status != KW_OK) {
        if (error->where[0] == '\0')
            snprintf(error->where, sizeof(error->where), "%s", file_is_standard(path) ? "standard input" : path);
        goto out;
    }
    if (session->json)
        status = print_json(licence, error);
    else if (!session->quiet)
        status = print_text(licence, error);
out:
    kw_licence_free(licence);
    content_free(&content);
    return status;
}

const struct verb verb_licence_verify = {
    .name = "licence verify",
    .synopsis = "FILE",
    .summary = "checks an offline licence",
    .description =
        "Checks a licence without asking anybody: that the issuer whose certificate the configuration\n"
        "names (licence: {issuer: PATH}) signed it, that it names this server or is encrypted to it,\n"
        "and that it is valid now. Exit status: 1 signature wrong, or encrypted to another server;\n"
        "3 no issuer configured; 5 another issuer, server or machine, expired or not yet valid; 8 malformed.",
    .words = "FILE",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright licence verify licence.json"},
    .run = licence_verify_run,
};
