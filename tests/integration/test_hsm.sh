#!/usr/bin/env bash
# Keys in a token, by the command: a server with the stores local and hsm on SoftHSM, each case with a token of its own. pkcs11-tool, p11tool
# and openssl judge.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# hsm_server: a fresh token, and a server whose databases and general keys are made there.
hsm_server() {
    mkdir token
    trap token_stop EXIT
    token_start softhsm "$case_dir/token"
    server one
    serial=$(pkcs11-tool --module "$token_library" --list-slots | awk '/serial num/ { print $4; exit }')
    (umask 077 && echo "$token_pin" >one/pin)
    settings "library: $token_library, token_label: $token_label, token_serial: \"$serial\", pin: file:pin"
}

# settings OPTIONS: of the store hsm, instead of those before.
settings() {
    sed -i '/^  hsm:/,/^    options:/d' one/keywright.yaml
    sed -i "/^stores:/a\\  hsm:\\n    id: \"0b1d02aa11223344\"\\n    plugin: pkcs11\\n    options: {$1}" one/keywright.yaml
}

tool() { pkcs11-tool --module "$token_library" --token-label "$token_label" --login --pin "$token_pin" "$@"; }

create_on_hsm_signs_and_decrypts() {
    hsm_server
    expect 0 keywright create database/sales --store hsm --key rsa-2048
    expect 0 keywright create general/www --store hsm --key ec-p256
    expect 0 keywright create general/edwards --store hsm --key ed25519
    expect 0 keywright create general/larger --store hsm --key ec-p384
    expect 0 keywright create general/largest --store hsm --key ec-p521
    expect 0 keywright list --json
    expect_json 'map(select(.store == "hsm") | .certificate) | sort == ["database/sales", "general/edwards", "general/larger",
        "general/largest", "general/www"]'
    echo 'an order' >order
    for certificate in database/sales general/www general/larger general/largest general/edwards; do
        expect 0 keywright sign "$certificate" -i order -o signature
        expect 0 keywright verify "$certificate" -i order -s signature
        keywright show "$certificate" --pem >certificate.pem
        openssl x509 -in certificate.pem -noout -pubkey >public.pem
    done
    expect 0 keywright sign general/www -i order -o signature
    keywright show general/www --pem | openssl x509 -noout -pubkey >public.pem
    openssl dgst -sha256 -verify public.pem -signature signature order >verdict || fail "openssl does not verify the signature"
    keywright show database/sales --pem >sales.pem
    for hash in sha1 sha256 sha512; do
        printf 'a password' | openssl cms -encrypt -binary -outform DER -recip sales.pem -keyopt rsa_padding_mode:oaep \
            -keyopt rsa_oaep_md:$hash >password.cms
        expect 0 keywright decrypt database/sales -i password.cms -o -
        expect_out '^a password$'
    done
    printf 'a password' | openssl cms -encrypt -binary -outform DER -recip sales.pem >password.cms # PKCS#1 v1.5
    expect 0 keywright decrypt database/sales -i password.cms -o -
    expect_out '^a password$'
    expect 0 keywright export database/sales -o sales.pfx --password-from env:HOME
    expect_err 'its store does not give the key out'
}

rotate_leaves_the_hsm_only_when_it_is_said() {
    hsm_server
    expect 0 keywright create general/www --store hsm --key ec-p256
    expect 5 keywright rotate general/www --new-key
    expect_err "is in store hsm, which gives out none, and the configuration has the next one made in store local"
    expect_err "write 'store: hsm' for general/www under 'certificates:', or name a store with --store"
    expect 0 keywright show general/www --json
    expect_json '.number == 1 and .store == "hsm"'
    sed -i 's|^certificates:|&\n  general/www: {store: hsm}|' one/keywright.yaml
    expect 0 keywright rotate general/www --new-key
    expect 0 keywright show general/www --json
    expect_json '.number == 2 and .store == "hsm"'
    expect 0 keywright rotate general/www --new-key --store local
    expect 0 keywright show general/www --json
    expect_json '.number == 3 and .store == "local"'
}

