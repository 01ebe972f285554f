#!/usr/bin/env bash
# A new configuration for programs that run.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

signatures() { keywright metrics --json | jq '[.[] | select(.name == "keywright_store_operations_total" and .labels.operation == "sign").value] | add | floor'; }

reload_shows_what_differs_and_tells_running_programs() {
    local running before
    server one
    expect 0 keywright create database/sales
    before=$(signatures)
    # A program that runs: it waits for somebody who takes what it signed.
    printf 'text' >text
    mkfifo output
    timeout 120 keywright sign database/sales -i text -o output &
    running=$!
    for _ in {1..200}; do
        [[ $(signatures) -gt $before ]] && break
        sleep 0.05
    done
    printf 'databases: {sales: {store: local}}\n' >>one/keywright.yaml
    expect 0 keywright reload --dry-run
    expect_out '^added +databases.sales.store: local$'
    expect_err 'nothing was changed; 1 contexts of running programs would be told'
    sed -i 's/general: {key: ec-p256}/general: {key: ec-p384}/' one/keywright.yaml
    expect 0 keywright reload --json
    expect_json '.dry_run == false and .contexts == 1 and .taken == 0 and .refused == 0 and .refusing == null'
    expect_json '.waiting | test("^process [0-9]+ .keywright.$")'
    expect_json '.warnings == []'
    expect_json '.changes == [{"setting": "certificates.general.key", "before": "ec-p256", "after": "ec-p384"},
                              {"setting": "databases.sales.store", "before": null, "after": "local"}]'
    expect 0 keywright reload
    expect_empty_out
    expect_err 'nothing differs'
    expect_err '1 contexts of running programs were told, and 0 of them have it'
    expect_err 'process [0-9]+ .keywright.: not yet; at its next call or use of a key'
    keywright metrics | grep -qx 'keywright_configurations_total 2' || fail "they were told twice"
    # its work is not cut
    cat output >signature
    wait "$running" || fail "the program that was running failed"
    expect 0 keywright verify database/sales -i text -s signature
}

reload_of_a_bad_file_changes_nothing() {
    server one
    cp one/keywright.yaml good
    printf 'storse: {}\n' >>one/keywright.yaml
    expect 3 keywright reload
    expect_err 'keywright.yaml:[0-9]+:[0-9]+: .*storse'
    expect_err 'nothing was changed: programs that run go on with the configuration that they have'
    expect 3 keywright reload --dry-run
    cp good one/keywright.yaml
    expect 0 keywright metrics
    expect_out '^keywright_configurations_total 0$'
}

# No program runs: what differs is what the file was when it was last put in force, and not what it is now.
reload_without_a_running_program_names_what_goes_away() {
    server one
    sed -i '/^stores:/a\  second: {id: "0b1d02aa", plugin: softstore, options: {passphrase: file:passphrase}}' one/keywright.yaml
    expect 0 keywright create database/sales --store second
    sed -i '/^  second:/d' one/keywright.yaml
    expect 4 keywright config check --connect
    for _ in 1 2; do
        expect 0 keywright reload --dry-run
        expect_out '^removed +stores.second.id: 0b1d02aa$'
        expect_err 'store second goes away \(id 0b1d02aa\), and keys are in it: database/sales@1; keep it until .keywright transfer.'
    done
    expect 0 keywright --json reload
    expect_json '(.warnings | length == 1) and .contexts == 0 and .waiting == null'
    expect 0 keywright reload
    expect_err 'nothing differs'
}

reload_to_a_store_that_cannot_be_opened_is_refused() {
    server one
    cp one/keywright.yaml good
    sed -i '/^stores:/a\  second: {id: "0b1d02aa", plugin: softstore, options: {passphrase: file:absent}}' one/keywright.yaml
    expect 3 keywright reload --dry-run
    expect_err 'absent'
    expect_err 'nothing was changed'
    expect 3 keywright reload
    cp good one/keywright.yaml
    expect 0 keywright metrics
    expect_out '^keywright_configurations_total 0$'
}

run_cases reload_without_a_running_program_names_what_goes_away reload_to_a_store_that_cannot_be_opened_is_refused reload_shows_what_differs_and_tells_running_programs reload_of_a_bad_file_changes_nothing
