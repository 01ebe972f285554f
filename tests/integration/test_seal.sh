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
        expect 8 keywright unseal "$master" $options -i seal -o opened
        expect_no_file opened
    done
    expect 8 keywright unseal master-key/other --purpose password --context sales --aad 7 -i seal -o opened
    expect_err 'of another master key than master-key/other'
    # each byte counts
    local length at
    length=$(stat -c %s seal)
    for at in 0 3 4 19 20 23 24 25 33 40 60 80 $((length - 17)) $((length - 1)); do
        cp seal changed
        printf '\xff' | dd of=changed bs=1 seek="$at" conv=notrunc status=none
        ! cmp -s seal changed || printf '\x00' | dd of=changed bs=1 seek="$at" conv=notrunc status=none
        last_command="unseal with byte $at changed"
        expect 8 keywright unseal "$master" --purpose password --context sales --aad 7 -i changed -o opened
        expect_no_file opened
    done
    # A version that no root of this master key ever had; of the greatest, and of the next one.
    for version in 'xff\xff\xff\xff' 'x00\x00\x00\x02'; do
        cp seal changed
        printf '%b' "\\$version" | dd of=changed bs=1 seek=20 conv=notrunc status=none
        expect 8 keywright unseal "$master" --purpose password --context sales --aad 7 -i changed -o opened
        expect_err 'has no root [0-9]+ in this catalogue'
        expect_err 'keywright export master-key/example.org'
        expect_no_file opened
    done
    expect 8 keywright --json unseal "$master" --purpose password --context sales --aad 7 -i changed -o opened
    jq -e '.error | .exit_status == 8 and .status == "corrupt"' <err >/dev/null || fail "the error in JSON"
    head -c 70 seal >changed
    expect 8 keywright unseal "$master" --purpose password --context sales --aad 7 -i changed -o opened
    expect 8 keywright unseal "$master" --purpose password --context sales --aad 7 -i secret -o opened
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
    # What is retired was never changed: it is not there any more.
    expect 0 keywright rotate "$master" --retire 1 --force --yes
    expect 4 keywright unseal "$master" --purpose p -i first -o gone
    expect_err "root 1 of $master is retired"
    expect_no_file gone
    expect 4 keywright rotate "$master" --retire 7 --force --yes
    expect_err "keywright show $master. lists"
    expect 0 keywright create "$master" --database sales
    expect 0 keywright seal "$master" --purpose p -i secret -o third
    expect 4 keywright unseal "$master" --purpose p -i first -o gone
}

# The server that docs/subkeys.md shows: its table is sealed anew, and the older version is needed no more.
reseal_as_the_document_shows_it_works() {
    with_master a
    expect 0 "$EXAMPLE" a/keywright.yaml table.db fill 30
    cp table.db backup.db
    expect 0 keywright rotate "$master"
    expect 5 keywright rotate "$master" --retire 1
    expect 0 "$EXAMPLE" a/keywright.yaml table.db reseal
    expect_out '^30 of 30 records sealed anew, under version 2$'
    expect 0 "$EXAMPLE" a/keywright.yaml table.db reseal
    expect_out '^0 of 30 records'
    expect 0 keywright rotate "$master" --retire 1
    expect 0 "$EXAMPLE" a/keywright.yaml table.db read
    expect_out '^30 records opened$'
    [[ $(sqlite3 table.db "SELECT count(*) FROM password WHERE hex(substr(seal, 21, 4)) = '00000002'") == 30 ]] || fail "the versions"
    # A backup of the table from before the walk is lost from now on, and no walk takes it for done.
    expect 1 "$EXAMPLE" a/keywright.yaml backup.db read
    expect_err 'not found: root 1 of master-key/example.org is retired'
    expect 1 "$EXAMPLE" a/keywright.yaml backup.db reseal
    expect_err 'record 1: root 1'
    local source=$here/../../examples/reseal.c
    sed -n '/from here ----/,/to here ----/{/ here ----/d;p}' "$source" | sed '/./,$!d' >program
    awk '/^#### An example/ { found = 1 } found && /^```$/ { exit } inside { print } found && /^```c$/ { inside = 1 }' "$here/../../docs/subkeys.md" >shown
    [[ -s shown ]] || fail "docs/subkeys.md shows no example"
    diff -B shown program || fail "docs/subkeys.md shows another program than $source"
}

run_cases reseal_as_the_document_shows_it_works rotation_and_retirement_leave_old_seals_open seal_and_unseal_are_each_others_opposite unseal_what_is_another_thing_is_refused_and_nothing_is_written \
    seal_with_what_is_no_master_key_is_refused seals_of_both_kinds_of_keys_are_counted_and_outlive_a_copy_of_the_server
