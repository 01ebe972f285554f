#!/usr/bin/env bash
# Long output at a terminal goes through a pager, and nowhere else.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

at_terminal() { "$here/terminal.py" "$@"; }

# A pager that says that it was there, and what it was told.
with_pager() {
    server a
    cat >pager <<'END'
#!/bin/sh
echo "begin LESS=$LESS LESSSECURE=$LESSSECURE"
cat
echo end
END
    chmod +x pager
    export KEYWRIGHT_PAGER=$PWD/pager
}

list_and_show_go_through_the_pager_at_a_terminal_alone() {
    local verb
    with_pager
    for verb in list 'show ssl-connection' 'show ssl-connection --text'; do
        # shellcheck disable=SC2086 # several words
        expect 0 at_terminal -- keywright $verb
        expect_out '^begin LESS=FRX LESSSECURE=1'
        expect_out '^end'
        # shellcheck disable=SC2086
        expect 0 keywright $verb
        refuse_out '^begin'
        # shellcheck disable=SC2086
        expect 0 at_terminal -- keywright $verb --no-pager
        refuse_out '^begin'
        # shellcheck disable=SC2086
        expect 0 at_terminal -- keywright --json $verb
        refuse_out '^begin'
    done
    expect 0 at_terminal -- keywright status
    refuse_out '^begin'
    expect 0 at_terminal -- env LESS=iM keywright list
    expect_out '^begin LESS=iM'
}

pager_is_chosen_as_documented() {
    with_pager
    export PAGER='sed s/^/other:/'
    expect 0 at_terminal -- keywright list
    expect_out '^begin'
    refuse_out '^other:'
    unset KEYWRIGHT_PAGER
    expect 0 at_terminal -- keywright list
    expect_out '^other:.*CERTIFICATE'
    for PAGER in '' cat; do
        expect 0 at_terminal -- keywright list
        expect_out '^CERTIFICATE'
        refuse_out 'other:'
    done
    unset PAGER
    # Where there is no less, it does without.
    expect 0 at_terminal -- env PATH="$work/bin" keywright list
    expect_out '^CERTIFICATE'
    # And where there is, a short list stays on the screen.
    expect 0 at_terminal -- keywright list
    expect_out 'CERTIFICATE'
}

pager_that_cannot_be_run_is_told() {
    with_pager
    expect 1 at_terminal -- env KEYWRIGHT_PAGER=/nowhere/pager keywright list
    expect_out "the pager '/nowhere/pager' cannot be run"
    expect_out '[-][-]no-pager'
}

output_in_a_pager_is_as_at_the_terminal() {
    local escape
    escape=$(printf '\033')
    with_pager
    keywright -q create database/sales
    keywright -q create discovery-service/sales/a-name-that-is-rather-long-as-names-go
    printf 'a password\n' >password
    chmod 600 password
    keywright -q export server-encryption -o se.pfx --password-from file:password # else a sentence asks for it
    expect 0 at_terminal --columns 60 -- keywright list
    [[ $(sed "s/$escape\[[0-9;]*m//g" out | awk '{ if (length($0) > m) m = length($0) } END { print m }') -le 60 ]] || fail "wider than the terminal"
    keywright -q create database/old
    keywright -q retire database/old
    expect 0 at_terminal -- keywright list --all
    expect_out "$escape"
    expect 0 at_terminal -- env NO_COLOR=1 keywright list --all
    refuse_out "$escape"
}

# A screen at a time, so that the titles are always in sight.
titles_are_repeated_page_by_page() {
    local number
    with_pager
    for number in {1..25}; do
        keywright -q create "general/n$number"
    done
    expect 0 at_terminal --rows 20 -- keywright list
    [[ $(grep -c '^CERTIFICATE ' out) -eq 2 ]] || fail "$(grep -c '^CERTIFICATE ' out) lines of titles"
    expect 0 at_terminal --rows 20 -- keywright list --no-pager
    [[ $(grep -c '^CERTIFICATE ' out) -eq 1 ]] || fail "titles repeated without a pager"
}

reader_that_quits_is_no_failure() {
    local hosts=() number
    with_pager
    # More than a pipe holds.
    for number in {1..2000}; do
        hosts+=(--host "host-$number.of.a.rather.long.domain.example")
    done
    keywright -q create general/many "${hosts[@]}"
    # One that reads nothing, one that reads a line, and less itself, which q ends.
    for pager in true 'head -n 1' 'exec <&-; sleep 0.2'; do
        expect 0 at_terminal -- env KEYWRIGHT_PAGER="$pager" keywright show general/many
        refuse_out 'keywright:'
    done
    expect 0 at_terminal --wait : q -- env KEYWRIGHT_PAGER=less keywright show general/many
    refuse_out 'keywright:'
    # The interrupt key is the pager's.
    expect 0 at_terminal --wait ready '^C' -- env KEYWRIGHT_PAGER="trap 'echo caught; exit 0' INT; echo ready; sleep 5; sleep 5" keywright show general/many
    expect_out caught
}

# What is damaged is told below the list, when the pager is done.
damaged_rows_are_told_behind_the_pager() {
    with_pager
    keywright -q create general/x
    sqlite3 "$catalogue" "update entry set created = created + 1 where address = 'general/x'"
    expect 8 at_terminal -- keywright list
    [[ $(grep -n '^end' out | cut -d: -f1) -lt $(grep -n 'keywright:' out | head -n 1 | cut -d: -f1) ]] || fail "told within the pager"
}

run_cases list_and_show_go_through_the_pager_at_a_terminal_alone pager_is_chosen_as_documented pager_that_cannot_be_run_is_told \
    output_in_a_pager_is_as_at_the_terminal titles_are_repeated_page_by_page reader_that_quits_is_no_failure \
    damaged_rows_are_told_behind_the_pager
