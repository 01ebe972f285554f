/* A certificate among those that this system trusts: Debian's way, by update-ca-certificates(8) (S4). */
#include "base/buffer.h"
#include "base/file.h"
#include "base/options.h"
#include "base/right_user.h"
#include "certificate/bundle.h"
#include "certificate/manager.h"
#include "tls/verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCAL_DIRECTORY  "/usr/local/share/ca-certificates"
#define SYSTEM_DIRECTORY "/etc/ssl/certs"
#define BUNDLE_FILE      "ca-certificates.crt"
#define PROGRAM          "/usr/sbin/update-ca-certificates"
#define NAME_DIGITS      16
#define WORDS_MAXIMUM    600

struct installation {
    struct crypto *crypto;
    const char *local_directory, *system_directory;
    bool elsewhere; /* not the system's own directory */
    X509 *certificate;
    kw_bytes pem;
    char *path; /* of the file to be */
    char sha256[2 * SHA256_LENGTH + 1];
};

/* ---- Which certificate ---- */

/* The anchor: what is self-signed. A certificate that is not says nothing of whether its issuer is trusted. */
static kw_status choose_anchor(const STACK_OF(X509) *certificates, X509 **anchor, kw_error *error)
{
    X509 *found = NULL;
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        X509 *at = sk_X509_value(certificates, i);
        if (!x509_is_self_signed(at, true))
            continue;
        if (found != NULL && X509_cmp(found, at) != 0) {
            error_set(error, KW_REFUSED, "there is more than one self-signed certificate in it");
            error_remedy(error, "install them one by one, each in a file of its own");
            return KW_REFUSED;
        }
        found = at;
    }
    ERR_clear_error();
    if (found == NULL) {
        error_set(error, KW_REFUSED,
                  "no certificate in it is self-signed: the one to trust is that of the authority "
                  "at the end of the path");
        error_remedy(error, "install the certificate of the authority's root instead");
        return KW_REFUSED;
    }
    X509_up_ref(found);
    *anchor = found;
    return KW_OK;
}

static kw_status prepare(struct installation *installation, const STACK_OF(X509) *certificates, kw_error *error)
{
    unsigned char digest[SHA256_LENGTH];
    kw_bytes der = {0};
    kw_status status = choose_anchor(certificates, &installation->certificate, error);
    if (status == KW_OK)
        status = x509_to_der(installation->certificate, &der, error);
    if (status == KW_OK)
        status = crypto_sha256(installation->crypto, (kw_input){der.data, der.length}, digest, error);
    if (status == KW_OK)
        status = kw_pem_encode("CERTIFICATE", (kw_input){der.data, der.length}, &installation->pem, error);
    if (status != KW_OK)
        goto out;
    /* By its fingerprint: each certificate has one file, however often it is installed. */
    hex_encode((kw_input){digest, sizeof(digest)}, installation->sha256);
    installation->path =
        text_format("%s/keywright-%.*s.crt", installation->local_directory, NAME_DIGITS, installation->sha256);
    if (installation->path == NULL)
        status = error_memory(error);
out:
    kw_bytes_free(&der);
    return status;
}

/* ---- Rights ---- */

static kw_status check_directory(const char *path, kw_error *error)
{
    char user[RIGHT_USER_SIZE];
    if (access(path, W_OK | X_OK) == 0)
        return KW_OK;
    if (errno == ENOENT || errno == ENOTDIR) {
        error_set(error, KW_NOT_FOUND, "there is no such directory");
        error_where(error, "%s", path);
        error_remedy(error, "install the package ca-certificates");
        return KW_NOT_FOUND;
    }
    right_user(geteuid(), user);
    error_set(
        error, KW_PERMISSION,
        "the user %s has no right to write into this directory, where the certificates are that the system trusts",
        user);
    error_where(error, "%s", path);
    error_remedy(error, "run it as root");
    return KW_PERMISSION;
}

/* ---- update-ca-certificates ---- */

