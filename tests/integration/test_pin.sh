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

# Two stores on one token, each used by a process of its own: each sends a wrong PIN once, and no more however often they start.
wrong_pin_of_two_stores_in_two_processes_is_sent_once_each() {
    local round name job jobs
    shim_server
    sed 's/^  token:/  second:/; s/0a0b0c0d/0a0b0c0e/' store >other
    sed -i '/^stores:/r other' one/keywright.yaml
    (umask 077 && printf 99999999 >one/pin)
    for round in {1..3}; do
        jobs=()
        for name in token second; do
            keywright adopt $name >"log-$name" 2>&1 &
            jobs+=($!)
        done
        for job in "${jobs[@]}"; do ! wait "$job" || fail "a wrong PIN is taken"; done
        [[ $(logins) -eq 2 ]] || fail "$(logins) logins after $round starts of two processes: $(cat log-*)"
    done
    printf '%s' "$token_pin" >one/pin
    expect 0 keywright adopt second
    expect 0 keywright adopt token
}

wrong_pin_on_opencryptoki_is_sent_once() { wrong_pin_is_sent_once opencryptoki; }
wrong_pin_on_tpm2_is_sent_once() { wrong_pin_is_sent_once tpm2; }

# shim_server: a server whose store `token` is a SoftHSM token behind the shim.
shim_server() {
    mkdir token
    trap token_stop EXIT
    token_start "${1:-softhsm}" "$case_dir/token"
    "$STEER" control create
    export KEYWRIGHT_SHIM_MODULE=$token_library KEYWRIGHT_SHIM_CONTROL=$case_dir/control
    server one
    {
        printf '  token:\n    id: "0a0b0c0d"\n    plugin: pkcs11\n'
        printf '    options: {library: %s, token_label: %s, pin: "file:pin"}\n' "$work/modules/shim.so" "$token_label"
    } >store
    sed -i '/^stores:/r store' one/keywright.yaml
    (umask 077 && printf '%s' "$token_pin" >one/pin && printf '24681012' >one/new-pin)
}

# has_pin PIN: whether a program that knows nothing of Keywright logs in with it.
has_pin() { token_tool --token-label "$token_label" --login --pin "$1" --list-objects >objects 2>&1; }

# The token says that it failed: which PIN it has is found out by one login, and told.
pin_change_with_uncertain_answer_tells_which_is_in_force() {
    shim_server
    "$STEER" control fail-after C_SetPIN 0x30 1 1
    expect 0 keywright passphrase token --new file:one/new-pin
    expect_err 'has the new PIN, although'
    [[ $(logins) -eq 2 ]] || fail "$(logins) logins instead of 2"
    has_pin 24681012 || fail "the token does not have the new PIN"
    cp one/new-pin one/pin
    expect 0 keywright config check --connect
    "$STEER" control disarm
    (umask 077 && printf '11223344' >one/new-pin)
    "$STEER" control forget
    "$STEER" control fail C_SetPIN 0x30 1 1
    expect 6 keywright passphrase token --new file:one/new-pin
    expect_err 'does not take the new PIN, and has the old one: C_SetPIN answers CKR_DEVICE_ERROR'
    [[ $(logins) -eq 2 ]] || fail "$(logins) logins instead of 2"
    has_pin 24681012 || fail "the token does not have the old PIN"
    expect 0 keywright config check --connect
    # What is plainly refused costs no login.
    "$STEER" control forget
    "$STEER" control fail C_SetPIN 0xa2 1 1
    expect 2 keywright passphrase token --new file:one/new-pin
    expect_err 'does not take the new PIN, and has the old one: C_SetPIN answers CKR_PIN_LEN_RANGE'
    [[ $(logins) -eq 1 ]] || fail "$(logins) logins instead of 1"
    expect_err '; it takes PINs of 4 to 255 bytes$'
}

