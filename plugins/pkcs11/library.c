/* The module's file, and libcrypto in a context of its own. */
#include "pkcs11.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Of these linux/magic.h knows only some. */
static const unsigned long networked[] = {NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, SMB2_SUPER_MAGIC, CIFS_SUPER_MAGIC,
                                          AFS_SUPER_MAGIC, AFS_FS_MAGIC,    CODA_SUPER_MAGIC, CEPH_SUPER_MAGIC};

static bool is_networked(const char *path)
{
    struct statfs found;
    if (statfs(path, &found) != 0)
        return false;
    for (size_t i = 0; i < sizeof(networked) / sizeof(networked[0]); i++)
        if (((unsigned long)found.f_type & 0xFFFFFFFF) == networked[i])
            return true;
    return false;
}

/* Whoever may write it, or replace it in a directory above it, chooses what code runs here. */
static bool is_others_to_write(const struct stat *found)
{
    if (found->st_uid != 0 && found->st_uid != geteuid())
        return true;
    /* In a directory with the sticky bit only what is one's own can be replaced; on a file the bit means nothing. */
    if (S_ISDIR(found->st_mode) && (found->st_mode & S_ISVTX) != 0)
        return false;
    return (found->st_mode & S_IWOTH) != 0 || ((found->st_mode & S_IWGRP) != 0 && found->st_gid != 0);
}

static bool check_way(char *path, char sentence[P11_SENTENCE])
{
    struct stat found;
    for (char *slash = path; slash != NULL;) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL)
            *slash = '\0';
        int result = stat(path, &found);
        bool others = result == 0 && is_others_to_write(&found);
        if (result != 0 || others)
            snprintf(sentence, P11_SENTENCE,
                     others
                         ? "option library: '%s' may be written by others than root and the user that runs this; what "
                           "lies there is not loaded"
                         : "option library: '%s' cannot be looked at",
                     path);
        if (slash != NULL)
            *slash = '/';
        if (result != 0 || others)
            return false;
    }
    return true;
}

char *p11_library_check(const char *path, char sentence[P11_SENTENCE])
{
    struct stat found;
    char *real = NULL, *written = NULL;
    bool accepted = false;
    if (path[0] != '/') {
        snprintf(sentence, P11_SENTENCE, "option library: '%s' is not an absolute path", path);
        goto out;
    }
    real = realpath(path, NULL);
    if (real == NULL || stat(real, &found) != 0) {
        int number = errno;
        snprintf(sentence, P11_SENTENCE,
                 "option library: '%s' cannot be opened: %s; give the absolute path of the maker's PKCS#11 module",
                 path, strerror(number));
        goto out;
    }
    if (!S_ISREG(found.st_mode)) {
        snprintf(sentence, P11_SENTENCE, "option library: '%s' is not a file", real);
        goto out;
    }
    if (is_networked(real)) {
        snprintf(sentence, P11_SENTENCE,
                 "option library: '%s' lies on another machine; a module is loaded from a local disk", real);
        goto out;
    }
    /* The way as it was written too: whoever owns a link on it chooses what it leads to. */
    written = strdup(path);
    if (written == NULL) {
        snprintf(sentence, P11_SENTENCE, "out of memory");
        goto out;
    }
    accepted = check_way(written, sentence) && check_way(real, sentence);
out:
    free(written);
    if (!accepted) {
        free(real);
        real = NULL;
    }
    return real;
}

OSSL_LIB_CTX *p11_library_context(void)
{
    static _Atomic(OSSL_LIB_CTX *) the_context;
    OSSL_LIB_CTX *context = atomic_load(&the_context), *none = NULL;
    if (context != NULL)
        return context;
    context = OSSL_LIB_CTX_new();
    /* Explicitly, and not by the process's configuration, which may name the provider that we serve. */
    if (context == NULL || OSSL_PROVIDER_load(context, "default") == NULL) {
        OSSL_LIB_CTX_free(context);
        return NULL;
    }
    if (atomic_compare_exchange_strong(&the_context, &none, context))
        return context;
    OSSL_LIB_CTX_free(context);
    return none;
}

bool p11_library_pinned(const char *path, const char *sha256, char sentence[P11_SENTENCE])
{
    unsigned char part[16384], digest[32];
    char text[65] = "";
    bool same = false, read_all = false;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    OSSL_LIB_CTX *library = p11_library_context();
    EVP_MD *algorithm = library != NULL ? EVP_MD_fetch(library, "SHA2-256", NULL) : NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = file >= 0 && algorithm != NULL && context != NULL && EVP_DigestInit_ex2(context, algorithm, NULL) == 1;
    while (good && !read_all) {
        ssize_t got = read(file, part, sizeof(part));
        if (got < 0 && errno == EINTR)
            continue;
        read_all = got == 0;
        good = got >= 0 && EVP_DigestUpdate(context, part, (size_t)got) == 1;
    }
    good = good && EVP_DigestFinal_ex(context, digest, NULL) == 1;
    if (file >= 0)
        close(file);
    EVP_MD_CTX_free(context);
    EVP_MD_free(algorithm);
    for (size_t i = 0; good && i < sizeof(digest); i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    same = good && strcasecmp(text, sha256) == 0;
    if (!good)
        snprintf(sentence, P11_SENTENCE, "option library_sha256: '%s' cannot be read", path);
    else if (!same)
        snprintf(
            sentence, P11_SENTENCE,
            "option library_sha256: '%s' has another SHA-256, %s; if its maker's package was updated, write this one",
            path, text);
    return same;
}
