#include "algorithm.h"
#include "file.h"
#include "verb.h"

#include <string.h>

/* A signature that is right under another padding or hash is the likelier mistake. */
static void explain(const struct session *session, const kw_key *key, kw_error *error)
{
    const char *padding = argument_text(&session->arguments, OPTION_PADDING);
    const bool pkcs1 = padding != NULL && strcmp(padding, "pkcs1") == 0;

    if (kw_key_get_capabilities(key)->type == KW_KEY_RSA)
        problem_remedy(error,
                       "it was checked as %s; if it was made otherwise, say how: --padding %s, or another --hash",
                       pkcs1 ? "PKCS#1 v1.5" : "PSS", pkcs1 ? "pss" : "pkcs1 (what 'openssl dgst' makes by default)");
}

static kw_status verify_run(struct session *session, kw_error *error)
{
    const char *address = session_certificate(session);
    const char *input = argument_text(&session->arguments, OPTION_INPUT);
    const char *signature_path = argument_text(&session->arguments, OPTION_SIGNATURE);
    struct content message = {0}, signature = {0};
    kw_key *key = NULL;
    kw_algorithm algorithm;
    kw_status status = KW_OK;

    if (file_is_standard(input) && file_is_standard(signature_path))
        return problem_set(error, KW_INVALID_ARGUMENT, "'-i -' and '-s -' both want standard input");
    status = file_read(input, &message, error);
    if (status == KW_OK)
        status = file_read(signature_path, &signature, error);
    if (status == KW_OK)
        status = session_open(session, error);
    if (status == KW_OK)
        status = kw_key_open_public(session->context, address, &key, error);
    if (status == KW_OK)
        status = algorithm_signature(session, key, &algorithm, error);
    if (status == KW_OK)
        status = kw_key_verify(key, &algorithm, content_input(&message), content_input(&signature), error);
    if (status == KW_SIGNATURE_INVALID)
        explain(session, key, error);
    if (status == KW_OK && session->json)
        status = json_print(json_pack("{s:s,s:b}", "certificate", address, "valid", 1), error);
    else if (status == KW_OK && !session->quiet)
        message_result("The signature is right.");
    kw_key_free(key);
    content_free(&message);
    content_free(&signature);
    return status;
}

static const struct verb_option verify_options[] = {
    {OPTION_INPUT, "FILE", "what was signed", true, false},
    {OPTION_SIGNATURE, "FILE", "the signature", true, false},
    {OPTION_HASH, "H", "sha256 (the default), sha224, sha384 or sha512", false, false},
    {OPTION_PADDING, "P", "RSA: pss (the default) or pkcs1", false, false},
};

const struct verb verb_verify = {
    .name = "verify",
    .synopsis = "CERT -i FILE -s FILE [--hash H] [--padding pss|pkcs1]",
    .summary = "checks a signature with a certificate's public key",
    .description = "Checks a raw signature over a file, as 'keywright sign' makes it; so does openssl, whose default\n"
                   "for RSA is --padding pkcs1. Exit status 1 says that the signature is wrong. Opens no store.",
    VERB_OPTIONS(verify_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright verify database/sales -i report.txt -s report.sig"},
    .run = verify_run,
};