# Where no login shows it, nobody claims to know.
pin_change_that_cannot_be_found_out_says_so() {
    shim_server
    "$STEER" control fail-after C_SetPIN 0x30 1 1
    "$STEER" control fail C_Login 0x30 2 1
    expect 6 keywright passphrase token --new file:one/new-pin
    expect_err 'has the new PIN or the old one is not known: C_SetPIN answers CKR_DEVICE_ERROR'
    expect_err 'Try the new one, once, with another program'
    [[ $(logins) -eq 2 ]] || fail "$(logins) logins instead of 2"
    refuse_err '24681012'
    "$STEER" control disarm
    "$STEER" control forget
    cp one/new-pin one/pin
    (umask 077 && printf '11223344' >one/new-pin)
    "$STEER" control fail-after C_SetPIN 0x30 1 1
    "$STEER" control fail C_GetTokenInfo 0x30 4
    expect 6 keywright passphrase token --new file:one/new-pin
    expect_err 'is not known'
    [[ $(logins) -eq 1 ]] || fail "$(logins) logins although the token does not say how many tries are left"
}

# The last try is never taken, not to find out either.
pin_change_at_the_last_try_is_not_found_out() {
    local changing
    shim_server opencryptoki
    "$STEER" control delay 3000000 C_SetPIN
    "$STEER" control fail C_SetPIN 0x30 1 1
    keywright passphrase token --new file:one/new-pin >log 2>&1 &
    changing=$!
    while [[ $("$STEER" control calls C_SetPIN) -eq 0 ]]; do sleep 0.05; done
    until token_tool --list-slots | grep -q 'final user PIN try'; do
        ! has_pin 99999999 || fail "a wrong PIN is taken"
    done
    ! wait "$changing" || fail "the PIN is changed"
    grep -q 'is not known' log || fail "it is not said that it is unknown: $(cat log)"
    [[ $(logins) -eq 1 ]] || fail "$(logins) logins: the last try was taken"
    has_pin "$token_pin" || fail "the right PIN is not taken any more"
}

# Nor to log in again with a PIN that was accepted, after another store's wrong one has logged the process out.
login_after_another_store_s_wrong_pin_is_not_the_last_try() {
    local checking
    shim_server opencryptoki
    sed 's/^  token:/  unlike:/; s/0a0b0c0d/0a0b0c0e/; s/file:pin/file:wrong/' store >other
    sed -i '/^  token:/,/options:/!b; /options:/r other' one/keywright.yaml
    (umask 077 && printf 99999999 >one/wrong)
    "$STEER" control delay 2000000 C_Login
    keywright config check --connect >log 2>&1 &
    checking=$!
    while [[ $(logins) -lt 2 ]]; do sleep 0.05; done
    ! has_pin 88888888 || fail "a wrong PIN is taken" # the second one is the store's
    ! wait "$checking" || fail "a wrong PIN is taken"
    token_tool --list-slots | grep -q 'final user PIN try' || fail "it is not the last try: $(token_tool --list-slots)"
    [[ $(logins) -eq 2 ]] || fail "$(logins) logins: the last try was taken"
    "$STEER" control delay 0 C_Login
    has_pin "$token_pin" || fail "the right PIN is not taken any more"
    (umask 077 && printf '%s' "$token_pin" >one/wrong)
    expect 0 keywright config check --connect
}

cases=(wrong_pin_of_two_stores_in_two_processes_is_sent_once_each pin_change_with_uncertain_answer_tells_which_is_in_force pin_change_that_cannot_be_found_out_says_so
    wrong_pins_of_many_servers_do_not_lock_it wrong_pin_on_opencryptoki_is_sent_once wrong_pin_on_tpm2_is_sent_once)
[[ ${KW_TEST_FULL:-no} != yes ]] || cases+=(pin_change_at_the_last_try_is_not_found_out login_after_another_store_s_wrong_pin_is_not_the_last_try)
run_cases "${cases[@]}"
