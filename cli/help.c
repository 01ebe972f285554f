#include "help.h"

#include <stdio.h>
#include <string.h>

const struct verb *const verbs[] = {
    &verb_init,
    &verb_apply,
    &verb_config_check,
    &verb_config_schema,
    &verb_plugins,
    &verb_status,
    &verb_create,
    &verb_list,
    &verb_show,
    &verb_request,
    &verb_import,
    &verb_export,
    &verb_retire,
    &verb_delete,
    &verb_sign,
    &verb_verify,
    &verb_encrypt,
    &verb_decrypt,
    &verb_passphrase,
    &verb_licence_request,
    &verb_licence_verify,
    &verb_trust_export,
    &verb_trust_install,
    &verb_trust_check,
    &verb_transfer,
    &verb_rotate,
    &verb_adopt,
    &verb_metrics,
    &verb_reload,
    &verb_seal,
    &verb_unseal,
    &verb_connection_list,
    &verb_connection_check,
};
const size_t verb_count = sizeof(verbs) / sizeof(verbs[0]);

#define SPELLING_WIDTH 26

static void print_options(const struct verb_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct option_name *name = &option_names[options[i].option];
        char spelling[80];

        snprintf(spelling, sizeof(spelling), "%c%c%s--%s%s%s", name->letter != 0 ? '-' : ' ',
                 name->letter != 0 ? name->letter : ' ', name->letter != 0 ? ", " : "  ", name->name,
                 options[i].argument != NULL ? " " : "", options[i].argument != NULL ? options[i].argument : "");
        printf("  %-*s  %s\n", SPELLING_WIDTH, spelling, options[i].help);
    }
}

void help_all(void)
{
    puts("Usage: keywright [-c FILE] [--json] [-q | -v] VERB ...\n"
         "\n"
         "Keywright keeps a server's keys and certificates in the stores that its configuration\n"
         "names, and uses them there.\n"
         "\n"
         "Verbs:");
    for (size_t i = 0; i < verb_count; i++)
        printf("  %-16s  %s\n", verbs[i]->name, verbs[i]->summary);
    puts("\n"
         "'keywright help VERB' explains one, with examples.\n"
         "\n"
         "Options, before or behind the verb:");
    print_options(global_options, global_option_count);
    puts("\n"
         "CERT is an address: ssl-connection, server-encryption, database/DB, master-key/DOMAIN,\n"
         "discovery-service/DB/NAME, password-reset/DB/NAME or general/NAME; with @N, certificate\n"
         "number N of the entry.\n"
         "SOURCE says where a secret comes from: file:PATH, env:NAME, credential:NAME, fd:N, prompt;\n"
         "of a store's secret also subkey:master-key/DOMAIN.\n"
         "FILE may be '-', standard input or output; -in and -out are taken for -i and -o.\n"
         "\n"
         "The configuration is -c FILE, else $KEYWRIGHT_CONFIG, else /etc/keywright/keywright.yaml.\n"
         "Colour shows on a terminal, unless NO_COLOR is set. Results go to standard output, all else\n"
         "to standard error. With --json standard output is one JSON document; when the verb fails, it is\n"
         "empty (of list, what could be read; of trust check and connection check, what was seen), and\n"
         "the last line of standard error is\n"
         "{\"error\":{\"status\":...,\"exit_status\":...,\"where\":...,\"line\":...,\"column\":...,\n"
         "\"message\":...,\"remedy\":...}}.\n"
         "\n"
         "Exit status:\n"
         "  0  done\n"
         "  1  failed; also: the signature is wrong, the connection is not trusted\n"
         "  2  usage\n"
         "  3  configuration\n"
         "  4  not found\n"
         "  5  refused by a rule, not supported by the store, or exists already\n"
         "  6  the store is not available\n"
         "  7  PIN, passphrase or password refused\n"
         "  8  corrupt or tampered");
}

void help_verb(const struct verb *verb)
{
    printf("Usage: keywright %s%s%s\n\n%s\n", verb->name, verb->synopsis[0] != '\0' ? " " : "", verb->synopsis,
           verb->description);
    if (verb->option_count > 0) {
        puts("\nOptions:");
        print_options(verb->options, verb->option_count);
    }
    puts("\nOptions of every verb:");
    print_options(global_options, global_option_count);
    puts("\nExamples:");
    for (size_t i = 0; i < VERB_EXAMPLES_MAXIMUM && verb->examples[i] != NULL; i++)
        printf("  %s\n", verb->examples[i]);
}

static bool first_word_is(const char *name, const char *word)
{
    size_t length = strlen(word);

    return strncmp(name, word, length) == 0 && (name[length] == ' ' || name[length] == '\0');
}

bool help_group(const char *word)
{
    bool found = false;

    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i]->name, word) == 0)
            return false;
        found = found || first_word_is(verbs[i]->name, word);
    }
    if (!found)
        return false;
    printf("Usage: keywright %s VERB ...\n\nVerbs:\n", word);
    for (size_t i = 0; i < verb_count; i++) {
        if (first_word_is(verbs[i]->name, word))
            printf("  %-16s  %s\n", verbs[i]->name, verbs[i]->summary);
    }
    printf("\n'keywright help %s VERB' explains one, with examples.\n", word);
    return true;
}

kw_status help_find_verb(const char *const *words, size_t word_count, const struct verb **verb, size_t *used,
                         kw_error *error)
{
    const char *names[sizeof(verbs) / sizeof(verbs[0])];
    const char *written = words[0];
    char two[80];
    size_t group = 0;

    for (size_t i = 0; i < verb_count; i++) {
        names[i] = verbs[i]->name;
        if (strcmp(names[i], words[0]) == 0) {
            *verb = verbs[i];
            *used = 1;
            return KW_OK;
        }
        if (first_word_is(names[i], words[0]))
            group++;
    }
    if (group > 0) {
        if (word_count < 2) {
            problem_set(error, KW_INVALID_ARGUMENT, "'%s' needs a second word", words[0]);
            size_t length = 0;
            for (size_t i = 0; i < verb_count; i++) {
                if (!first_word_is(names[i], words[0]))
                    continue;
                int wrote = snprintf(error->remedy + length, sizeof(error->remedy) - length, "%s'keywright %s'",
                                     length > 0 ? " or " : "write ", names[i]);
                length += wrote > 0 ? (size_t)wrote : 0;
            }
            return KW_INVALID_ARGUMENT;
        }
        snprintf(two, sizeof(two), "%s %s", words[0], words[1]);
        for (size_t i = 0; i < verb_count; i++) {
            if (strcmp(names[i], two) == 0) {
                *verb = verbs[i];
                *used = 2;
                return KW_OK;
            }
        }
        written = two;
    }
    const char *nearest = problem_nearest(written, names, verb_count);
    problem_set(error, KW_INVALID_ARGUMENT, "there is no verb '%s'", written);
    if (nearest != NULL)
        problem_remedy(error, "did you mean '%s'? 'keywright --help' lists all", nearest);
    else
        problem_remedy(error, "'keywright --help' lists all");
    return KW_INVALID_ARGUMENT;
}
