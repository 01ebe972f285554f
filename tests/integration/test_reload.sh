#!/usr/bin/env bash
# A new configuration for programs that run.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

reload_shows_what_differs_and_tells_running_programs() {
    local running
    server one
    expect 0 keywright create database/sales
    # A program that runs: it waits for somebody who takes what it signed.
    printf 'text' >text
    mkfifo output
    keywright sign database/sales -i text -o output &
    running=$!
    for _ in {1..200}; do
        [[ $(keywright metrics --json | jq '.[] | select(.name == "keywright_contexts").value') == 2 ]] && break
        sleep 0.05
    done
    printf 'databases: {sales: {store: local}}\n' >>one/keywright.yaml
    expect 0 keywright reload --dry-run
    expect_out '^added +databases.sales.store: local$'
    expect_err 'nothing was changed; 1 contexts of running programs would be told'
    sed -i 's/general: {key: ec-p256}/general: {key: ec-p384}/' one/keywright.yaml
    expect 0 keywright reload --json
    expect_json '.dry_run == false and .contexts == 1'
    expect_json '.changes == [{"setting": "certificates.general.key", "before": "ec-p256", "after": "ec-p384"},
                              {"setting": "databases.sales.store", "before": null, "after": "local"}]'
    expect 0 keywright reload
    expect_empty_out
    expect_err 'nothing differs'
    expect_err '1 contexts of running programs were told'
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

run_cases reload_shows_what_differs_and_tells_running_programs reload_of_a_bad_file_changes_nothing
