#!/usr/bin/env bash
# What processes count together, and how it is told.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# metric NAME OPERATION: of the store local, read by Prometheus' client library.
metric() {
    keywright metrics | /usr/bin/python3 "$here/metrics.py" | jq -r --arg name "$1" --arg operation "$2" \
        '[to_entries[] | select(.key | startswith($name + " ") and contains(" store=local ") and contains("operation=" + $operation + " "))
          | .value] | add // 0 | if . == floor then floor else . end'
}

metrics_are_read_by_prometheus_and_agree_with_status() {
    server one
    local before
    expect 0 keywright create database/sales
    before=$(metric keywright_store_operations_total sign)
    printf 'text' >text
    for _ in 1 2 3; do
        expect 0 keywright sign database/sales -i text -o signature
    done
    [[ $(metric keywright_store_operations_total sign) == $((before + 3)) ]] || fail "3 signatures are not 3"
    [[ $(metric keywright_store_backend_calls_total sign) == $((before + 3)) ]] || fail "3 signatures are not 3 calls"
    [[ $(metric keywright_store_errors_total sign) == 0 ]] || fail "a signature failed"
    metric keywright_store_operation_seconds_total sign | jq -e '. > 0 and . < 10' >/dev/null || fail "the time"
    # opening no store: it is the same number however often one asks
    [[ $(metric keywright_store_operations_total open) == "$(metric keywright_store_operations_total open)" ]] || fail "metrics opened a store"
    expect 0 keywright metrics --json
    expect_json 'map(select(.name == "keywright_store_operations_total" and .labels.store == "local" and .labels.operation == "sign") | .value) == ['$((before + 3))']'
    expect_json 'map(select(.name == "keywright_contexts") | .value) == [1]'
    jq '[.[] | select(.name == "keywright_store_backend_calls_total") | .value] | add | floor' out >all
    expect 0 keywright status --json
    # which itself opens the store and asks for its health
    [[ $(jq '.stores[0].calls' out) == $(($(cat all) + 2)) ]] || fail "status counts $(jq '.stores[0].calls' out) calls, and metrics counted $(cat all)"
    expect_json '.stores[0].operations | map(select(.operation == "sign").calls) == ['$((before + 3))']'
}

errors_are_counted_beyond_the_process() {
    server one
    printf 'wrong' >one/passphrase
    for _ in 1 2; do
        expect 7 keywright create database/sales
    done
    [[ $(metric keywright_store_errors_total open) == 2 ]] || fail "2 errors are not 2"
}

many_processes_at_once_lose_no_count() {
    server one
    local i before jobs=()
    expect 0 keywright create database/sales
    before=$(metric keywright_store_operations_total sign)
    printf 'text' >text
    for i in {1..12}; do
        keywright sign database/sales -i text -o "signature-$i" &
        jobs+=($!)
    done
    for i in "${jobs[@]}"; do
        wait "$i" || fail "a process failed"
    done
    [[ $(metric keywright_store_operations_total sign) == $((before + 12)) ]] || fail "12 signatures are not 12"
}

# A store's name is whatever the configuration says; one that it has no longer keeps its counts.
labels_are_what_the_configuration_says() {
    server one
    expect 0 keywright create database/sales
    sed -i 's/^  local:/  '"'"'a "b\\c'"'"':/; s/^store: local/store: '"'"'a "b\\c'"'"'/' one/keywright.yaml
    if keywright config check >/dev/null 2>&1; then
        keywright metrics | /usr/bin/python3 "$here/metrics.py" | grep -qF 'store=a \"b\\c ' || fail "a name with a quote"
        sed -i 's/a "b\\c/other/' one/keywright.yaml
    else
        sed -i "s/'a \"b\\\\c'/other/" one/keywright.yaml
    fi
    keywright metrics | /usr/bin/python3 "$here/metrics.py" | grep -q 'store=other store_id=' || fail "the store's new name"
    local id
    id=$(sed -n 's/^ *id: "\([0-9a-f]*\)".*/\1/p' one/keywright.yaml)
    [[ -n $id ]] || fail "the store has no id"
    sed -i "s/$id/00000000/" one/keywright.yaml
    keywright metrics | /usr/bin/python3 "$here/metrics.py" | grep -q "store=$id store_id=$id" || fail "the store's id"
}

run_cases metrics_are_read_by_prometheus_and_agree_with_status errors_are_counted_beyond_the_process \
    many_processes_at_once_lose_no_count labels_are_what_the_configuration_says
