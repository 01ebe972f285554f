#include "service.h"

#include "problem.h"
#include "wire.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define SALT_LENGTH     16
#define HASH_LENGTH     32
#define VERIFIER_LENGTH (SALT_LENGTH + HASH_LENGTH)
/* scrypt (RFC 7914): 16 MiB and some 50 ms for each guess. */
#define SCRYPT_N      16384
#define SCRYPT_R      8
#define SCRYPT_P      1
#define SCRYPT_MEMORY (64 * 1024 * 1024)

struct password {
    unsigned char bytes[WIRE_CIPHERTEXT_MAXIMUM];
    size_t length;
};

/* A request, looked through. */
struct asked {
    const char *word, *database, *name;
    const char *account;      /* "" where there is none */
    const char *of;           /* of "use": which kind of secret */
    const char *challenge;    /* likewise */
    struct password password; /* decrypted */
};

/* ---- Reading ---- */

/* A text of the request; "" where there is none. Clean enough to be logged, and to be bound to a seal. */
static kw_status read_text(const json_t *request, const char *field, size_t maximum, const char **text, kw_error *error)
{
    const json_t *value = json_object_get(request, field);
    *text = "";
    if (value == NULL)
        return KW_OK;
    if (!json_is_string(value) || json_string_length(value) > maximum)
        return problem_set(error, KW_INVALID_ARGUMENT, "'%s' must be a text of at most %zu bytes", field, maximum);
    for (const char *at = json_string_value(value); *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            return problem_set(error, KW_INVALID_ARGUMENT, "'%s' has a control character in it", field);
    *text = json_string_value(value);
    return KW_OK;
}

static kw_status read_name(const json_t *request, const char *field, const char **name, kw_error *error)
{
    kw_status status = read_text(request, field, WIRE_NAME_MAXIMUM, name, error);
    if (status == KW_OK && !wire_is_name(*name))
        status =
            problem_set(error, KW_INVALID_ARGUMENT, "'%s' must be a name: 1 to %d letters, digits and any of \"-_.@\"",
                        field, WIRE_NAME_MAXIMUM);
    return status;
}

/* By the key of the certificate that the client had, which is all that this costs its store. */
static kw_status decrypt_password(const struct service *service, const json_t *request, struct asked *asked,
                                  kw_error *error)
{
    char label[WIRE_LABEL_MAXIMUM];
    const char *sha256 = NULL, *text = NULL;
    unsigned char ciphertext[WIRE_CIPHERTEXT_MAXIMUM];
    size_t length = 0;
    kw_key *key = NULL;
    kw_output opened = {.data = asked->password.bytes, .capacity = sizeof(asked->password.bytes)};
    kw_algorithm oaep = {
        .size = sizeof(oaep), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256, .mgf_hash = KW_HASH_SHA256};
    oaep.label.length = wire_label(asked->word, asked->database, asked->name, label);
    oaep.label.data = (const unsigned char *)label;
    kw_status status = read_text(request, "certificate", WIRE_SHA256_LENGTH, &sha256, error);
    if (status == KW_OK)
        status = read_text(request, "password", WIRE_BASE64_MAXIMUM, &text, error);
    if (status == KW_OK && !wire_decode(text, ciphertext, &length))
        status = problem_set(error, KW_INVALID_ARGUMENT, "'password' is no base64");
    if (status == KW_OK)
        status = databases_key(service->databases, asked->database, sha256, &key, error);
    if (status == KW_OK)
        status = kw_key_decrypt(key, &oaep, (kw_input){ciphertext, length}, &opened, error);
    if (status == KW_OK && (opened.length == 0 || opened.length > WIRE_PASSWORD_MAXIMUM))
        status = problem_set(error, KW_INVALID_ARGUMENT, "a password has 1 to %d bytes", WIRE_PASSWORD_MAXIMUM);
    asked->password.length = opened.length;
    return status;
}

/* ---- What is done ---- */

static kw_input input_of(const struct password *password)
{
    return (kw_input){password->bytes, password->length};
}

static kw_status serve_certificate(const struct service *service, const struct asked *asked, json_t *answer,
                                   kw_error *error)
{
    kw_bytes pem = {0};
    kw_status status = databases_certificate(service->databases, asked->database, &pem, error);
    if (status == KW_OK && json_object_set_new(answer, "certificate", json_string((const char *)pem.data)) != 0)
        status = problem_set(error, KW_OUT_OF_MEMORY, "out of memory");
    kw_bytes_free(&pem);
    return status;
}

/* A task or a profile: the password itself is needed again, when it runs. */
static kw_status serve_keep(const struct service *service, const struct asked *asked, json_t *answer, kw_error *error)
{
    const struct vault_place place = {asked->word, asked->database, asked->name};
    (void)answer;
    return vault_put(service->vault, &place, asked->account, input_of(&asked->password), error);
}

static bool verifier_of(const struct password *password, const unsigned char salt[SALT_LENGTH],
                        unsigned char hash[HASH_LENGTH])
{
    return EVP_PBE_scrypt((const char *)password->bytes, password->length, salt, SALT_LENGTH, SCRYPT_N, SCRYPT_R,
                          SCRYPT_P, SCRYPT_MEMORY, hash, HASH_LENGTH) == 1;
}

/* Of a user only what checks a password is kept; and sealed, so that who has the vault cannot even guess. */
static kw_status serve_enrol(const struct service *service, const struct asked *asked, json_t *answer, kw_error *error)
{
    const struct vault_place place = {"user", asked->database, asked->name};
    unsigned char verifier[VERIFIER_LENGTH];
    (void)answer;
    if (RAND_bytes(verifier, SALT_LENGTH) != 1 || !verifier_of(&asked->password, verifier, verifier + SALT_LENGTH))
        return problem_set(error, KW_FAILED, "a password cannot be hashed");
    const kw_status status = vault_put(service->vault, &place, "", (kw_input){verifier, sizeof(verifier)}, error);
    OPENSSL_cleanse(verifier, sizeof(verifier));
    return status;
}

/* Whether there is such a user is told by nothing: not by the answer, nor by the time that it takes. */
static kw_status serve_login(const struct service *service, const struct asked *asked, json_t *answer, kw_error *error)
{
    const struct vault_place place = {"user", asked->database, asked->name};
    unsigned char verifier[VAULT_SECRET_MAXIMUM] = {0}, hash[HASH_LENGTH] = {0};
    kw_output opened = {.data = verifier, .capacity = sizeof(verifier)};
    (void)answer;
    kw_status status = vault_get(service->vault, &place, &opened, error);
    const bool known = status == KW_OK && opened.length == VERIFIER_LENGTH;
    const bool hashed = verifier_of(&asked->password, verifier, hash);
    const bool same = CRYPTO_memcmp(hash, verifier + SALT_LENGTH, HASH_LENGTH) == 0;
    if (status == KW_OK || status == KW_NOT_FOUND)
        status = known && hashed && same ? KW_OK : problem_set(error, KW_REFUSED, "the name or the password is wrong");
    OPENSSL_cleanse(verifier, sizeof(verifier));
    OPENSSL_cleanse(hash, sizeof(hash));
    return status;
}

/*
 * Stands for what a server has such passwords for: logging in to a database, binding to a directory. Here it answers a challenge with
 * HMAC-SHA-256 under the password, by which who knows the password can tell that the server has it. It never leaves the server.
 */
static kw_status serve_use(const struct service *service, const struct asked *asked, json_t *answer, kw_error *error)
{
    const struct vault_place place = {asked->of, asked->database, asked->name};
    unsigned char secret[VAULT_SECRET_MAXIMUM], mac[HASH_LENGTH];
    char text[WIRE_BASE64_MAXIMUM];
    unsigned length = sizeof(mac);
    kw_output opened = {.data = secret, .capacity = sizeof(secret)};
    if (strcmp(asked->of, "webviewer-task") != 0 && strcmp(asked->of, "directory-profile") != 0)
        return problem_set(error, KW_INVALID_ARGUMENT, "'of' must be webviewer-task or directory-profile");
    kw_status status = vault_get(service->vault, &place, &opened, error);
    if (status == KW_OK && HMAC(EVP_sha256(), secret, (int)opened.length, (const unsigned char *)asked->challenge,
                                strlen(asked->challenge), mac, &length) == NULL)
        status = problem_set(error, KW_FAILED, "the challenge cannot be answered");
    OPENSSL_cleanse(secret, sizeof(secret));
    if (status != KW_OK)
        return status;
    wire_encode(mac, length, text);
    if (json_object_set_new(answer, "response", json_string(text)) != 0)
        status = problem_set(error, KW_OUT_OF_MEMORY, "out of memory");
    return status;
}

/* ---- Requests ---- */

static const struct request {
    const char *word;
    bool has_name, has_password;
    kw_status (*serve)(const struct service *service, const struct asked *asked, json_t *answer, kw_error *error);
} requests[] = {
    {"certificate", false, false, serve_certificate},
    {"webviewer-task", true, true, serve_keep},
    {"directory-profile", true, true, serve_keep},
    {"enrol", true, true, serve_enrol},
    {"login", true, true, serve_login},
    {"use", true, false, serve_use},
};

static kw_status look_through(const struct service *service, const json_t *json, const struct request **request,
                              struct asked *asked, kw_error *error)
{
    kw_status status = read_text(json, "do", WIRE_NAME_MAXIMUM, &asked->word, error);
    *request = NULL;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (strcmp(asked->word, requests[i].word) == 0)
            *request = &requests[i];
    if (status == KW_OK && *request == NULL)
        status = problem_set(error, KW_INVALID_ARGUMENT, "there is no such request");
    if (status == KW_OK)
        status = read_name(json, "database", &asked->database, error);
    if (status == KW_OK && !databases_has(service->databases, asked->database))
        status = problem_set(error, KW_NOT_FOUND, "there is no such database");
    if (status == KW_OK && (*request)->has_name)
        status = read_name(json, "name", &asked->name, error);
    if (status == KW_OK)
        status = read_text(json, "account", WIRE_ACCOUNT_MAXIMUM, &asked->account, error);
    if (status == KW_OK)
        status = read_text(json, "of", WIRE_NAME_MAXIMUM, &asked->of, error);
    if (status == KW_OK)
        status = read_text(json, "challenge", WIRE_ACCOUNT_MAXIMUM, &asked->challenge, error);
    if (status == KW_OK && (*request)->has_password)
        status = decrypt_password(service, json, asked, error);
    return status;
}

/* What a client is told: what it can do about it, and nothing of the server's inside. The log has the rest. */
static const char *sentence_for_client(const kw_error *error)
{
    switch (error->status) {
    case KW_INVALID_ARGUMENT:
    case KW_REFUSED:
        return error->message;
    case KW_NOT_FOUND:
        return "there is no such thing here";
    case KW_CIPHERTEXT_INVALID:
        return "the password was not encrypted for this request";
    case KW_UNAVAILABLE:
    case KW_TIMEOUT:
        return "this is not possible now; try again later";
    default:
        return "this has failed";
    }
}

json_t *service_answer(const struct service *service, const json_t *json, const char *client)
{
    const struct request *request = NULL;
    struct asked asked = {.word = "", .database = "", .name = "", .account = "", .of = "", .challenge = ""};
    kw_error error = {0};
    json_t *answer = json_pack("{s:b}", "ok", 1);
    if (answer == NULL)
        return NULL;
    kw_status status = look_through(service, json, &request, &asked, &error);
    if (status == KW_OK)
        status = request->serve(service, &asked, answer, &error);
    OPENSSL_cleanse(&asked.password, sizeof(asked.password));
    problem_log(status == KW_OK ? KW_LOG_INFO : KW_LOG_WARNING, "%s: %s %s %s: %s%s%s", client, asked.word,
                asked.database, asked.name, kw_status_text(status), status == KW_OK ? "" : ": ",
                status == KW_OK ? "" : error.message);
    if (status == KW_OK)
        return answer;
    json_decref(answer);
    return json_pack("{s:b,s:s}", "ok", 0, "error", sentence_for_client(&error));
}
