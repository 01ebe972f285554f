/* What a verb is: a const table each in verb_NAME.c, listed in main.c. */
#ifndef KEYWRIGHT_CLI_VERB_H
#define KEYWRIGHT_CLI_VERB_H

#include "session.h"

#define VERB_EXAMPLES_MAXIMUM 4

struct verb {
    const char *name;     /* "create", "config check" */
    const char *synopsis; /* what follows the name */
    const char *summary;  /* one line, a sentence without a capital and a full stop */
    const char *description;
    const struct verb_option *options;
    size_t option_count;
    const char *words; /* what its words are called, for messages */
    size_t words_minimum, words_maximum;
    bool opens_as_is; /* a missing server-encryption is not added: the verb takes certificates away or brings them */
    bool looks;       /* what a crashed process left is left to other verbs */
    const char *examples[VERB_EXAMPLES_MAXIMUM]; /* commands that run as they are */
    kw_status (*run)(struct session *session, kw_error *error);
};

#define VERB_OPTIONS(table) .options = (table), .option_count = sizeof(table) / sizeof((table)[0])

extern const struct verb verb_init, verb_apply, verb_config_check, verb_config_schema, verb_plugins, verb_status,
    verb_create, verb_list, verb_show, verb_request, verb_import, verb_export, verb_retire, verb_delete, verb_sign,
    verb_verify, verb_encrypt, verb_decrypt, verb_passphrase, verb_licence_request, verb_licence_verify,
    verb_trust_export, verb_trust_install, verb_trust_check, verb_transfer, verb_rotate, verb_adopt, verb_metrics,
    verb_reload, verb_seal, verb_unseal, verb_connection_list, verb_connection_check;

#endif
