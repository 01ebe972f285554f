/*
 * Steers the PKCS#11 shim, and tells what it counted:
 *
 *   shim FILE create | forget | disarm | drop | restore | renew
 *   shim FILE calls [FUNCTION]                  one number, or NAME COUNT for each function that was called
 *   shim FILE delay MICROSECONDS [FUNCTION]
 *   shim FILE ACTION FUNCTION [CKR] [AT [TIMES]]
 *
 * FUNCTION is C_Sign and so on, `any`, or `private` (C_CreateObject of a private key). ACTION is fail, fail-after (these with the number of a
 * CKR), hang, crash, crash-after, drop-token, drop-token-after, renew-sessions, longer, huge, shorter, empty, absent, or obey. It meets the AT-th call from now on (1), and TIMES calls in all (always).
 */
#include "pkcs11_control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const action_names[SHIM_ACTIONS] = {
    [SHIM_OBEY] = "obey",
    [SHIM_FAIL] = "fail",
    [SHIM_FAIL_AFTER] = "fail-after",
    [SHIM_HANG] = "hang",
    [SHIM_CRASH] = "crash",
    [SHIM_CRASH_AFTER] = "crash-after",
    [SHIM_DROP] = "drop-token",
    [SHIM_DROP_AFTER] = "drop-token-after",
    [SHIM_RENEW] = "renew-sessions",
    [SHIM_LONGER] = "longer",
    [SHIM_HUGE] = "huge",
    [SHIM_SHORTER] = "shorter",
    [SHIM_EMPTY] = "empty",
    [SHIM_ABSENT] = "absent",
};

struct verb {
    const char *name;
    void (*apply)(struct shim_control *control);
};

static const struct verb verbs[] = {
    {"forget", shim_forget_calls}, {"disarm", shim_disarm}, {"drop", shim_drop},
    {"restore", shim_restore},     {"renew", shim_renew},
};

static int usage(void)
{
    fputs("usage: shim FILE create | forget | disarm | drop | restore | renew\n"
          "       shim FILE calls [FUNCTION]\n"
          "       shim FILE delay MICROSECONDS [FUNCTION]\n"
          "       shim FILE ACTION FUNCTION [CKR] [AT [TIMES]]\n",
          stderr);
    return 2;
}

static bool number(const char *text, uint64_t *value)
{
    char *end = NULL;
    *value = strtoull(text, &end, 0);
    return *text != '\0' && *text != '-' && *end == '\0';
}

static int tell(struct shim_control *control, int count, char **words)
{
    const enum shim_function wanted = count > 0 ? shim_named(words[0]) : SHIM_ANY;
    if (count > 1 || wanted == SHIM_ROWS)
        return usage();
    if (count == 1)
        printf("%llu\n", (unsigned long long)shim_calls(control, wanted));
    for (unsigned i = 0; count == 0 && i < SHIM_ANY; i++)
        if (shim_calls(control, (enum shim_function)i) > 0)
            printf("%s %llu\n", shim_names[i], (unsigned long long)shim_calls(control, (enum shim_function)i));
    return 0;
}

static int delay(struct shim_control *control, int count, char **words)
{
    uint64_t microseconds = 0;
    const enum shim_function wanted = count > 1 ? shim_named(words[1]) : SHIM_ANY;
    if (count < 1 || count > 2 || wanted == SHIM_ROWS || !number(words[0], &microseconds) || microseconds > UINT32_MAX)
        return usage();
    atomic_store(&control->rows[wanted].delay, (uint32_t)microseconds);
    return 0;
}

static int act(struct shim_control *control, enum shim_action action, int count, char **words)
{
    const bool valued = action == SHIM_FAIL || action == SHIM_FAIL_AFTER;
    const enum shim_function wanted = count > 0 ? shim_named(words[0]) : SHIM_ROWS;
    /* The CKR, the call, and how many. */
    uint64_t values[] = {CKR_OK, 1, SHIM_ALWAYS};
    const int first = valued ? 0 : 1;
    if (wanted == SHIM_ROWS || count > 4 - first || count < (valued ? 2 : 1))
        return usage();
    for (int i = 1; i < count; i++)
        if (!number(words[i], &values[first + i - 1]))
            return usage();
    if (values[1] == 0 || values[2] == 0)
        return usage();
    shim_arm(control, wanted, action, (CK_RV)values[0], values[1], values[2]);
    return 0;
}

static int steer(struct shim_control *control, const char *verb, int count, char **words)
{
    if (strcmp(verb, "create") == 0)
        return 0;
    if (strcmp(verb, "calls") == 0)
        return tell(control, count, words);
    if (strcmp(verb, "delay") == 0)
        return delay(control, count, words);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verb, verbs[i].name) == 0 && count == 0) {
            verbs[i].apply(control);
            return 0;
        }
    for (unsigned i = 0; i < SHIM_ACTIONS; i++)
        if (strcmp(verb, action_names[i]) == 0)
            return act(control, (enum shim_action)i, count, words);
    return usage();
}

int main(int count, char **words)
{
    if (count < 3)
        return usage();
    struct shim_control *control = strcmp(words[2], "create") == 0 ? shim_create(words[1]) : shim_map(words[1]);
    if (control == NULL)
        return 1;
    const int status = steer(control, words[2], count - 3, words + 3);
    shim_unmap(control);
    return status;
}
