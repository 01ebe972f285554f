#!/usr/bin/env bash
# S27, W8, B8: roots of master keys rotate, are retired, move and come back; who changes them is refused. openssl, sqlite3 and python3 are the judges.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# master [KEY]: a server with master-key/x and, in h1 and h2, a text that is sealed under its first two roots.
master() {
    server a
    keywright -q create database/sales
    keywright -q create master-key/x --database sales --key "${1:-ec-p256}"
    printf 'a record' >plain
    keywright seal master-key/x --purpose p -i plain -o h1
    keywright -q rotate master-key/x
    keywright seal master-key/x --purpose p -i plain -o h2
}

opens() {
    local seal
    for seal in "$@"; do
        expect 0 keywright unseal master-key/x --purpose p -i "$seal" -o opened
        expect_same plain opened
    done
}

rotate_makes_roots_and_keeps_what_is_needed() {
    master
    [[ $(sqlite3 "$catalogue" 'SELECT group_concat(state) FROM root ORDER BY version') == decrypt-only,active ]] || fail "states"
    opens h1 h2
    expect 5 keywright rotate master-key/x --retire 1
    expect_err 'data may still be sealed under root 1 of master-key/x'
    expect 5 keywright rotate master-key/x --retire 1 --force --yes
    expect_err 'data may still be sealed under root 1 of master-key/x'
    expect 5 keywright rotate master-key/x --retire 2 --force --yes
    expect_err 'root 2 of master-key/x is the active one'
    expect 0 keywright show master-key/x
    expect_out 'Root 1 +decrypt-only, of '
    expect_out 'Root 2 +active, of '
    expect 4 keywright rotate master-key/x --retire 3
    expect 2 keywright rotate master-key/x --retire 1x
    expect 2 keywright rotate master-key/x --retire 1 --new-key
    expect 5 keywright rotate database/sales
    expect_err 'database/sales is no master key'
    expect 0 keywright rotate master-key/x --new-key
    opens h1 h2
    # The former key is of no use to anything but old ciphertexts; the present one is.
    expect 0 keywright delete master-key/x@1 --yes
    expect 5 keywright delete master-key/x@2 --force --yes
    expect_err 'opens its root secrets \(1, 2\)'
    opens h1 h2
}

delete_goes_once_all_roots_are_retired() {
    master
    keywright -q retire master-key/x
    expect 5 keywright delete master-key/x --force --yes
    expect 5 keywright rotate master-key/x
    expect_err 'master-key/x is retired'
    # Nothing was sealed anew: not by the way.
    expect 5 keywright rotate master-key/x --retire 1
    expect_err 'data may still be sealed under root 1'
    expect 5 keywright rotate master-key/x --retire 1 --force
    expect_err 'Retire root 1 of master-key/x, though data may be sealed under it'
    opens h1 h2
    expect 0 keywright rotate master-key/x --retire 1 --force --yes
    expect 4 keywright unseal master-key/x --purpose p -i h1 -o opened
    expect_err 'root 1 of master-key/x is retired'
    expect 5 keywright delete master-key/x --yes
    expect_err 'root secrets \(2\)'
    expect 5 keywright rotate master-key/x --retire 2
    expect_err 'root 2 of master-key/x is the active one'
    expect 0 keywright rotate master-key/x --retire 2 --force --yes
    expect 0 keywright delete master-key/x --yes
    [[ $(sqlite3 "$catalogue" 'SELECT count(*) FROM root') == 0 ]] || fail "roots stayed"
    grep -q '^mac ' a/state/root-marks || fail "no marks"
    [[ $(wc -l <a/state/root-marks) == 2 ]] || fail "a mark stayed"
}

rotate_retire_names_what_is_derived() {
    server a
    keywright -q create database/sales
    keywright -q create master-key/x --database sales
    keywright -q create password-reset/sales/web --derived
    keywright -q retire password-reset/sales/web
    keywright -q retire master-key/x
    expect 5 keywright rotate master-key/x --retire 1 --force --yes
    expect_err 'root 1 of master-key/x is needed by password-reset/sales/web@1'
    expect 5 keywright delete master-key/x --force --yes
    expect_err 'on which password-reset/sales/web@1 depend'
}

