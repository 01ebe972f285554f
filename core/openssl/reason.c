#include "openssl/provider.h"

#include <openssl/err.h>
#include <pthread.h>

/*
 * For programs that print of an error its reason alone, as libpq does. docs/openssl.md says how to get the whole sentence, and explains each.
 * 2000 and on: nginx and PostgreSQL compare a reason with those of libssl, whichever library gave it.
 */
enum { FIRST_REASON = 2000 };
#define REASON(status, text) {ERR_PACK(0, 0, FIRST_REASON + (status)), "keywright: " text}

static ERR_STRING_DATA reasons[] = {
    {0, "Keywright"}, /* the library itself; its number is known at run time alone, and ends the list while it is 0 */
    REASON(KW_BUFFER_TOO_SMALL, "buffer too small"),
    REASON(KW_INVALID_ARGUMENT, "the program asks for what is not possible"),
    REASON(KW_UNSUPPORTED, "not supported by the key or its store"),
    REASON(KW_NOT_FOUND, "no such certificate or key"),
    REASON(KW_EXISTS, "exists already"),
    REASON(KW_REFUSED, "refused by a rule"),
    REASON(KW_CONFLICT, "changed meanwhile by another process"),
    REASON(KW_UNAVAILABLE, "the store is not available"),
    REASON(KW_TIMEOUT, "no answer in time"),
    REASON(KW_CONFIGURATION, "the configuration is wrong"),
    REASON(KW_SECRET_REFUSED, "PIN or passphrase refused"),
    REASON(KW_PERMISSION, "no permission for a file or device"),
    REASON(KW_CORRUPT, "stored data is damaged"),
    REASON(KW_SIGNATURE_INVALID, "the signature is not valid"),
    REASON(KW_CIPHERTEXT_INVALID, "the ciphertext is not valid"),
    REASON(KW_OUT_OF_MEMORY, "out of memory"),
    REASON(KW_FAILED, "failed"),
    {0, NULL},
};
static int library = ERR_LIB_PROV;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* One number for the process: a failure knows no provider, and the library stays loaded, so the texts outlive every use. */
static void name_reasons(void)
{
    library = ERR_get_next_error_library();
    reasons[0].error = ERR_PACK(library, 0, 0);
    ERR_load_strings(library, reasons);
}

void reason_start(void)
{
    crypto_enter();
    pthread_once(&once, name_reasons);
    crypto_leave();
}

int reason_library(void)
{
    return library;
}

int reason_of(kw_status status)
{
    return FIRST_REASON + (int)status;
}
