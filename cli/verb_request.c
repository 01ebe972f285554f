#include "file.h"
#include "verb.h"

static kw_status request_run(struct session *session, kw_error *error)
{
    const char *address = session_certificate(session);
    const char *output = argument_text(&session->arguments, OPTION_OUTPUT);
    kw_bytes request = {0}, pem = {0};
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_certificate_request(session->context, address, &request, error);
    if (status == KW_OK)
        status = kw_pem_encode("CERTIFICATE REQUEST", (kw_input){request.data, request.length}, &pem, error);
    if (status != KW_OK)
        goto out;
    if (session->json && (output == NULL || file_is_standard(output))) {
        status = json_print(
            json_pack("{s:s,s:s%}", "certificate", address, "request", (const char *)pem.data, pem.length), error);
        goto out;
    }
    status = file_write(output != NULL ? output : "-", (kw_input){pem.data, pem.length}, false, error);
    if (status == KW_OK && session->json)
        status = json_print(json_pack("{s:s,s:s}", "certificate", address, "output", output), error);
out:
    kw_bytes_free(&pem);
    kw_bytes_free(&request);
    return status;
}

static const struct verb_option request_options[] = {
    {OPTION_OUTPUT, "FILE", "where the request goes; else standard output", false, false},
};

const struct verb verb_request = {
    .name = "request",
    .synopsis = "CERT [-o FILE]",
    .summary = "makes a certificate request for a CA",
    .description = "Makes a certificate request (PKCS#10, PEM) with the certificate's subject and names, signed by\n"
                   "its key, for a CA to issue a certificate from.",
    VERB_OPTIONS(request_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright request ssl-connection -o server.csr"},
    .run = request_run,
};
