/* Offline licences (S12): requests that name this server, and licences that its issuer signed. docs/licence.md has the formats. */
#include "certificate/calls.h"
#include "certificate/manager.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/machine.h"
#include "certificate/bundle.h"
#include "certificate/json.h"
#include "certificate/jws.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESS        "server-encryption"
#define REQUEST_FORMAT "keywright-licence-request/1"
#define REQUEST_TYPE   "keywright-licence-request+json"
#define LICENCE_FORMAT "keywright-licence/1"

#define FINGERPRINT_DIGITS ((size_t)2 * SHA256_LENGTH)

/* ---- This server ---- */

struct this_server {
    struct found found;
    X509 *certificate;
    char fingerprint[FINGERPRINT_DIGITS + 1];
};

static void this_server_clear(struct this_server *server)
{
    crypto_x509_free(server->certificate);
    found_clear(&server->found);
}

static kw_status this_server_find(kw_context *context, struct this_server *server, kw_error *error)
{
    unsigned char digest[SHA256_LENGTH];
    kw_status status = manager_find(context, ADDRESS, &server->found, error);
    if (status == KW_NOT_FOUND)
        error_remedy(error, "`keywright apply` makes one");
    if (status != KW_OK)
        return status;
    kw_input chain = {server->found.certificate.chain.data, server->found.certificate.chain.length};
    status = x509_read(context->crypto, &chain, &server->certificate, error);
    if (status == KW_OK)
        status = jws_thumbprint(context->crypto, server->certificate, digest, error);
    if (status == KW_OK)
        hex_encode((kw_input){digest, sizeof(digest)}, server->fingerprint);
    return status;
}

static kw_status this_machine(kw_context *context, char text[MACHINE_ID_TEXT_SIZE], kw_error *error)
{
    return machine_id(context->crypto, context->settings->machine_id_file, text, error);
}

/* ---- The request ---- */

kw_status manager_licence_request(kw_context *context, kw_bytes *request, kw_error *error)
{
    struct this_server server = {0};
    char machine[MACHINE_ID_TEXT_SIZE], created[32], number[ID_TEXT_SIZE];
    struct id id;
    kw_key *key = NULL;
    json_t *claims = NULL;
    kw_bytes payload = {0};
    kw_status status = this_server_find(context, &server, error);
    if (status == KW_OK)
        status = this_machine(context, machine, error);
    if (status == KW_OK)
        status = id_make(context->crypto, &id, error);
    if (status == KW_OK)
        status = manager_open_key(context, &server.found, &key, error);
    if (status != KW_OK)
        goto out;
    id_text(&id, number);
    clock_text(clock_wall(), created);
    claims = json_pack("{s:s,s:s,s:s,s:s,s:s}", "format", REQUEST_FORMAT, "request_id", number, "certificate_sha256",
                       server.fingerprint, "machine_id", machine, "created", created);
    status = json_write(claims, true, &payload, error);
    if (status == KW_OK)
        status = jws_sign(context->crypto, key, server.certificate, REQUEST_TYPE,
                          (kw_input){payload.data, payload.length}, request, error);
out:
    kw_bytes_free(&payload);
    json_decref(claims);
    kw_key_free(key);
    this_server_clear(&server);
    return status;
}

/* ---- The licence ---- */

struct licence {
    kw_licence licence;
    struct arena arena;
};

static kw_status issuer_read(kw_context *context, STACK_OF(X509) **issuer, kw_error *error)
{
    const struct settings *settings = context->settings;
    kw_error why = {0};
    if (settings->licence_issuer == NULL) {
        error_set(error, KW_CONFIGURATION, "the configuration does not say whose licences count");
        error_where(error, "%s", settings->path);
        error_remedy(error, "add licence: {issuer: PATH} with the issuer's certificate");
        return KW_CONFIGURATION;
    }
    kw_status status = bundle_read_file(context->crypto, settings->licence_issuer, issuer, &why);
    if (status == KW_OK && sk_X509_num(*issuer) != 1)
        status = error_set(&why, KW_CONFIGURATION, "there are %d certificates in it, and it must be one",
                           sk_X509_num(*issuer));
    if (status == KW_OK || status == KW_OUT_OF_MEMORY)
        return status == KW_OK ? KW_OK : error_memory(error);
    return settings_error(settings, settings->licence_issuer_place, error, "licence: issuer: %s: %s",
                          settings->licence_issuer, why.message);
}

