#include "config/source.h"

#include "base/buffer.h"
#include "base/file.h"
#include "config/value.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct scheme {
    const char *name;    /* with the colon, unless nothing follows it */
    const char *follows; /* what comes behind the colon; NULL: nothing */
    bool strips;         /* a newline at the end, which editors add, is not of the secret */
    bool (*check)(const char *argument);
    kw_status (*read)(const char *argument, const struct source_reader *reader, const char *what, bool confirm,
                      struct secret *secret, kw_error *error);
    const char *remedy; /* for one that gives no secret */
};

/* ---- What may follow the colon ---- */

static bool check_any(const char *argument)
{
    return argument[0] != '\0';
}

static bool check_variable(const char *argument)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char further[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return strspn(argument, first) > 0 && argument[strspn(argument, further)] == '\0';
}

/* A master key as a whole, not one of its certificates; the rest, and that it exists, is for those to say who know addresses. */
static bool check_master_key(const char *argument)
{
    static const char kind[] = "master-key/";
    if (strncmp(argument, kind, sizeof(kind) - 1) != 0)
        return false;
    const char *const domain = argument + sizeof(kind) - 1;
    return domain[0] != '\0' && strpbrk(domain, "/@") == NULL;
}

/* A file's name below the credentials' directory, and nothing outside of it. */
static bool check_credential(const char *argument)
{
    return argument[0] != '\0' && argument[0] != '.' && strlen(argument) <= 255 && strchr(argument, '/') == NULL &&
           strchr(argument, '\\') == NULL && strchr(argument, ':') == NULL;
}

static bool check_descriptor(const char *argument)
{
    int64_t number;
    return parse_integer(argument, &number) && number >= 0 && number <= 65535;
}

/* ---- How each is read. Newlines and emptiness are looked at afterwards ---- */

/* Room for the longest secret and the newline that is taken off. */
enum { CONTENT_MAXIMUM = KW_SECRET_MAXIMUM + 2 };

static kw_status too_long(kw_error *error)
{
    return error_set(error, KW_CONFIGURATION, "it is longer than %u bytes", KW_SECRET_MAXIMUM);
}

static kw_status read_path(const char *path, struct secret *secret, kw_error *error)
{
    kw_status status = file_read_secret(path, CONTENT_MAXIMUM, secret, error);
    if (status == KW_NOT_FOUND || status == KW_INVALID_ARGUMENT || status == KW_CONFLICT) {
        status = KW_CONFIGURATION;
        if (error != NULL)
            error->status = status;
    }
    return status;
}

static kw_status read_file(const char *argument, const struct source_reader *reader, const char *what, bool confirm,
                           struct secret *secret, kw_error *error)
{
    (void)what;
    (void)confirm;
    kw_status status = read_path(argument, secret, error);
    if (status == KW_OK)
        source_warn(argument, reader->warning, reader->warning_user);
    return status;
}

static kw_status read_variable(const char *argument, const struct source_reader *reader, const char *what, bool confirm,
                               struct secret *secret, kw_error *error)
{
    (void)reader;
    (void)what;
    (void)confirm;
    const char *value = getenv(argument);
    if (value == NULL)
        return error_set(error, KW_CONFIGURATION, "the environment variable %s is not set", argument);
    if (strlen(value) > KW_SECRET_MAXIMUM)
        return too_long(error);
    return secret_copy(secret, input_text(value), error);
}

static kw_status read_credential(const char *argument, const struct source_reader *reader, const char *what,
                                 bool confirm, struct secret *secret, kw_error *error)
{
    (void)reader;
    (void)what;
    (void)confirm;
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (directory == NULL || !path_is_absolute(directory)) {
        error_set(error, KW_CONFIGURATION, "there are no credentials: CREDENTIALS_DIRECTORY is not set");
        error_remedy(error, "start the service by systemd with LoadCredential=%s:PATH", argument);
        return KW_CONFIGURATION;
    }
    char *path = path_join(directory, argument);
    if (path == NULL)
        return error_memory(error);
    kw_status status = read_path(path, secret, error);
    free(path);
    return status;
}

static kw_status read_descriptor(const char *argument, const struct source_reader *reader, const char *what,
                                 bool confirm, struct secret *secret, kw_error *error)
{
    (void)reader;
    (void)what;
    (void)confirm;
    kw_status status = file_read_descriptor((int)strtol(argument, NULL, 10), CONTENT_MAXIMUM, secret, error);
    if (status == KW_NOT_FOUND || status == KW_INVALID_ARGUMENT || status == KW_FAILED) {
        status = KW_CONFIGURATION;
        if (error != NULL)
            error->status = status;
    }
    if (status == KW_OK && secret->length == 0) {
        error_set(error, KW_CONFIGURATION, "descriptor %s gives nothing", argument);
        error_remedy(error, "a descriptor can be read only once; use file: where a secret is read again");
        secret_clear(secret);
        status = KW_CONFIGURATION;
    }
    return status;
}