create_again_brings_the_roots_along() {
    master
    keywright -q retire master-key/x
    # As the refusal says; it serves the databases that it did.
    expect 5 keywright seal master-key/x --purpose p -i plain -o h3
    expect_err 'keywright create master-key/x. takes it into use again'
    expect 0 keywright create master-key/x
    expect 0 keywright --json show master-key/x
    expect_json '.databases == ["sales"] and (.roots | all(.created | test("^2.*Z$")))'
    opens h1 h2
}

# recovery KIND: the only store of the master key is lost, and the recovery certificate's key opens its roots.
recovery() {
    local request=(openssl req -x509 -subj /CN=recovery -keyout recovery.key -out a/recovery.crt -passout pass:geheim)
    master
    printf geheim >password
    chmod 600 password
    if [[ $1 == rsa ]]; then
        "${request[@]}" -newkey rsa:2048 2>/dev/null
    else
        "${request[@]}" -newkey ec -pkeyopt ec_paramgen_curve:P-384 2>/dev/null
    fi
    printf '%s\n' 'a passphrase' >a/second
    chmod 600 a/second
    sed -i '/^stores:/a\  second: {id: "0b1d02aa", plugin: softstore, options: {passphrase: file:second}}' a/keywright.yaml
    printf 'subkeys: {recovery_certificate: recovery.crt}\n' >>a/keywright.yaml
    expect 0 keywright transfer master-key/x --to second
    rm a/second
    # Not wrapped to it yet.
    expect 3 keywright rotate master-key/x --new-key --store local
    refuse_err recovery-key
    expect 5 keywright rotate master-key/x --new-key --store local --recovery-key recovery.key --password-from file:password
    expect_err 'root 1 of master-key/x: it is not wrapped to the certificate of this recovery key, nor to any other'
    printf '%s\n' 'a passphrase' >a/second
    chmod 600 a/second
    expect 0 keywright --json status
    expect_json '[.reminders[] | select(test("master-key/x: the recovery certificate cannot open"))] | length == 1'
    expect 0 keywright rotate master-key/x
    expect 0 keywright --json status
    expect_json '[.reminders[] | select(test("master-key/x"))] | length == 0'
    expect 0 keywright --json show master-key/x
    expect_json '[.roots[] | "\(.version) \(.state) \(.recoverable)"] == ["1 decrypt-only true", "2 decrypt-only true", "3 active true"]'
    keywright seal master-key/x --purpose p -i plain -o h3
    rm a/second
    expect 3 keywright rotate master-key/x --new-key --store local
    expect_err 'rotate master-key/x --new-key --store STORE --recovery-key FILE'
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out other.key 2>/dev/null
    expect 5 keywright rotate master-key/x --new-key --store local --recovery-key other.key
    printf wrong >wrong
    chmod 600 wrong
    expect_err "but to the one whose public key has the SHA-256 $(openssl pkey -in recovery.key -passin pass:geheim -pubout -outform DER | sha256sum | head -c 64)"
    expect 7 keywright rotate master-key/x --new-key --store local --recovery-key recovery.key --password-from file:wrong
    [[ $(sqlite3 "$catalogue" 'SELECT count(*) FROM certificate WHERE number > 1') == 0 ]] || fail "a certificate was made"
    expect 0 keywright rotate master-key/x --new-key --store local --recovery-key recovery.key --password-from file:password
    opens h1 h2 h3
    # The end of that road: what is left of the lost store goes, and the configuration is in order without it.
    expect 3 keywright delete master-key/x@1 --yes
    expect 0 keywright delete master-key/x@1 --force --yes
    expect_err 'master-key/x@1 is gone; its key, if it still exists, stays in its store with the id 0b1d02aa: '
    expect 4 keywright show master-key/x@1
    sed -i '/^  second:/d' a/keywright.yaml
    expect 0 keywright config check --connect
    opens h1 h2 h3
}
# One that is required may come back with its store.
delete_of_what_is_required_waits_for_its_store() {
    server a
    printf '%s\n' 'a passphrase' >a/second
    chmod 600 a/second
    sed -i '/^stores:/a\  second: {id: "0b1d02aa", plugin: softstore, options: {passphrase: file:second}}' a/keywright.yaml
    expect 0 keywright create general/v --store second --key ec-p256
    sed -i '/^  second:/d' a/keywright.yaml
    expect 5 keywright delete general/v --force --yes
    expect_err 'general/v is required, and its store cannot be opened'
    expect 0 keywright retire general/v
    expect 4 keywright delete general/v --yes
    expect_err "no store with the id '0b1d02aa'"
    expect 0 keywright delete general/v --force --yes
    expect 4 keywright show general/v
}
rotate_by_an_rsa_recovery_key_opens_everything() { recovery rsa; }
rotate_by_an_ec_recovery_key_opens_everything() { recovery ec; }

