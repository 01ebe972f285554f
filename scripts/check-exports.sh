#!/usr/bin/env bash
# check-exports.sh BUILD: what the built library, plugins, module and command export and need. First proves that a library
# which exports or needs more would be found.
set -euo pipefail
build=${1:?usage: check-exports.sh BUILD}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# excess FILE SYMBOLS LIBRARIES: what FILE exports or needs beyond these two extended expressions.
excess() {
    nm --dynamic --defined-only --format=posix "$1" | awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' |
        grep -vxE "$2" | sed 's/^/exports /' || true
    objdump --private-headers "$1" | awk '$1 == "NEEDED" { print $2 }' |
        grep -vxE "($3|libc|libpthread|ld-linux.*)\.so\.[0-9.]+" | sed 's/^/needs /' || true
    # Of that memory a process that is running already has next to none: what wants it cannot be loaded by a server.
    ! readelf --dynamic --wide "$1" | grep -q STATIC_TLS || echo 'needs static thread-local storage'
}

check() {
    local found
    if [[ ! -f $1 ]]; then
        echo "$1 is not there"
        failures=$((failures + 1))
        return
    fi
    found=$(excess "$@")
    [[ -n $found ]] || return 0
    while read -r line; do echo "$1 $line"; done <<<"$found"
    failures=$((failures + $(wc -l <<<"$found")))
}

cc -x c -shared -fPIC -o "$work/libbroken.so" - -Wl,--no-as-needed -lcrypto <<'EOF'
static _Thread_local int number __attribute__((tls_model("initial-exec")));
int kw_fine(void) { return number++; }
int leaked(void) { return 1; }
EOF
if [[ $(excess "$work/libbroken.so" 'kw_.*' none) != $'exports leaked\nneeds libcrypto.so.3\nneeds static thread-local storage' ]]; then
    echo "check-exports.sh: does not see what a library exports and needs" >&2
    exit 1
fi

check "$build/lib/libkeywright.so" 'kw_[a-z0-9_]+' 'libcrypto|libssl|libcurl|libyaml-0|libltdl|libsqlite3|libjansson'
# The runtime of the command's start is its own.
check "$build/bin/keywright" '_IO_stdin_used|__data_start|data_start|__bss_start|_edata|_end|_start|main|stdout|stderr|stdin|(__|_)?environ|opt(ind|arg|err|opt)' \
    'libkeywright|libjansson|libsmartcols'
plugins=0
for plugin in "$build"/lib/keywright/keywright-*.so; do
    check "$plugin" 'kw_plugin_query' 'libcrypto|libp11'
    plugins=$((plugins + 1))
done
for module in "$build"/lib/ossl-modules/*.so; do
    [[ ! -f $module ]] || check "$module" 'OSSL_provider_init' 'libkeywright|libcrypto'
done
echo "$plugins plugins, $failures failures"
[[ $failures -eq 0 ]]
