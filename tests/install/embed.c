/* A server in small, built against the installed tree alone: makes a database's certificate, signs, encrypts and decrypts. */
#include <keywright/keywright.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *what, const kw_error *error)
{
    /* where is a file, of which line and column are known where they matter */
    fprintf(stderr, "%s: %s%s", what, error->where, error->where[0] != '\0' ? ":" : "");
    if (error->line > 0)
        fprintf(stderr, "%u:%u:", error->line, error->column);
    fprintf(stderr, "%s%s%s%s\n", error->where[0] != '\0' ? " " : "", error->message,
            error->remedy[0] != '\0' ? "; " : "", error->remedy);
    return 1;
}

int main(int argument_count, char **arguments)
{
    int result = 1;
    kw_error error = {.status = KW_OK};
    kw_open_options options = {.size = sizeof(options)};
    kw_certificate_template wanted = {.size = sizeof(wanted), .address = "database/sales", .key = "rsa-2048"};
    const kw_input secret = {.data = (const unsigned char *)"a client's password", .length = 19};
    unsigned char bytes[512];
    unsigned char opened_bytes[512];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    kw_output opened = {.data = opened_bytes, .capacity = sizeof(opened_bytes)};
    kw_context *context = NULL;
    kw_key *key = NULL;
    SSL_CTX *tls = NULL;
    char configuration[512];

    if (argument_count != 2)
        return 2;
    snprintf(configuration, sizeof(configuration), "%s/keywright.yaml", arguments[1]);
    if (kw_initialise(arguments[1], &options, NULL, NULL, &error) != KW_OK)
        return failed("kw_initialise", &error);
    options.configuration = configuration;
    if (kw_open(&options, &context, &error) != KW_OK)
        return failed("kw_open", &error);
    if (kw_certificate_create(context, &wanted, NULL, NULL, &error) != KW_OK ||
        kw_key_open(context, "database/sales", &key, &error) != KW_OK ||
        kw_key_sign(key, NULL, secret, &signature, &error) != KW_OK ||
        kw_key_verify(key, NULL, secret, (kw_input){bytes, signature.length}, &error) != KW_OK) {
        result = failed("signing", &error);
        goto out;
    }
    signature.length = 0;
    if (kw_key_encrypt(key, NULL, secret, &signature, &error) != KW_OK ||
        kw_key_decrypt(key, NULL, (kw_input){bytes, signature.length}, &opened, &error) != KW_OK) {
        result = failed("decrypting", &error);
        goto out;
    }
    if (opened.length != secret.length || memcmp(opened.data, secret.data, secret.length) != 0) {
        fprintf(stderr, "decrypted something else\n");
        goto out;
    }
    if (kw_tls_server(context, NULL, &tls, &error) != KW_OK) {
        result = failed("kw_tls_server", &error);
        goto out;
    }
    printf("keywright %s works\n", kw_version());
    result = 0;
out:
    SSL_CTX_free(tls);
    kw_key_free(key);
    kw_close(context);
    return result;
}
