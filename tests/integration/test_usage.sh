#!/usr/bin/env bash
# The command line itself: help, options in any order, mistakes.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

verbs=(init apply "config check" "config schema" plugins status create list show request import export retire delete sign verify
    encrypt decrypt passphrase "licence request" "licence verify" "trust export" "trust install" "trust check" metrics reload seal unseal)

help_whole_names_every_verb_and_exit_status() {
    local verb status
    expect 0 keywright --help
    for verb in "${verbs[@]}"; do
        expect_out "^  $verb +[a-z]"
    done
    for status in 0 1 2 3 4 5 6 7 8; do
        expect_out "^  $status  [a-zPt]"
    done
    expect_empty_err
    cp out whole
    expect 0 keywright help
    expect_same out whole
    [[ $(awk '{ if (length($0) > m) m = length($0) } END { print m }' whole) -le 100 ]] || fail "help is too wide"
}

help_verb_explains_with_an_example() {
    local verb words
    for verb in "${verbs[@]}"; do
        read -ra words <<<"$verb"
        expect 0 keywright help "${words[@]}"
        expect_out "^Usage: keywright $verb"
        expect_out '^Examples:$'
        expect_out "^  keywright $verb"
        expect_empty_err
        cp out by_help
        expect 0 keywright "${words[@]}" --help
        expect_same out by_help
        expect 0 keywright --json "${words[@]}" -h
        expect_same out by_help
    done
}

help_of_a_group_lists_its_verbs() {
    expect 0 keywright help config
    expect_out '^Usage: keywright config VERB'
    expect_out '^  config check +[a-z]'
    expect_out '^  config schema +[a-z]'
    refuse_out '^  create'
    expect_empty_err
    cp out by_help
    for words in 'config --help' '--help config' 'config -h --json' '--json config -h'; do
        # shellcheck disable=SC2086 # words
        expect 0 keywright $words
        expect_same out by_help
    done
    expect 2 keywright config nothing --help
    expect 2 keywright help confi
}

secret_sources_that_are_none_are_usage() {
    server a
    keywright -q create database/sales
    expect 2 keywright export database/sales -o x.pfx --password-from hidden-text
    expect_err 'the password of the export: this is not where a secret comes from'
    refuse_err 'hidden-text'
    expect 2 keywright export database/sales -o x.pfx --password-from inline:hidden-text
    refuse_err 'hidden-text'
    expect 2 keywright passphrase local --new hidden-text
    refuse_err 'hidden-text'
    expect_no_file x.pfx
}

configuration_that_is_no_file_is_named_once() {
    head -c 2000000 /dev/zero >large.yaml
    expect 3 keywright -c "$PWD/large.yaml" list
    expect_err "^keywright: $PWD/large.yaml:1:1: it is larger than [0-9]+ bytes$"
    expect 3 keywright -c "$PWD" list
    expect_err "^keywright: $PWD:1:1: it is not a regular file$"
}

version_is_printed() {
    expect 0 keywright --version
    expect_out '^keywright [0-9]+\.[0-9]+\.[0-9]+$'
    expect_empty_err
}

verb_missing_or_unknown_is_usage() {
    expect 2 keywright
    expect_empty_out
    expect 2 keywright craete database/sales
    expect_err "^keywright: there is no verb 'craete'$"
    expect_err "^  did you mean 'create'"
    expect 2 keywright frobnicate
    refuse_err 'did you mean'
    expect 2 keywright help lst
    expect_err "did you mean 'list'"
    expect 2 keywright config
    expect_err "'keywright config check' or 'keywright config schema'"
    expect 2 keywright config chek
    expect_err "did you mean 'config check'"
}

