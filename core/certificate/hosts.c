#include "certificate/hosts.h"
#include "base/buffer.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define NAME_MAXIMUM    253 /* RFC 1035 */
#define LABEL_MAXIMUM   63
#define ADDRESS_MAXIMUM 16 /* bytes */

struct found_address {
    unsigned char bytes[ADDRESS_MAXIMUM];
    size_t length;
};

kw_status host_check_name(const char *name, kw_error *error)
{
    const size_t length = strlen(name);
    bool digits_alone = true;
    if (length == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "a host name is empty");
    if (length > NAME_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "the host name '%.40s...' has %zu bytes; it may have %d", name,
                         length, NAME_MAXIMUM);
    for (const char *label = strncmp(name, "*.", 2) == 0 ? name + 2 : name;;) {
        const size_t size = strcspn(label, ".");
        if (size == 0)
            return error_set(error, KW_INVALID_ARGUMENT, "the host name '%s' has an empty part between its dots", name);
        if (size > LABEL_MAXIMUM)
            return error_set(error, KW_INVALID_ARGUMENT,
                             "the part '%.*s' of the host name '%s' has %zu bytes; it may have %d", (int)size, label,
                             name, size, LABEL_MAXIMUM);
        digits_alone = true;
        for (size_t i = 0; i < size; i++) {
            const unsigned char c = (unsigned char)label[i];
            const bool digit = c >= '0' && c <= '9', letter = (c | 32u) >= 'a' && (c | 32u) <= 'z';
            const bool hyphen_inside = c == '-' && i > 0 && i + 1 < size;
            if (!digit && !letter && c != '_' && !hyphen_inside) {
                kw_status status =
                    error_set(error, KW_INVALID_ARGUMENT, "'%s' is neither a host name nor an IP address", name);
                if (c >= 0x80)
                    error_remedy(error, "write an international name in its ASCII form (xn--...)");
                return status;
            }
            digits_alone = digits_alone && digit;
        }
        if (label[size] == '\0')
            break;
        label += size + 1;
    }
    if (digits_alone)
        return error_set(error, KW_INVALID_ARGUMENT, "'%s' ends like an IP address but is none", name);
    return KW_OK;
}

bool host_address_text(kw_input address, char text[HOST_ADDRESS_SIZE])
{
    const int family = address.length == 4 ? AF_INET : AF_INET6;
    if (address.length != 4 && address.length != 16)
        return false;
    return inet_ntop(family, address.data, text, HOST_ADDRESS_SIZE) != NULL;
}

/* ---- This machine --------------------------------------------------------------------------------------- */

static void lower_case(char *text)
{
    for (; *text != '\0'; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text + 32);
}

/* A copy at the end of the list, unless it is there. */
static kw_status add(char **hosts, size_t *count, const char *host, kw_error *error)
{
    for (size_t i = 0; i < *count; i++)
        if (strcasecmp(hosts[i], host) == 0)
            return KW_OK;
    hosts[*count] = text_copy(host);
    if (hosts[*count] == NULL)
        return error_memory(error);
    lower_case(hosts[*count]);
    (*count)++;
    return KW_OK;
}

/* A name with a dot in a line of the hosts file that also has `name`. Walking the file asks no name server. */
static char *full_name(const char *name)
{
    struct hostent entry = {0}, *found = NULL;
    char space[8192];
    int problem = 0;
    char *full = NULL;
    sethostent(0);
    while (full == NULL && gethostent_r(&entry, space, sizeof(space), &found, &problem) == 0 && found != NULL) {
        const char *dotted = strchr(found->h_name, '.') != NULL ? found->h_name : NULL;
        bool meant = strcasecmp(found->h_name, name) == 0;
        for (char **alias = found->h_aliases; *alias != NULL; alias++) {
            meant = meant || strcasecmp(*alias, name) == 0;
            if (dotted == NULL && strchr(*alias, '.') != NULL)
                dotted = *alias;
        }
        if (meant && dotted != NULL && host_check_name(dotted, NULL) == KW_OK)
            full = text_copy(dotted);
    }
    endhostent();
    return full;
}

