/*
 * password-client: what a client of password-server does. It trusts nobody unseen: a server that it cannot verify is shown with the certificate's details and
 * how to install it. Passwords are read from standard input, and leave this program encrypted to the database's certificate alone.
 */
#include "channel.h"
#include "wire.h"

#include <keywright/keywright.h>

#include <argp.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS        10000
#define HOST_MAXIMUM   254
#define WORDS_MAXIMUM  5
#define SHA256_LENGTH  32
#define CHALLENGE_HALF 16

/* ---- The command line ---- */

struct settings {
    const char *ca_file;
    const char *words[WORDS_MAXIMUM]; /* HOST:PORT, what to do, its words */
    unsigned word_count;
};

static const struct argp_option options[] = {
    {"ca", 'a', "FILE", 0, "also trust the certificates in FILE", 0},
    {0},
};

static error_t take_option(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    if (key == 'a') {
        settings->ca_file = argument;
        return 0;
    }
    if (key == ARGP_KEY_ARG) {
        if (settings->word_count == WORDS_MAXIMUM)
            argp_error(state, "'%s' is one word too many", argument);
        settings->words[settings->word_count++] = argument;
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
    .options = options,
    .parser = take_option,
    .args_doc = "HOST:PORT certificate DATABASE\n"
                "HOST:PORT webviewer-task DATABASE TASK ACCOUNT\n"
                "HOST:PORT directory-profile DATABASE PROFILE ACCOUNT\n"
                "HOST:PORT enrol DATABASE USER\n"
                "HOST:PORT login DATABASE USER\n"
                "HOST:PORT use-task DATABASE TASK\n"
                "HOST:PORT use-profile DATABASE PROFILE",
    .doc = "Sends passwords to password-server, each on the first line of standard input.\v"
           "The last two ask whether the server can use what it keeps: it must answer a challenge under the password. "
           "Exit status: 0 done; 1 "
           "refused, or the server is not trusted.",
};

/* ---- Connecting ---- */

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "password-client: %s: %s\n", what, why);
    return -1;
}

/* HOST:PORT; an IPv6 address in brackets. */
static bool split_target(const char *target, char host[HOST_MAXIMUM], const char **port)
{
    const char *colon = strrchr(target, ':');
    size_t length = colon != NULL ? (size_t)(colon - target) : 0;
    const bool bracketed = length > 2 && target[0] == '[' && target[length - 1] == ']';
    if (bracketed) {
        target++;
        length -= 2;
    }
    if (length == 0 || length >= HOST_MAXIMUM)
        return false;
    memcpy(host, target, length);
    host[length] = '\0';
    *port = colon + 1;
    return true;
}

static int connect_to(const char *host, const char *port)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    int made = -1;
    const int answer = getaddrinfo(host, port, &wanted, &all);
    if (answer != 0)
        return complain(host, gai_strerror(answer));
    for (const struct addrinfo *at = all; at != NULL && made < 0; at = at->ai_next) {
        made = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (made >= 0 && connect(made, at->ai_addr, at->ai_addrlen) != 0) {
            close(made);
            made = -1;
        }
    }
    freeaddrinfo(all);
    return made >= 0 ? made : complain(host, strerror(errno));
}

/* Why a handshake came to nothing: of a server that is not trusted, all that a person needs to decide (S7). */
static void explain(struct channel *channel, enum channel_result result)
{
    kw_trust_report *report = NULL;
    if (kw_tls_report(channel->ssl, &report, NULL) == KW_OK && !report->trusted)
        fputs(report->text, stderr);
    else
        complain("the TLS handshake", channel_result_text(result));
    kw_trust_report_free(report);
}

/* A request and its answer; NULL, and said why: there is none, or it is a refusal. */
static json_t *ask(struct channel *channel, json_t *request)
{
    json_t *answer = NULL;
    enum channel_result result = request != NULL ? channel_send(channel, request, WAIT_MS) : CHANNEL_MALFORMED;
    if (result == CHANNEL_OK)
        result = channel_receive(channel, &answer, WAIT_MS);
    json_decref(request);
    if (result != CHANNEL_OK) {
        complain("the server does not answer", channel_result_text(result));
        return NULL;
    }
    if (!json_is_true(json_object_get(answer, "ok"))) {
        const char *why = json_string_value(json_object_get(answer, "error"));
        complain("the server refuses", why != NULL ? why : "it does not say why");
        json_decref(answer);
        answer = NULL;
    }
    return answer;
}

