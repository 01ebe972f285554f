#!/usr/bin/env bash
# memcheck-verbs.sh KEYWRIGHT VALGRIND...: the command under valgrind, one run of each road through the library: every run must do what it should, and
# leave no error and no leak.
set -euo pipefail
keywright=$(realpath "${1:?usage: memcheck-verbs.sh KEYWRIGHT VALGRIND...}")
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0 runs=0

# expect STATUS ARGUMENT...: runs the verb and wants this exit status.
expect() {
    local wanted=$1 status=0
    shift
    runs=$((runs + 1))
    "${checker[@]}" "$keywright" "$@" >output 2>messages </dev/null || status=$?
    if [[ $status -ne $wanted ]]; then
        failures=$((failures + 1))
        echo "keywright $*: exit status $status, not $wanted"
        tail -n 40 messages
    fi
}

checker=("$@")
printf 'secret of a client' >plain
printf 'password of a file' >password
export KEYWRIGHT_CONFIG=$work/state/keywright.yaml

expect 0 --help
expect 2 no-such-verb
expect 3 -c /nonexistent/keywright.yaml status
expect 0 init state
expect 0 config check
expect 0 config schema
expect 0 plugins softstore
expect 0 create database/sales --key rsa-2048
expect 0 create password-reset/sales/web --key ec-p256
expect 5 create database/sales
expect 0 list
expect 0 list --all --json
expect 0 show database/sales
expect 4 show database/none
expect 0 status --json
expect 0 request ssl-connection -o request.der
expect 0 sign database/sales -i plain -o signature
expect 0 verify database/sales -i plain -s signature
expect 0 sign password-reset/sales/web -i plain -o signature
expect 1 verify database/sales -i plain -s signature
expect 0 encrypt database/sales -i plain -o cipher
expect 0 decrypt database/sales -i cipher -o plain.again
cmp plain plain.again || failures=$((failures + 1))
expect 0 encrypt password-reset/sales/web -i plain -o cipher
expect 0 decrypt password-reset/sales/web -i cipher -o plain.again
expect 0 export --database sales -o sales.pfx --password-from file:password
printf 'another password' >wrong
expect 7 import sales.pfx --password-from file:wrong
printf 'a%.0s' {1..32} >state/machine-id
printf 'licence: {machine_id_file: machine-id}\n' >>state/keywright.yaml
expect 0 licence request -o request.json
expect 3 licence verify request.json
expect 0 create master-key/example --database sales --key ec-p256
expect 0 seal master-key/example --purpose p -i password -o seal
expect 0 unseal master-key/example --purpose p -i seal -o opened
expect 8 unseal master-key/example --purpose other -i seal -o opened
expect 0 trust export --format p7b -o server.p7b
expect 2 trust check localhost
expect 6 trust check localhost:1
expect 0 retire password-reset/sales/web
expect 5 delete password-reset/sales/web
expect 0 delete password-reset/sales/web --yes
printf 'another passphrase' >passphrase
expect 0 passphrase local --new file:passphrase

echo "$runs runs, $failures failures"
[[ $failures -eq 0 ]]
