/* Certificates in DER: read, described, and their keys judged. */
#include "fuzz.h"

#include "base/arena.h"
#include "certificate/key_check.h"
#include "certificate/x509.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    X509 *certificate = NULL;
    kw_input rest = {data, length};
    kw_error error = {0};
    const char *name = NULL;
    kw_status status = x509_read(fuzz_crypto(), &rest, &certificate, &error);
    fuzz_judge(status, &error);
    if (status != KW_OK)
        return 0;
    struct arena arena = {0};
    kw_certificate_info info = {0};
    fuzz_judge(x509_describe(fuzz_crypto(), certificate, &arena, &info, &error), &error);
    arena_free(&arena);
    fuzz_judge(key_check_certificate(certificate, &name, &error), &error);
    X509_free(certificate);
    return 0;
}
