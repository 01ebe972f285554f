#!/usr/bin/env bash
# What shows on a terminal and what is asked there, and what happens where there is none.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

escape=$(printf '\033')

# at_terminal OPTION... -- COMMAND...
at_terminal() { "$here/terminal.py" "$@"; }

# The widest line of $case_dir/out, in characters, without what colours it.
widest() { sed "s/$escape\[[0-9;]*m//g" out | awk '{ if (length($0) > m) m = length($0) } END { print m + 0 }'; }

populated_server() {
    server a
    keywright -q create database/sales
    keywright -q create master-key/corp.example --database sales
    keywright -q create discovery-service/sales/a-name-that-is-rather-long-as-names-go
    keywright -q create database/old
    keywright -q retire database/old
}

colour_shows_at_a_terminal_alone() {
    populated_server
    expect 0 at_terminal -- keywright -q list --all
    expect_out "$escape"
    expect 0 at_terminal -- env NO_COLOR=1 keywright list --all
    refuse_out "$escape"
    expect 0 at_terminal -- env NO_COLOR= keywright list --all
    expect_out "$escape"
    expect 0 at_terminal -- env TERM=dumb keywright list --all
    refuse_out "$escape"
    expect 0 at_terminal -- env -u TERM keywright list --all
    refuse_out "$escape"
    expect 0 keywright list --all
    refuse_out "$escape"
    expect 4 at_terminal -- keywright show database/nothing
    expect_out "$escape"
    expect 4 keywright show database/nothing
    refuse_err "$escape"
    expect 0 at_terminal -- keywright --json list
    refuse_out "$escape"
}

tables_fit_the_terminal_and_are_whole_elsewhere() {
    local columns
    populated_server
    for columns in 40 60 80 100 200; do
        expect 0 at_terminal --columns "$columns" -- keywright -q list --all
        [[ $(widest) -le $columns ]] || fail "$(widest) columns on a terminal of $columns"
        [[ $(wc -l <out) -eq 7 ]] || fail "not one line each on $columns columns"
        expect 0 at_terminal --columns "$columns" -- keywright show database/sales
        [[ $(widest) -le $columns ]] || fail "show: $(widest) columns on a terminal of $columns"
        expect 0 at_terminal --columns "$columns" -- keywright -q status
        [[ $(widest) -le $columns ]] || fail "status: $(widest) columns on a terminal of $columns"
        expect 0 at_terminal --columns "$columns" -- keywright plugins softstore
        [[ $(widest) -le $columns ]] || fail "plugins: $(widest) columns on a terminal of $columns"
    done
    expect 0 keywright list
    expect_out 'discovery-service/sales/a-name-that-is-rather-long-as-names-go .*CN=Discovery Service: a-name-that-is-rather-long-as-names-go'
    expect 0 keywright show database/sales
    expect_out 'SHA-256 +[0-9a-f]{64}$'
}

export_asks_twice_without_echo() {
    populated_server
    expect 0 at_terminal --wait ': ' 'typed secret 1' --wait 'again: ' 'typed secret 1' -- \
        keywright export --database sales -o sales.pfx
    refuse_out 'typed secret'
    openssl pkcs12 -in sales.pfx -passin 'pass:typed secret 1' -noout || fail "another password"
    # Two that differ are asked for anew.
    expect 0 at_terminal --wait ': ' one --wait 'again: ' two --wait 'export: ' three --wait 'again: ' three -- \
        keywright export --database sales -o sales.pfx
    openssl pkcs12 -in sales.pfx -passin pass:three -noout || fail "another password"
    rm sales.pfx
    at_terminal --wait ': ' '^C' -- keywright export --database sales -o sales.pfx >out 2>err && fail "interrupted, and done"
    expect_no_file sales.pfx
    at_terminal --wait ': ' '^D' -- keywright export --database sales -o sales.pfx >out 2>err && fail "ended, and done"
    expect_no_file sales.pfx
}

prompt_leaves_the_terminal_as_it_was() {
    populated_server
    # The shell goes on after the interrupted command, on the same terminal.
    expect 0 at_terminal --wait ': ' '^C' -- \
        bash -c 'trap : INT; before=$(stty -g); keywright export --database sales -o x.pfx; [[ $(stty -g) == "$before" ]] && echo restored'
    expect_out '^restored'
}

import_asks_once() {
    populated_server
    printf 'pw one' >password
    expect 0 keywright export --database sales -o sales.pfx --password-from file:password
    expect 0 at_terminal --wait ': ' 'pw one' -- keywright import sales.pfx
    refuse_out 'again'
    expect 7 at_terminal --wait ': ' 'pw two' -- keywright import sales.pfx
}

secret_is_asked_at_the_terminal_when_input_is_a_pipe() {
    populated_server
    sed -i 's/passphrase: file:passphrase/passphrase: prompt/' a/keywright.yaml
    printf 'text' >text
    expect 0 keywright encrypt database/sales -i text -o cms
    expect 0 at_terminal --stdin cms --stdout plain --wait ': ' "$(cat a/passphrase)" -- keywright decrypt database/sales -i - -o -
    expect_same text plain
    expect 7 at_terminal --wait ': ' 'wrong' -- keywright decrypt database/sales -i cms -o plain2
    expect_no_file plain2
    expect 3 keywright decrypt database/sales -i cms -o plain2 </dev/null
}

