#!/usr/bin/env bash
# B1, S26, W8: keys move between stores, also into a token and of other programs' making; openssl, pkcs11-tool and sqlite3 are the judges.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/tokens.sh
source "$here/tokens.sh"

# two_stores: a server with `local` and, beside it, `second`.
two_stores() {
    server a
    printf '%s\n' 'a passphrase' >a/second-passphrase
    chmod 600 a/second-passphrase
    sed -i '/^stores:/a\  second: {id: "0b1d02aa", plugin: softstore, options: {passphrase: file:second-passphrase}}' a/keywright.yaml
}

# token_store: a server with `local` and a token as `hsm`; the token is in $case_dir/token.
token_store() {
    server a
    mkdir token
    token_start softhsm token
    printf '%s\n' "$token_pin" >a/pin
    chmod 600 a/pin
    sed -i "/^stores:/a\\  hsm: {id: \"0b1d02aa\", plugin: pkcs11, options: {library: $token_library, token_label: $token_label, pin: file:pin}}" a/keywright.yaml
}

# encrypted ADDRESS FILE: by openssl, with the certificate alone.
encrypted() {
    keywright show "$1" --pem >certificate.pem
    printf 'a password' | openssl cms -encrypt -binary -outform DER -recip certificate.pem -out "$2"
}

decrypts() {
    expect 0 keywright decrypt "$1" -i "$2" -o -
    [[ $(cat out) == 'a password' ]] || fail "$2 is not decrypted with the key of $1"
}

# keys_of STORE_ID: how many keys softstore has, seen in the catalogue.
keys_of() { sqlite3 "$catalogue" "SELECT count(*) FROM record WHERE store_id = '$1' AND name <> CAST('kek' AS BLOB)"; }

transfer_of_everything_takes_server_keys_alone() {
    two_stores
    keywright -q create database/sales
    keywright -q create master-key/corp.example --database sales
    keywright -q create general/web
    encrypted database/sales old.cms
    expect 0 keywright --json transfer --everything --to second
    expect_json '[.events[].certificate] == ["database/sales", "master-key/corp.example"]'
    expect_json 'all(.events[]; .what == "moved from store local to store second")'
    expect 0 keywright --json list
    expect_json '[.[] | select(.store == "second").certificate] == ["database/sales", "master-key/corp.example"]'
    [[ $(keys_of 0b1d02aa) == 2 ]] || fail "store second has $(keys_of 0b1d02aa) keys"
    [[ $(sqlite3 "$catalogue" 'SELECT count(*) FROM journal') == 0 ]] || fail "the journal is not empty"
    decrypts database/sales old.cms
    expect 0 keywright transfer --database sales --to second
    expect_out '^database/sales: is in store second already$'
    expect 0 keywright transfer general/web --to second
    expect_out '^general/web: moved from store local to store second$'
}

# A token that undoes OAEP with SHA-1 alone, and all else by raw RSA.
transfer_to_a_token_takes_a_master_keys_roots() {
    token_store
    keywright -q create database/sales
    keywright -q create master-key/rsa.example --database sales --key rsa-2048
    keywright -q create master-key/ec.example --database sales --key ec-p256
    printf 'a record' >plain
    local master
    for master in rsa ec; do
        keywright seal "master-key/$master.example" --purpose p -i plain -o "$master.1"
        keywright -q rotate "master-key/$master.example"
        keywright seal "master-key/$master.example" --purpose p -i plain -o "$master.2"
        expect 0 keywright transfer "master-key/$master.example" --to hsm
        for version in 1 2; do
            expect 0 keywright unseal "master-key/$master.example" --purpose p -i "$master.$version" -o opened
            expect_same plain opened
        done
        # By the token alone, from now on.
        expect 0 keywright rotate "master-key/$master.example" --new-key --store hsm
        expect 0 keywright unseal "master-key/$master.example" --purpose p -i "$master.1" -o opened
        expect_same plain opened
    done
    token_stop
}

transfer_with_mistakes_is_refused() {
    two_stores
    keywright -q create database/sales
    expect 2 keywright transfer database/sales
    expect_err '\-\-to STORE is missing'
    expect 2 keywright transfer --to second
    expect 2 keywright transfer database/sales --everything --to second
    expect 4 keywright transfer database/sale --to second
    expect_err 'did you mean database/sales'
    expect 4 keywright transfer database/sales --to third
    expect_err 'the stores are: '
    expect 4 keywright transfer --database sale --to second
    mv a/second-passphrase a/elsewhere
    expect 3 keywright transfer database/sales --to second
    expect 0 keywright --json list
    expect_json 'all(.[]; .store == "local")'
}

status_names_the_transfer_that_puts_a_key_in_its_place() {
    two_stores
    keywright -q create database/sales
    printf 'databases:\n  sales: {store: second}\n' >>a/keywright.yaml
    expect 0 keywright --json status
    expect_json '.misplaced | length == 1'
    eval "$(jq -r '.misplaced[0]' out | grep -o 'keywright transfer [^`]*') >moved"
    expect 0 keywright --json status
    expect_json '.misplaced == []'
}