static kw_status read_prompt(const char *argument, const struct source_reader *reader, const char *what, bool confirm,
                             struct secret *secret, kw_error *error)
{
    (void)argument;
    struct secret answer = {0};
    if (reader->prompt == NULL) {
        error_set(error, KW_CONFIGURATION, "there is nobody to ask");
        error_remedy(error, "use file:PATH, env:NAME, credential:NAME or fd:N where nobody sits at a terminal");
        return KW_CONFIGURATION;
    }
    kw_status status = secret_new(&answer, KW_SECRET_MAXIMUM, error);
    if (status != KW_OK)
        return status;
    kw_output output = {answer.data, answer.capacity, 0};
    status = reader->prompt(reader->user, what, confirm, &output);
    if (status == KW_OK && output.length > answer.capacity)
        status = KW_CONFIGURATION;
    if (status != KW_OK) {
        error_set(error, status, "the prompt was not answered");
        if (status == KW_CONFIGURATION)
            error_remedy(error, "use file:PATH, env:NAME, credential:NAME or fd:N where nobody sits at a terminal");
        secret_clear(&answer);
        return status;
    }
    answer.length = output.length;
    answer.data[answer.length] = '\0';
    *secret = answer;
    return KW_OK;
}

static kw_status read_inline(const char *argument, const struct source_reader *reader, const char *what, bool confirm,
                             struct secret *secret, kw_error *error)
{
    (void)reader;
    (void)what;
    (void)confirm;
    if (strlen(argument) > KW_SECRET_MAXIMUM)
        return too_long(error);
    return secret_copy(secret, input_text(argument), error);
}

static kw_status read_subkey(const char *argument, const struct source_reader *reader, const char *what, bool confirm,
                             struct secret *secret, kw_error *error)
{
    (void)what;
    (void)confirm;
    return reader->subkey(reader->subkey_user, argument, secret, error);
}

enum { SCHEME_FILE = 0, SCHEME_INLINE = 5, SCHEME_SUBKEY = 6 };

static const struct scheme schemes[] = {
    [SCHEME_FILE] = {"file:", "a path", true, check_any, read_file,
                     "write the secret into that file (mode 0600), or say where else it is"},
    {"env:", "the name of a variable (letters, digits and _)", false, check_variable, read_variable,
     "set the variable for this process (Environment= of a service), or say where else the secret is"},
    {"credential:", "a credential's name, without a slash", true, check_credential, read_credential,
     "name the credential in the service's LoadCredential=, or say where else the secret is"},
    {"fd:", "a descriptor's number", true, check_descriptor, read_descriptor,
     "hand the descriptor over open for reading, or say where else the secret is"},
    {"prompt", NULL, false, NULL, read_prompt, "run it at a terminal, or give file:PATH or env:NAME"},
    [SCHEME_INLINE] = {"inline:", "a text", false, check_any, read_inline, "write the secret into a file: file:PATH"},
    [SCHEME_SUBKEY] = {"subkey:", "a master key: subkey:master-key/DOMAIN", false, check_master_key, read_subkey,
                       "see to it that the store of the master key opens"},
};
static const size_t scheme_count = sizeof(schemes) / sizeof(schemes[0]);

/* ---- Which it is ---- */

static const struct scheme *find(const char *source, const char **argument)
{
    for (size_t i = 0; i < scheme_count; i++) {
        size_t length = strlen(schemes[i].name);
        bool matches = schemes[i].follows == NULL ? strcmp(source, schemes[i].name) == 0
                                                  : strncmp(source, schemes[i].name, length) == 0;
        if (matches) {
            *argument = source + length;
            return &schemes[i];
        }
    }
    return NULL;
}

/* It may be the secret itself, so nothing of it is repeated; a misspelt scheme is told by the right one. */
static void unknown(const char *source, kw_error *error)
{
    const char *names[sizeof(schemes) / sizeof(schemes[0])] = {0};
    char given[16] = "", hint[HINT_SIZE];
    size_t length = strcspn(source, ":");
    for (size_t i = 0; i < scheme_count; i++)
        names[i] = schemes[i].name;
    if (source[length] == ':')
        length++;
    if (length < sizeof(given))
        memcpy(given, source, length);
    error_set(error, KW_CONFIGURATION, "this is not where a secret comes from%s",
              nearest_hint(hint, given, names, scheme_count));
    error_remedy(error, "a secret is written file:PATH, env:NAME, credential:NAME, fd:N or prompt");
}

