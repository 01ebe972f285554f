#include "file.h"
#include "terminal.h"
#include "verb.h"

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
    struct content content = {0};
    kw_status status;

    if (file_is_standard(options.path)) {
        status = file_read(options.path, &content, error);
        if (status != KW_OK)
            goto out;
        if (content.length == 0) {
            status = problem_set(error, KW_INVALID_ARGUMENT, "standard input is empty");
            goto out;
        }
        options.path = "standard input";
        options.content = content_input(&content);
    }
    status = session_open(session, error);
    if (status == KW_OK)
        status = kw_import(session->context, &options, session_event, session, error);
    if (status == KW_CONFIGURATION && session->nobody_to_ask && source_is_prompt(options.password_source)) {
        status = error->status = KW_REFUSED;
        problem_remedy(error, "there is no terminal to ask at: give --password-from SOURCE, such as file:PATH");
    }
    if (status == KW_OK)
        status = session_done(session, NULL, error);
out:
    content_free(&content);
    return status;
}

static const struct verb_option import_options[] = {
    {OPTION_AS, "CERT", "the address; of several in FILE the one whose friendly name ends it", false, false},
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
        "which is kept. Of several keys in a file, --as takes the one whose friendly name is CERT or its last\n"
        "part. Without a private key the file (also .p7b) is the reply to `keywright request`.\n"
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