option_mistakes_are_usage() {
    expect 2 keywright list --databse sales
    expect_err "^keywright: unknown option --databse$"
    expect_err 'did you mean --database'
    expect 2 keywright list -x
    expect_err 'unknown option -x'
    expect 2 keywright list --database
    expect_err 'option --database needs its DB'
    expect 2 keywright list --all=yes
    expect_err 'option --all takes no argument'
    expect 2 keywright list --store a --store b
    expect_err 'option --store is given twice'
    expect 2 keywright create database/a --s x
    expect_err 'option --s is ambiguous'
    expect 2 keywright create
    expect_err 'CERT is missing'
    expect 2 keywright create database/a database/b
    expect_err "'database/b' is one word too many"
    expect 2 keywright create ''
    expect_err 'CERT is empty'
    expect 2 keywright sign database/a -o x
    expect_err '-i FILE is missing'
    expect 2 keywright passphrase local
    expect_err '--new SOURCE is missing'
    expect 2 keywright -q -v list
    expect_err 'contradict'
    expect 2 keywright sign database/a -i x -out
    expect_err 'option -out needs its FILE'
    expect 2 keywright show database/a --pem --text
    expect_err 'contradict'
    expect 2 keywright export -o x
    expect_err 'what to export'
    expect 2 keywright export database/a --everything -o x
    expect_err 'contradict'
    expect 2 keywright verify database/a -i - -s -
    expect_err 'standard input'
    expect 2 keywright --json sign database/a -i "$here/lib.sh" -o -
    expect_err 'standard output'
    expect_empty_out
}

error_with_json_is_one_object_on_standard_error() {
    expect 2 keywright --json frobnicate
    expect_empty_out
    jq -e '.error | .exit_status == 2 and .status != "" and .message != "" and .remedy != "" and has("line") and has("column")' \
        err >/dev/null || fail "not the error as JSON"
    expect 2 keywright list --json --frobnicate
    jq -e '.error.exit_status == 2' err >/dev/null || fail "not the error as JSON"
}

globals_behind_the_verb_count_too() {
    server a
    unset KEYWRIGHT_CONFIG
    expect 0 keywright -c a/keywright.yaml list --json
    expect_json 'length == 2'
    expect 0 keywright list --json -c a/keywright.yaml
    expect_json 'length == 2'
    expect 0 keywright --json list --config=a/keywright.yaml --all
    expect_json 'length == 2'
    expect 0 keywright config --json check a/keywright.yaml
    expect_json 'has("events")'
    expect 0 keywright create -q general/x --key ec-p256 -c a/keywright.yaml --host x.example
    expect_empty_out
    expect_empty_err
    expect 0 keywright show -c a/keywright.yaml -- general/x
}

input_and_output_as_openssl_writes_them_are_taken() {
    server a
    expect 0 keywright create database/sales
    printf 'text' >text
    expect 0 keywright encrypt database/sales -in text -out cms
    expect 0 keywright decrypt database/sales -in cms -out plain
    expect_same text plain
    # A file may be named like an option.
    cp text ./-in
    expect 0 keywright encrypt database/sales -i -in -o -out
    expect_file ./-out
    cp text n
    expect 0 keywright encrypt database/sales -i n -o ut
    expect 0 keywright decrypt database/sales -i ut -o plain
    expect_same text plain
}

configuration_is_found_by_option_environment_and_default() {
    server a
    server b
    expect 0 keywright create database/only-in-b
    expect 0 keywright list
    expect_out 'only-in-b'
    expect 0 keywright -c a/keywright.yaml list
    refuse_out 'only-in-b'
    unset KEYWRIGHT_CONFIG
    if [[ ! -e /etc/keywright/keywright.yaml ]]; then
        expect 3 keywright list
        expect_err '/etc/keywright/keywright.yaml'
    fi
}

verbose_tells_what_stores_did() {
    server a
    expect 0 keywright -v create general/x
    expect_err 'store local: open done, [0-9]+ ms'
    expect_err 'key_generate done'
    refuse_err 'key_open'
    printf 'text' >text
    expect 0 keywright -v -v sign general/x -i text -o s
    expect_err 'key_open done'
    expect 0 keywright sign general/x -i text -o s
    expect_empty_err
}

run_cases verbose_tells_what_stores_did help_whole_names_every_verb_and_exit_status help_verb_explains_with_an_example \
    help_of_a_group_lists_its_verbs secret_sources_that_are_none_are_usage configuration_that_is_no_file_is_named_once version_is_printed \
    verb_missing_or_unknown_is_usage option_mistakes_are_usage error_with_json_is_one_object_on_standard_error \
    globals_behind_the_verb_count_too input_and_output_as_openssl_writes_them_are_taken \
    configuration_is_found_by_option_environment_and_default
