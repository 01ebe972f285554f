/* Addresses that a user types. */
#include "fuzz.h"

#include "catalogue/address.h"
#include "certificate/kinds.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char *text = fuzz_text(data, length);
    struct address address = {0}, again = {0};
    const struct kind *kind = NULL;
    kw_error error = {0};
    kw_status status = address_parse(text, &address, &error);
    fuzz_judge(status, &error);
    /* What was taken is taken again, and means the same. */
    if (status == KW_OK && (address_parse(address.text, &again, &error) != KW_OK || again.number != 0 ||
                            strcmp(address.text, again.text) != 0 || address.part_count != again.part_count))
        abort();
    if (status == KW_OK)
        fuzz_judge(kind_of(&address, &kind, &error), &error);
    free(text);
    return 0;
}