/* ---- Passwords ---- */

/* The first line of standard input. */
static size_t read_password(unsigned char password[WIRE_PASSWORD_MAXIMUM])
{
    char line[WIRE_PASSWORD_MAXIMUM + 2] = "";
    size_t length = 0;
    if (fgets(line, sizeof(line), stdin) != NULL)
        length = strcspn(line, "\n");
    if (length > WIRE_PASSWORD_MAXIMUM)
        length = 0;
    memcpy(password, line, length);
    OPENSSL_cleanse(line, sizeof(line));
    if (length == 0)
        complain("standard input", "a password of 1 to 128 bytes is expected on its first line");
    return length;
}

/* RSA-OAEP with SHA-256 and the request's label, as wire.h says. */
static bool encrypt(EVP_PKEY *key, const char *label, size_t label_length, const unsigned char *password, size_t length,
                    char text[WIRE_BASE64_MAXIMUM])
{
    unsigned char ciphertext[WIRE_CIPHERTEXT_MAXIMUM];
    size_t made = sizeof(ciphertext);
    unsigned char *copy = OPENSSL_memdup(label, label_length);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool done = copy != NULL && context != NULL && EVP_PKEY_encrypt_init(context) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1 &&
                EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1 &&
                EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, (int)label_length) == 1;
    if (done) {
        copy = NULL; /* the context's now */
        done = EVP_PKEY_encrypt(context, ciphertext, &made, password, length) == 1;
    }
    if (done)
        wire_encode(ciphertext, made, text);
    EVP_PKEY_CTX_free(context);
    OPENSSL_free(copy);
    return done;
}

/* What the server shows for the database, over a connection that was verified. */
static X509 *fetch_certificate(struct channel *channel, const char *database, bool print)
{
    X509 *certificate = NULL;
    json_t *answer = ask(channel, json_pack("{s:s,s:s}", "do", "certificate", "database", database));
    const char *pem = json_string_value(json_object_get(answer, "certificate"));
    BIO *in = pem != NULL ? BIO_new_mem_buf(pem, -1) : NULL;
    if (in != NULL)
        certificate = PEM_read_bio_X509(in, NULL, NULL, NULL);
    if (answer != NULL && certificate == NULL)
        complain("the database's certificate", "it cannot be read");
    if (certificate != NULL && print)
        fputs(pem, stdout);
    BIO_free(in);
    json_decref(answer);
    return certificate;
}

static void fingerprint(const X509 *certificate, char text[WIRE_SHA256_LENGTH + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    text[0] = '\0';
    if (X509_digest(certificate, EVP_sha256(), digest, &length) == 1)
        for (unsigned i = 0; i < length && i < SHA256_LENGTH; i++)
            snprintf(text + (size_t)2 * i, 3, "%02x", digest[i]);
}

static bool send_password(struct channel *channel, const char *word, const char *database, const char *name,
                          const char *account)
{
    char label[WIRE_LABEL_MAXIMUM], text[WIRE_BASE64_MAXIMUM], sha256[WIRE_SHA256_LENGTH + 1];
    unsigned char password[WIRE_PASSWORD_MAXIMUM];
    json_t *answer = NULL;
    const size_t length = read_password(password);
    X509 *certificate = length > 0 ? fetch_certificate(channel, database, false) : NULL;
    if (certificate == NULL)
        goto out;
    if (!encrypt(X509_get0_pubkey(certificate), label, wire_label(word, database, name, label), password, length,
                 text)) {
        complain("the password", "it cannot be encrypted to the database's certificate");
        goto out;
    }
    fingerprint(certificate, sha256);
    answer = ask(channel, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "do", word, "database", database, "name", name,
                                    "account", account, "certificate", sha256, "password", text));
out:
    OPENSSL_cleanse(password, sizeof(password));
    X509_free(certificate);
    const bool done = answer != NULL;
    json_decref(answer);
    return done;
}

/* ---- Challenges ---- */

static bool is_answer(const char *response, const char *challenge, const unsigned char *password, size_t length)
{
    unsigned char mac[SHA256_LENGTH], given[WIRE_CIPHERTEXT_MAXIMUM];
    unsigned made = sizeof(mac);
    size_t given_length = 0;
    return HMAC(EVP_sha256(), password, (int)length, (const unsigned char *)challenge, strlen(challenge), mac, &made) !=
               NULL &&
           wire_decode(response, given, &given_length) && given_length == made && CRYPTO_memcmp(given, mac, made) == 0;
}

