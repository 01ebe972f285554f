#include "pkcs11_control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x314d494853575901)

const char *const shim_names[SHIM_ROWS] = {
#define FUNCTION(name) [SHIM_##name] = #name,
#include "pkcs11_functions.h"
#undef FUNCTION
    [SHIM_ANY] = "any",
    [SHIM_PRIVATE] = "private",
};

enum shim_function shim_named(const char *name)
{
    unsigned i = 0;
    while (i < SHIM_ROWS && strcmp(shim_names[i], name) != 0)
        i++;
    return (enum shim_function)i;
}

static struct shim_control *map(const char *path, int flags)
{
    struct stat found;
    struct shim_control *control = MAP_FAILED;
    const bool make = (flags & O_CREAT) != 0;
    const int file = open(path, flags | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0 && (!make || ftruncate(file, sizeof(*control)) == 0) && fstat(file, &found) == 0) {
        if (found.st_size == (off_t)sizeof(*control))
            control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        else
            errno = EINVAL;
    }
    if (control == MAP_FAILED)
        fprintf(stderr, "shim: %s: %s\n", path, strerror(errno));
    if (file >= 0)
        close(file);
    if (control != MAP_FAILED && make)
        atomic_store(&control->magic, MAGIC);
    if (control != MAP_FAILED && atomic_load(&control->magic) != MAGIC) {
        fprintf(stderr, "shim: %s is no control file\n", path);
        munmap(control, sizeof(*control));
        control = MAP_FAILED;
    }
    return control != MAP_FAILED ? control : NULL;
}

struct shim_control *shim_create(const char *path)
{
    return map(path, O_CREAT | O_TRUNC);
}

struct shim_control *shim_map(const char *path)
{
    return map(path, 0);
}

void shim_unmap(struct shim_control *control)
{
    if (control != NULL)
        munmap(control, sizeof(*control));
}

void shim_arm(struct shim_control *control, enum shim_function function, enum shim_action action, CK_RV value,
              uint64_t at, uint64_t times)
{
    struct shim_row *row = &control->rows[function];
    atomic_store(&row->action, SHIM_OBEY);
    const uint64_t first = atomic_load(&row->calls) + at;
    atomic_store(&row->first, first);
    atomic_store(&row->last, times == SHIM_ALWAYS ? SHIM_ALWAYS : first + times - 1);
    atomic_store(&row->value, value);
    atomic_store(&row->action, (uint32_t)action);
}

void shim_disarm(struct shim_control *control)
{
    for (unsigned i = 0; i < SHIM_ROWS; i++) {
        atomic_store(&control->rows[i].action, SHIM_OBEY);
        atomic_store(&control->rows[i].delay, 0);
    }
    if (atomic_load(&control->dropped) != 0)
        shim_restore(control);
}

bool shim_met(struct shim_control *control, enum shim_function function)
{
    struct shim_row *row = &control->rows[function];
    return atomic_load(&row->calls) >= atomic_load(&row->first);
}

uint64_t shim_calls(struct shim_control *control, enum shim_function function)
{
    return atomic_load(&control->rows[function].calls);
}

void shim_forget_calls(struct shim_control *control)
{
    for (unsigned i = 0; i < SHIM_ROWS; i++)
        atomic_store(&control->rows[i].calls, 0);
}

void shim_drop(struct shim_control *control)
{
    atomic_store(&control->dropped, 1);
}

void shim_restore(struct shim_control *control)
{
    shim_renew(control);
    atomic_store(&control->dropped, 0);
}

void shim_renew(struct shim_control *control)
{
    atomic_fetch_add(&control->epoch, 1);
}
