#!/usr/bin/env bash
# seal and unseal.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

master="master-key/example.org"

# A server with a master key.
with_master() {
    server "$1"
    keywright -q create database/sales 2>/dev/null
    keywright -q create "$master" --database sales 2>/dev/null
    printf 's3cret' >secret
}

seal_and_unseal_are_each_others_opposite() {
    with_master a
    expect 0 keywright seal "$master" --purpose password -i secret -o seal
    expect_empty_out
    [[ $(stat -c %s seal) == $((65 + 8 + 6)) ]] || fail "the seal is $(stat -c %s seal) bytes long"
    ! grep -q s3cret seal || fail "the secret stands in the seal"
    grep -q password seal || fail "the purpose does not stand in the seal"
    expect 0 keywright unseal "$master" --purpose password -i seal -o opened
    expect_same secret opened
    expect_mode 600 opened
    expect 0 keywright seal "$master" --purpose password -i secret -o again
    ! cmp -s seal again || fail "two seals of one secret are the same"
    keywright seal "$master" --purpose p --context sales --aad 4711 -i - -o - <secret |
        keywright unseal "$master" --purpose p --context sales --aad 4711 -i - -o - >opened
    expect_same secret opened
    : >empty
    expect 0 keywright seal "$master" --purpose p -i empty -o seal
    expect 0 keywright unseal "$master" --purpose p -i seal -o opened
    expect_same empty opened
    head -c 3000000 /dev/urandom >large
    expect 0 keywright seal "$master" --purpose p -i large -o seal
    expect 0 keywright unseal "$master" --purpose p -i seal -o opened
    expect_same large opened
    expect 0 keywright --json seal "$master" --purpose p -i secret -o seal
    expect_json '.certificate == "'$master'" and .output == "seal" and .length == 72'
}

unseal_what_is_another_thing_is_refused_and_nothing_is_written() {
    local options
    with_master a
    keywright -q create master-key/other --database sales 2>/dev/null
    expect 0 keywright seal "$master" --purpose password --context sales --aad 7 -i secret -o seal
    for options in "--purpose token --context sales --aad 7" "--purpose password --context hr --aad 7" \
        "--purpose password --aad 7" "--purpose password --context sales --aad 8" "--purpose password --context sales"; do
        # shellcheck disable=SC2086
        expect 1 keywright unseal "$master" $options -i seal -o opened
        expect_no_file opened
    done
    expect 1 keywright unseal master-key/other --purpose password --context sales --aad 7 -i seal -o opened
    expect_err 'of another master key than master-key/other'
    # each byte counts
    local length at
    length=$(stat -c %s seal)
    for at in 0 3 4 19 20 23 24 25 33 40 60 80 $((length - 17)) $((length - 1)); do
        cp seal changed
        printf '\xff' | dd of=changed bs=1 seek="$at" conv=notrunc status=none
        ! cmp -s seal changed || printf '\x00' | dd of=changed bs=1 seek="$at" conv=notrunc status=none
        last_command="unseal with byte $at changed"
        ! keywright unseal "$master" --purpose password --context sales --aad 7 -i changed -o opened 2>/dev/null ||
            fail "byte $at does not count"
        expect_no_file opened
    done
    head -c 70 seal >changed
    expect 1 keywright unseal "$master" --purpose password --context sales --aad 7 -i changed -o opened
    expect 1 keywright unseal "$master" --purpose password --context sales --aad 7 -i secret -o opened
    expect_err 'this is no seal'
}

seal_with_what_is_no_master_key_is_refused() {
    with_master a
    expect 5 keywright seal database/sales --purpose p -i secret -o seal
    expect_err 'database/sales is no master key'
    expect 4 keywright seal master-key/nobody --purpose p -i secret -o seal
    expect 2 keywright seal "$master@1" --purpose p -i secret -o seal
    expect 2 keywright seal "$master" -i secret -o seal
    expect_err 'purpose'
    expect 2 keywright seal "$master" --purpose '' -i secret -o seal
    expect 2 keywright seal "$master" --purpose "$(head -c 256 /dev/zero | tr '\0' p)" -i secret -o seal
    expect 2 keywright seal "$master" --purpose p --context "$(head -c 1025 /dev/zero | tr '\0' c)" -i secret -o seal
    expect 4 keywright seal "$master" --purpose p -i nothing -o seal
    expect_no_file seal
}

seals_of_both_kinds_of_keys_are_counted_and_outlive_a_copy_of_the_server() {
    with_master a
    expect 0 keywright create master-key/rsa --database sales --key rsa-2048
    for name in example.org rsa; do
        expect 0 keywright seal "master-key/$name" --purpose p -i secret -o "seal.$name"
    done
    cp -a a b
    use b
    for name in example.org rsa; do
        expect 0 keywright unseal "master-key/$name" --purpose p -i "seal.$name" -o opened
        expect_same secret opened
    done
    expect 0 keywright status --json
    expect_json '.subkeys.hits == 0 and .subkeys.misses == 4 and .subkeys.calls_saved == 0'
    expect_json '.stores[0].outage_since == null'
    expect 0 keywright metrics
    expect_out '^keywright_subkey_misses_total 4$'
    expect_out '^keywright_store_outage_seconds\{store="local",store_id="[0-9a-f]+"\} 0$'
    expect 0 keywright metrics --json
    expect_json 'map(select(.name == "keywright_store_outage_seconds") | .labels | keys) == [["store", "store_id"]]'
}

# The version that a seal is under.
version_of() { tail -c +21 "$1" | head -c 4 | od -An -v -tx1 | tr -d ' \n'; }

rotation_and_retirement_leave_old_seals_open() {
    with_master a
    expect 0 keywright seal "$master" --purpose p -i secret -o first
    expect 0 keywright rotate "$master"
    expect 0 keywright seal "$master" --purpose p -i secret -o second
    [[ $(version_of first) == 00000001 && $(version_of second) == 00000002 ]] || fail "the versions"
    expect 5 keywright rotate "$master" --retire 1
    expect 0 keywright retire "$master"
    expect 5 keywright seal "$master" --purpose p -i secret -o third
    expect_err "$master is out of use"
    expect_no_file third
    for seal in first second; do
        expect 0 keywright unseal "$master" --purpose p -i "$seal" -o opened
        expect_same secret opened
    done
    expect 0 keywright create "$master" --database sales
    expect 0 keywright seal "$master" --purpose p -i secret -o third
}

run_cases rotation_and_retirement_leave_old_seals_open seal_and_unseal_are_each_others_opposite unseal_what_is_another_thing_is_refused_and_nothing_is_written \
    seal_with_what_is_no_master_key_is_refused seals_of_both_kinds_of_keys_are_counted_and_outlive_a_copy_of_the_server