static kw_status add_names(char **hosts, size_t *count, kw_error *error)
{
    char name[NAME_MAXIMUM + 2] = "";
    if (gethostname(name, sizeof(name) - 1) != 0)
        return error_set(error, KW_FAILED, "the system does not tell its host name: %s", strerror(errno));
    kw_status status = host_check_name(name, error);
    if (status != KW_OK) {
        error_prefix(error, "the system's host name");
        error_remedy(error, "set 'hosts:' of ssl-connection in the configuration");
        return status;
    }
    status = add(hosts, count, name, error);
    if (status != KW_OK || strchr(name, '.') != NULL)
        return status;
    char *full = full_name(name);
    if (full != NULL) {
        lower_case(full);
        status = add(hosts, count, full, error);
    }
    free(full);
    return status;
}

/* False: not an IP address, or one that others cannot reach us by. */
static bool take_address(const struct ifaddrs *interface, bool local, struct found_address *address)
{
    if (interface->ifa_addr == NULL || (interface->ifa_flags & IFF_UP) == 0)
        return false;
    if (interface->ifa_addr->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, interface->ifa_addr, sizeof(four));
        memcpy(address->bytes, &four.sin_addr, address->length = sizeof(four.sin_addr));
        const bool loopback = address->bytes[0] == 127, link = address->bytes[0] == 169 && address->bytes[1] == 254;
        return four.sin_addr.s_addr != INADDR_ANY && (local || !(loopback || link));
    }
    if (interface->ifa_addr->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, interface->ifa_addr, sizeof(six));
        memcpy(address->bytes, &six.sin6_addr, address->length = sizeof(six.sin6_addr));
        const bool loopback = IN6_IS_ADDR_LOOPBACK(&six.sin6_addr) != 0,
                   link = IN6_IS_ADDR_LINKLOCAL(&six.sin6_addr) != 0;
        return IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr) == 0 && (local || !(loopback || link));
    }
    return false;
}

static int compare_addresses(const void *left, const void *right)
{
    const struct found_address *l = left, *r = right;
    if (l->length != r->length)
        return l->length < r->length ? -1 : 1;
    return memcmp(l->bytes, r->bytes, l->length);
}

void hosts_free(char **hosts, size_t count)
{
    for (size_t i = 0; hosts != NULL && i < count; i++)
        free(hosts[i]);
    free(hosts);
}

kw_status hosts_of_this_machine(bool local, char ***hosts, size_t *count, kw_error *error)
{
    struct ifaddrs *interfaces = NULL;
    struct found_address *addresses = NULL;
    char **made = NULL;
    size_t made_count = 0, room = 0, found = 0;
    char text[HOST_ADDRESS_SIZE];
    kw_status status = KW_OK;
    if (getifaddrs(&interfaces) != 0) {
        status = error_set(error, KW_FAILED, "the system does not tell its addresses: %s", strerror(errno));
        goto out;
    }
    for (const struct ifaddrs *interface = interfaces; interface != NULL; interface = interface->ifa_next)
        room++;
    addresses = calloc(room + 1, sizeof(*addresses));
    made = calloc(room + 3, sizeof(*made)); /* two names and a NULL */
    if (addresses == NULL || made == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (const struct ifaddrs *interface = interfaces; interface != NULL; interface = interface->ifa_next)
        found += take_address(interface, local, &addresses[found]) ? 1 : 0;
    qsort(addresses, found, sizeof(*addresses), compare_addresses);
    status = add_names(made, &made_count, error);
    for (size_t i = 0; status == KW_OK && i < found; i++)
        if (host_address_text((kw_input){addresses[i].bytes, addresses[i].length}, text))
            status = add(made, &made_count, text, error);
    if (status != KW_OK)
        goto out;
    *hosts = made;
    *count = made_count;
    made = NULL;
out:
    hosts_free(made, made_count);
    free(addresses);
    if (interfaces != NULL)
        freeifaddrs(interfaces);
    return status;
}