static kw_status check(const char *source, unsigned allowed, const struct scheme **scheme, const char **argument,
                       kw_error *error)
{
    const struct scheme *found = find(source, argument);
    if (found == NULL) {
        unknown(source, error);
        return KW_CONFIGURATION;
    }
    if (found->follows != NULL && !found->check(*argument))
        return error_set(error, KW_CONFIGURATION, "behind '%s' comes %s", found->name, found->follows);
    if (found == &schemes[SCHEME_SUBKEY] && (allowed & SOURCE_SUBKEY) == 0) {
        error_set(error, KW_CONFIGURATION, "a subkey of a master key (subkey:) can be the secret of a store alone");
        error_remedy(error, "write file:PATH, env:NAME, credential:NAME, fd:N or prompt here");
        return KW_CONFIGURATION;
    }
    if (found == &schemes[SCHEME_INLINE] && (allowed & SOURCE_INLINE) == 0) {
        error_set(error, KW_CONFIGURATION, "secrets in the configuration itself (inline:) are not allowed");
        error_remedy(error,
                     "put the secret into a file of mode 0600 and write file:PATH, or set allow_inline_secrets: true");
        return KW_CONFIGURATION;
    }
    *scheme = found;
    return KW_OK;
}

const char *source_subkey(const char *source)
{
    const char *argument;
    return find(source, &argument) == &schemes[SCHEME_SUBKEY] ? argument : NULL;
}

kw_status source_check(const char *source, unsigned allowed, kw_error *error)
{
    const struct scheme *scheme;
    const char *argument;
    return check(source, allowed, &scheme, &argument, error);
}

const char *source_path(const char *source)
{
    const char *argument;
    return find(source, &argument) == &schemes[SCHEME_FILE] ? argument : NULL;
}

char *source_resolve(const char *source, const char *directory)
{
    const char *path = source_path(source);
    if (path == NULL || path_is_absolute(path))
        return text_copy(source);
    char *absolute = path_resolve(directory, path);
    if (absolute == NULL)
        return NULL;
    char *resolved = text_format("%s%s", schemes[SCHEME_FILE].name, absolute);
    free(absolute);
    return resolved;
}

void source_identify(const char *source, struct buffer *identity)
{
    const char *path = source_path(source);
    struct stat facts;
    if (path != NULL && stat(path, &facts) == 0)
        buffer_format(identity, "%llu %llu %lld %lld.%09ld", (unsigned long long)facts.st_dev,
                      (unsigned long long)facts.st_ino, (long long)facts.st_size, (long long)facts.st_mtim.tv_sec,
                      (long)facts.st_mtim.tv_nsec);
}

void source_warn(const char *path, void (*warning)(void *user, const char *sentence), void *user)
{
    if (warning == NULL || !file_others_read(path))
        return;
    char *sentence = text_format("others than its owner may read the secret in %s: chmod 600 %s", path, path);
    if (sentence != NULL) {
        text_mask(sentence);
        warning(user, sentence);
    }
    free(sentence);
}

/* ---- Reading ---- */

static void strip_newline(struct secret *secret)
{
    if (secret->length == 0 || secret->data[secret->length - 1] != '\n')
        return;
    secret->length--;
    if (secret->length > 0 && secret->data[secret->length - 1] == '\r')
        secret->length--;
    secret_wipe(secret->data + secret->length, secret->capacity - secret->length);
}

kw_status source_read(const char *source, const struct source_reader *reader, const char *what, bool confirm,
                      struct secret *secret, kw_error *error)
{
    const struct scheme *scheme = NULL;
    const char *argument;
    struct secret value = {0};
    const unsigned allowed = (reader->allow_inline ? SOURCE_INLINE : 0) | (reader->subkey != NULL ? SOURCE_SUBKEY : 0);
    kw_status status = check(source, allowed, &scheme, &argument, error);
    if (status != KW_OK)
        goto out;
    status = scheme->read(argument, reader, what, confirm, &value, error);
    if (status != KW_OK)
        goto out;
    if (scheme->strips)
        strip_newline(&value);
    if (value.length == 0 && !reader->allow_empty)
        status = error_set(error, KW_CONFIGURATION, "it is empty");
    else if (value.length > KW_SECRET_MAXIMUM)
        status = too_long(error);
    else if (memchr(value.data, '\0', value.length) != NULL)
        status = error_set(error, KW_CONFIGURATION, "there is a NUL byte in it; a secret is text");
    if (status != KW_OK)
        goto out;
    *secret = value;
    value = (struct secret){0};
out:
    secret_clear(&value);
    if (status != KW_OK && scheme != NULL && scheme != &schemes[SCHEME_INLINE])
        error_prefix(error, "%s (%s)", what, source);
    else if (status != KW_OK)
        error_prefix(error, "%s", what);
    if (status == KW_CONFIGURATION && scheme != NULL && error != NULL && error->remedy[0] == '\0')
        error_remedy(error, "%s", scheme->remedy);
    return status;
}
