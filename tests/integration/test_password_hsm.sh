#!/usr/bin/env bash
# examples/password-server with its databases' keys and its master key in an HSM (SoftHSM): what each request costs the HSM, counted by the shim
# before it, and what goes on while it is away. SHIM is the module, STEER its command.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/password_server.sh
. "$here/password_server.sh"
: "${SHIM:?}" "${STEER:?}"

mkdir "$work/modules"
install -m 755 "$SHIM" "$work/modules/shim.so"

# The calls to the HSM so far, as the shim before it counts them, and as Keywright does.
calls() {
    local counted
    counted=$("$STEER" control calls any)
    told=$(keywright metrics --json | jq '[.[] | select(.name == "keywright_store_backend_calls_total" and .labels.store == "hsm") | .value] | add | floor')
    [[ $told -eq $counted ]] || fail "Keywright counts $told calls, and the shim $counted"
    printf '%s\n' "$counted"
}

# costs NUMBER PASSWORD ARGUMENT...: so many calls, every time, for the client's command.
costs() {
    local before round wanted=$1
    shift
    for round in 1 2; do
        before=$(calls)
        expect 0 client "$@"
        [[ $(($(calls) - before)) -eq $wanted ]] || fail "$2: $(($(calls) - before)) calls instead of $wanted (round $round): $("$STEER" control calls)"
    done
}

hsm_is_called_for_passwords_that_arrive_and_for_nothing_else() {
    mkdir token
    trap token_stop EXIT
    token_start softhsm "$case_dir/token"
    "$STEER" control create
    export KEYWRIGHT_SHIM_MODULE=$token_library KEYWRIGHT_SHIM_CONTROL=$case_dir/control
    server one
    {
        printf '  hsm:\n    id: "0a0b0c0d"\n    plugin: pkcs11\n'
        printf '    options: {library: %s, token_label: %s, pin: "file:pin"}\n' "$work/modules/shim.so" "$token_label"
    } >store
    sed -i '/^stores:/r store' one/keywright.yaml
    printf 'databases: {sales: {store: hsm}}\n' >>one/keywright.yaml
    (umask 077 && printf '%s' "$token_pin" >one/pin)
    password_keys
    start_password_server
    trap 'kill $server_pid 2>/dev/null || true; token_stop' EXIT
    keywright list --json | jq -e 'map(select(.store == "hsm") | .certificate) | sort == ["database/sales", "master-key/corp.example"]' >/dev/null ||
        fail "where the keys are"

    # After the start: what subkeys serve costs nothing, and neither does a TLS connection.
    costs 0 '' certificate sales
    costs 2 'a word' webviewer-task sales nightly viewer
    costs 0 'a word' use-task sales nightly
    costs 2 'bind' directory-profile sales corp CN=sync
    costs 0 'bind' use-profile sales corp
    costs 2 "ann's" enrol sales ann
    costs 2 "ann's" login sales ann

    # The HSM away: what is kept is of use, and no password is taken until it is back.
    "$STEER" control drop
    expect 0 client 'a word' use-task sales nightly
    expect 0 client '' certificate sales
    expect 1 client "ann's" login sales ann
    expect_err 'not possible now; try again later'
    expect 0 client 'bind' use-profile sales corp
    "$STEER" control restore
    await client "ann's" login sales ann
    stop_password_server
    trap token_stop EXIT

    # A second start finds all of it again, and the same holds.
    start_password_server
    trap 'kill $server_pid 2>/dev/null || true; token_stop' EXIT
    costs 0 'a word' use-task sales nightly
    costs 2 "ann's" login sales ann
    stop_password_server
    token_stop
    trap - EXIT
}

run_cases hsm_is_called_for_passwords_that_arrive_and_for_nothing_else
