/* Names and addresses of hosts, as they go into a SAN; those of this machine. */
#ifndef KEYWRIGHT_CERTIFICATE_HOSTS_H
#define KEYWRIGHT_CERTIFICATE_HOSTS_H

#include "base/error.h"

/*
 * Host name (and its FQDN where the hosts file gives it one; no name server is asked, so nothing waits for one), then the
 * addresses of all interfaces that are up, IPv4 first, sorted. Loopback and link-local ones only with `local`. Each once. Free
 * with hosts_free.
 */
KW_MUST_USE kw_status hosts_of_this_machine(bool local, char ***hosts, size_t *count, kw_error *error);
void hosts_free(char **hosts, size_t count);

/* Whether it can be a dNSName (RFC 1123; '*' may be the first label; '_' is let pass). KW_INVALID_ARGUMENT with the reason. */
KW_MUST_USE kw_status host_check_name(const char *name, kw_error *error);

/* The text of an iPAddress of 4 or 16 bytes; false for any other length. */
#define HOST_ADDRESS_SIZE 46
KW_MUST_USE bool host_address_text(kw_input address, char text[HOST_ADDRESS_SIZE]);

#endif
