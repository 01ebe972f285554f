#include "base/options.h"

#include <string.h>

kw_status options_take(void *known, size_t known_size, const void *given, kw_error *error)
{
    size_t size = 0;
    memset(known, 0, known_size);
    if (given != NULL) {
        memcpy(&size, given, sizeof(size));
        if (size < sizeof(size))
            return error_set(error, KW_INVALID_ARGUMENT, "the member 'size' of a struct is not set to its size");
        memcpy(known, given, size < known_size ? size : known_size);
    }
    memcpy(known, &known_size, sizeof(known_size));
    return KW_OK;
}