delete_asks_and_takes_no_for_an_answer() {
    populated_server
    expect 5 at_terminal --wait '[y/N]' n -- keywright delete database/old
    expect 5 at_terminal --wait '[y/N]' '' -- keywright delete database/old
    expect 5 at_terminal --wait '[y/N]' '^D' -- keywright delete database/old
    expect 0 keywright list --all
    expect_out 'database/old'
    expect 0 at_terminal --wait '[y/N]' yes -- keywright delete database/old
    expect 0 keywright list --all
    refuse_out 'database/old'
    # An answer that was not typed is none.
    expect 0 keywright retire database/sales
    printf 'y\n' >yes
    expect 5 at_terminal --stdin yes -- keywright delete database/sales
    expect_out '--yes'
}

passphrase_can_be_typed() {
    populated_server
    expect 0 at_terminal --wait ': ' 'new one' --wait 'again: ' 'new one' -- keywright passphrase local --new prompt
    refuse_out 'new one'
    printf 'new one\n' >a/passphrase
    printf text >text
    expect 0 keywright sign database/sales -i text -o s
}

secret_to_be_typed_without_a_terminal_is_refused() {
    populated_server
    printf 'password\n' >password
    chmod 600 password
    expect 0 keywright export database/sales -o sales.pfx --password-from file:password
    expect 5 keywright passphrase local --new prompt </dev/null
    expect_err '--new SOURCE'
    expect 5 keywright export database/sales -o x.pfx --password-from prompt </dev/null
    expect_err '--password-from SOURCE'
    expect_no_file x.pfx
    expect 5 keywright import sales.pfx --password-from prompt </dev/null
    expect_err '--password-from SOURCE'
    expect 0 keywright --json status
    expect_json '.stores[0].available == true'
}

# warned COUNT FILE: standard error warns so often that others may read the file.
warned() {
    local count
    count=$(grep -c "warning: .*$2: chmod 600" err || true)
    [[ $count -eq $1 ]] || fail "$count warnings about $2 instead of $1"
}

secret_file_that_others_read_is_warned_about_once() {
    populated_server
    chmod 644 a/catalogue-key a/passphrase
    printf 'password\n' >password
    expect 0 keywright create database/warned
    warned 1 a/catalogue-key
    warned 1 a/passphrase
    chmod 600 a/catalogue-key a/passphrase
    chmod 644 password
    expect 0 keywright export database/sales -o sales.pfx --password-from file:password
    warned 1 password
    expect 0 keywright import sales.pfx --password-from file:password
    warned 1 password
    expect 0 keywright passphrase local --new file:password
    warned 1 password
    printf 'password\n' >a/passphrase
    chmod 600 password
    expect 0 keywright export database/sales -o sales.pfx --password-from file:password
    expect_empty_err
}

output_that_cannot_be_written_is_a_failure() {
    populated_server
    expect 1 bash -c 'keywright list >/dev/full'
    expect_err 'standard output cannot be written'
    expect 1 bash -c 'keywright --json list >/dev/full'
    expect 1 bash -c 'keywright --help >/dev/full'
    expect 0 bash -c 'keywright list >&-; true'
    # A reader that goes away is no reason for words, nor for work left half done.
    for _ in {1..400}; do printf 'x%.0s' {1..400}; done >big
    expect 0 bash -c 'keywright sign database/sales -i big -o - | true; exit 0'
    expect_empty_err
    # shellcheck disable=SC2016 # for the inner shell
    expect 1 bash -c '(sleep 1; exec keywright create database/piped) | true; exit ${PIPESTATUS[0]}'
    expect_empty_err
    expect 0 keywright show database/piped
}

status_tells_the_facts() {
    populated_server
    expect 0 keywright --json status
    expect_json '.stores[0] | .name == "local" and .plugin == "softstore" and .available == true and (.calls | type == "number")'
    expect_json '.subkeys | has("hits") and has("misses") and has("calls_saved")'
    expect_json '.certificates == 6 and .certificates_required == 5 and .stores[0].certificates >= 5 and .misplaced == []'
    expect 0 keywright status
    expect_out 'local'
    expect_out 'available'
    printf 'wrong\n' >a/passphrase
    expect 0 keywright --json status
    expect_json '.stores[0].available == false and (.stores[0].problem | length > 0)'
}

status_names_what_is_misplaced() {
    populated_server
    sed -i 's/^certificates:/  second:\n    id: 89abcdef\n    plugin: softstore\n    options: {passphrase: file:passphrase}\ndatabases: {sales: {store: second}}\n&/' a/keywright.yaml
    expect 0 keywright config check
    expect 0 keywright --json status
    expect_json '.misplaced | length >= 1 and any(test("database/sales"))'
    expect_json '.stores | length == 2'
}

run_cases colour_shows_at_a_terminal_alone tables_fit_the_terminal_and_are_whole_elsewhere export_asks_twice_without_echo \
    prompt_leaves_the_terminal_as_it_was import_asks_once secret_is_asked_at_the_terminal_when_input_is_a_pipe \
    delete_asks_and_takes_no_for_an_answer passphrase_can_be_typed secret_to_be_typed_without_a_terminal_is_refused \
    secret_file_that_others_read_is_warned_about_once output_that_cannot_be_written_is_a_failure \
    status_tells_the_facts status_names_what_is_misplaced
