#!/usr/bin/env bash
# install-packages.sh [build|hsm|tls|test|debian|windows]: installs the Debian packages that building (the default), the quickstart with a token, the
# tests of the OpenSSL module, of TLS and of tokens, all tests, scripts/debian.sh, or building for Windows needs.
#
# For Debian 12 and 13. Does nothing, and needs no rights, when all are there.
set -euo pipefail

build=(
    gcc g++ libc6-dev cmake ninja-build pkgconf
    libssl-dev libyaml-dev libltdl-dev libsqlite3-dev libjansson-dev libsmartcols-dev
    libcurl4-openssl-dev
    libp11-dev libp11-kit-dev # of the latter pkcs11.h alone
    openssl ca-certificates # quickstart's client, and the judge in many tests
)
hsm=(
    softhsm2 opensc # a token in files; pkcs11-tool looks into it, pkcs11-spy counts
    jq
)
tls=(
    libcmocka-dev
    sqlite3 python3 valgrind
    util-linux # setarch, script, unshare, setpriv
    curl       # loads key files as most programs do
    faketime   # a clock that tests set
    gnutls-bin libnss3-tools # p11tool, certtool; certutil, pk12util
    opencryptoki                                 # another token, with a daemon
    libtpm2-pkcs11-1 swtpm tpm2-abrmd dbus-daemon # a TPM in software, and who shares it out
    libtss2-dev libtss2-tcti-tabrmd-dev          # for the libraries of theirs whose packages are called otherwise in each release
    postgresql mariadb-server-core mariadb-client-core # servers that connections are checked against, and their own clients
    nginx-light # a server whose workers give up root
    apache2 haproxy stunnel4 # more programs that use the module
    freetds-bin python3-pymongo                        # clients of SQL Server and MongoDB, which Debian has no servers of
    ccache     # the same file is compiled once for several steps and runs
)
test=(
    clang                          # the second compiler
    clang-format-19 clang-tidy-19  # one version for both releases of Debian, so that they say the same
    cppcheck shellcheck
    default-jre-headless # keytool: another reader and writer of .pfx
    libbcprov-java python3-cryptography-vectors   # BouncyCastle, which writes .pfx its own way; files of many origins
    libclang-rt-dev                               # libFuzzer and its AddressSanitizer
    gdb                                           # gcore, for what is in a core dump
    python3-jsonschema python3-yaml git
    python3-prometheus-client # reads metrics
    python3-cryptography # what seals are opened with beside Keywright
    less       # the pager
    systemd    # systemd-analyze, which reads units
    p11-kit    # beside p11tool, another reader of tokens
    iproute2   # interfaces in a network namespace
)
debian=(debootstrap debian-archive-keyring util-linux git) # another release of Debian in a folder (scripts/debian.sh)
windows=(
    g++-mingw-w64-x86-64-posix # the compiler for Windows, with POSIX's threads
    wine wine64                # runs what it made
    dpkg-dev                   # unpacks Debian's sources of the libraries
    tcl perl make              # what these are built with
)

usage() {
    echo "usage: scripts/install-packages.sh [build|hsm|tls|test|debian|windows]" >&2
    exit 2
}

fail() {
    echo "install-packages.sh: $*" >&2
    exit 1
}

[[ $# -le 1 ]] || usage
case ${1:-build} in
build) wanted=("${build[@]}") ;;
hsm) wanted=("${build[@]}" "${hsm[@]}") ;;
tls) wanted=("${build[@]}" "${hsm[@]}" "${tls[@]}") ;;
test) wanted=("${build[@]}" "${hsm[@]}" "${tls[@]}" "${test[@]}") ;;
debian) wanted=("${debian[@]}") ;;
windows) wanted=("${build[@]}" "${windows[@]}") ;;
*) usage ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    fail "this is no Debian; install the equivalents of: ${wanted[*]}"
fi

missing=()
for package in "${wanted[@]}"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || status=
    [[ $status == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=(env)
if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null ||
        fail "not root, and there is no sudo; have these packages installed: ${missing[*]}"
    as_root=(sudo env)
fi

# Twice more when a mirror does not answer; needrestart and debconf must not ask.
apt() {
    "${as_root[@]}" DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get --quiet=2 --option Acquire::Retries=3 --option DPkg::Lock::Timeout=300 "$@" </dev/null
}

echo "installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
updated=no
for pause in 0 5 20; do
    sleep "$pause"
    if apt --option APT::Update::Error-Mode=any update >"$log" 2>&1; then
        updated=yes
        break
    fi
done
# A source that does not answer need not be the one that has these packages: go on, and let the installation say so.
if [[ $updated == no ]]; then
    tail -n 5 "$log" >&2
    echo "install-packages.sh: apt-get update failed three times; its last words are above" >&2
fi
# Servers are here for tests to start, and do not start by themselves: what answers with 101 forbids it while they are installed.
policy=/usr/sbin/policy-rc.d
if [[ ${1:-build} =~ ^(tls|test)$ && ! -e $policy ]]; then
    trap 'rm -f "$log"; "${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
fi
if ! apt install --yes --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install ${missing[*]}; the last words are above"
fi
