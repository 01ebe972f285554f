#include "certificate.h"
#include "verb.h"

static kw_status create_run(struct session *session, kw_error *error)
{
    const struct arguments *arguments = &session->arguments;
    kw_certificate_template wanted = {
        .size = sizeof(wanted),
        .address = session_certificate(session),
        .key = argument_text(arguments, OPTION_KEY),
        .store = argument_text(arguments, OPTION_STORE),
        .subject = argument_text(arguments, OPTION_SUBJECT),
        .derived = argument_given(arguments, OPTION_DERIVED),
        .master_key = argument_text(arguments, OPTION_MASTER_KEY),
    };
    kw_certificate_list *list = NULL;
    kw_status status;

    wanted.databases = argument_list(arguments, OPTION_DATABASE, &wanted.database_count);
    wanted.hosts = argument_list(arguments, OPTION_HOST, &wanted.host_count);
    wanted.extended_key_usages = argument_list(arguments, OPTION_EXTENDED_KEY_USAGE, &wanted.extended_key_usage_count);
    status = session_open(session, error);
    if (status != KW_OK)
        return status;
    status = kw_certificate_create(session->context, &wanted, session_event, session, error);
    if (status != KW_OK || !session->json)
        return status;
    status = certificate_find(session->context, wanted.address, &list, error);
    if (status != KW_OK)
        return status;
    status = session_done(session, certificate_json(&list->certificates[0]), error);
    kw_certificate_list_free(list);
    return status;
}

static const struct verb_option create_options[] = {
    {OPTION_DATABASE, "DB", "master-key: a database that it serves; may be repeated", false, true},
    {OPTION_KEY, "ALG", "rsa-2048, rsa-3072, rsa-4096, ec-p256, ec-p384, ec-p521, ed25519", false, false},
    {OPTION_STORE, "S", "the store for the key, not the configured one", false, false},
    {OPTION_HOST, "H", "ssl-connection, general: a name or address; may be repeated", false, true},
    {OPTION_SUBJECT, "DN", "general: the subject, such as CN=shop,O=Example", false, false},
    {OPTION_EXTENDED_KEY_USAGE, "USE", "general: an extended key usage, such as serverAuth; may be repeated", false,
     true},
    {OPTION_DERIVED, NULL, "discovery-service, password-reset: derive the key from a master key, store it nowhere",
     false, false},
    {OPTION_MASTER_KEY, "CERT", "with --derived: from which, where several serve the database", false, false},
};

const struct verb verb_create = {
    .name = "create",
    .synopsis = "CERT [--database DB]... [--key ALG] [--store S] [--host H]... [--subject DN] [--eku USE]...\n"
                "                        [--derived [--master-key CERT]]",
    .summary = "creates a key and its certificate",
    .description = "Creates a key in a store and a certificate for it. database/DB makes the database's entry,\n"
                   "which a master key, a discovery service or a password reset of that database needs first.\n"
                   "For a master key that exists, adds the databases that it does not serve yet. The key of a\n"
                   "discovery service or password reset is derived unasked where its database's master key is in\n"
                   "an HSM, unless --store, --key or the configuration wants another.",
    VERB_OPTIONS(create_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright create database/sales", "keywright create master-key/corp.example --database sales",
                 "keywright create password-reset/sales/web --derived",
                 "keywright create general/shop --key ec-p256 --host shop.example"},
    .run = create_run,
};
