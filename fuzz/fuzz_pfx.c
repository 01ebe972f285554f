/* PKCS#12 files. Those without a MAC are taken, since no change of the others would get past it. */
#include "fuzz.h"

#include "base/buffer.h"
#include "certificate/key_check.h"
#include "certificate/pkcs12.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct pfx_item *items = NULL;
    size_t count = 0;
    kw_error error = {0};
    kw_status status =
        pfx_read(fuzz_crypto(), (kw_input){data, length}, input_text("password"), true, &items, &count, &error);
    fuzz_judge(status, &error);
    for (size_t i = 0; status == KW_OK && i < count; i++) {
        const char *name = NULL;
        if (items[i].pkcs8.length > 0)
            fuzz_judge(key_check(fuzz_crypto(), secret_view(&items[i].pkcs8), items[i].certificate, &name, &error),
                       &error);
    }
    if (status == KW_OK)
        pfx_items_free(items, count);
    return 0;
}
