#include "config/value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ASCII alone, whatever the locale. */
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

static const char digits[] = DIGITS;

/* ---- Numbers ---- */

bool parse_integer(const char *text, int64_t *value)
{
    const bool negative = text[0] == '-';
    const char *at = text + (negative ? 1 : 0);
    const uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    uint64_t number = 0;
    /* A zero in front would be octal to some readers. */
    if (at[0] == '\0' || at[strspn(at, digits)] != '\0' || (at[0] == '0' && at[1] != '\0') ||
        (negative && at[0] == '0'))
        return false;
    for (; *at != '\0'; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (number > (limit - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *value = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

bool parse_boolean(const char *text, bool *value)
{
    const bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0)
        return false;
    *value = yes;
    return true;
}

bool parse_duration(const char *text, int64_t *milliseconds)
{
    static const struct {
        const char *name;
        int64_t milliseconds;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char number[20];
    int64_t count;
    size_t length = strspn(text, digits);
    if (length == 0 || length >= sizeof(number))
        return false;
    memcpy(number, text, length);
    number[length] = '\0';
    if (!parse_integer(number, &count))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + length, units[i].name) != 0)
            continue;
        if (count > INT64_MAX / units[i].milliseconds)
            return false;
        *milliseconds = count * units[i].milliseconds;
        return true;
    }
    return false;
}

/* ---- The nearest name ---- */

enum { NEAREST_MAXIMUM = 63 };

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* How many letters must be changed, added, left out or swapped with the next; the case does not count. */
static size_t distance(const char *left, const char *right)
{
    const size_t left_length = strlen(left), right_length = strlen(right);
    size_t rows[3][NEAREST_MAXIMUM + 1];
    for (size_t j = 0; j <= right_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= left_length; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above_that = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= right_length; j++) {
            int one = tolower((unsigned char)left[i - 1]), other = tolower((unsigned char)right[j - 1]);
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + (one == other ? 0 : 1));
            if (i > 1 && j > 1 && one == tolower((unsigned char)right[j - 2]) &&
                other == tolower((unsigned char)left[i - 2]))
                row[j] = least(row[j], above_that[j - 2] + 1);
        }
    }
    return rows[left_length % 3][right_length];
}

const char *nearest_name(const char *name, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t length = strlen(name);
    if (length > NEAREST_MAXIMUM)
        return NULL;
    /* Every third letter may be wrong. */
    size_t best = (length < 3 ? 1 : length / 3) + 1;
    for (size_t i = 0; i < count; i++) {
        size_t found = strlen(names[i]) > NEAREST_MAXIMUM ? best : distance(name, names[i]);
        /* Nothing in common is not near, however short. */
        if (found < best && found < strlen(names[i])) {
            best = found;
            nearest = names[i];
        }
    }
    return nearest;
}

const char *nearest_hint(char hint[HINT_SIZE], const char *name, const char *const *names, size_t count)
{
    const char *nearest = nearest_name(name, names, count);
    hint[0] = '\0';
    if (nearest != NULL)
        snprintf(hint, HINT_SIZE, " (did you mean '%s'?)", nearest);
    return hint;
}

/* ---- Hosts ---- */

static bool is_ipv4(const char *text)
{
    const char *at = text;
    for (size_t part = 0; part < 4; part++) {
        size_t length = strspn(at, digits);
        unsigned value = 0;
        if (length == 0 || length > 3 || (length > 1 && at[0] == '0'))
            return false;
        for (size_t i = 0; i < length; i++)
            value = value * 10 + (unsigned)(at[i] - '0');
        if (value > 255 || at[length] != (part < 3 ? '.' : '\0'))
            return false;
        at += length + 1;
    }
    return true;
}

