#include "algorithm.h"
#include "file.h"
#include "verb.h"

/* By kw_key_decrypt, which is asked for the length first. */
static kw_status decrypt_oaep(struct session *session, const char *address, kw_input ciphertext,
                              struct content *plaintext, kw_error *error)
{
    kw_algorithm algorithm = algorithm_oaep();
    kw_output output = {0};
    kw_key *key = NULL;
    kw_status status = kw_key_open(session->context, address, &key, error);

    if (status != KW_OK)
        return status;
    status = kw_key_decrypt(key, &algorithm, ciphertext, &output, error);
    if (status != KW_BUFFER_TOO_SMALL)
        goto out;
    status = content_reserve(plaintext, output.length, error);
    if (status != KW_OK)
        goto out;
    output = (kw_output){.data = plaintext->data, .capacity = plaintext->capacity};
    status = kw_key_decrypt(key, &algorithm, ciphertext, &output, error);
    plaintext->length = status == KW_OK ? output.length : 0;
out:
    kw_key_free(key);
    return status;
}

static kw_status decrypt_run(struct session *session, kw_error *error)
{
    const char *address = session_certificate(session);
    const char *output = argument_text(&session->arguments, OPTION_OUTPUT);
    struct content ciphertext = {0}, plaintext = {0};
    kw_bytes cms = {0};
    kw_input result = {0};
    bool oaep = false;
    kw_status status = session_check_output(session, output, error);

    if (status == KW_OK)
        status = algorithm_format(session, &oaep, error);
    if (status == KW_OK)
        status = file_read(argument_text(&session->arguments, OPTION_INPUT), &ciphertext, error);
    if (status == KW_OK)
        status = session_open(session, error);
    if (status == KW_OK && oaep) {
        status = decrypt_oaep(session, address, content_input(&ciphertext), &plaintext, error);
        result = content_input(&plaintext);
    } else if (status == KW_OK) {
        status = kw_cms_decrypt(session->context, address, content_input(&ciphertext), &cms, error);
        result = (kw_input){cms.data, cms.length};
    }
    if (status == KW_OK)
        status = file_write(output, result, true, error);
    if (status == KW_OK && session->json)
        status = json_print(
            json_pack("{s:s,s:s,s:I}", "certificate", address, "output", output, "length", (json_int_t)result.length),
            error);
    kw_bytes_free(&cms);
    content_free(&ciphertext);
    content_free(&plaintext);
    return status;
}

static const struct verb_option decrypt_options[] = {
    {OPTION_INPUT, "FILE", "what is decrypted", true, false},
    {OPTION_OUTPUT, "FILE", "where the plaintext goes; its owner alone may read it", true, false},
    {OPTION_FORMAT, "F", "cms (the default; DER or PEM) or oaep (RSA, SHA-256)", false, false},
};

const struct verb verb_decrypt = {
    .name = "decrypt",
    .synopsis = "CERT -i FILE -o FILE [--format cms|oaep]",
    .summary = "decrypts a file with a certificate's key",
    .description = "Decrypts what was encrypted to a certificate: CMS (DER or PEM) or a raw RSA-OAEP block, by\n"
                   "Keywright or by another program.",
    VERB_OPTIONS(decrypt_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright decrypt database/sales -i report.cms -o report.out",
                 "keywright decrypt database/sales -in report.oaep -out report.out --format oaep"},
    .run = decrypt_run,
};