#define DER_SEQUENCE 0x30

/* CMS in DER or PEM. What is neither is read as JSON, and found out there. */
static bool is_cms(kw_input content)
{
    return content.length > 0 &&
           (content.data[0] == DER_SEQUENCE || memmem(content.data, content.length, "-----BEGIN ", 11) != NULL);
}

static bool is_hex(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

static kw_status take_hex(const json_t *claims, const char *name, size_t digits, const char **text, kw_error *error)
{
    kw_status status = json_member_text(claims, name, text, error);
    if (status == KW_OK && *text != NULL && !is_hex(*text, digits))
        status = error_set(error, KW_CORRUPT, "its member '%s' is not %zu lower-case hex digits", name, digits);
    return status;
}

static kw_status take_time(const json_t *claims, const char *name, const char **text, int64_t *wall, kw_error *error)
{
    kw_status status = json_member_text(claims, name, text, error);
    if (status == KW_OK && *text != NULL && !clock_parse(*text, wall))
        status = error_set(error, KW_CORRUPT, "its member '%s' is no time such as 2027-12-31T23:59:59Z", name);
    return status;
}

static kw_status check_server(kw_context *context, const struct this_server *server, const kw_licence *licence,
                              kw_error *error)
{
    char machine[MACHINE_ID_TEXT_SIZE];
    if (licence->certificate_sha256 == NULL && licence->machine_id == NULL && !licence->encrypted)
        return error_set(error, KW_CORRUPT, "it names no server: neither certificate_sha256 nor machine_id");
    if (licence->certificate_sha256 != NULL && strcmp(licence->certificate_sha256, server->fingerprint) != 0) {
        error_set(error, KW_REFUSED,
                  "it is for another server: it names a certificate with the SHA-256 %s, and %s has %s",
                  licence->certificate_sha256, ADDRESS, server->fingerprint);
        error_remedy(error, "send the issuer a request of this server: `keywright licence request -o FILE`");
        return KW_REFUSED;
    }
    if (licence->machine_id == NULL)
        return KW_OK;
    kw_status status = this_machine(context, machine, error);
    if (status == KW_OK && strcmp(licence->machine_id, machine) != 0) {
        status = error_set(error, KW_REFUSED, "it is for another machine: it names %s, and this one is %s",
                           licence->machine_id, machine);
        error_remedy(error, "send the issuer a request of this machine: `keywright licence request -o FILE`");
    }
    return status;
}

static kw_status check_dates(const kw_licence *licence, kw_error *error)
{
    const int64_t now = clock_wall();
    if (licence->not_before_text != NULL && now < licence->not_before)
        return error_set(error, KW_REFUSED, "it is not valid before %s", licence->not_before_text);
    if (licence->not_after_text != NULL && now > licence->not_after)
        return error_set(error, KW_REFUSED, "it expired: it was valid until %s", licence->not_after_text);
    return KW_OK;
}

static kw_status read_claims(kw_input payload, struct licence *licence, kw_error *error)
{
    kw_licence *told = &licence->licence;
    const char *format = NULL, *fingerprint = NULL, *machine = NULL, *before = NULL, *after = NULL;
    json_t *claims = NULL;
    kw_status status = json_read(payload, &claims, error);
    if (status == KW_OK)
        status = json_member_text(claims, "format", &format, error);
    if (status == KW_OK && (format == NULL || strcmp(format, LICENCE_FORMAT) != 0))
        status = error_set(error, KW_CORRUPT, "its format is '%s' instead of '" LICENCE_FORMAT "'",
                           format != NULL ? format : "");
    if (status == KW_OK)
        status = take_hex(claims, "certificate_sha256", FINGERPRINT_DIGITS, &fingerprint, error);
    if (status == KW_OK)
        status = take_hex(claims, "machine_id", MACHINE_ID_TEXT_SIZE - 1, &machine, error);
    if (status == KW_OK)
        status = take_time(claims, "not_before", &before, &told->not_before, error);
    if (status == KW_OK)
        status = take_time(claims, "not_after", &after, &told->not_after, error);
    if (status == KW_OK && before != NULL && after != NULL && told->not_after < told->not_before)
        status = error_set(error, KW_CORRUPT, "it ends (not_after) before it begins (not_before)");
    told->certificate_sha256 = arena_text(&licence->arena, fingerprint);
    told->machine_id = arena_text(&licence->arena, machine);
    told->not_before_text = arena_text(&licence->arena, before);
    told->not_after_text = arena_text(&licence->arena, after);
    told->content = arena_format(&licence->arena, "%.*s", (int)payload.length, (const char *)payload.data);
    json_decref(claims);
    return status;
}

static kw_status describe_issuer(kw_context *context, X509 *issuer, struct licence *licence, kw_error *error)
{
    kw_certificate_info info = {0};
    kw_status status = x509_describe(context->crypto, issuer, &licence->arena, &info, error);
    licence->licence.issuer = info.subject;
    if (status == KW_OK && licence->arena.failed)
        status = error_memory(error);
    return status;
}

/* Signature first: nothing that the licence says counts before. */
static kw_status verify(kw_context *context, X509 *issuer, kw_input jws, struct licence *licence, kw_error *error)
{
    struct this_server server = {0};
    kw_bytes payload = {0};
    kw_status status = jws_verify(context->crypto, issuer, jws, &payload, error);
    if (status == KW_OK)
        status = read_claims((kw_input){payload.data, payload.length}, licence, error);
    if (status == KW_OK)
        status = this_server_find(context, &server, error);
    if (status == KW_OK)
        status = check_server(context, &server, &licence->licence, error);
    if (status == KW_OK)
        status = check_dates(&licence->licence, error);
    if (status == KW_OK)
        status = describe_issuer(context, issuer, licence, error);
    this_server_clear(&server);
    kw_bytes_free(&payload);
    return status;
}

kw_status manager_licence_verify(kw_context *context, kw_input content, kw_licence **licence, kw_error *error)
{
    STACK_OF(X509) *issuer = NULL;
    kw_bytes opened = {0};
    struct licence *made = calloc(1, sizeof(*made));
    kw_status status = made != NULL ? issuer_read(context, &issuer, error) : error_memory(error);
    if (status != KW_OK)
        goto out;
    if (content.length > JSON_LENGTH_MAXIMUM) {
        status = error_set(error, KW_CORRUPT, "the licence is malformed: it is longer than %zu KiB",
                           JSON_LENGTH_MAXIMUM >> 10);
        goto out;
    }
    made->licence.encrypted = is_cms(content);
    if (made->licence.encrypted) {
        status = manager_cms_decrypt(context, ADDRESS, content, &opened, error);
        if (status != KW_OK) {
            error_prefix(error, "the licence, which is encrypted, cannot be opened with " ADDRESS);
            goto out;
        }
        content = (kw_input){opened.data, opened.length};
    }
    status = verify(context, sk_X509_value(issuer, 0), content, made, error);
    if (status == KW_CORRUPT)
        error_prefix(error, "the licence is malformed");
    else if (status == KW_SIGNATURE_INVALID) {
        error_set(error, status, "the licence's signature is wrong: it is not the issuer's over this content");
        error_remedy(error, "it was changed, or damaged on its way: ask the issuer for it again");
    } else if (status == KW_REFUSED || status == KW_UNSUPPORTED)
        error_prefix(error, "the licence is refused");
    if (status == KW_OK) {
        *licence = &made->licence;
        made = NULL;
    }
out:
    if (made != NULL)
        kw_licence_free(&made->licence);
    kw_bytes_free(&opened);
    bundle_free(issuer);
    return status;
}

void kw_licence_free(kw_licence *licence)
{
    struct licence *made = (struct licence *)licence;
    if (made == NULL)
        return;
    arena_free(&made->arena);
    free(made);
}
