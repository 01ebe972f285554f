/* Configuration files: as YAML, and what is YAML as settings. */
#include "fuzz.h"

#include "config/settings.h"
#include "config/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void read_settings(const uint8_t *data, size_t length)
{
    struct settings *settings = NULL;
    kw_error error = {0};
    char path[64];
    const int file = memfd_create("settings", MFD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    if (file < 0 || write(file, data, length) != (ssize_t)length)
        abort();
    fuzz_judge(settings_read(path, NULL, NULL, &settings, &error), &error);
    settings_free(settings);
    close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct yaml_node *root = NULL;
    kw_error error = {0};
    kw_status status = yaml_parse("input", (kw_input){data, length}, &root, &error);
    fuzz_judge(status, &error);
    yaml_node_free(root);
    if (status == KW_OK)
        read_settings(data, length);
    return 0;
}
