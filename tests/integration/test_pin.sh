#!/usr/bin/env bash
# W4 on tokens that count: a wrong PIN reaches the token once, however often the server starts. SHIM counts, STEER asks it.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
token_space "$@"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
: "${SHIM:?}" "${STEER:?}"

# Modules that others may write are refused, and the checkout need not be of a strict umask.
mkdir "$work/modules"
install -m 755 "$SHIM" "$work/modules/shim.so"

logins() { "$STEER" control calls C_Login; }

# wrong_pin_is_sent_once KIND
wrong_pin_is_sent_once() {
    local round
    mkdir token
    trap token_stop EXIT
    token_start "$1" "$case_dir/token"
    "$STEER" control create
    export KEYWRIGHT_SHIM_MODULE=$token_library KEYWRIGHT_SHIM_CONTROL=$case_dir/control
    server one
    {
        printf '  token:\n    id: "0a0b0c0d"\n    plugin: pkcs11\n'
        printf '    options: {library: %s, token_label: %s, pin: "file:pin"}\n' "$work/modules/shim.so" "$token_label"
    } >store
    sed -i '/^stores:/r store' one/keywright.yaml
    printf '%s' 99999999 >one/pin
    chmod 600 one/pin
    for round in {1..10}; do
        expect 7 keywright config check --connect
    done
    [[ $(logins) -eq 1 ]] || fail "$(logins) logins with the wrong PIN in $round starts"
    printf '%s' "$token_pin" >one/pin
    expect 0 keywright config check --connect
    [[ $(logins) -eq 2 ]] || fail "$(logins) logins instead of 2"
    # The token has counted one refusal and no more: it is not locked.
    expect 0 keywright create general/one --key rsa-2048 --store token
    printf 'text' >text
    expect 0 keywright sign general/one -i text -o signature
    expect 0 keywright verify general/one -i text -s signature
}

# Servers that know nothing of one another, with different wrong PINs, at once: together they leave the last try.
wrong_pins_of_many_servers_do_not_lock_it() {
    local number jobs=()
    mkdir token
    trap token_stop EXIT
    token_start opencryptoki "$case_dir/token"
    "$STEER" control create
    export KEYWRIGHT_SHIM_MODULE=$token_library KEYWRIGHT_SHIM_CONTROL=$case_dir/control
    for number in {1..6}; do
        server "s$number"
        {
            printf '  token:\n    id: "0a0b0c0d"\n    plugin: pkcs11\n'
            printf '    options: {library: %s, token_label: %s, pin: "file:pin"}\n' "$work/modules/shim.so" "$token_label"
        } >store
        sed -i '/^stores:/r store' "s$number/keywright.yaml"
        (umask 077 && printf '%s' "9999999$number" >"s$number/pin")
    done
    for number in {1..6}; do
        keywright -c "s$number/keywright.yaml" config check --connect >"log$number" 2>&1 &
        jobs+=($!)
    done
    for number in "${jobs[@]}"; do ! wait "$number" || fail "a wrong PIN is taken"; done
    cat log? >all
    ! grep -q locked all || fail "the token is locked: $(cat all)"
    grep -q 'one try' all || fail "nobody says that one try is left: $(cat all)"
    token_tool --token-label "$token_label" --login --pin "$token_pin" --list-objects >objects || fail "the right PIN is not taken any more"
}

wrong_pin_on_opencryptoki_is_sent_once() { wrong_pin_is_sent_once opencryptoki; }
wrong_pin_on_tpm2_is_sent_once() { wrong_pin_is_sent_once tpm2; }

run_cases wrong_pins_of_many_servers_do_not_lock_it wrong_pin_on_opencryptoki_is_sent_once wrong_pin_on_tpm2_is_sent_once
