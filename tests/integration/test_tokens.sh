#!/usr/bin/env bash
# The tokens that other tests use: each works, and what the shim counts on it is what pkcs11-spy counts. SHIM is the module, STEER its command.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
token_space "$@"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
: "${SHIM:?}" "${STEER:?}"

# use_token KIND: a fresh one; the shim stands before it.
use_token() {
    mkdir token
    trap token_stop EXIT
    token_start "$1" "$case_dir/token"
    "$STEER" control create
    export KEYWRIGHT_SHIM_MODULE=$token_library KEYWRIGHT_SHIM_CONTROL=$case_dir/control KEYWRIGHT_SHIM_INIT_ARGS=$token_init_args
}

# tool MODULE ARGUMENT...: pkcs11-tool, logged in.
tool() { pkcs11-tool --module "$1" --token-label "$token_label" --login --pin "$token_pin" "${@:2}"; }

# What has been called, as the shim and as pkcs11-spy in front of it tell. How the function list is asked for is not part of that:
# pkcs11-spy has more than one way.
compare_counts() {
    "$STEER" control calls | grep -v '^C_GetFunctionList' | sort >shim.counts
    grep -oE '^[0-9]+: C_[A-Za-z]+' spy.log | sed 's/.*: //' | grep -vE '^C_Get(FunctionList|Interface|InterfaceList)$' |
        sort | uniq -c | sed -E 's/^ *([0-9]+) (.*)/\2 \1/' | sort >spy.counts
    [[ $(wc -l <spy.counts) -ge 10 ]] || fail "pkcs11-spy has seen little"
    diff spy.counts shim.counts || fail "the shim counts otherwise than pkcs11-spy"
}

# signs_and_counts KIND
signs_and_counts() {
    local spy
    use_token "$1"
    spy=$(token_module pkcs11-spy.so)
    export PKCS11SPY=$SHIM PKCS11SPY_OUTPUT=$case_dir/spy.log
    head -c 32 /dev/zero >digest
    tool "$SHIM" --list-mechanisms >mechanisms
    grep -q '^  RSA-PKCS, ' mechanisms || fail "no RSA: $(head -n 3 mechanisms)"
    "$STEER" control forget
    tool "$spy" --keypairgen --key-type rsa:2048 --id 02 --label two >made
    tool "$spy" --sign --mechanism RSA-PKCS --id 02 --input-file digest --output-file signature >made
    tool "$spy" --list-objects >objects
    compare_counts
    tool "$SHIM" --read-object --type pubkey --id 02 --output-file public >made
    openssl pkeyutl -verify -pubin -keyform DER -inkey public -in digest -sigfile signature >verified || fail "the signature is wrong"
}

sign_on_softhsm_works() { signs_and_counts softhsm; }
sign_on_opencryptoki_works() { signs_and_counts opencryptoki; }
sign_on_nss_works() { signs_and_counts nss; }
sign_on_tpm2_works() { signs_and_counts tpm2; }

# keys_are_made_and_sign KIND: of each type that both sides know.
keys_are_made_and_sign() {
    local key
    mkdir token
    trap token_stop EXIT
    token_start "$1" "$case_dir/token"
    server one
    {
        printf '  token:\n    id: "0a0b0c0d"\n    plugin: pkcs11\n'
        printf '    options: {library: %s, token_label: %s, pin: "file:pin"}\n' "$token_library" "$token_label"
    } >store
    sed -i '/^stores:/r store' one/keywright.yaml
    printf '%s' "$token_pin" >one/pin
    chmod 600 one/pin
    printf 'text' >text
    for key in rsa-2048 ec-p256 ec-p384; do
        expect 0 keywright create "general/$key" --key "$key" --store token
        expect 0 keywright sign "general/$key" -i text -o signature
        expect 0 keywright verify "general/$key" -i text -s signature
    done
}

keys_on_softhsm_are_made_and_sign() { keys_are_made_and_sign softhsm; }
# It takes no uses that keys of a type cannot have, not even that they are not allowed.
keys_on_tpm2_are_made_and_sign() { keys_are_made_and_sign tpm2; }

# The command that steers: what it is told reaches a program that runs.
steer_faults_reach_the_program() {
    use_token softhsm
    tool "$SHIM" --keypairgen --key-type EC:prime256v1 --id 01 --label one >made
    "$STEER" control fail C_Login 0x30
    expect 1 tool "$SHIM" --list-objects
    expect_err 'CKR_DEVICE_ERROR'
    "$STEER" control fail C_FindObjectsInit 5 2 1
    "$STEER" control obey C_Login
    expect 0 tool "$SHIM" --list-objects
    expect 1 tool "$SHIM" --list-objects
    expect_err 'CKR_GENERAL_ERROR'
    "$STEER" control drop
    expect 1 tool "$SHIM" --list-objects
    "$STEER" control restore
    expect 0 tool "$SHIM" --list-objects
    "$STEER" control crash C_Login
    expect 137 tool "$SHIM" --list-objects
    "$STEER" control hang C_Login
    expect 124 timeout 0.5 pkcs11-tool --module "$SHIM" --token-label "$token_label" --login --pin "$token_pin" --list-objects
    "$STEER" control disarm
    "$STEER" control forget
    expect 0 "$STEER" control calls C_Login
    expect_out '^0$'
    expect 0 tool "$SHIM" --list-objects
    expect 0 "$STEER" control calls C_Login
    expect_out '^1$'
}

steer_nonsense_is_refused() {
    expect 1 "$STEER" none calls
    expect_err 'No such file'
    "$STEER" control create
    for words in 'fail C_Sign' 'fail C_None 5' 'fail C_Sign 5 0' 'hang' 'hang C_Sign 1 2 3' 'drop it' 'delay x' 'calls C_None' 'fly'; do
        # shellcheck disable=SC2086 # words
        expect 2 "$STEER" control $words
    done
    head -c "$(stat -c %s control)" /dev/zero >zeros
    expect 1 "$STEER" zeros calls
    expect_err 'no control file'
}

run_cases sign_on_softhsm_works sign_on_opencryptoki_works sign_on_nss_works sign_on_tpm2_works \
    keys_on_softhsm_are_made_and_sign keys_on_tpm2_are_made_and_sign steer_faults_reach_the_program steer_nonsense_is_refused
