#!/usr/bin/env bash
# The names and addresses of this host in the SAN of ssl-connection, on a host of several interfaces: a network namespace.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# host COMMAND...: runs it with a network and a host name of its own. Root needs no user namespace, and a chroot allows none.
host() {
    local own=(unshare --net --uts)
    [[ $(id -u) -eq 0 ]] || own=(unshare --user --map-root-user --net --uts)
    "${own[@]}" "$here/test_interfaces.sh" --inside "$@"
}

# Kernels differ in what they can make; all of these hold addresses, which is all that is asked of them.
new_interface() {
    local type
    for type in dummy bridge ifb veth; do
        ip link add "$1" type "$type" 2>/dev/null && break
    done
    ip link show dev "$1" >/dev/null || fail "the kernel makes no interface that holds addresses"
    # So that an IPv6 address is there at once, and the kernel adds none of its own.
    printf 0 >"/proc/sys/net/ipv6/conf/$1/accept_dad" 2>/dev/null || true
    printf 1 >"/proc/sys/net/ipv6/conf/$1/addr_gen_mode" 2>/dev/null || true
}

# Two interfaces that are up and one that is down, with an address of every sort.
several_interfaces() {
    hostname Node7.Example
    ip link set lo up
    new_interface wide0
    new_interface wide1
    new_interface down0
    ip address add 192.0.2.10/24 dev wide0
    ip address add 192.0.2.11/24 dev wide0
    ip address add 10.1.2.3/8 dev wide1
    ip address add 192.0.2.10/32 dev wide1 # the same once more
    ip address add 169.254.7.7/16 dev wide1
    ip address add 127.9.9.9/8 dev lo
    ip -6 address add 2001:db8::10/64 dev wide0 nodad
    ip -6 address add fd00:7::10/64 dev wide1 nodad # unique local
    ip -6 address add fe80::7/64 dev wide1 nodad
    ip address add 198.51.100.1/24 dev down0
    ip link set wide0 up
    ip link set wide1 up
}

# make_server [SETTING]: a server whose first certificates are made here.
make_server() {
    server a
    rm -r a/state
    printf '  ssl-connection: {key: ec-p256%s}\n  server-encryption: {key: ec-p256}\n' "${1:-}" >>a/keywright.yaml
    expect 0 keywright apply
}

# san WANTED...: the certificate's SAN, as openssl shows it, is this and nothing else.
san() {
    keywright show ssl-connection --pem |
        openssl x509 -noout -ext subjectAltName | tail -n +2 | tr ',' '\n' | sed 's/^ *//' | LC_ALL=C sort >is
    printf '%s\n' "$@" | LC_ALL=C sort >wanted
    diff -u wanted is >differences || fail "the SAN is not as wanted: $(cat differences)"
}

# Each address as a name and as an address.
global=('DNS:node7.example'
    'DNS:192.0.2.10' 'IP Address:192.0.2.10' 'DNS:192.0.2.11' 'IP Address:192.0.2.11' 'DNS:10.1.2.3' 'IP Address:10.1.2.3'
    'DNS:2001:db8::10' 'IP Address:2001:DB8:0:0:0:0:0:10' 'DNS:fd00:7::10' 'IP Address:FD00:7:0:0:0:0:0:10')
local_ones=('DNS:127.0.0.1' 'IP Address:127.0.0.1' 'DNS:127.9.9.9' 'IP Address:127.9.9.9' 'DNS:::1' 'IP Address:0:0:0:0:0:0:0:1'
    'DNS:169.254.7.7' 'IP Address:169.254.7.7' 'DNS:fe80::7' 'IP Address:FE80:0:0:0:0:0:0:7')

every_address_of_several_interfaces_is_in_the_san_once() {
    several_interfaces
    make_server
    san "${global[@]}"
}

local_addresses_are_taken_in_where_asked_for() {
    several_interfaces
    make_server ', local_addresses: true'
    san "${global[@]}" "${local_ones[@]}"
}

configured_hosts_stand_in_place_of_the_addresses() {
    several_interfaces
    make_server ', hosts: [www.example, 2001:db8::99]'
    san DNS:www.example DNS:2001:db8::99 'IP Address:2001:DB8:0:0:0:0:0:99'
}

host_without_addresses_has_its_name_alone() {
    hostname lonely.example
    make_server
    san DNS:lonely.example
}

host_name_that_no_certificate_can_hold_is_refused_before_a_key_is_made() {
    server a
    hostname "$(printf 'a%.0s' {1..64})" # a label has 63 characters at most
    rm -r a/state
    printf '  ssl-connection: {key: ec-p256}\n  server-encryption: {key: ec-p256}\n' >>a/keywright.yaml
    keywright apply >out 2>err && fail "taken"
    expect_err "host name"
    expect_err "set 'hosts:' of ssl-connection"
    expect 0 keywright list
    refuse_out ssl-connection
}

cases=(every_address_of_several_interfaces_is_in_the_san_once local_addresses_are_taken_in_where_asked_for
    configured_hosts_stand_in_place_of_the_addresses host_without_addresses_has_its_name_alone
    host_name_that_no_certificate_can_hold_is_refused_before_a_key_is_made)

if [[ ${1:-} == --inside ]]; then
    shift
    run_cases "$@"
    exit 0
fi
[[ -n $(command -v ip) ]] || fail "ip is missing: package iproute2"
for name in "${cases[@]}"; do
    host "$name" || fail "in a network namespace of its own"
done
