/* seal and unseal: two verbs with the same options, which differ in one call. */
#include "certificate.h"
#include "file.h"
#include "verb.h"

#include <string.h>

/* kw_seal or kw_unseal, both of which tell the length first. */
typedef kw_status operation(kw_subkey *subkey, kw_input input, kw_input associated, kw_output *output, kw_error *error);

static kw_input text_argument(const struct session *session, enum option_id option)
{
    const char *text = argument_text(&session->arguments, option);
    const kw_input input = {(const unsigned char *)text, text == NULL ? 0 : strlen(text)};
    return input;
}

/* Where a seal says under which version of the root it is: four bytes, big-endian, behind its format and the master key's id. */
#define VERSION_PLACE 20u
#define VERSION_BYTES 4u

/* Whether it says a version that the master key has or had here; when that cannot be told, it is taken for one. */
static bool version_is_known(const struct session *session, kw_input seal)
{
    kw_certificate_list *list = NULL;
    unsigned version = 0;
    bool known = false;

    if (seal.length < VERSION_PLACE + VERSION_BYTES ||
        certificate_find(session->context, session_certificate(session), &list, NULL) != KW_OK)
        return true;
    for (size_t i = 0; i < VERSION_BYTES; i++)
        version = version << 8 | seal.data[VERSION_PLACE + i];
    for (size_t i = 0; i < list->count; i++)
        for (size_t j = 0; j < list->certificates[i].root_count; j++)
            known = known || list->certificates[i].roots[j].version == version;
    kw_certificate_list_free(list);
    return known;
}

/*
 * Who changed a seal is refused with the exit status of what was tampered with, whichever of its fields it was. A wrong purpose, context or AAD cannot be
 * told from that, so it has the same.
 */
static kw_status judge(const struct session *session, bool opens, kw_input input, kw_status status, kw_error *error)
{
    if (opens && (status == KW_CIPHERTEXT_INVALID || (status == KW_NOT_FOUND && !version_is_known(session, input))))
        status = error->status = KW_CORRUPT;
    return status;
}

static kw_status convert(const struct session *session, operation *convert_by, kw_input input, struct content *made,
                         kw_error *error)
{
    const kw_input associated = text_argument(session, OPTION_AAD);
    kw_output output = {0};
    kw_subkey *subkey = NULL;
    kw_status status = kw_subkey_get(session->context, session_certificate(session),
                                     argument_text(&session->arguments, OPTION_PURPOSE),
                                     text_argument(session, OPTION_CONTEXT), &subkey, error);

    if (status != KW_OK)
        return status;
    status = convert_by(subkey, input, associated, &output, error);
    if (status != KW_BUFFER_TOO_SMALL) {
        status = judge(session, convert_by == kw_unseal, input, status, error);
        goto out;
    }
    status = content_reserve(made, output.length + 1, error) /* a buffer that is none asks for the length */;
    if (status != KW_OK)
        goto out;
    output = (kw_output){.data = made->data, .capacity = made->capacity};
    status = convert_by(subkey, input, associated, &output, error);
    made->length = status == KW_OK ? output.length : 0;
    status = judge(session, convert_by == kw_unseal, input, status, error);
out:
    kw_subkey_free(subkey);
    return status;
}

static kw_status run(struct session *session, operation *convert_by, bool is_secret, kw_error *error)
{
    const char *const output = argument_text(&session->arguments, OPTION_OUTPUT);
    struct content input = {0}, made = {0};
    kw_status status = session_check_output(session, output, error);

    if (status == KW_OK)
        status = file_read(argument_text(&session->arguments, OPTION_INPUT), &input, error);
    if (status == KW_OK)
        status = session_open(session, error);
    if (status == KW_OK)
        status = convert(session, convert_by, content_input(&input), &made, error);
    if (status == KW_OK)
        status = file_write(output, content_input(&made), is_secret, error);
    if (status == KW_OK)
        status = session_done(session,
                              json_pack("{s:s,s:s,s:I}", "certificate", session_certificate(session), "output", output,
                                        "length", (json_int_t)made.length),
                              error);
    content_free(&input);
    content_free(&made);
    return status;
}

static kw_status seal_run(struct session *session, kw_error *error)
{
    return run(session, kw_seal, false, error);
}

static kw_status unseal_run(struct session *session, kw_error *error)
{
    return run(session, kw_unseal, true, error);
}

static const struct verb_option seal_options[] = {
    {OPTION_PURPOSE, "P", "what it is for, such as password; stands in the seal for all to read", true, false},
    {OPTION_CONTEXT, "C", "tells subkeys of one purpose apart, such as a database's name; is not in the seal", false,
     false},
    {OPTION_AAD, "A", "what the seal is bound to, such as a record's id; is not in the seal", false, false},
    {OPTION_INPUT, "FILE", "what is sealed", true, false},
    {OPTION_OUTPUT, "FILE", "where the seal goes", true, false},
};

static const struct verb_option unseal_options[] = {
    {OPTION_PURPOSE, "P", "as it was when it was sealed", true, false},
    {OPTION_CONTEXT, "C", "likewise", false, false},
    {OPTION_AAD, "A", "likewise", false, false},
    {OPTION_INPUT, "FILE", "the seal", true, false},
    {OPTION_OUTPUT, "FILE", "where what was sealed goes; its owner alone may read it", true, false},
};

const struct verb verb_seal = {
    .name = "seal",
    .synopsis = "CERT --purpose P [--context C] [--aad A] -i FILE -o FILE",
    .summary = "seals a file by a subkey of a master key",
    .description = "Encrypts and authenticates a file, up to 1 GiB, by a subkey of a master key (XAES-256-GCM).\n"
                   "Whoever unseals it must give the same purpose, context and AAD. The store of the master key\n"
                   "is called once, whatever is sealed afterwards by a server that stays open.",
    VERB_OPTIONS(seal_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright seal master-key/corp.example --purpose password -i secret.txt -o secret.seal",
                 "keywright seal master-key/corp.example --purpose password --context sales --aad 4711 -i - -o -"},
    .run = seal_run,
};

const struct verb verb_unseal = {
    .name = "unseal",
    .synopsis = "CERT --purpose P [--context C] [--aad A] -i FILE -o FILE",
    .summary = "opens what was sealed",
    .description =
        "Opens a seal, also one from before the master key's last rotation. One that was changed, or sealed\n"
        "for another purpose, context or AAD, is refused (exit status 8), and nothing is written.",
    VERB_OPTIONS(unseal_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright unseal master-key/corp.example --purpose password -i secret.seal -o secret.txt"},
    .run = unseal_run,
};
