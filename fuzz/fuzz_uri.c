/* URIs that a program hands to OpenSSL. */
#include "fuzz.h"

#include "catalogue/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char *uri = fuzz_text(data, length);
    char *text = address_of_uri(uri);
    struct address address = {0};
    kw_error error = {0};
    if (text != NULL)
        fuzz_judge(address_parse(text, &address, &error), &error);
    free(text);
    free(uri);
    return 0;
}
