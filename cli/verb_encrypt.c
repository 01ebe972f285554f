#include "algorithm.h"
#include "file.h"
#include "verb.h"

/* By kw_key_encrypt, which is asked for the length first. */
static kw_status encrypt_oaep(struct session *session, const char *address, kw_input plaintext,
                              struct content *ciphertext, kw_error *error)
{
    kw_algorithm algorithm = algorithm_oaep();
    kw_output output = {0};
    kw_key *key = NULL;
    kw_status status = kw_key_open_public(session->context, address, &key, error);

    if (status != KW_OK)
        return status;
    status = kw_key_encrypt(key, &algorithm, plaintext, &output, error);
    if (status != KW_BUFFER_TOO_SMALL)
        goto out;
    status = content_reserve(ciphertext, output.length, error);
    if (status != KW_OK)
        goto out;
    output = (kw_output){.data = ciphertext->data, .capacity = ciphertext->capacity};
    status = kw_key_encrypt(key, &algorithm, plaintext, &output, error);
    ciphertext->length = status == KW_OK ? output.length : 0;
out:
    kw_key_free(key);
    return status;
}

/* What is encrypted for a server that no longer uses the key may find nobody who decrypts it. */
static kw_status warn_when_not_required(struct session *session, const char *address, kw_error *error)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .all = true, .address = address};
    const kw_event event = {
        .warning = true, .certificate = address, .what = "is no longer required: out of use or replaced"};
    kw_certificate_list *list = NULL;
    kw_status status = kw_certificates(session->context, &filter, &list, error);
    if (status == KW_OK && list->count == 1 && !list->certificates[0].required)
        session_event(session, &event);
    kw_certificate_list_free(list);
    return status;
}

static kw_status encrypt_run(struct session *session, kw_error *error)
{
    const char *address = session_certificate(session);
    const char *output = argument_text(&session->arguments, OPTION_OUTPUT);
    struct content plaintext = {0}, ciphertext = {0};
    kw_bytes cms = {0};
    kw_input result = {0};
    bool oaep = false;
    kw_status status = session_check_output(session, output, error);

    if (status == KW_OK)
        status = algorithm_format(session, &oaep, error);
    if (status == KW_OK)
        status = file_read(argument_text(&session->arguments, OPTION_INPUT), &plaintext, error);
    if (status == KW_OK)
        status = session_open(session, error);
    if (status == KW_OK && oaep) {
        status = encrypt_oaep(session, address, content_input(&plaintext), &ciphertext, error);
        result = content_input(&ciphertext);
    } else if (status == KW_OK) {
        status = kw_cms_encrypt(session->context, address, content_input(&plaintext), &cms, error);
        result = (kw_input){cms.data, cms.length};
    }
    if (status == KW_OK)
        status = warn_when_not_required(session, address, error);
    if (status == KW_OK)
        status = file_write(output, result, false, error);
    if (status == KW_OK)
        status = session_done(
            session,
            json_pack("{s:s,s:s,s:I}", "certificate", address, "output", output, "length", (json_int_t)result.length),
            error);
    kw_bytes_free(&cms);
    content_free(&plaintext);
    content_free(&ciphertext);
    return status;
}

static const struct verb_option encrypt_options[] = {
    {OPTION_INPUT, "FILE", "what is encrypted", true, false},
    {OPTION_OUTPUT, "FILE", "where the ciphertext goes", true, false},
    {OPTION_FORMAT, "F", "cms (the default) or oaep (RSA, short input, SHA-256)", false, false},
};

const struct verb verb_encrypt = {
    .name = "encrypt",
    .synopsis = "CERT -i FILE -o FILE [--format cms|oaep]",
    .summary = "encrypts a file to a certificate",
    .description = "Encrypts a file to a certificate: as CMS (DER), up to 1 GiB, or as a raw RSA-OAEP block. Opens\n"
                   "no store. Any program that has the certificate can do the same.",
    VERB_OPTIONS(encrypt_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright encrypt database/sales -i report.txt -o report.cms",
                 "keywright encrypt database/sales -i report.txt -o report.oaep --format oaep"},
    .run = encrypt_run,
};
