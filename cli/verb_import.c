#include "file.h"
#include "terminal.h"
#include "verb.h"

/* What "-" stands for; any other path is the library's to read. */
static kw_status read_standard(const char **path, struct content *content, kw_input *given, kw_error *error)
{
    kw_status status;

    if (*path == NULL || !file_is_standard(*path))
        return KW_OK;
    status = file_read(*path, content, error);
    if (status == KW_OK && content->length == 0)
        status = problem_set(error, KW_INVALID_ARGUMENT, "standard input is empty");
    *path = "standard input";
    *given = content_input(content);
    return status;
}

static kw_status import_run(struct session *session, kw_error *error)
{
    const struct arguments *arguments = &session->arguments;
    kw_import_options options = {
        .size = sizeof(options),
        .path = argument_word(arguments, 0),
        .key_path = argument_text(arguments, OPTION_KEY),
        .address = argument_text(arguments, OPTION_AS),
        .store = argument_text(arguments, OPTION_STORE),
        .password_source = argument_text(arguments, OPTION_PASSWORD_FROM),
        .allow_no_mac = argument_given(arguments, OPTION_ALLOW_NO_MAC),
    };
    struct content content = {0}, key = {0};
    kw_status status = KW_OK;

    if (options.key_path != NULL && file_is_standard(options.path) && file_is_standard(options.key_path))
        status = problem_set(error, KW_INVALID_ARGUMENT,
                             "standard input can be FILE or --key, not both; one file may hold both");
    if (status == KW_OK)
        status = read_standard(&options.path, &content, &options.content, error);
    if (status == KW_OK)
        status = read_standard(&options.key_path, &key, &options.key_content, error);
    if (status == KW_OK)
        status = session_open(session, error);
    if (status == KW_OK)
        status = kw_import(session->context, &options, session_event, session, error);
    if (status == KW_CONFIGURATION && session->nobody_to_ask && source_is_prompt(options.password_source)) {
        status = error->status = KW_REFUSED;
        problem_remedy(error, "there is no terminal to ask at: give --password-from SOURCE, such as file:PATH");
    }
    if (status == KW_OK)
        status = session_done(session, NULL, error);
    content_free(&content);
    content_free(&key);
    return status;
}

static const struct verb_option import_options[] = {
    {OPTION_AS, "CERT", "the address; of several in FILE the one whose name ends it", false, false},
    {OPTION_STORE, "S", "the store for the key, not the configured one", false, false},
    {OPTION_KEY, "FILE", "the private key, when FILE holds only a certificate", false, false},
    {OPTION_PASSWORD_FROM, "SOURCE", "where the password comes from; else it is asked for", false, false},
    {OPTION_ALLOW_NO_MAC, NULL, "also a .pfx that nothing protects against changes", false, false},
};

const struct verb verb_import = {
    .name = "import",
    .synopsis = "FILE [--as CERT] [--store S] [--key FILE] [--password-from SOURCE] [--allow-no-mac]",
    .summary = "imports certificates and keys: .pfx, or .pem/.crt/.cer/.p7b",
    .description =
        "Imports certificates and keys from a .pfx of Keywright or of another program, or from a\n"
        ".pem, .crt or .cer with its key. All of the file or nothing. What is there already stays as it is.\n"
        "With --as ssl-connection or --as general/NAME the certificate takes the place of the present one,\n"
        "which is kept. Of several keys in a file, --as takes the one whose friendly name (where it has none,\n"
        "whose common name) is CERT or its last part. Without a private key the file (also .p7b) is the reply to "
        "`keywright request`.\n"
        "A CA's certificate is checked, and its revocation lists are fetched.",
    VERB_OPTIONS(import_options),
    .words = "FILE",
    .words_minimum = 1,
    .words_maximum = 1,
    .opens_as_is = true,
    .examples = {"keywright import sales.pfx --password-from file:export-password",
                 "keywright import shop.crt --key shop.key --as general/web",
                 "keywright import reply.p7b --as ssl-connection"},
    .run = import_run,
};
