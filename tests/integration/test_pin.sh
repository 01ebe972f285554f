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

wrong_pin_on_opencryptoki_is_sent_once() { wrong_pin_is_sent_once opencryptoki; }
wrong_pin_on_tpm2_is_sent_once() { wrong_pin_is_sent_once tpm2; }

run_cases wrong_pin_on_opencryptoki_is_sent_once wrong_pin_on_tpm2_is_sent_once