rotate_keeps_the_old_key_for_old_data() {
    two_stores
    keywright -q create database/sales
    encrypted database/sales old.cms
    expect 5 keywright rotate database/sales
    expect_err '\-\-new-key'
    expect 0 keywright --json rotate database/sales --new-key --store second
    expect_json '.certificate == "database/sales" and .store == "second"'
    encrypted database/sales new.cms
    decrypts database/sales new.cms
    decrypts database/sales@1 old.cms
    expect 1 keywright decrypt database/sales -i old.cms -o -
    # Both go where they belong together.
    expect 0 keywright transfer database/sales --to second
    expect_out '^database/sales@1: moved from store local to store second$'
    decrypts database/sales@1 old.cms
}

# The way of a database into a token (S26): made in software, moved, used there after a restart.
transfer_into_a_token_leaves_nothing_outside() {
    token_store
    keywright -q create database/sales --key rsa-2048
    keywright -q create master-key/corp.example --database sales
    encrypted database/sales old.cms
    local before
    before=$(keys_of "$(jq -r '.stores[] | select(.name == "local").id' <(keywright --json status))")
    expect 0 keywright transfer --everything --to hsm
    expect_out '^database/sales: moved from store local to store hsm$'
    expect_out '^master-key/corp.example: moved from store local to store hsm$'
    expect_empty_err
    [[ $(keys_of "$(jq -r '.stores[] | select(.name == "local").id' <(keywright --json status))") == $((before - 2)) ]] ||
        fail "the copies in store local are there still"
    decrypts database/sales old.cms
    token_tool --login --pin "$token_pin" --list-objects --type privkey >objects
    [[ $(grep -c '^Private Key Object' objects) == 2 ]] || fail "the token does not hold two private keys"
    [[ $(grep -c 'Access:.*sensitive' objects) == 2 ]] || fail "a key is not sensitive"
    ! grep 'Access:' objects | sed 's/never extractable//' | grep -q extractable || fail "a key is extractable"
    token_tool --list-objects --type cert >certificates
    [[ $(grep -c '^Certificate Object' certificates) == 2 ]] || fail "the certificates are not beside their keys"
    # Out of it there is no way but a new key.
    expect 5 keywright transfer database/sales --to local
    expect_err 'keywright rotate database/sales --new-key --store local'
    # So status does not recommend a transfer; and what stays in the token for old data is no mistake.
    printf 'databases:\n  sales: {store: local}\n' >>a/keywright.yaml
    expect 0 keywright --json status
    expect_json '[.misplaced[] | select(test("key of database/sales "))] | length == 1'
    expect_json 'all(.misplaced[]; test("keywright transfer") | not)'
    expect 0 keywright --json show database/sales
    expect_json '.findings[0].what | test("transfer database/sales --to local. moves it, if store hsm gives it out; else .keywright rotate database/sales --new-key --store local. makes a new key there")'
    eval "$(jq -r '.misplaced[]' <(keywright --json status) | grep -o 'keywright rotate database/sales [^`]*') >rotated"
    decrypts database/sales@1 old.cms
    expect 0 keywright --json status
    expect_json '[.misplaced[] | select(test("database/sales"))] == []'
    token_stop
}

journal_rows() {
    sqlite3 a/state/catalogue.db 'SELECT count(*) FROM journal'
}

# A key that its store did not delete: what is left is not for verbs that look, and who deletes it says so.
what_was_left_is_left_alone_by_verbs_that_look() {
    server a
    sed -i "/^stores:/a\\  frail: {id: \"0b1d02ab\", plugin: $FRAIL, options: {passphrase: file:passphrase, control: order}}" a/keywright.yaml
    expect 0 keywright create general/x --key ec-p256 --store frail
    echo 'fail delete 1' >a/order
    expect 6 keywright delete general/x --force --yes
    rm a/order
    [[ $(journal_rows) == 1 ]] || fail "nothing is left to be deleted"
    local verb
    for verb in list status metrics 'show ssl-connection'; do
        # shellcheck disable=SC2086
        expect 0 keywright $verb
        [[ $(journal_rows) == 1 ]] || fail "$verb deleted a key"
    done
    expect 0 keywright create general/y --key ec-p256
    expect_err 'general/x: finished an interrupted deletion'
    [[ $(journal_rows) == 0 ]] || fail "what was left is there still"
}