moved_server_opens_what_was_sealed() {
    master rsa-2048
    printf 'a password' >password
    chmod 600 password
    expect 0 keywright export --database sales -o sales.pfx --password-from file:password
    openssl pkcs12 -in sales.pfx -passin file:password -nodes -out all.pem 2>/dev/null || fail "openssl does not read it"
    [[ $(grep -c 'PRIVATE KEY' all.pem) == 4 ]] || fail "keys"
    other_server b
    expect 0 keywright import sales.pfx --password-from file:password
    opens h1 h2
    keywright seal master-key/x --purpose p -i plain -o theirs
    use a
    opens theirs
    # What was made since comes with the next file.
    keywright -q rotate master-key/x
    keywright seal master-key/x --purpose p -i plain -o h3
    keywright -q export --database sales -o sales.pfx --password-from file:password
    use b
    expect 8 keywright unseal master-key/x --purpose p -i h3 -o opened
    expect 0 keywright import sales.pfx --password-from file:password
    expect_out 'master-key/x: root 3 of the file is added'
    opens h1 h2 h3
    expect 0 keywright import sales.pfx --password-from file:password
    refuse_out 'of the file'
    # Servers that went apart do not become one.
    keywright -q rotate master-key/x
    use a
    keywright -q rotate master-key/x
    keywright -q export --database sales -o sales.pfx --password-from file:password
    use b
    expect 5 keywright import sales.pfx --password-from file:password
    expect_err 'master-key/x has another root 4 here than in the file'
    opens h1 h2 h3
    # Deleted, and brought back by an older file.
    use a
    keywright -q retire master-key/x
    for version in 1 2 3 4; do
        expect 0 keywright rotate master-key/x --retire "$version" --force --yes
    done
    expect 0 keywright delete master-key/x --yes
    expect 0 keywright import sales.pfx --password-from file:password
    opens h1 h2 h3
}

# Each column of the first root.
changed_root_is_corrupt() {
    local column
    master
    sqlite3 "$catalogue" 'pragma wal_checkpoint(truncate)' >/dev/null
    cp -a a whole
    for column in $(sqlite3 "$catalogue" "select name from pragma_table_info('root')"); do
        sqlite3 "$catalogue" "pragma ignore_check_constraints = on; update root set $column = case typeof($column)
            when 'integer' then $column + 10 when 'blob' then zeroblob(length($column))
            else 'z' || substr($column, 2) end where version = 1"
        expect 8 keywright unseal master-key/x --purpose p -i h2 -o opened
        expect_no_file opened
        expect 8 keywright rotate master-key/x
        [[ $(sqlite3 "$catalogue" 'SELECT count(*) FROM root') == 2 ]] || fail "something was done"
        cp whole/state/*.db "$catalogue"
    done
    opens h1 h2
}

older_catalogue_is_corrupt_until_it_is_accepted() {
    master
    sqlite3 "$catalogue" 'pragma wal_checkpoint(truncate)' >/dev/null
    cp "$catalogue" older
    keywright -q rotate master-key/x
    keywright seal master-key/x --purpose p -i plain -o h3
    rm -f "$catalogue" "$catalogue"-wal "$catalogue"-shm
    cp older "$catalogue"
    expect 8 keywright unseal master-key/x --purpose p -i h1 -o opened
    expect_err 'the catalogue has 2 root secrets of master-key/x, and this server has seen 3'
    expect_err 'remove .*/root-marks'
    rm a/state/root-marks
    opens h1 h2
    expect 8 keywright unseal master-key/x --purpose p -i h3 -o opened
}

# wrap_of FILE: the ciphertext in the first root, to a file.
wrap_of() {
    sqlite3 "$catalogue" 'SELECT hex(wraps) FROM root WHERE version = 1' | python3 -c '
import sys
wraps = bytes.fromhex(sys.stdin.read().strip())
assert wraps[0] == 1 and wraps[1] == 1  # one wrap, to the master key
name_length = int.from_bytes(wraps[34:38], "big")
assert wraps[38:38 + name_length] == b"rsa-oaep-sha256"
sys.stdout.buffer.write(wraps[38 + name_length + 4:])' >"$1"
    [[ $(stat -c %s "$1") == 256 ]] || fail "no ciphertext of 256 bytes"
}

