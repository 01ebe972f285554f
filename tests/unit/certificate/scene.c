#include "scene.h"

#include "base/buffer.h"
#include "base/file.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAXIMUM 64
#define NOT_STARTED   127
#define FILE_MAXIMUM  (1u << 24)
#define PATH_ROOM     256

void scene_open(struct scene *scene)
{
    const char *temporary = getenv("TMPDIR");
    *scene = (struct scene){0};
    snprintf(scene->directory, sizeof(scene->directory), "%s/keywright-test-XXXXXX",
             temporary != NULL ? temporary : "/tmp");
    assert_non_null(mkdtemp(scene->directory));
    assert_ok(scene, crypto_open(&scene->crypto, &scene->error));
}

static int remove_one(const char *path, const struct stat *about, int flag, struct FTW *walk)
{
    (void)about;
    (void)flag;
    (void)walk;
    return remove(path);
}

void scene_close(struct scene *scene)
{
    crypto_close(scene->crypto);
    nftw(scene->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void scene_write(const struct scene *scene, const char *name, kw_input content)
{
    char path[PATH_ROOM];
    kw_error error = {0};
    snprintf(path, sizeof(path), "%s/%s", scene->directory, name);
    scene_check(KW_OK, file_replace(path, content, 0600, &error), &error, name, __FILE__, __LINE__);
}

kw_bytes scene_read(const struct scene *scene, const char *name)
{
    char path[PATH_ROOM];
    kw_bytes content = {0};
    kw_error error = {0};
    snprintf(path, sizeof(path), "%s/%s", scene->directory, name);
    scene_check(KW_OK, file_read(path, FILE_MAXIMUM, &content, &error), &error, name, __FILE__, __LINE__);
    return content;
}

/* ---- Programs ------------------------------------------------------------------------------------ */

static void become(const struct scene *scene, const char *command, int input, int output)
{
    char *words = strdup(command);
    char *arguments[WORDS_MAXIMUM + 1] = {0};
    size_t count = 0;
    for (char *rest = NULL, *word = strtok_r(words, " ", &rest); word != NULL && count < WORDS_MAXIMUM;
         word = strtok_r(NULL, " ", &rest))
        arguments[count++] = word;
    if (count > 0 && chdir(scene->directory) == 0 && dup2(input, 0) >= 0 && dup2(output, 1) >= 0 &&
        dup2(output, 2) >= 0)
        execvp(arguments[0], arguments);
    _exit(NOT_STARTED);
}

int scene_run(const struct scene *scene, const char *command, const char *input, kw_bytes *output)
{
    char in_path[PATH_ROOM], out_path[PATH_ROOM];
    int status = 0;
    snprintf(in_path, sizeof(in_path), "%s/.in", scene->directory);
    snprintf(out_path, sizeof(out_path), "%s/.out", scene->directory);
    scene_write(scene, ".in", input_text(input != NULL ? input : ""));
    const int in = open(in_path, O_RDONLY | O_CLOEXEC);
    const int out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        become(scene, command, in, out);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(in);
    close(out);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_STARTED)
        fail_msg("it cannot be started: %s", command);
    if (output != NULL) {
        struct buffer with_nul = {0};
        kw_bytes content = scene_read(scene, ".out");
        buffer_append(&with_nul, content.data, content.length);
        kw_bytes_free(&content);
        assert_int_equal(buffer_take(&with_nul, output), KW_OK);
    }
    return WEXITSTATUS(status);
}

static void judge(const struct scene *scene, const char *command, const char *text, bool wanted)
{
    kw_bytes output = {0};
    const int status = scene_run(scene, command, NULL, &output);
    const bool said = text == NULL || strstr((const char *)output.data, text) != NULL;
    if (status != 0 || said != wanted)
        print_error("%s\n  exit status %d, '%s' %s in:\n%s\n", command, status, text != NULL ? text : "",
                    said ? "is" : "is not", (const char *)output.data);
    kw_bytes_free(&output);
    assert_int_equal(status, 0);
    assert_true(said == wanted);
}

void scene_do(const struct scene *scene, const char *command)
{
    judge(scene, command, NULL, true);
}

void scene_says(const struct scene *scene, const char *command, const char *text)
{
    judge(scene, command, text, true);
}

void scene_denies(const struct scene *scene, const char *command, const char *text)
{
    judge(scene, command, text, false);
}

/* ---- Results -------------------------------------------------------------------------------------- */

void scene_check(kw_status expected, kw_status actual, const kw_error *error, const char *expression, const char *file,
                 int line)
{
    if (actual == expected)
        return;
    print_error("%s\n  gave '%s' instead of '%s': %s\n", expression, kw_status_text(actual), kw_status_text(expected),
                actual != KW_OK ? error->message : "");
    _fail(file, line);
}

void assert_message(const struct scene *scene, const char *part)
{
    if (strstr(scene->error.message, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, scene->error.message);
}

/* ---- Keys and certificates ------------------------------------------------------------------------- */

EVP_PKEY *scene_key(const struct scene *scene, const char *kind)
{
    const char *number = strchr(kind, '-');
    OSSL_LIB_CTX *library = scene->crypto->library;
    EVP_PKEY *key = NULL;
    char curve[16];
    if (strncmp(kind, "rsa-", 4) == 0) {
        key = EVP_PKEY_Q_keygen(library, NULL, "RSA", (size_t)strtoul(number + 1, NULL, 10));
    } else if (strncmp(kind, "ec-p", 4) == 0) {
        snprintf(curve, sizeof(curve), "P-%s", kind + 4);
        key = EVP_PKEY_Q_keygen(library, NULL, "EC", curve);
    } else {
        key = EVP_PKEY_Q_keygen(library, NULL, "ED25519");
    }
    assert_non_null(key);
    return key;
}

struct secret scene_pkcs8(EVP_PKEY *key)
{
    struct secret pkcs8 = {0};
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    assert_non_null(info);
    const int length = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    assert_true(length > 0);
    assert_int_equal(secret_copy(&pkcs8, (kw_input){der, (size_t)length}, NULL), KW_OK);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    return pkcs8;
}

X509 *scene_certificate(const struct scene *scene, EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key,
                        bool authority)
{
    static long serial = 1000;
    X509 *made = X509_new_ex(scene->crypto->library, NULL);
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    assert_true(made != NULL && constraints != NULL);
    constraints->ca = authority ? 0xff : 0;
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), 86400);
    X509_set_pubkey(made, key);
    assert_true(X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_UTF8,
                                           (const unsigned char *)name, -1, -1, 0));
    X509_set_issuer_name(made, X509_get_subject_name(issuer != NULL ? issuer : made));
    assert_int_equal(X509_add1_ext_i2d(made, NID_basic_constraints, constraints, 1, X509V3_ADD_DEFAULT), 1);
    BASIC_CONSTRAINTS_free(constraints);
    EVP_PKEY *signer = issuer_key != NULL ? issuer_key : key;
    assert_true(X509_sign(made, signer, EVP_PKEY_is_a(signer, "ED25519") ? NULL : EVP_sha256()) > 0);
    return made;
}
