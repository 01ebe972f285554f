/* Addresses of certificates: kind[/NAME[/NAME]][@N]. Which kinds there are is the certificate floor's to know. */
#ifndef KEYWRIGHT_CATALOGUE_ADDRESS_H
#define KEYWRIGHT_CATALOGUE_ADDRESS_H

#include "base/error.h"

#define ADDRESS_PARTS_MAXIMUM 3
#define ADDRESS_NAME_MAXIMUM  200 /* bytes of one part */
#define ADDRESS_TEXT_MAXIMUM  640
/* Of an entry's certificates: what looks through them all stays quick, whatever number a file claims. */
#define CERTIFICATE_NUMBER_MAXIMUM 10000u

struct address {
    char text[ADDRESS_TEXT_MAXIMUM + 1];                         /* without @N */
    char parts[ADDRESS_PARTS_MAXIMUM][ADDRESS_NAME_MAXIMUM + 1]; /* [0]: the kind */
    size_t part_count;
    unsigned number; /* N, 0: none */
};

/* KW_INVALID_ARGUMENT with the reason. Names are UTF-8 without control characters, '/', '\\', '@', '*', ':', quotes, and do not begin with
 * '.', '-' or a space, nor end with a space. */
KW_MUST_USE kw_status address_parse(const char *text, struct address *address, kw_error *error);
/*
 * The text of the address in a URI such as keywright:database/a%20b, in which %XX stands for a byte; not parsed yet. free() it. NULL: it is no
 * such URI, or malformed, or memory ran out.
 */
#define ADDRESS_SCHEME "keywright"
char *address_of_uri(const char *uri);
/* The URI of an address, with its number where it has one, such as keywright:database/a%20b. free() it. NULL: memory ran out. */
char *address_uri(const struct address *address);
/* Whether `name` may be one part. */
KW_MUST_USE kw_status address_check_name(const char *name, kw_error *error);

#endif