decrypt_of_a_wrapped_root_is_invalid_as_any_other() {
    master rsa-2048
    wrap_of wrap
    cp wrap changed
    printf '\x55' | dd of=changed bs=1 seek=100 conv=notrunc status=none
    local kind
    for kind in changed wrap; do
        cp "$kind" in
        expect 1 keywright decrypt master-key/x --format oaep -i in -o opened
        cp err "$kind.err"
        expect_no_file opened
    done
    expect_same changed.err wrap.err
    # In a CMS message, in place of the content key.
    keywright show master-key/x --pem >x.pem
    openssl cms -encrypt -binary -outform DER -recip x.pem -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 \
        -in plain -out plain.cms
    expect 0 keywright decrypt master-key/x -i plain.cms -o opened
    rm opened
    for kind in changed wrap; do
        python3 - "$kind" <<'PYTHON' >in.cms
import sys
message = open("plain.cms", "rb").read()
at = message.index(b"\x04\x82\x01\x00") + 4  # the encrypted content key
sys.stdout.buffer.write(message[:at] + open(sys.argv[1], "rb").read() + message[at + 256:])
PYTHON
        expect 1 keywright decrypt master-key/x -i in.cms -o opened
        cp err "$kind.err"
        expect_no_file opened
    done
    expect_same changed.err wrap.err
    # By its own road it does open.
    opens h1
}

key_of_a_master_key_is_no_other_kinds() {
    master
    printf 'a password' >password
    chmod 600 password
    expect 0 keywright export master-key/x -o x.pfx --password-from file:password
    expect 5 keywright import x.pfx --as general/leak --password-from file:password
    expect_err 'the key of general/leak is the key of master-key/x too'
    expect 4 keywright show general/leak
    # Where the master key is not, it is a key as any other; then the master key cannot come.
    other_server b
    expect 0 keywright import x.pfx --as general/leak --password-from file:password
    expect 5 keywright import x.pfx --password-from file:password
    expect_err 'the key of master-key/x is the key of general/leak too'
    expect 0 keywright retire general/leak --yes
    expect 0 keywright delete general/leak --yes
    expect 0 keywright import x.pfx --password-from file:password
    opens h1 h2
}

# What would be found at the next rotation is found before.
recovery_certificate_that_is_none_is_told() {
    server a
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=recovery -keyout recovery.key -out recovery.crt 2>/dev/null
    openssl req -x509 -newkey ed25519 -nodes -subj /CN=recovery -keyout signer.key -out signer.crt 2>/dev/null
    local file
    cp a/keywright.yaml good.yaml
    openssl req -x509 -newkey rsa:1280 -nodes -subj /CN=recovery -keyout weak.key -out weak.crt 2>/dev/null
    for file in missing.crt recovery.key signer.crt weak.crt; do
        { cat good.yaml; printf 'subkeys: {recovery_certificate: ../%s}\n' "$file"; } >a/keywright.yaml
        expect 3 keywright config check
        expect_err 'keywright.yaml:[0-9]+:[0-9]+: recovery_certificate: '
        expect 3 keywright reload --dry-run
        expect_err 'keywright.yaml:[0-9]+:[0-9]+: recovery_certificate: '
        expect 0 keywright --json status
        expect_json '[.reminders[] | select(test("no root secret can be made.*keywright.yaml:[0-9]+.*recovery_certificate: .*name a certificate"))] | length == 1'
    done
    { cat good.yaml; printf 'subkeys: {recovery_certificate: ../recovery.crt}\n'; } >a/keywright.yaml
    expect 0 keywright config check
    expect 0 keywright --json status
    expect_json '[.reminders[] | select(test("root"))] | length == 0'
}

run_cases rotate_makes_roots_and_keeps_what_is_needed delete_of_what_is_required_waits_for_its_store delete_goes_once_all_roots_are_retired \
    rotate_retire_names_what_is_derived create_again_brings_the_roots_along \
    rotate_by_an_rsa_recovery_key_opens_everything rotate_by_an_ec_recovery_key_opens_everything \
    moved_server_opens_what_was_sealed changed_root_is_corrupt older_catalogue_is_corrupt_until_it_is_accepted \
    decrypt_of_a_wrapped_root_is_invalid_as_any_other key_of_a_master_key_is_no_other_kinds recovery_certificate_that_is_none_is_told