adopt_takes_a_key_that_another_program_made() {
    token_store
    token_tool --login --pin "$token_pin" --keypairgen --key-type EC:prime256v1 --id a1b2c3 --label theirs \
        --usage-sign --usage-derive >log 2>&1
    expect 0 keywright --json adopt hsm
    expect_json 'length == 1 and .[0].key == "ec-p256" and .[0].subject == ""'
    local locator
    locator=$(jq -r '.[0].locator' out)
    expect 0 keywright adopt hsm
    expect_out 'ec-p256'
    expect 0 keywright adopt hsm "$locator" --as general/theirs
    expect_out '^general/theirs: has adopted the key, with a new certificate$'
    printf 'an order' >order
    expect 0 keywright sign general/theirs -i order -o order.sig
    keywright show general/theirs --pem | openssl x509 -noout -pubkey >public.pem
    openssl dgst -sha256 -verify public.pem -signature order.sig order >verdict || fail "openssl does not verify"
    expect 0 keywright --json adopt hsm
    expect_json '. == []'
    expect 5 keywright adopt hsm "$locator" --as general/again
    expect 4 keywright adopt hsm nothing --as general/again
    expect 4 keywright adopt nohsm
    expect_err "no store .*'nohsm'"
    expect 2 keywright adopt hsm "$locator"
    expect 0 keywright delete general/theirs --force --yes
    token_tool --login --pin "$token_pin" --list-objects --type privkey >objects
    ! grep -q '^Private Key Object' objects || fail "the deleted key is on the token still"
    token_stop
}

# Certificates of other keys, or several of the same, may lie under the key's CKA_ID: they are other programs', and stay.
adopt_leaves_what_lies_beside_the_key() {
    local name
    token_store
    token_tool --login --pin "$token_pin" --keypairgen --key-type EC:prime256v1 --id 05 --label one --usage-sign >log 2>&1
    token_tool --login --pin "$token_pin" --keypairgen --key-type rsa:2048 --id 05 --label two --usage-sign >log 2>&1
    token_tool --login --pin "$token_pin" --keypairgen --key-type EC:prime256v1 --id 07 --label three --usage-sign >log 2>&1
    token_tool --login --pin "$token_pin" --keypairgen --key-type EC:prime256v1 --id 07 --label four --usage-sign >log 2>&1
    for name in one two; do
        token_tool --read-object --type pubkey --label $name --output-file $name.der >log 2>&1
        openssl pkey -pubin -inform DER -in $name.der -out $name.pub
    done
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -x509 -out ca.pem -subj /CN=ca -days 9 2>log
    for name in one two; do
        for number in 1 2; do
            openssl x509 -new -force_pubkey $name.pub -subj "/CN=$name $number" -CA ca.pem -CAkey ca.key -days 9 -outform DER \
                -out $name.crt
            [[ $name$number != two2 ]] || continue
            token_tool --login --pin "$token_pin" --write-object $name.crt --type cert --id 05 --label "$name $number" >log 2>&1
        done
    done
    expect 0 keywright --json adopt hsm
    expect_json 'map(.locator) | sort == ["ec:id=05", "ec:id=07", "rsa:id=05"]'
    expect_json 'map(select(.locator == "ec:id=07") | .problem) | .[0] | test("more than one")'
    expect_json 'map(select(.locator | endswith("=05")) | .label) | sort == ["one", "two"]'
    expect 0 keywright adopt hsm
    expect_out '^ec:id=05 +one +ec-p256'
    token_tool --login --pin "$token_pin" --keypairgen --key-type EC:prime256v1 --id 09 --label $'a\xffb\tc\xc3\xa4' --usage-sign >log 2>&1
    expect 0 keywright --json adopt hsm
    expect_json 'map(select(.locator == "ec:id=09") | .label) == ["a?b?cä"]'
    expect 0 keywright adopt hsm ec:id=05 --as general/one
    expect_err 'stays there'
    token_tool --list-objects --type cert >objects
    [[ $(grep -c '^Certificate Object' objects) == 3 ]] || fail "adopt has taken another program's certificate away: $(cat objects)"
    expect 0 keywright adopt hsm rsa:id=05 --as general/two
    token_tool --list-objects --type cert >objects
    [[ $(grep -c '^Certificate Object' objects) == 3 ]] || fail "adopt has taken another program's certificate away: $(cat objects)"
    # The key's own certificates go with it, and no other's.
    expect 0 keywright delete general/one --force --yes
    token_tool --list-objects --type cert >objects
    [[ $(grep -c '^Certificate Object' objects) == 1 ]] || fail "not one certificate is left: $(cat objects)"
    grep -q 'two 1' objects || fail "the other key's certificate is gone"
    token_stop
}

run_cases what_was_left_is_left_alone_by_verbs_that_look transfer_of_everything_takes_server_keys_alone \
    transfer_to_a_token_takes_a_master_keys_roots transfer_with_mistakes_is_refused \
    status_names_the_transfer_that_puts_a_key_in_its_place rotate_keeps_the_old_key_for_old_data \
    transfer_into_a_token_leaves_nothing_outside adopt_takes_a_key_that_another_program_made \
    adopt_leaves_what_lies_beside_the_key