# The private key is sensitive and never was outside; public key and certificate lie beside it, under its CKA_ID and label.
create_on_hsm_shows_to_other_programs() {
    local type
    hsm_server
    expect 0 keywright create database/sales --store hsm --key rsa-2048
    expect 0 keywright create general/www --store hsm
    tool --list-objects >objects
    for type in 'Private Key Object; RSA' 'Private Key Object; EC' 'Public Key Object; RSA' 'Public Key Object; EC'; do
        grep -q "^$type" objects || fail "no $type"
    done
    [[ $(grep -c '^Certificate Object' objects) -eq 2 ]] || fail "not two certificates"
    [[ $(grep -c 'Access: *sensitive, always sensitive, never extractable, local' objects) -eq 2 ]] || fail "not sensitive"
    # What they may be used for: what was asked for, and nothing that a token adds by itself.
    ! grep '^  Usage:' objects | grep -qE 'wrap|recover' || fail "a key may do more than was asked for: $(grep '^  Usage:' objects)"
    [[ $(grep '^  ID:' objects | sort | uniq -c | awk '{ print $1 }' | sort -u) == 3 ]] || fail "not three objects to an id"
    [[ $(grep '^  label:' objects | sort | uniq -c | awk '{ print $1 }' | sort -u) == 3 ]] || fail "not three objects to a label"
    for type in database/sales general/www; do
        keywright show "$type" --pem | openssl x509 -outform DER >certificate.der
        id=$(awk -v name="$type" '/^Certificate/ { in_it = 1 } /^(Private|Public)/ { in_it = 0 }
            in_it && /label:/ { label = $2 } in_it && /ID:/ { if (index(label, name)) print $2 }' objects)
        tool --read-object --type cert --id "$id" --output-file read.der
        expect_same read.der certificate.der
    done
    p11tool --provider "$token_library" --login --set-pin "$token_pin" --list-all "pkcs11:token=$token_label" >objects
    [[ $(grep -c 'Type: X.509 Certificate' objects) -eq 2 && $(grep -c 'Type: Private key' objects) -eq 2 ]] || fail "p11tool sees others"
    expect 0 keywright retire general/www
    expect 0 keywright delete general/www --yes
    tool --list-objects >objects
    [[ $(grep -c 'Object' objects) -eq 3 ]] || fail "something of a deleted certificate is left on the token"
}

check_wrong_settings_says_what_there_is() {
    local right
    hsm_server
    right="library: $token_library, pin: file:pin"
    expect 0 keywright config check --connect
    settings "$right, token_serial: \"00000000\""
    expect 3 keywright config check --connect
    expect_err "no token has serial '00000000'.*label '$token_label', serial '$serial', maker 'SoftHSM project', model 'SoftHSM v2'"
    settings "$right, token_label: other"
    expect 3 keywright config check --connect
    expect_err "no token has label 'other'.*label '$token_label', serial '$serial'"
    settings "$right, token_label: $token_label, token_serial: \"00000000\""
    expect 3 keywright config check --connect
    expect_err "serial '00000000' and label '$token_label'"
    settings "$right"
    expect 3 keywright config check --connect
    expect_err 'token_serial and token_label'
    settings "library: /usr/lib/no-such.so, token_label: $token_label, pin: file:pin"
    expect 3 keywright config check --connect
    expect_err '/usr/lib/no-such\.so'
    settings "library: $token_library, library_sha256: $(printf '0%.0s' {1..64}), token_label: $token_label, pin: file:pin"
    expect 3 keywright config check --connect
    expect_err "library_sha256.*$(sha256sum "$token_library" | cut -c 1-64)"
    settings "$right, token_label: $token_label, sesions: 3"
    expect 3 keywright config check
    expect_err "sessions"
    expect_err "keywright\.yaml:[0-9]+:[0-9]+: .*sesions"
    settings "$right, token_label: other"
    expect 3 keywright config check --connect
    expect_err "one/keywright\.yaml:[0-9]+:[0-9]+: store hsm: option token_label: no token has label 'other'"
}

# Which file is loaded as code is said in full, and nobody else may write it.
check_library_that_others_may_write_is_refused() {
    local mode
    hsm_server
    cp "$token_library" one/module.so
    settings "library: module.so, token_label: $token_label, pin: file:pin"
    expect 3 keywright config check --connect
    expect_err "keywright\.yaml:[0-9]+:[0-9]+: store hsm: option library: 'module\.so' is not an absolute path"
    settings "library: $case_dir/one/module.so, token_label: $token_label, pin: file:pin"
    for mode in 0666 01777 01666; do
        chmod $mode one/module.so
        expect 3 keywright config check --connect
        expect_err "module\.so' may be written by others"
    done
    chmod 0644 one/module.so
    expect 0 keywright config check --connect
    mkdir theirs
    ln -s "$case_dir/one/module.so" theirs/module.so
    settings "library: $case_dir/theirs/module.so, token_label: $token_label, pin: file:pin"
    expect 0 keywright config check --connect
    chown -h nobody theirs
    expect 3 keywright config check --connect
    expect_err "theirs' may be written by others"
}

# However many tokens there are, those that nearly fit are told.
check_ambiguous_token_shows_those_to_choose_from() {
    local number
    hsm_server
    for number in 1 2 3 4 5 6; do
        softhsm2-util --init-token --free --label "a token with a long label $number" --so-pin 1234 --pin 1234 >log
    done
    for number in 1 2; do softhsm2-util --init-token --free --label dup --so-pin 1234 --pin 1234 >log; done
    settings "library: $token_library, pin: file:pin, token_label: dup"
    expect 3 keywright config check --connect
    expect_err "more than one token has label 'dup'; give token_serial"
    pkcs11-tool --module "$token_library" --list-slots | grep -A 8 'token label *: dup' | awk '/serial num/ { print $4 }' >serials
    [[ $(wc -l <serials) -eq 2 ]] || fail "not two tokens with this label"
    while read -r number; do expect_err "label 'dup', serial '$number', maker"; done <serials
    expect_err '; and [1-6] more'
}

check_wrong_pin_is_refused() {
    hsm_server
    (umask 077 && echo 0000 >one/pin)
    expect 7 keywright config check --connect
    expect_err 'CKR_PIN_INCORRECT'
    expect_err "write the right pin into $case_dir/one/pin"
    refuse_err '0000'
    (umask 077 && echo "$token_pin" >one/pin)
    expect 0 keywright config check --connect
}

# A token that locks counts all attempts, whichever store makes them.
two_stores_on_a_token_send_a_wrong_pin_once() {
    local spy
    hsm_server
    spy=$(token_module pkcs11-spy.so)
    export PKCS11SPY=$token_library PKCS11SPY_OUTPUT=$case_dir/spy.log
    settings "library: $spy, token_label: $token_label, pin: file:pin"
    sed 's/^  hsm:/  hsm2:/; s/0b1d02aa11223344/0b1d02aa11223355/; s/pin}/pin, always_authenticate: true}/' one/keywright.yaml |
        sed -n '/^  hsm2:/,/options:/p' >second
    sed -i '/^stores:/r second' one/keywright.yaml
    expect 0 keywright config check --connect
    [[ $(grep -c ': C_Login$' spy.log) -eq 1 ]] || fail "two stores on a token are not one login"
    rm spy.log
    (umask 077 && echo 0000 >one/pin)
    expect 0 keywright status --json
    expect_json '[.stores[] | select(.name | startswith("hsm")) | .available] == [false, false]'
    [[ $(grep -c ': C_Login$' spy.log) -eq 1 ]] || fail "$(grep -c ': C_Login$' spy.log) logins with one wrong PIN"
    # What every other verb says of it: where, and what to do.
    expect_json '.stores[] | select(.name == "hsm") | .problem | test("keywright\\.yaml:[0-9]+:[0-9]+: store hsm: .*refuse")'
    expect_json '.stores[] | select(.name == "hsm") | .remedy | length > 0'
    expect 0 keywright status
    expect_out 'Remedy +see to it that it is right'
    # The right one is sent at once.
    (umask 077 && echo "$token_pin" >one/pin)
    expect 0 keywright config check --connect
}

# SoftHSM hides what its user may not read. To look for a wrong serial, or a lost key, would be in vain.
user_without_rights_to_the_token_is_named() {
    [[ $(id -u) -eq 0 ]] || return 0 # root alone makes what others may not read
    hsm_server
    expect 0 keywright create general/www --store hsm
    chmod -R a+rX token
    chmod -R go= token/tokens/*
    chown -R 65534 one
    expect 6 as_nobody config check --connect
    expect_err 'no token has serial .*no token that is initialized; the process runs as user 65534, who may lack rights'
    chown -R 65534 token/tokens
    expect 0 as_nobody config check --connect
    find token/tokens -name '*.object' ! -name token.object -exec chown root {} +
    expect 4 as_nobody config check --connect
    expect_err 'has no private key .*; the process runs as user 65534, who may lack rights'
}

# A token that is in order, and not the one that it was.
check_tells_keys_that_are_missing() {
    hsm_server
    settings "library: $token_library, token_label: $token_label, pin: file:pin"
    expect 0 keywright create general/www --store hsm
    expect 0 keywright config check --connect
    mv token/tokens token/away
    mkdir token/tokens
    softhsm2-util --init-token --free --label "$token_label" --pin "$token_pin" --so-pin 1234 >log
    expect 4 keywright config check --connect
    expect_err 'the key of general/www cannot be used: .*has no private key'
    expect_err '1 key that certificates have cannot be used'
    # What stands for the token is another one, and what is deleted is not there.
    expect 0 keywright create general/two --store local
    cp -a one/state state
    expect 0 keywright delete general/www --force --yes
    expect_err 'store hsm had no such key any more'
    expect 0 keywright delete general/two --force --yes
    refuse_err 'no such key'
    rm -rf one/state
    mv state one/state
    rm -rf token/tokens
    mv token/away token/tokens
    expect 0 keywright config check --connect
    # What is here keeps its place, and import says so.
    expect 0 keywright create general/soft --store local
    echo secret >password
    chmod 600 password
    expect 0 keywright export general/soft -o soft.pfx --password-from file:password
    expect 0 keywright import soft.pfx --store hsm --password-from file:password
    expect_err 'general/soft: its key stays in store local'
}

token_that_is_away_is_not_available() {
    hsm_server
    expect 0 keywright create general/www --store hsm
    echo 'an order' >order
    mv token/tokens token/away
    mkdir token/tokens
    expect 6 keywright sign general/www -i order -o signature
    expect_err "$token_label"
    expect 6 keywright config check --connect
    expect 0 keywright list
    expect_out 'general/www'
    rm -rf token/tokens
    mv token/away token/tokens
    expect 0 keywright sign general/www -i order -o signature
    expect 0 keywright verify general/www -i order -s signature
}

change_pin_changes_it_on_the_token() {
    hsm_server
    expect 0 keywright create general/www --store hsm
    (umask 077 && echo 987654 >one/new-pin)
    expect 0 keywright passphrase hsm --new file:one/new-pin
    cp one/new-pin one/pin
    echo 'an order' >order
    expect 0 keywright sign general/www -i order -o signature
    token_pin=987654 tool --list-objects >objects
    grep -q 'Private Key Object' objects || fail "the new PIN does not log in"
}

# What status tells is what pkcs11-spy counts.
status_calls_are_those_that_the_module_sees() {
    local spy before told seen
    hsm_server
    spy=$(token_module pkcs11-spy.so)
    expect 0 keywright create general/www --store hsm
    settings "library: $spy, token_label: $token_label, pin: file:pin"
    export PKCS11SPY=$token_library PKCS11SPY_OUTPUT=$case_dir/spy.log
    echo 'an order' >order
    expect 0 keywright sign general/www -i order -o signature
    sed -n '/^[0-9]*: C_/p' spy.log >seen
    [[ $(grep -n ': C_Sign$' seen | cut -d : -f 1) -le 20 ]] || fail "more than 20 calls to the first signature"
    [[ $(grep -c ': C_Sign' seen) -eq 2 ]] || fail "a signature is not two calls"
    expect 0 keywright status --json
    before=$(jq '.stores[] | select(.name == "hsm") | .calls' out)
    rm spy.log
    expect 0 keywright status --json
    told=$(($(jq '.stores[] | select(.name == "hsm") | .calls' out) - before))
    seen=$(grep -cE '^[0-9]+: C_' spy.log)
    # Of the two commands both have closed a session; what status itself closes comes after it has told.
    [[ $told -eq $seen ]] || fail "status tells $told calls, the module has seen $seen"
    expect 0 keywright --json metrics
    seen=$(grep -cE '^[0-9]+: C_' spy.log)
    before=$((before + 1)) # the C_CloseSession of the first
    [[ $(jq '[.[] | select(.name == "keywright_store_backend_calls_total" and .labels.store == "hsm") | .value] | add | floor' out) -eq $((before + seen)) ]] ||
        fail "metrics does not tell what the module has seen"
}

run_cases create_on_hsm_signs_and_decrypts rotate_leaves_the_hsm_only_when_it_is_said create_on_hsm_shows_to_other_programs check_wrong_settings_says_what_there_is \
    check_library_that_others_may_write_is_refused check_ambiguous_token_shows_those_to_choose_from user_without_rights_to_the_token_is_named check_tells_keys_that_are_missing check_wrong_pin_is_refused two_stores_on_a_token_send_a_wrong_pin_once token_that_is_away_is_not_available change_pin_changes_it_on_the_token \
    status_calls_are_those_that_the_module_sees