static kw_status program_missing(int reason, kw_error *error)
{
    error_set(error, reason == ENOENT ? KW_NOT_FOUND : KW_FAILED, "%s cannot be started: %s", PROGRAM,
              strerror(reason));
    error_remedy(error, "install the package ca-certificates");
    return reason == ENOENT ? KW_NOT_FOUND : KW_FAILED;
}

/* What the program says, as far as it is worth telling: the end. */
static void read_words(int from, char words[WORDS_MAXIMUM + 1])
{
    char piece[WORDS_MAXIMUM];
    size_t length = 0;
    ssize_t got;
    while ((got = read(from, piece, sizeof(piece))) > 0 || (got < 0 && errno == EINTR)) {
        const size_t more = got > 0 ? (size_t)got : 0;
        const size_t keep = length + more > WORDS_MAXIMUM ? WORDS_MAXIMUM - more : length;
        memmove(words, words + length - keep, keep);
        memcpy(words + keep, piece, more);
        length = keep + more;
    }
    while (length > 0 && words[length - 1] == '\n')
        length--;
    words[length] = '\0';
}

static kw_status wait_for(pid_t process, const char *words, kw_error *error)
{
    int result = 0;
    pid_t ended;
    do
        ended = waitpid(process, &result, 0);
    while (ended < 0 && errno == EINTR);
    /* Who ignores SIGCHLD learns nothing; what came of it is looked at anyway. */
    if (ended < 0 || (WIFEXITED(result) && WEXITSTATUS(result) == 0))
        return KW_OK;
    return error_set(error, KW_FAILED, "%s failed: %s", PROGRAM, words);
}

/* `fresh`: links are made anew, so that those to a file that is gone go too. */
static kw_status run_update(const struct installation *installation, bool fresh, kw_error *error)
{
    static char program[] = PROGRAM, local_option[] = "--localcertsdir", system_option[] = "--etccertsdir",
                hooks_option[] = "--hooksdir", fresh_option[] = "--fresh";
    char *local = text_copy(installation->local_directory), *system = text_copy(installation->system_directory);
    /* Hooks tell other programs' stores of the system's: of no other directory. There is none in a directory of certificates. */
    char *hooks = text_format("%s/no-hooks", installation->system_directory);
    char *arguments[9] = {program, local_option, local, system_option, system};
    size_t count = 5;
    if (fresh)
        arguments[count++] = fresh_option;
    if (installation->elsewhere) {
        arguments[count++] = hooks_option;
        arguments[count] = hooks;
    }
    char words[WORDS_MAXIMUM + 1] = "";
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t process;
    int ends[2] = {-1, -1};
    kw_status status = local != NULL && system != NULL && hooks != NULL ? KW_OK : error_memory(error);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    if (status != KW_OK)
        goto out;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        status = error_set(error, KW_FAILED, "no pipe can be made: %s", strerror(errno));
        goto out;
    }
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    const int reason = posix_spawn(&process, PROGRAM, &actions, &attributes, arguments, environ);
    close(ends[1]);
    ends[1] = -1;
    if (reason != 0) {
        status = program_missing(reason, error);
        goto out;
    }
    read_words(ends[0], words);
    status = wait_for(process, words, error);
out:
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    free(hooks);
    free(system);
    free(local);
    return status;
}

/* ---- Whether it worked ---- */

/* openssl and what uses it look into the directory by a hash of the name, others read the one file: both must do. */
static kw_status look_up(const struct installation *installation, bool file, bool *trusted, kw_error *error)
{
    const struct verdict_wanted wanted = {.certificate = installation->certificate};
    struct arena arena = {0};
    struct verdict verdict = {0};
    char *bundle = path_join(installation->system_directory, BUNDLE_FILE);
    X509_STORE *store = X509_STORE_new();
    kw_status status = store != NULL && bundle != NULL ? KW_OK : error_memory(error);
    if (status != KW_OK)
        goto out;
    crypto_enter();
    *trusted = (file ? X509_STORE_load_file_ex(store, bundle, installation->crypto->library, NULL)
                     : X509_STORE_load_path(store, installation->system_directory)) == 1;
    crypto_leave();
    ERR_clear_error();
    if (*trusted)
        status = verdict_find(installation->crypto, store, &wanted, &arena, &verdict, error);
    for (size_t i = 0; i < verdict.count; i++)
        /* Purpose and dates are the certificate's own, and no matter of where it lies. */
        *trusted = *trusted && strcmp(verdict.problems[i].code, "self-signed") != 0 &&
                   strcmp(verdict.problems[i].code, "unknown-root") != 0 &&
                   strcmp(verdict.problems[i].code, "unknown-issuer") != 0;
out:
    verdict_store_free(store);
    free(bundle);
    arena_free(&arena);
    return status;
}

