#include "text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NO_END             INT64_C(253402300799) /* 9999-12-31T23:59:59Z, RFC 5280 section 4.1.2.5 */
#define MINUTES_PER_HOUR   60
#define SECONDS_PER_MINUTE 60
#define SHOWN_MAXIMUM      ((size_t)400) /* bytes */

/* False: there is no end, or no such time here; `text` says so. */
static int local(char text[TEXT_TIME_SIZE], int64_t wall, struct tm *parts)
{
    const time_t time = (time_t)wall;

    if (wall == NO_END) {
        snprintf(text, TEXT_TIME_SIZE, "without end");
        return 0;
    }
    if (localtime_r(&time, parts) == NULL) {
        snprintf(text, TEXT_TIME_SIZE, "%lld s after 1970-01-01 UTC", (long long)wall);
        return 0;
    }
    return 1;
}

void text_time(char text[TEXT_TIME_SIZE], int64_t wall)
{
    struct tm parts;
    char day[32], zone[16] = "";
    long minutes, hours;

    if (!local(text, wall, &parts))
        return;
    strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &parts);
    if (parts.tm_zone != NULL && isalpha((unsigned char)parts.tm_zone[0]))
        snprintf(zone, sizeof(zone), "%s", parts.tm_zone);
    minutes = parts.tm_gmtoff / SECONDS_PER_MINUTE;
    hours = (minutes < 0 ? -minutes : minutes) / MINUTES_PER_HOUR;
    if (minutes == 0 && zone[0] != '\0')
        snprintf(text, TEXT_TIME_SIZE, "%s %s", day, zone);
    else
        snprintf(text, TEXT_TIME_SIZE, "%s %s%sUTC%c%02ld:%02ld%s", day, zone, zone[0] != '\0' ? " (" : "",
                 minutes < 0 ? '-' : '+', hours, (minutes < 0 ? -minutes : minutes) % MINUTES_PER_HOUR,
                 zone[0] != '\0' ? ")" : "");
}

void text_date(char text[TEXT_TIME_SIZE], int64_t wall)
{
    struct tm parts;

    if (local(text, wall, &parts))
        strftime(text, TEXT_TIME_SIZE, "%Y-%m-%d", &parts);
}

void text_fingerprint(char *text, size_t size, const char *hex)
{
    size_t length = 0;

    for (size_t i = 0; hex[i] != '\0' && length + 2 < size; i++) {
        if (i > 0 && i % 2 == 0)
            text[length++] = ':';
        text[length++] = (char)toupper((unsigned char)hex[i]);
    }
    text[length] = '\0';
}

static const struct {
    const char *name, *words;
} usages[] = {
    {"digitalSignature", "digital signature"},
    {"nonRepudiation", "non-repudiation"},
    {"keyEncipherment", "key encipherment"},
    {"dataEncipherment", "data encipherment"},
    {"keyAgreement", "key agreement"},
    {"keyCertSign", "signing certificates"},
    {"cRLSign", "signing revocation lists"},
    {"encipherOnly", "agreement to encipher only"},
    {"decipherOnly", "agreement to decipher only"},
    {"serverAuth", "TLS server"},
    {"clientAuth", "TLS client"},
    {"codeSigning", "code signing"},
    {"emailProtection", "e-mail protection"},
    {"timeStamping", "time stamping"},
    {"OCSPSigning", "OCSP signing"},
    {"anyExtendedKeyUsage", "any use"},
};

const char *text_usage(const char *name)
{
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        if (strcmp(usages[i].name, name) == 0)
            return usages[i].words;
    }
    return name;
}

char *text_join(const char *const *parts, size_t count, const char *(*word)(const char *part))
{
    size_t length = 1, at = 0;

    for (size_t i = 0; i < count; i++)
        length += strlen(word != NULL ? word(parts[i]) : parts[i]) + 2;
    char *text = calloc(1, length);
    for (size_t i = 0; text != NULL && i < count; i++)
        at += (size_t)snprintf(text + at, length - at, "%s%s", i > 0 ? ", " : "",
                               word != NULL ? word(parts[i]) : parts[i]);
    return text;
}

char *text_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return text;
}

char *text_shown(const char *text)
{
    const size_t length = strlen(text);
    size_t kept = length <= SHOWN_MAXIMUM ? length : SHOWN_MAXIMUM;

    /* Within no character of UTF-8. */
    while (kept > 0 && kept < length && ((unsigned char)text[kept] & 0xc0) == 0x80)
        kept--;
    return kept == length ? text_format("%s", text)
                          : text_format("%.*s... (and %zu bytes more)", (int)kept, text, length - kept);
}
