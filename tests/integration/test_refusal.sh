#!/usr/bin/env bash
# W4: a PIN that a backend refused is not sent again, whatever verb comes next.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# A module that counts each PIN that it is given in the file `logins`, and would lock.
locking=$(dirname "$(dirname "$(readlink -f "$KEYWRIGHT")")")/tests/modules/keywright-locking.so

# server_with_token: a server that has a store `token` too, whose PIN is 1234, and is to be found in the file `pin`.
server_with_token() {
    expect_file "$locking"
    chmod go-w "$locking"
    server one
    cat >token <<END
  token:
    id: "0a0b0c0d"
    plugin: $locking
    options: {expected_pin: "1234", pin: file:pin, logins: logins}
END
    sed -i '/^stores:/r token' one/keywright.yaml
}

expect_logins() { [[ $(stat -c %s one/logins 2>/dev/null || echo 0) == "$1" ]] || fail "$(stat -c %s one/logins) logins instead of $1"; }

refused_pin_is_sent_once_in_ten_starts() {
    server_with_token
    printf '1111\n' >one/pin
    for _ in {1..5}; do
        expect 0 keywright status --json
        expect_json '.stores | map(select(.name == "token"))[0] | .available == false'
        expect 7 keywright config check --connect
    done
    expect_err 'was refused before and has not changed since'
    expect_err 'touch it'
    expect_logins 1
    touch one/pin
    expect 7 keywright config check --connect
    expect 7 keywright config check --connect
    expect_logins 2
    sed -i 's/expected_pin: "1234"/expected_pin: "12345"/' one/keywright.yaml
    expect 7 keywright config check --connect
    expect 7 keywright config check --connect
    expect_logins 3
    printf '12345\n' >one/pin
    expect 0 keywright config check --connect
    expect_logins 4
}

# Every verb but few adds a missing server-encryption, and for that opens its store.
verbs_that_add_what_is_missing_send_it_once() {
    server_with_token
    printf '1111\n' >one/pin
    sed -i 's/^certificates:$/&\n  server-encryption: {store: token}/' one/keywright.yaml
    expect 0 keywright --yes delete server-encryption --force
    for _ in {1..4}; do
        expect 0 keywright list
        expect_err 'server-encryption'
        expect 0 keywright show ssl-connection
    done
    expect_logins 1
}

# What is remembered beside the state does not tell the PIN.
record_of_a_refused_pin_does_not_tell_it() {
    server_with_token
    printf '73918246\n' >one/pin
    sed -i 's/"1234"/"5678"/' one/keywright.yaml
    expect 7 keywright config check --connect
    expect_mode 700 one/state/secrets
    expect_mode 600 one/state/secrets/key
    expect_mode 600 one/state/secrets/0a0b0c0d.pin
    ! grep -rqaF 73918246 one/state || fail "the PIN lies in the state"
    local hex
    hex=$(printf '73918246' | sha256sum | cut -d ' ' -f 1)
    ! od -An -v -tx1 one/state/secrets/0a0b0c0d.pin | tr -d ' \n' | grep -qF "$hex" || fail "its digest lies in the state"
    hex=$(printf '73918246' | openssl mac -digest SHA256 -macopt "hexkey:$(od -An -v -tx1 one/state/secrets/key | tr -d ' \n')" HMAC | tr -d '\n' | tr A-F a-f)
    ! od -An -v -tx1 one/state/secrets/0a0b0c0d.pin | tr -d ' \n' | grep -qF "$hex" || fail "its HMAC under the key beside it lies in the state"
}

no_login_where_it_cannot_be_remembered() {
    server_with_token
    printf '1234\n' >one/pin
    expect 0 keywright config check --connect
    printf 'x' >one/state/secrets/key
    expect 8 keywright config check --connect
    expect_err 'not handed out, since its refusal could not be remembered: the key .*state/secrets/key is damaged'
    expect_logins 1
}

run_cases refused_pin_is_sent_once_in_ten_starts verbs_that_add_what_is_missing_send_it_once \
    record_of_a_refused_pin_does_not_tell_it no_login_where_it_cannot_be_remembered
