#include "file.h"
#include "verb.h"

#include <string.h>

/* ---- trust export ---- */

static const struct format {
    const char *name;
    kw_trust_format format;
    bool text;
} formats[] = {
    {"pem", KW_TRUST_PEM, true},
    {"der", KW_TRUST_DER, false},
    {"p7b", KW_TRUST_PKCS7, false},
};
#define FORMAT_COUNT (sizeof(formats) / sizeof(formats[0]))

static kw_status choose_format(const struct session *session, const struct format **format, kw_error *error)
{
    const char *name = argument_text(&session->arguments, OPTION_FORMAT);

    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        if (name == NULL || strcmp(name, formats[i].name) == 0) {
            *format = &formats[i];
            return KW_OK;
        }
    }
    problem_set(error, KW_INVALID_ARGUMENT, "there is no format '%s'", name);
    problem_remedy(error, "write pem, der or p7b");
    return KW_INVALID_ARGUMENT;
}

static kw_status trust_export_run(struct session *session, kw_error *error)
{
    const char *output = argument_text(&session->arguments, OPTION_OUTPUT);
    const bool standard = output == NULL || file_is_standard(output);
    const struct format *format = NULL;
    kw_bytes content = {0};
    kw_status status = choose_format(session, &format, error);

    if (status == KW_OK && standard && session->json && !format->text)
        status = session_check_output(session, "-", error);
    if (status == KW_OK)
        status = session_open(session, error);
    if (status == KW_OK)
        status = kw_trust_export(session->context, format->format, &content, error);
    if (status != KW_OK)
        goto out;
    if (session->json && standard) {
        status = json_print(json_pack("{s:s,s:s,s:s%}", "certificate", "ssl-connection", "format", format->name, "pem",
                                      (const char *)content.data, content.length),
                            error);
        goto out;
    }
    status = file_write(standard ? "-" : output, (kw_input){content.data, content.length}, false, error);
    if (status == KW_OK && session->json)
        status = json_print(
            json_pack("{s:s,s:s,s:s}", "certificate", "ssl-connection", "format", format->name, "output", output),
            error);
out:
    kw_bytes_free(&content);
    return status;
}

static const struct verb_option export_options[] = {
    {OPTION_OUTPUT, "FILE", "where it goes; else standard output", false, false},
    {OPTION_FORMAT, "FORMAT", "pem (the default), der (the certificate alone) or p7b (PKCS#7)", false, false},
};

const struct verb verb_trust_export = {
    .name = "trust export",
    .synopsis = "[-o FILE] [--format pem|der|p7b]",
    .summary = "gives out the ssl-connection certificate for clients",
    .description = "Writes the certificate of ssl-connection and its chain, without the key, for clients to trust.",
    VERB_OPTIONS(export_options),
    .examples = {"keywright trust export -o server.pem", "keywright trust export --format p7b -o server.p7b"},
    .run = trust_export_run,
};

/* ---- trust install ---- */

static kw_status trust_install_run(struct session *session, kw_error *error)
{
    const char *path = argument_word(&session->arguments, 0);
    kw_trust_install_options options = {
        .size = sizeof(options),
        .path = path,
        .local_directory = argument_text(&session->arguments, OPTION_LOCAL_DIRECTORY),
        .system_directory = argument_text(&session->arguments, OPTION_SYSTEM_DIRECTORY),
    };
    struct content content = {0};
    kw_bytes own = {0};
    kw_status status = KW_OK;

    if (path == NULL) {
        status = session_open(session, error);
        if (status == KW_OK)
            status = kw_trust_export(session->context, KW_TRUST_PEM, &own, error);
        options.path = "ssl-connection";
        options.content = (kw_input){own.data, own.length};
    } else if (file_is_standard(path)) {
        status = file_read(path, &content, error);
        options.path = "standard input";
        options.content = content_input(&content);
    }
    if (status == KW_OK)
        status = kw_trust_install(&options, session_event, session, error);
    if (status == KW_OK)
        status = session_done(session, NULL, error);
    kw_bytes_free(&own);
    content_free(&content);
    return status;
}

static const struct verb_option install_options[] = {
    {OPTION_LOCAL_DIRECTORY, "DIR", "instead of /usr/local/share/ca-certificates", false, false},
    {OPTION_SYSTEM_DIRECTORY, "DIR", "instead of /etc/ssl/certs", false, false},
};

