#include "algorithm.h"
#include "file.h"
#include "verb.h"

static kw_status make_signature(kw_key *key, const kw_algorithm *algorithm, kw_input message, struct content *signature,
                                kw_error *error)
{
    kw_output output = {0};
    kw_status status = kw_key_sign(key, algorithm, message, &output, error);

    if (status != KW_BUFFER_TOO_SMALL)
        return status != KW_OK ? status : problem_set(error, KW_FAILED, "the signature is empty");
    status = content_reserve(signature, output.length, error);
    if (status != KW_OK)
        return status;
    output = (kw_output){.data = signature->data, .capacity = signature->capacity};
    status = kw_key_sign(key, algorithm, message, &output, error);
    signature->length = status == KW_OK ? output.length : 0;
    return status;
}

static kw_status sign_run(struct session *session, kw_error *error)
{
    const char *address = session_certificate(session);
    const char *input = argument_text(&session->arguments, OPTION_INPUT);
    const char *output = argument_text(&session->arguments, OPTION_OUTPUT);
    struct content message = {0}, signature = {0};
    kw_key *key = NULL;
    kw_algorithm algorithm;
    kw_status status = session_check_output(session, output, error);

    if (status == KW_OK)
        status = file_read(input, &message, error);
    if (status == KW_OK)
        status = session_open(session, error);
    if (status == KW_OK)
        status = kw_key_open(session->context, address, &key, error);
    if (status == KW_OK)
        status = algorithm_signature(session, key, &algorithm, error);
    if (status == KW_OK)
        status = make_signature(key, &algorithm, content_input(&message), &signature, error);
    if (status == KW_OK)
        status = file_write(output, content_input(&signature), false, error);
    if (status == KW_OK && session->json)
        status = json_print(json_pack("{s:s,s:s,s:I}", "certificate", address, "output", output, "length",
                                      (json_int_t)signature.length),
                            error);
    kw_key_free(key);
    content_free(&message);
    content_free(&signature);
    return status;
}

static const struct verb_option sign_options[] = {
    {OPTION_INPUT, "FILE", "what is signed", true, false},
    {OPTION_OUTPUT, "FILE", "where the signature goes", true, false},
    {OPTION_HASH, "H", "sha256 (the default), sha224, sha384 or sha512", false, false},
    {OPTION_PADDING, "P", "RSA: pss (the default) or pkcs1", false, false},
};

const struct verb verb_sign = {
    .name = "sign",
    .synopsis = "CERT -i FILE -o FILE [--hash H] [--padding pss|pkcs1]",
    .summary = "signs a file with a certificate's key",
    .description = "Writes the raw signature over the file: PSS with SHA-256 for RSA (the salt as long as the\n"
                   "hash), ECDSA (DER) for EC, and Ed25519. 'keywright verify' and openssl check it.",
    VERB_OPTIONS(sign_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright sign database/sales -i report.txt -o report.sig"},
    .run = sign_run,
};
