#include "base/buffer.h"
#include "base/machine.h"
#include "base/wide.h"

#include <string.h>
#include <windows.h>

/* A UUID in text; what is not of it (its four hyphens) is left out. */
kw_status machine_system_id(kw_bytes *content, const char **where, kw_error *error)
{
    wchar_t wide[64] = L"";
    DWORD size = sizeof(wide);
    char digits[sizeof(wide) / sizeof(wide[0])] = "", reason[WIDE_REASON_SIZE];
    size_t length = 0;
    struct buffer buffer = {0};
    *where = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Cryptography\\MachineGuid";
    const LSTATUS result = RegGetValueW(HKEY_LOCAL_MACHINE, L"SOFTWARE\\Microsoft\\Cryptography", L"MachineGuid",
                                        RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY, NULL, wide, &size);
    if (result != ERROR_SUCCESS) {
        wide_reason((uint32_t)result, reason);
        error_set(error, wide_status((uint32_t)result), "the machine's id cannot be read: %s", reason);
        error_where(error, "%s", *where);
        return wide_status((uint32_t)result);
    }
    for (const wchar_t *at = wide; *at != L'\0'; at++) {
        if (*at != L'-')
            digits[length++] = *at < 0x80 ? (char)*at : '?';
    }
    buffer_append(&buffer, digits, length);
    const kw_status status = buffer_take(&buffer, content);
    buffer_free(&buffer);
    return status == KW_OK ? KW_OK : error_memory(error);
}