/* Up to eight groups, one gap (::) in place of some, the last two perhaps as an IPv4 address: RFC 4291 2.2. */
static bool is_ipv6(const char *text)
{
    static const char hex[] = DIGITS "abcdefABCDEF";
    const char *at = text;
    size_t groups = 0;
    bool gap = false;
    if (at[0] == ':' && at[1] == ':') {
        gap = true;
        at += 2;
    }
    while (*at != '\0') {
        size_t length = strspn(at, hex);
        if (at[length] == '.')
            return is_ipv4(at) && (gap ? groups + 2 < 8 : groups + 2 == 8);
        if (length == 0 || length > 4 || groups == 8)
            return false;
        groups++;
        at += length;
        if (*at == '\0')
            break;
        if (at[0] != ':' || at[1] == '\0')
            return false;
        at++;
        if (*at == ':') {
            if (gap)
                return false;
            gap = true;
            at++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

static bool is_label(const char *text, size_t length)
{
    return length >= 1 && length <= 63 && text[0] != '-' && text[length - 1] != '-' &&
           strspn(text, LETTERS DIGITS "_-") >= length;
}

static bool is_host_name(const char *text)
{
    const char *at = text;
    size_t length;
    if (strlen(text) > 253)
        return false;
    if (strncmp(at, "*.", 2) == 0)
        at += 2;
    for (;; at += length + 1) {
        length = strcspn(at, ".");
        if (!is_label(at, length))
            return false;
        if (at[length] == '\0')
            break;
    }
    /* The last label is never a number: this was meant as an address. */
    return strspn(at, digits) != length;
}

enum host_kind host_kind(const char *text)
{
    if (is_ipv4(text))
        return HOST_IPV4;
    if (is_ipv6(text))
        return HOST_IPV6;
    return is_host_name(text) ? HOST_NAME : HOST_INVALID;
}

/* ---- Names ---- */

const char *const usage_names[] = {"serverAuth",   "clientAuth",  "codeSigning", "emailProtection",
                                   "timeStamping", "OCSPSigning", NULL};

/* Arcs: digits without a leading zero; the first at most 2, the second below 40 under 0 and 1 (X.660). */
static bool dotted_is_valid(const char *text)
{
    unsigned long first = 0;
    size_t arcs = 0;
    for (;; arcs++) {
        const size_t length = strspn(text, "0123456789");
        unsigned long arc = 0;
        if (length == 0 || length > 9 || (length > 1 && text[0] == '0'))
            return false;
        for (size_t i = 0; i < length; i++)
            arc = arc * 10 + (unsigned long)(text[i] - '0');
        if (arcs == 0)
            first = arc;
        if (first > 2 || (arcs == 1 && first < 2 && arc >= 40))
            return false;
        text += length;
        if (*text == '\0')
            return arcs > 0;
        if (*text++ != '.')
            return false;
    }
}

bool usage_is_valid(const char *text)
{
    for (const char *const *name = usage_names; *name != NULL; name++) {
        if (strcmp(*name, text) == 0)
            return true;
    }
    return strlen(text) < 128 && dotted_is_valid(text);
}

bool store_name_is_valid(const char *text)
{
    size_t length = strlen(text);
    return length >= 1 && length <= 63 && strspn(text, LETTERS DIGITS "_.-") == length &&
           strspn(text, LETTERS DIGITS) > 0;
}

bool store_id_is_valid(const char *text)
{
    size_t length = strlen(text);
    return length >= 8 && length <= 32 && strspn(text, "0123456789abcdef") == length;
}

bool plugin_is_valid(const char *text)
{
    size_t length = strlen(text);
    if (text[0] == '/')
        return length > 1 && text[length - 1] != '/';
    return length >= 1 && length <= 64 && strspn(text, LETTERS DIGITS "_-") == length;
}

/* ---- Words that YAML takes for something else ---- */

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

/* [-+]? (digits [. digits?] | . digits) [eE [-+]? digits]; an integer where there is neither a point nor an exponent */
static enum word_kind number_kind(const char *text)
{
    const char *at = text;
    bool fraction = false;
    if (*at == '-' || *at == '+')
        at++;
    size_t before = strspn(at, digits), after = 0;
    at += before;
    if (*at == '.') {
        fraction = true;
        at++;
        after = strspn(at, digits);
        at += after;
    }
    if (before + after == 0)
        return WORD_STRING;
    if (*at == 'e' || *at == 'E') {
        fraction = true;
        at++;
        if (*at == '-' || *at == '+')
            at++;
        size_t exponent = strspn(at, digits);
        if (exponent == 0)
            return WORD_STRING;
        at += exponent;
    }
    if (*at != '\0')
        return WORD_STRING;
    return fraction ? WORD_FLOAT : WORD_INTEGER;
}

enum word_kind word_kind(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    static const char *const floats[] = {".inf",  ".Inf",  ".INF", "-.inf", "-.Inf", "-.INF", "+.inf",
                                         "+.Inf", "+.INF", ".nan", ".NaN",  ".NAN",  NULL};
    if (is_one_of(text, nulls))
        return WORD_NULL;
    if (is_one_of(text, booleans))
        return WORD_BOOLEAN;
    if (is_one_of(text, floats))
        return WORD_FLOAT;
    if (strncmp(text, "0x", 2) == 0 && text[2] != '\0' && text[2 + strspn(text + 2, "0123456789abcdefABCDEF")] == '\0')
        return WORD_INTEGER;
    if (strncmp(text, "0o", 2) == 0 && text[2] != '\0' && text[2 + strspn(text + 2, "01234567")] == '\0')
        return WORD_INTEGER;
    return number_kind(text);
}
