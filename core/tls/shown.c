#include "tls/shown.h"

#include "base/buffer.h"
#include "certificate/x509.h"

#include <string.h>

/* Within no character of UTF-8. */
static size_t cut(const char *text, size_t most)
{
    while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80)
        most--;
    return most;
}

const char *shown_text(struct arena *arena, const char *text)
{
    const size_t length = strlen(text);
    if (length <= SHOWN_TEXT_MAXIMUM)
        return text;
    const size_t kept = cut(text, SHOWN_TEXT_MAXIMUM);
    return arena_format(arena, "%.*s... (and %zu bytes more)", (int)kept, text, length - kept);
}

static const char *without_kind(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon != NULL ? colon + 1 : name;
}

const char *shown_names(struct arena *arena, const kw_certificate_info *certificate)
{
    size_t shown = certificate->san_count;
    struct buffer all = {0};
    if (shown == 0)
        return NULL;
    if (shown > SHOWN_NAMES_MAXIMUM)
        shown = SHOWN_NAMES_MAXIMUM;
    for (size_t i = 0; i < shown; i++) {
        const char *name = shown_text(arena, without_kind(certificate->san[i]));
        buffer_format(&all, "%s%s", i > 0 ? ", " : "", name != NULL ? name : "");
    }
    if (certificate->san_count > shown)
        buffer_format(&all, " and %zu more", certificate->san_count - shown);
    const char *text = all.failed ? NULL : arena_copy(arena, all.data, all.length + 1);
    arena->failed = arena->failed || text == NULL;
    buffer_free(&all);
    return text;
}

const kw_certificate_info *shown_certificate(struct crypto *crypto, X509 *certificate, struct arena *arena)
{
    static const char unreadable[] = "unreadable";
    kw_certificate_info *info = arena_allocate(arena, sizeof(*info));
    if (info == NULL || certificate == NULL)
        return NULL;
    *info = (kw_certificate_info){.subject = unreadable,
                                  .issuer = unreadable,
                                  .serial = "",
                                  .sha256 = "",
                                  .not_before_text = unreadable,
                                  .not_after_text = unreadable};
    const kw_status status = x509_describe(crypto, certificate, arena, info, NULL);
    return status == KW_OK || status == KW_CORRUPT ? info : NULL;
}