const struct verb verb_trust_install = {
    .name = "trust install",
    .synopsis = "[FILE] [--local-directory DIR] [--system-directory DIR]",
    .summary = "lets this system trust a server's certificate",
    .description =
        "Puts a self-signed certificate (PEM, DER or PKCS#7; without FILE this server's own ssl-connection)\n"
        "among those that this system trusts: into /usr/local/share/ca-certificates, followed by\n"
        "update-ca-certificates. Needs root, and no configuration where FILE is given. Safe to repeat;\n"
        "a failure leaves nothing behind. To undo it, remove the file that it tells, and run\n"
        "'update-ca-certificates --fresh'. The directories can be others, for trying it out.",
    VERB_OPTIONS(install_options),
    .words = "FILE",
    .words_maximum = 1,
    .examples = {"keywright trust install server.pem --local-directory trust/local --system-directory trust/certs"},
    .run = trust_install_run,
};

/* ---- trust check ---- */

static json_t *problems_json(const kw_trust_report *report)
{
    json_t *array = json_array();

    for (size_t i = 0; i < report->problem_count; i++)
        json_array_append_new(
            array, json_pack("{s:s,s:s}", "code", report->problems[i].code, "reason", report->problems[i].sentence));
    return array;
}

static kw_status print_json(const kw_trust_report *report, kw_error *error)
{
    const kw_certificate_info *certificate = report->certificate;

    return json_print(
        json_pack("{s:b,s:s,s:s,s:s,s:s,s:s,s:o,s:{s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:o,s:i}}", "trusted",
                  report->trusted ? 1 : 0, "host", report->host, "port", report->port, "address", report->address,
                  "protocol", report->protocol, "cipher", report->cipher, "problems", problems_json(report),
                  "certificate", "subject", certificate->subject, "issuer", certificate->issuer, "serial",
                  certificate->serial, "sha256", certificate->sha256, "not_before", certificate->not_before_text,
                  "not_after", certificate->not_after_text, "self_signed", certificate->self_signed ? 1 : 0, "san",
                  json_texts(certificate->san, certificate->san_count), "chain_length", (int)certificate->chain_count),
        error);
}

static kw_status print_text(const kw_trust_report *report, kw_error *error)
{
    struct table *details = details_new();
    kw_status status = details != NULL ? KW_OK : problem_memory(error);

    for (size_t i = 0; status == KW_OK && i < report->line_count; i++)
        status = details_add(details, report->lines[i].label, report->lines[i].text, error);
    if (status == KW_OK) {
        for (size_t i = 0; i < report->headline_count; i++)
            message_result(report->headlines[i]);
        status = table_print(details, error);
    }
    table_free(details);
    return status;
}

static kw_status trust_check_run(struct session *session, kw_error *error)
{
    const kw_trust_check_options options = {
        .size = sizeof(options),
        .target = argument_word(&session->arguments, 0),
        .ca_file = argument_text(&session->arguments, OPTION_CA),
    };
    kw_trust_report *report = NULL;
    kw_status status = kw_trust_check(&options, &report, error);

    if (status != KW_OK)
        return status;
    status = session->json ? print_json(report, error) : print_text(report, error);
    if (status == KW_OK && !report->trusted) {
        status = problem_set(error, KW_FAILED, "the connection is not trusted: %s", report->problems[0].sentence);
        snprintf(error->where, sizeof(error->where), "%s", options.target);
    }
    kw_trust_report_free(report);
    return status;
}

static const struct verb_option check_options[] = {
    {OPTION_CA, "FILE", "also trust the certificates in FILE", false, false},
};

const struct verb verb_trust_check = {
    .name = "trust check",
    .synopsis = "HOST:PORT [--ca FILE]",
    .summary = "looks whether this system trusts a server",
    .description =
        "Connects to a server over TLS (1.2 at least) and judges its certificate by what openssl trusts\n"
        "on this system: /etc/ssl/certs, or where $SSL_CERT_FILE and $SSL_CERT_DIR lead. When it is not\n"
        "trusted, shows the certificate, every reason, and what to do. Needs no configuration. Exit status: 0\n"
        "trusted; 1 not trusted, or no TLS; 5 no TLS 1.2; 6 not reached. --json prints its document in any case\n"
        "where there is a certificate to show.",
    VERB_OPTIONS(check_options),
    .words = "HOST:PORT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright trust check localhost:8443 --ca server.pem"},
    .run = trust_check_run,
};
