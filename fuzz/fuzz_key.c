/* Private keys in DER: PKCS#8 plain and encrypted, traditional. */
#include "fuzz.h"

#include "base/buffer.h"
#include "certificate/key_check.h"
#include "certificate/pkcs12.h"

static kw_status answer(void *user, struct secret *password, kw_error *error)
{
    (void)user;
    return secret_copy(password, input_text("password"), error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct pfx_item item = {0};
    kw_error error = {0};
    const char *name = NULL;
    kw_status status = pem_read(fuzz_crypto(), (kw_input){data, length}, answer, NULL, &item, &error);
    fuzz_judge(status, &error);
    if (status == KW_OK && item.pkcs8.length > 0)
        fuzz_judge(key_check(fuzz_crypto(), secret_view(&item.pkcs8), item.certificate, &name, &error), &error);
    pfx_item_clear(&item);
    /* And as a store has it. */
    fuzz_judge(key_check(fuzz_crypto(), (kw_input){data, length}, NULL, &name, &error), &error);
    return 0;
}
