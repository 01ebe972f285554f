#!/usr/bin/env bash
# S8: a process without a right fails at once, says which right is missing, to whom and what to do, and leaves nothing behind.
#
# As root the command runs as another user, on files of that user's but for what is withheld; others withhold from themselves.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

who=nobody
[[ $(id -u) -eq 0 ]] || who=$(id -un)

# withhold LETTER PATH...: the rights with these letters, and no other.
withhold() {
    local letter=$1
    shift
    if [[ $(id -u) -eq 0 ]]; then
        chown root "$@"
        chmod a+rwX "$@"
    fi
    chmod "a-$letter" "$@"
}

# The files that verbs work on, made once and given to who will run them.
prepare() {
    server a
    keywright -q create database/sales
    keywright -q create general/spare
    printf 'the text' >a/text
    printf 'a password' >a/password
    chmod 600 a/password
    keywright encrypt database/sales -i a/text -o a/cms
    keywright sign database/sales -i a/text -o a/signature
    keywright -q export database/sales -o a/sales.pfx --password-from file:a/password
    mkdir a/out
    if [[ $(id -u) -eq 0 ]]; then
        chown -R 65534 a
        mkdir copy
        chown 65534 copy
    fi
}

# What is there. Who withholds a right from himself does not see what is behind it, before and after. The counters of what was tried go on.
picture() {
    { find t -printf '%p %y %m %u %s\n' 2>&1 || true; } | sort
    { find t -type f ! -path t/state/run/control -exec sha256sum {} + 2>&1 || true; } | sort
}

# refused SETUP WORDS...: on a copy of the server where SETUP withheld something, the command in WORDS fails quickly, naming $path
# and the right in $right; and everything is as before.
refused() {
    local setup=$1 began
    shift
    [[ ! -e t ]] || chmod -R u+rwX t
    rm -rf t
    cp -a a t
    (cd t && eval "$setup")
    picture >before
    KEYWRIGHT_CONFIG=$PWD/t/keywright.yaml
    export KEYWRIGHT_CONFIG
    began=$EPOCHREALTIME
    expect 1 as_nobody "$@"
    [[ $(((${EPOCHREALTIME/[.,]/} - ${began/[.,]/}) / 1000000)) -lt 10 ]] || fail "not at once"
    expect_empty_out
    expect_err "user $who needs the right to $right .*$path,? which belongs to user (root|$who) and has mode [0-7]{4}"
    expect_err '^  (run it as user|chmod u\+)'
    picture >after
    diff before after >differences || fail "$setup; $*: left behind: $(cat differences)"
}

# Every verb that opens the catalogue.
catalogue_verbs=(
    'apply' 'status' 'list' 'create general/new' 'show database/sales' 'show database/sales --pem' 'request database/sales -o t/new'
    'import t/sales.pfx --password-from file:t/password' 'export database/sales -o t/new --password-from file:t/password'
    'retire database/sales' 'delete general/spare --force --yes' 'sign database/sales -i t/text -o t/new'
    'verify database/sales -i t/text -s t/signature' 'encrypt database/sales -i t/text -o t/new'
    'decrypt database/sales -i t/cms -o t/new' 'passphrase local --new file:t/password')

# every_verb SETUP: all of them are refused.
every_verb() {
    local verb words
    for verb in "${catalogue_verbs[@]}"; do
        read -ra words <<<"$verb"
        refused "$1" "${words[@]}"
    done
}

state_directory_that_cannot_be_written_stops_every_verb() {
    prepare
    path=t/state right='write to the state directory'
    every_verb 'withhold w state'
    path=t/state right='search the state directory'
    refused 'withhold x state' list
}

catalogue_that_cannot_be_used_stops_every_verb() {
    prepare
    path=t/state/catalogue.db right='write the file'
    every_verb 'withhold w state/catalogue.db'
    refused 'withhold rw state/catalogue.db' list
    right='read the file'
    refused 'withhold r state/catalogue.db' list
}

catalogue_key_that_cannot_be_read_stops_every_verb() {
    prepare
    path=t/catalogue-key right='read the file'
    every_verb 'withhold r catalogue-key'
}

configuration_that_cannot_be_read_stops_every_verb() {
    prepare
    path=t/keywright.yaml right='read the file'
    every_verb 'withhold r keywright.yaml'
    path=t right='search the directory'
    refused 'withhold x .' list
}

# What keeps account of keys that are on their way.
run_directory_that_cannot_be_written_stops_what_changes_keys() {
    local verb words
    prepare
    path=t/state/run right='write to the directory'
    for verb in 'create general/new' 'delete general/spare --force --yes'; do
        read -ra words <<<"$verb"
        refused 'withhold w state/run' "${words[@]}"
    done
}

passphrase_that_cannot_be_read_stops_what_uses_a_key() {
    local verb words
    prepare
    path=t/passphrase right='read the file'
    for verb in 'create general/new' 'request database/sales -o t/new' 'export database/sales -o t/new --password-from file:t/password' \
        'sign database/sales -i t/text -o t/new' 'decrypt database/sales -i t/cms -o t/new' 'passphrase local --new file:t/password' \
        'delete general/spare --force --yes'; do
        read -ra words <<<"$verb"
        refused 'withhold r passphrase' "${words[@]}"
    done
}

output_that_cannot_be_written_leaves_nothing() {
    local verb words
    prepare
    path=t/out right='write to the directory'
    for verb in 'request database/sales -o t/out/new' 'export database/sales -o t/out/new --password-from file:t/password' \
        'export --everything --separate -o t/out --password-from file:t/password' 'sign database/sales -i t/text -o t/out/new' \
        'encrypt database/sales -i t/text -o t/out/new' 'decrypt database/sales -i t/cms -o t/out/new' 'init t/out/new'; do
        read -ra words <<<"$verb"
        refused 'withhold w out' "${words[@]}"
    done
    # An existing one is replaced, which is its directory's right.
    refused 'printf old >out/new; withhold w out' sign database/sales -i t/text -o t/out/new
    right='search the directory'
    refused 'withhold x out' sign database/sales -i t/text -o t/out/new
}

input_that_cannot_be_read_leaves_nothing() {
    local verb words
    prepare
    right='read the file'
    for verb in 'text sign database/sales -i t/text -o t/new' 'text encrypt database/sales -i t/text -o t/new' \
        'cms decrypt database/sales -i t/cms -o t/new' 'signature verify database/sales -i t/text -s t/signature' \
        'sales.pfx import t/sales.pfx --password-from file:t/password' 'password import t/sales.pfx --password-from file:t/password' \
        'password export database/sales -o t/new --password-from file:t/password' 'password passphrase local --new file:t/password'; do
        read -ra words <<<"$verb"
        path=t/${words[0]}
        refused "withhold r ${words[0]}" "${words[@]:1}"
    done
}

state_directory_that_cannot_be_made_leaves_nothing() {
    prepare
    path=t right='write to the directory'
    refused 'rm -r state; withhold w .' apply
}

run_cases state_directory_that_cannot_be_written_stops_every_verb catalogue_that_cannot_be_used_stops_every_verb \
    catalogue_key_that_cannot_be_read_stops_every_verb configuration_that_cannot_be_read_stops_every_verb \
    run_directory_that_cannot_be_written_stops_what_changes_keys passphrase_that_cannot_be_read_stops_what_uses_a_key \
    output_that_cannot_be_written_leaves_nothing input_that_cannot_be_read_leaves_nothing \
    state_directory_that_cannot_be_made_leaves_nothing
