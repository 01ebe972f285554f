#!/usr/bin/env bash
# docs/crypto.md holds: programs that were written from it verify a server's state, and open and make seals, from the catalogue and the master key's
# private key on (S27).
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# master ADDRESS KEY: a master key, a seal under it (as ./seal, of ./text), its private key (./key.pem), and what the decoder makes of its root (./root).
master() {
    keywright -q create "$1" --key "$2" --database sales || fail "create"
    head -c "$((RANDOM % 3000))" /dev/urandom >text
    expect 0 keywright seal "$1" --purpose password --context sales --aad 4711 -i text -o seal
    printf 'pw' >password
    expect 0 keywright export "$1" -o key.pfx --password-from file:password
    openssl pkcs12 -in key.pfx -nocerts -nodes -passin file:password 2>/dev/null | openssl pkey -out key.pem || fail "no key in the .pfx"
    id=$(sqlite3 "$catalogue" "SELECT id FROM entry WHERE address = '$1'")
    version=$(sqlite3 "$catalogue" "SELECT max(version) FROM root WHERE master = '$id'")
    sqlite3 "$catalogue" "SELECT writefile('wraps', wraps) FROM root WHERE master = '$id' AND version = $version" >/dev/null
    expect 0 "$here/unseal.py" root key.pem <wraps
    cp "$case_dir/out" root
    [[ $(stat -c %s root) -eq 32 ]] || fail "the root has $(stat -c %s root) bytes"
}

# The decoder opens it, and Keywright what the decoder makes.
both_ways() {
    expect 0 "$here/unseal.py" open root sales 4711 <seal
    expect_same "$case_dir/out" text
    expect 0 "$here/sealing.py" seal root sales 4711 "$id" "$version" password <text
    cp "$case_dir/out" theirs
    expect 0 keywright unseal "$1" --purpose password --context sales --aad 4711 -i theirs -o opened
    expect_same opened text
}

# What the one refuses, the other does too; every byte is flipped in the unit tests.
refuse_the_same() {
    local at length byte
    length=$(stat -c %s seal)
    for at in 4 23 25 33 "$((length - 1))"; do
        cp seal changed
        byte=$(od -An -tu1 -j "$at" -N 1 seal)
        # shellcheck disable=SC2059 # the format is the byte
        printf "\\$(printf %03o "$((byte ^ 1))")" | dd of=changed bs=1 seek="$at" conv=notrunc status=none
        ! cmp -s seal changed || fail "nothing changed"
        expect 1 "$here/unseal.py" open root sales 4711 <changed
        expect_empty_out
        last_command="unseal with byte $at changed"
        ! keywright -q unseal "$1" --purpose password --context sales --aad 4711 -i changed -o refused 2>err || fail "opened"
        expect_no_file refused
    done
    expect 1 "$here/unseal.py" open root sales 4712 <seal
    expect 1 "$here/unseal.py" open root sale 4711 <seal
}

# Keys of certificates that are stored nowhere.
derives_the_same() {
    local key locator
    for key in ec-p256 ec-p384; do # no kind that is derived takes ed25519 so far
        expect 0 keywright create "discovery-service/sales/$key" --derived --master-key "$1" --key "$key"
        locator=$(sqlite3 "$catalogue" "SELECT CAST(locator AS TEXT) FROM certificate WHERE store_id = 'derived' AND key = '$key'")
        expect 0 "$here/sealing.py" key root "$locator"
        keywright show "discovery-service/sales/$key" --pem | openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER >public.der
        expect_same "$case_dir/out" public.der
    done
}

decoder_with_an_rsa_master_key_reads_and_writes_seals() {
    server one
    keywright -q create database/sales
    master master-key/rsa rsa-2048
    both_ways master-key/rsa
}

decoder_with_an_ec_master_key_reads_and_writes_seals() {
    server one
    keywright -q create database/sales
    master master-key/ec ec-p384
    both_ways master-key/ec
    refuse_the_same master-key/ec
    derives_the_same master-key/ec
}

reader_of_the_state_directory_verifies_all_of_it() {
    server one
    keywright -q create database/sales
    local key
    for key in rsa-2048 ec-p256; do
        keywright -q create "master-key/$key" --key "$key" --database sales
        keywright -q seal "master-key/$key" --purpose p -i one/keywright.yaml -o seal
    done
    expect 0 "$here/read_catalogue.py" "$state" one/catalogue-key one/passphrase
    expect_out '^root 2$'
    expect_out '^signature of ecdsa-sha256 1$'
    expect_out '^signature of rsa-pss-sha256 1$'
    expect_out '^soft key 5$'
    expect_out '^root-marks 1$'
    sqlite3 "$catalogue" "UPDATE root SET state = 'decrypt-only' WHERE version = 1"
    expect 1 "$here/read_catalogue.py" "$state" one/catalogue-key one/passphrase
    expect_err '^root does not verify$'
}

export PYTHONDONTWRITEBYTECODE=1 # the programs share a module
run_cases reader_of_the_state_directory_verifies_all_of_it \
    decoder_with_an_rsa_master_key_reads_and_writes_seals decoder_with_an_ec_master_key_reads_and_writes_seals
