/*
 * base.h: what all headers of the library share. Conventions are in keywright.h.
 */
#ifndef KEYWRIGHT_BASE_H
#define KEYWRIGHT_BASE_H

#include <keywright/plugin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#if defined(KW_BUILDING_LIBRARY)
#define KW_API __declspec(dllexport)
#else
#define KW_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define KW_API __attribute__((visibility("default")))
#else
#define KW_API
#endif

/* The library's version, such as "0.1.0". */
KW_API const char *kw_version(void);

/* ---- Errors and results -------------------------------------------------------------------------- */

/* Filled by a call that fails; after one that succeeds it is empty or as it was before. Holds no secret. */
typedef struct kw_error {
    kw_status status;
    unsigned line, column; /* in `where`, from 1; 0: none */
    char where[256];       /* the file, store, record or certificate concerned; may be empty */
    char message[768];     /* what happened and why */
    char remedy[512];      /* what to do; may be empty */
} kw_error;

/* The name of a status in words, such as "not found". */
KW_API const char *kw_status_text(kw_status status);

/* Bytes from the library; freed, and wiped before, by kw_bytes_free. */
typedef struct kw_bytes {
    unsigned char *data;
    size_t length;
} kw_bytes;
KW_API void kw_bytes_free(kw_bytes *bytes);

/* ---- What most calls have to do with ---------------------------------------------------------------- */

/* A server's configuration and state, opened by kw_open. */
typedef struct kw_context kw_context;

/*
 * What kw_apply and others tell about as it happens, such as "created ssl-connection" (`certificate` and `what` are
 * set) or a warning (`certificate` may be NULL).
 */
typedef struct kw_event {
    bool warning;
    const char *certificate; /* address, or NULL */
    const char *what;        /* a sentence, or one word such as "created" when certificate is set */
    bool reminder;           /* nothing happened: `what` is for the user to do */
    size_t done, total;      /* how many of how many, where that is known; else 0 */
} kw_event;
typedef void (*kw_event_callback)(void *user, const kw_event *event);

#ifdef __cplusplus
}
#endif
#endif