static bool use_password(struct channel *channel, const char *of, const char *database, const char *name)
{
    unsigned char password[WIRE_PASSWORD_MAXIMUM], random[CHALLENGE_HALF];
    char challenge[WIRE_BASE64_MAXIMUM];
    const size_t length = read_password(password);
    bool done = false;
    if (length == 0 || RAND_bytes(random, sizeof(random)) != 1)
        return false;
    wire_encode(random, sizeof(random), challenge);
    json_t *answer = ask(channel, json_pack("{s:s,s:s,s:s,s:s,s:s}", "do", "use", "of", of, "database", database,
                                            "name", name, "challenge", challenge));
    const char *response = json_string_value(json_object_get(answer, "response"));
    if (response != NULL)
        done = is_answer(response, challenge, password, length);
    if (answer != NULL && !done)
        complain("the server", "it keeps another password");
    OPENSSL_cleanse(password, sizeof(password));
    json_decref(answer);
    return done;
}

/* ---- What to do ---- */

static bool do_certificate(struct channel *channel, const char *const *words)
{
    X509 *certificate = fetch_certificate(channel, words[2], true);
    X509_free(certificate);
    return certificate != NULL;
}

static bool do_send(struct channel *channel, const char *const *words)
{
    return send_password(channel, words[1], words[2], words[3], words[4] != NULL ? words[4] : "");
}

static bool do_use_task(struct channel *channel, const char *const *words)
{
    return use_password(channel, "webviewer-task", words[2], words[3]);
}

static bool do_use_profile(struct channel *channel, const char *const *words)
{
    return use_password(channel, "directory-profile", words[2], words[3]);
}

static const struct verb {
    const char *word;
    unsigned words;
    bool (*run)(struct channel *channel, const char *const *words);
} verbs[] = {
    {"certificate", 3, do_certificate},
    {"webviewer-task", 5, do_send},
    {"directory-profile", 5, do_send},
    {"enrol", 4, do_send},
    {"login", 4, do_send},
    {"use-task", 4, do_use_task},
    {"use-profile", 4, do_use_profile},
};

static const struct verb *find_verb(const struct settings *settings)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (settings->word_count == verbs[i].words && strcmp(settings->words[1], verbs[i].word) == 0)
            return &verbs[i];
    return NULL;
}

/* TLS to a server that is who it says it is; without a configuration of Keywright's, of which a client has none. */
static bool converse(const struct settings *settings, const struct verb *verb, const char *host, int socket)
{
    const kw_tls_client_options trust = {
        .size = sizeof(trust), .ca_files = &settings->ca_file, .ca_file_count = settings->ca_file != NULL ? 1 : 0};
    struct channel channel;
    SSL_CTX *tls = NULL;
    kw_error error = {0};
    bool done = false;
    if (kw_tls_client(NULL, &trust, &tls, &error) != KW_OK || !channel_open(&channel, tls, socket)) {
        complain("TLS", error.message);
        goto out;
    }
    SSL_set_connect_state(channel.ssl);
    if (kw_tls_set_host(channel.ssl, host, &error) != KW_OK) {
        complain("TLS", error.message);
    } else {
        const enum channel_result result = channel_handshake(&channel, WAIT_MS);
        if (result == CHANNEL_OK)
            done = verb->run(&channel, settings->words);
        else
            explain(&channel, result);
    }
    channel_close(&channel);
out:
    SSL_CTX_free(tls);
    return done;
}

int main(int count, char **arguments)
{
    struct settings settings = {0};
    char host[HOST_MAXIMUM];
    const char *port = NULL;
    argp_parse(&argp, count, arguments, 0, NULL, &settings);
    const struct verb *verb = settings.word_count > 1 ? find_verb(&settings) : NULL;
    if (verb == NULL || !split_target(settings.words[0], host, &port)) {
        argp_help(&argp, stderr, ARGP_HELP_STD_USAGE, program_invocation_short_name);
        return argp_err_exit_status;
    }
    signal(SIGPIPE, SIG_IGN);
    const int socket = connect_to(host, port);
    if (socket < 0)
        return EXIT_FAILURE;
    const bool done = converse(&settings, verb, host, socket);
    close(socket);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