static kw_status is_trusted(const struct installation *installation, bool *trusted, kw_error *error)
{
    kw_status status = look_up(installation, false, trusted, error);
    if (status == KW_OK && *trusted)
        status = look_up(installation, true, trusted, error);
    return status;
}

/* ---- Installing ---- */

static kw_status install(const struct installation *installation, kw_error *error)
{
    const bool present = file_exists(installation->path);
    bool trusted = false;
    kw_status status =
        file_replace(installation->path, (kw_input){installation->pem.data, installation->pem.length}, 0644, error);
    if (status != KW_OK)
        return status;
    status = run_update(installation, false, error);
    if (status == KW_OK)
        status = is_trusted(installation, &trusted, error);
    if (status == KW_OK && !trusted) {
        status = error_set(error, KW_FAILED, "%s has run, and openssl still does not trust the certificate", PROGRAM);
        error_where(error, "%s", installation->system_directory);
        error_remedy(error, "see what `update-ca-certificates --fresh` says");
    }
    /* What was there before stays. */
    if (status != KW_OK && !present && unlink(installation->path) == 0)
        (void)!run_update(installation, true, NULL);
    return status;
}

static kw_status read_certificates(struct crypto *crypto, const kw_trust_install_options *options,
                                   STACK_OF(X509) **certificates, kw_error *error)
{
    if (options->path != NULL && options->content.data == NULL)
        return bundle_read_file(crypto, options->path, certificates, error);
    kw_status status = bundle_read(crypto, options->content, certificates, error);
    if (status != KW_OK && options->path != NULL)
        error_where(error, "%s", options->path);
    return status;
}

kw_status kw_trust_install(const kw_trust_install_options *given, kw_event_callback event, void *user, kw_error *error)
{
    kw_trust_install_options options;
    struct installation installation = {0};
    char *local = NULL, *system = NULL;
    STACK_OF(X509) *certificates = NULL;
    bool trusted = false;
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status != KW_OK)
        return status;
    local = path_absolute(options.local_directory != NULL ? options.local_directory : LOCAL_DIRECTORY);
    system = path_absolute(options.system_directory != NULL ? options.system_directory : SYSTEM_DIRECTORY);
    installation.local_directory = local;
    installation.system_directory = system;
    installation.elsewhere = system != NULL && strcmp(system, SYSTEM_DIRECTORY) != 0;
    status = local != NULL && system != NULL ? crypto_open(&installation.crypto, error) : error_memory(error);
    if (status == KW_OK)
        status = read_certificates(installation.crypto, &options, &certificates, error);
    if (status == KW_OK)
        status = prepare(&installation, certificates, error);
    if (status == KW_OK)
        status = is_trusted(&installation, &trusted, error);
    if (status != KW_OK || trusted)
        goto out;
    status = check_directory(installation.local_directory, error);
    if (status == KW_OK)
        status = check_directory(installation.system_directory, error);
    if (status == KW_OK)
        status = install(&installation, error);
out:
    if (status == KW_OK)
        event_tell(event, user, false, NULL,
                   trusted ? "this system trusts the certificate with the SHA-256 %s already"
                           : "this system now trusts the certificate with the SHA-256 %s",
                   installation.sha256);
    if (status == KW_OK && !trusted)
        event_tell(event, user, false, NULL, "written to %s", installation.path);
    bundle_free(certificates);
    crypto_x509_free(installation.certificate);
    kw_bytes_free(&installation.pem);
    free(installation.path);
    crypto_close(installation.crypto);
    free(system);
    free(local);
    return status;
}
