/* A store of pkcs11 on the token that with_token.sh made, for tests. */
#ifndef PKCS11_SCENE_H
#define PKCS11_SCENE_H

#include "kit.h"

#define OPTIONS 12

struct scene {
    struct kit kit;
    kw_option_value options[OPTIONS];
};

/* Fails the test when it is not set. */
const char *scene_environment(const char *name);
/* An option, also in place of an earlier one. */
void scene_set(struct scene *scene, const char *name, const char *text, int64_t integer);
void scene_drop(struct scene *scene, const char *name);
/* Set-up and tear-down of a test. */
int scene_new(void **state);
int scene_free(void **state);
kw_status scene_open(struct kit *kit);
/* Runs a program to its end; what it prints is not looked at. */
void scene_run(const char *const *arguments);
/* pkcs11-tool, logged in. */
void scene_tool(const char *what, const char *type, const char *label, const char *id);
/* A P-256 key, and a signature with it, which is judged. */
void scene_make_key(struct kit *kit, struct test_key *key);
kw_status scene_sign(const struct kit *kit, const struct test_key *key);

#endif
