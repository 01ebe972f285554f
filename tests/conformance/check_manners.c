/* A plugin never prints: what it writes to the standard streams while it works and fails is caught. */
#include "kit.h"

#include <stdlib.h>
#include <unistd.h>

static void work_and_fail(struct kit *kit)
{
    struct kit_host host;
    struct test_key key;
    kw_plugin_instance *instance = NULL;
    kw_capabilities capabilities;
    struct locator locator;
    struct bytes signature = {NULL, 0};
    unsigned char digest[3] = {0};
    const struct key_variant *variant = variant_signing(kit);
    if (variant != NULL && test_key_new(kit, GENERATE_EACH, variant, &key)) {
        kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = unknown_scheme()};
        struct use use = {.kit = kit, .key = key.key, .algorithm = &algorithm, .input = {digest, sizeof(digest)}};
        if (produce(produce_signature, &use, &signature) != KW_OK && kit_can(kit, KW_CAN_IMPORT) &&
            import(kit, kit->instance, &key.wanted, (kw_input){digest, sizeof(digest)}, &locator) == KW_OK)
            require(IMPORT_MALFORMED, false, "three zeros were imported as a key");
        bytes_free(&signature);
        test_key_free(kit, &key);
    }
    kit_host_like(kit, &host, kit->records);
    host.secret_status = KW_CONFIGURATION;
    kw_status status = kit_open(kit, &host, &instance, &capabilities);
    kit_close(kit, &host, status == KW_OK ? instance : NULL);
    kit_host_like(kit, &host, kit->records);
    status = kit_open(kit, &host, &instance, &capabilities);
    kit_close(kit, &host, status == KW_OK ? instance : NULL);
    atomic_store(&kit->host.reports, 0);
}

void check_manners(struct kit *kit)
{
    char text[128] = "";
    FILE *caught = tmpfile();
    if (caught == NULL)
        abort();
    fflush(stdout);
    fflush(stderr);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    if (out < 0 || err < 0 || dup2(fileno(caught), STDOUT_FILENO) < 0 || dup2(fileno(caught), STDERR_FILENO) < 0)
        abort();
    work_and_fail(kit);
    fflush(stdout);
    fflush(stderr);
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        abort();
    close(out);
    close(err);
    ssize_t length = pread(fileno(caught), text, sizeof(text) - 1, 0);
    fclose(caught);
    for (ssize_t i = 0; i < length; i++)
        if (text[i] == '\n')
            text[i] = ' ';
    require(RULE_8_SILENT, length == 0, "the plugin printed: %s", text);
}
