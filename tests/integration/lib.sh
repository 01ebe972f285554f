# lib.sh: what the integration tests share. A test is a bash script that sources this, defines functions named
# <verb>_<condition>_<result>, and ends with `run_cases function...`. Each case runs in a shell and a directory of its own.
#
# KEYWRIGHT names the command. Independent programs (openssl, jq, sqlite3) judge what it does.
# shellcheck shell=bash disable=SC2034 # what is set here is used by the tests
set -euo pipefail

: "${KEYWRIGHT:?names the keywright command to test}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/keywright-test.XXXXXX")
mkdir "$work/bin"
ln -s "$(readlink -f "$KEYWRIGHT")" "$work/bin/keywright"
PATH=$work/bin:$PATH
export PATH LC_ALL=C.UTF-8 TERM=xterm KEYWRIGHT_PAGER='' TZ=UTC
unset KEYWRIGHT_CONFIG NO_COLOR COLUMNS
trap 'chmod -R u+rwX "$work"; rm -rf "$work"' EXIT

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    if [[ -n ${last_command:-} ]]; then
        printf '  last command: %s\n' "$last_command" >&2
        printf '  its standard output:\n' >&2
        head -c 2000 "$case_dir/out" | sed 's/^/    /' >&2
        printf '\n  its standard error:\n' >&2
        head -c 2000 "$case_dir/err" | sed 's/^/    /' >&2
    fi
    exit 1
}

# expect STATUS COMMAND...: runs it; its output is in $case_dir/out and $case_dir/err.
expect() {
    local wanted=$1 status=0
    shift
    last_command=$*
    "$@" >"$case_dir/out" 2>"$case_dir/err" || status=$?
    [[ $status -eq $wanted ]] || fail "exit status $status instead of $wanted"
    [[ $status -eq 0 || $1 != keywright || -s $case_dir/err ]] || fail "failed without a word"
}

# Extended regular expressions, on any line.
expect_out() { grep -Eq -e "$1" "$case_dir/out" || fail "standard output lacks: $1"; }
expect_err() { grep -Eq -e "$1" "$case_dir/err" || fail "standard error lacks: $1"; }
refuse_out() { ! grep -Eq -e "$1" "$case_dir/out" || fail "standard output has: $1"; }
refuse_err() { ! grep -Eq -e "$1" "$case_dir/err" || fail "standard error has: $1"; }
expect_empty_out() { [[ ! -s $case_dir/out ]] || fail "standard output is not empty"; }
expect_empty_err() { [[ ! -s $case_dir/err ]] || fail "standard error is not empty"; }

# expect_json FILTER: standard output is one JSON document for which the filter is true.
expect_json() {
    [[ $(jq -s length "$case_dir/out" 2>/dev/null) == 1 ]] || fail "standard output is not one JSON document"
    jq -e "$1" "$case_dir/out" >/dev/null || fail "JSON is not: $1"
}

expect_same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }
expect_file() { [[ -f $1 ]] || fail "there is no file $1"; }
expect_no_file() { [[ ! -e $1 ]] || fail "there is a file $1"; }
expect_mode() { [[ $(stat -c %a "$2") == "$1" ]] || fail "$2 has mode $(stat -c %a "$2") instead of $1"; }

# Settings that make further keys quick to make; what RSA does is tested with --key.
quick_keys='
certificates:
  database: {key: ec-p256}
  master-key: {key: ec-p256}
  discovery-service: {key: ec-p256}
  password-reset: {key: ec-p256}
  general: {key: ec-p256}
'

# server NAME: a server in $case_dir/NAME, whose configuration the following commands use. All servers of a test are copies of one, made
# by `init` once.
server() {
    if [[ ! -d $work/template ]]; then
        keywright -q init "$work/template" || fail "init"
        printf '%s' "$quick_keys" >>"$work/template/keywright.yaml"
    fi
    cp -a "$work/template" "$case_dir/$1"
    use "$1"
}

# other_server NAME: a server that shares nothing with the others.
other_server() {
    keywright -q init "$case_dir/$1" || fail "init"
    printf '%s' "$quick_keys" >>"$case_dir/$1/keywright.yaml"
    use "$1"
}

# use NAME: further commands use this server.
use() {
    export KEYWRIGHT_CONFIG=$case_dir/$1/keywright.yaml
    state=$case_dir/$1/state
    # Found by what it is, not by its name.
    catalogue=$(find "$state" -maxdepth 1 -name '*.db' | head -n 1)
}

# as_nobody ARGUMENT...: keywright without any right that root has, from a copy that nobody can reach wherever the build is. Who is not root
# has no such right as it is.
as_nobody() {
    local built
    if [[ $(id -u) -ne 0 ]]; then
        keywright "$@"
        return
    fi
    if [[ ! -d $work/nobody ]]; then
        built=$(dirname "$(dirname "$(readlink -f "$KEYWRIGHT")")")
        mkdir "$work/nobody"
        cp -a "$built/bin" "$built/lib" "$work/nobody"
        chmod -R a+rX,go-w "$work/nobody"
    fi
    chmod 755 "$work" "$case_dir"
    setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all -- \
        env "LD_LIBRARY_PATH=$work/nobody/lib" "$work/nobody/bin/keywright" "$@"
}

run_cases() {
    local failures=0 name status
    for name in "$@"; do
        printf '%s\n' "$name"
        case_dir=$work/$name
        mkdir "$case_dir"
        touch "$case_dir/out" "$case_dir/err"
        set +e
        (
            set -eE
            trap 'printf "FAILED: line %s: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR
            cd "$case_dir"
            trap - EXIT
            "$name"
        )
        status=$?
        set -e
        if [[ $status -ne 0 ]]; then
            printf 'FAILED: case %s of %s\n' "$name" "$(basename "$0")" >&2
            failures=$((failures + 1))
        fi
        chmod -R u+rwX "$case_dir"
        rm -rf "$case_dir"
    done
    [[ $failures -eq 0 ]] || exit 1
    printf '%d cases passed\n' $#
}
