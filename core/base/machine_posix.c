#include "base/file.h"
#include "base/machine.h"

kw_status machine_system_id(kw_bytes *content, const char **where, kw_error *error)
{
    static const char file[] = "/etc/machine-id";
    *where = file;
    return file_read(file, MACHINE_ID_MAXIMUM, content, error);
}
