/* Times, fingerprints and uses in the forms that people read. */
#ifndef KEYWRIGHT_CLI_TEXT_H
#define KEYWRIGHT_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define TEXT_TIME_SIZE 80

/* "2026-11-21 14:05:00 CET (UTC+01:00)", in the local zone; RFC 5280's end of time is "without end". */
void text_time(char text[TEXT_TIME_SIZE], int64_t wall);
/* The day of it alone. */
void text_date(char text[TEXT_TIME_SIZE], int64_t wall);
/* "AB:CD:..." of hex digits; cut where it does not fit. */
void text_fingerprint(char *text, size_t size, const char *hex);
/* "digital signature" of "digitalSignature", "TLS server" of "serverAuth"; an unknown one as it is. */
const char *text_usage(const char *name);

/* As much of what strangers wrote as people are shown: they choose how long it is. */
#define TEXT_NAMES_MAXIMUM 20
/* The text, or the beginning of a longer one and how much of it is left out; to be freed. NULL when memory ran out. */
char *text_shown(const char *text);

/* "a, b, c", each part as `word` has it (NULL: as it is), and printf into a new string; to be freed. NULL when memory ran out. */
char *text_join(const char *const *parts, size_t count, const char *(*word)(const char *part));
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
