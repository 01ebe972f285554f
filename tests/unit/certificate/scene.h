/* A fresh directory, the library's crypto, and other programs as judges of what is written there. */
#ifndef KEYWRIGHT_TESTS_CERTIFICATE_SCENE_H
#define KEYWRIGHT_TESTS_CERTIFICATE_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certificate/pkcs12.h"

#include <openssl/evp.h>

struct scene {
    char directory[160];
    struct crypto *crypto;
    kw_error error; /* of the last call that was given it */
};

void scene_open(struct scene *scene);
void scene_close(struct scene *scene);

/* Files in the directory. Free what is read. */
void scene_write(const struct scene *scene, const char *name, kw_input content);
kw_bytes scene_read(const struct scene *scene, const char *name);

/*
 * Runs a program in the directory; words are separated by spaces, and "input" (NULL: none) is its standard input. Its exit status;
 * `output` (NULL is allowed): both its outputs, with a NUL. A program that cannot be started fails the test.
 */
int scene_run(const struct scene *scene, const char *command, const char *input, kw_bytes *output);
/* It must succeed. */
void scene_do(const struct scene *scene, const char *command);
/* It must succeed and say `text`; scene_denies: must succeed and not say it. */
void scene_says(const struct scene *scene, const char *command, const char *text);
void scene_denies(const struct scene *scene, const char *command, const char *text);

/* The status must be `expected`, or the message is shown. */
#define assert_status(scene, expected, expression)                                                                     \
    scene_check((expected), (expression), &(scene)->error, #expression, __FILE__, __LINE__)
#define assert_ok(scene, expression) assert_status(scene, KW_OK, expression)
void scene_check(kw_status expected, kw_status actual, const kw_error *error, const char *expression, const char *file,
                 int line);
/* The message of the last error must contain it. */
void assert_message(const struct scene *scene, const char *part);

/* A new key "rsa-2048", "ec-p256", ... as PKCS#8, and a self-signed certificate for it. */
EVP_PKEY *scene_key(const struct scene *scene, const char *kind);
struct secret scene_pkcs8(EVP_PKEY *key);
/* `issuer` NULL: itself; `authority`: CA:TRUE. */
X509 *scene_certificate(const struct scene *scene, EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key,
                        bool authority);

#endif
