#!/usr/bin/env bash
# Keys that are derived from a master key, by the command: openssl, jq and sqlite3 judge.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# A server with a database and a master key, both in its softstore.
domain_server() {
    server one
    keywright -q create database/sales
    keywright -q create master-key/corp --database sales
}

# hsm_server: the same, with a store `hsm` in a token too.
hsm_server() {
    mkdir token
    trap token_stop EXIT
    token_start softhsm "$case_dir/token"
    server one
    (umask 077 && echo "$token_pin" >one/pin)
    sed -i "/^stores:/a\\  hsm:\\n    id: \"0b1d02aa11223344\"\\n    plugin: pkcs11\\n    options: {library: $token_library, token_label: $token_label, pin: file:pin}" one/keywright.yaml
    keywright -q create database/sales
    keywright -q create master-key/corp --database sales --store hsm --key rsa-2048
    keywright -q create general/www
}

# signs CERT: it signs, and openssl verifies by the certificate.
signs() {
    echo 'an order' >order
    expect 0 keywright sign "$1" -i order -o signature
    keywright show "$1" --pem >certificate.pem
    openssl x509 -in certificate.pem -noout -pubkey >public.pem
    openssl dgst -sha256 -verify public.pem -signature signature order >verdict || fail "openssl does not verify"
}

# decrypts CERT: what openssl encrypts to the certificate.
decrypts() {
    keywright show "$1" --pem >certificate.pem
    printf 'a password' | openssl cms -encrypt -binary -outform DER -recip certificate.pem >password.cms
    expect 0 keywright decrypt "$1" -i password.cms -o plain
    [[ $(cat plain) == 'a password' ]] || fail "another plaintext"
}

hsm_calls() { keywright status --json | jq '.stores[] | select(.name == "hsm") | .calls'; }

create_derived_signs_decrypts_and_is_told() {
    domain_server
    expect 0 keywright create password-reset/sales/web --derived
    expect 0 keywright create discovery-service/sales/scan --derived --key ec-p384 --master-key master-key/corp
    signs password-reset/sales/web
    decrypts password-reset/sales/web
    decrypts discovery-service/sales/scan
    expect 0 keywright show discovery-service/sales/scan --json
    expect_json '.store == "derived" and .derived_from == "master-key/corp" and .root_version == 1 and .key == "ec-p384"'
    expect 0 keywright show password-reset/sales/web
    expect_out '^Store +none: derived from master-key/corp, version 1 of its root'
    expect 0 keywright list
    expect_out 'password-reset/sales/web .*derived from master-key/corp'
    expect 0 keywright list --json
    expect_json 'map(select(.derived_from != null) | .certificate) == ["discovery-service/sales/scan", "password-reset/sales/web"]'
    expect_json 'map(select(.certificate == "database/sales") | .derived_from) == [null]'
    expect 0 keywright list --store derived --json
    expect_json 'length == 2'
    expect 0 keywright status --json
    expect_json '[.stores[] | select(.name == "derived") | .available, .certificates, .calls] == [true, 2, 0]'
    # Another process derives the same, and nothing of it lies in the softstore.
    [[ $(sqlite3 one/state/catalogue.db "SELECT count(*) FROM record WHERE CAST(name AS TEXT) LIKE 'key/%'") == 4 ]] || fail "a key was stored"
}

# The built-in store stands in no configuration.
reload_does_not_miss_the_store_of_derived_keys() {
    domain_server
    keywright -q create password-reset/sales/web --derived
    keywright -q create discovery-service/sales/scan --derived
    echo 'trust: {system_roots: false}' >>one/keywright.yaml
    expect 0 keywright reload --dry-run --json
    expect_json '.warnings == []'
    expect 0 keywright reload
    refuse_err 'derived'
}

create_derived_refusals_say_why() {
    domain_server
    expect 5 keywright create general/www --derived
    expect_err 'cannot be derived'
    expect 5 keywright create master-key/other --database sales --derived
    expect 5 keywright create password-reset/sales/web --derived --key rsa-3072
    expect_err 'ec-p256 and ec-p384'
    expect 5 keywright create password-reset/sales/web --derived --key ed25519
    expect_err 'can sign but not decrypt'
    expect 2 keywright create password-reset/sales/web --derived --store local
    expect 2 keywright create password-reset/sales/web --master-key master-key/corp
    expect_err 'goes with --derived'
    expect 4 keywright create password-reset/sales/web --derived --master-key master-key/none
    expect 5 keywright create password-reset/sales/web --derived --master-key database/sales
    expect_err 'is no master key'
    expect 5 keywright create password-reset/sales/web --store derived
    expect_err 'stored nowhere'
    expect 0 keywright create database/hr
    expect 4 keywright create password-reset/hr/web --derived
    expect_err 'no master key serves the database hr'
    expect 5 keywright create password-reset/hr/web --derived --master-key master-key/corp
    expect_err 'does not serve the database hr'
    expect 0 keywright create master-key/second --database sales
    expect 5 keywright create password-reset/sales/web --derived
    expect_err 'master-key/corp, master-key/second'
    expect 0 keywright create password-reset/sales/web --derived --master-key master-key/second
    expect 0 keywright retire master-key/corp
    expect 0 keywright create password-reset/sales/app --derived
    expect_out 'derived from master-key/second'
    expect 5 keywright create password-reset/sales/old --derived --master-key master-key/corp
    expect_err 'is retired'
    # The remedy is one.
    expect_err 'keywright create master-key/corp. takes it into use again'
    expect 0 keywright create master-key/corp
    expect 5 keywright create password-reset/sales/old --derived
    expect_err 'is derived: --master-key CERT'
    expect 0 keywright create password-reset/sales/old --derived --master-key master-key/corp
}

# In a softstore a master key is no reason to derive; in an HSM it is, unless somebody asks for another place or key.
create_by_rule_derives_where_the_master_key_is_in_an_hsm() {
    hsm_server
    expect 0 keywright create password-reset/sales/web
    expect_out 'derived from master-key/corp'
    expect 0 keywright create discovery-service/sales/stored --store local
    expect 0 keywright create discovery-service/sales/rsa --key rsa-2048
    expect 0 keywright list --json
    expect_json 'map(select(.derived_from != null) | .certificate) == ["password-reset/sales/web"]'
    expect_json 'map(select(.certificate | startswith("discovery")) | .store) == ["local", "local"]'
    echo '  password-reset/sales/app: {store: local}' >>one/keywright.yaml
    expect 0 keywright create password-reset/sales/app
    refuse_out 'derived'
    expect 0 keywright create database/hr
    expect 0 keywright create master-key/soft --database hr --store local
    expect 0 keywright create password-reset/hr/web
    refuse_out 'derived'
    expect 0 keywright create master-key/two --database hr --store hsm --key rsa-2048
    expect 5 keywright create password-reset/hr/app
    expect_err 'several master keys serve the database hr'
    # Also where a key is rotated, which no master key can be named for.
    expect 5 keywright rotate password-reset/hr/web --new-key
    expect_err '--store STORE; .keywright create password-reset/hr/web --derived --master-key CERT. makes a derived one, once'
    expect 0 keywright rotate password-reset/hr/web --new-key --store local
    expect 0 keywright retire password-reset/hr/web
    expect 0 keywright create password-reset/hr/web --derived --master-key master-key/two
    decrypts password-reset/sales/web
    expect 0 keywright status
    refuse_out 'password-reset/sales/web is in store'
}

rotate_derived_makes_another_from_the_present_root() {
    domain_server
    keywright -q create password-reset/sales/web --derived
    decrypts password-reset/sales/web
    before=$(keywright show password-reset/sales/web --json | jq -r .spki_sha256)
    expect 0 keywright rotate password-reset/sales/web --new-key
    expect 0 keywright show password-reset/sales/web --json
    expect_json ".spki_sha256 != \"$before\" and .derived_from == \"master-key/corp\" and .number == 2"
    expect_json '.root_version == 1'
    expect 0 keywright rotate master-key/corp
    expect 0 keywright rotate password-reset/sales/web --new-key
    expect 0 keywright show password-reset/sales/web --json
    expect_json '.root_version == 2 and .number == 3'
    expect 0 keywright decrypt password-reset/sales/web@1 -i password.cms -o plain
    expect 0 keywright rotate password-reset/sales/web --new-key --store local
    expect 0 keywright show password-reset/sales/web --json
    expect_json '.derived_from == null and .store == "local"'
}

transfer_derived_is_refused() {
    domain_server
    keywright -q create password-reset/sales/web --derived
    sed -i '/^stores:/a\  other:\n    id: "0b1d02aa11223344"\n    plugin: softstore\n    options: {passphrase: file:passphrase}' one/keywright.yaml
    expect 5 keywright transfer password-reset/sales/web --to other
    expect_err 'there is nothing to move'
    expect 5 keywright transfer database/sales --to derived
    expect_err 'stored nowhere'
    expect 0 keywright transfer --database sales --to other
    decrypts password-reset/sales/web
}

retire_and_delete_derived_work() {
    domain_server
    keywright -q create password-reset/sales/web --derived
    expect 5 keywright delete password-reset/sales/web --yes
    expect 0 keywright retire password-reset/sales/web
    expect 0 keywright delete password-reset/sales/web --yes
    expect 4 keywright show password-reset/sales/web
    expect 0 keywright create password-reset/sales/web --derived
    expect 0 keywright delete password-reset/sales/web --force --yes
}

# For export and import.
password_file() { (umask 077 && echo 'an export password' >password); }

export_derived_has_a_reference_unless_it_is_decided() {
    domain_server
    password_file
    keywright -q create password-reset/sales/web --derived
    decrypts password-reset/sales/web
    expect 0 keywright export --database sales -o all.pfx --password-from file:password
    expect_err 'the file only says how.*--with-derived-keys'
    openssl pkcs12 -in all.pfx -passin file:password -nodes -nocerts >keys.pem 2>/dev/null
    [[ $(grep -c 'BEGIN PRIVATE KEY' keys.pem) == 2 ]] || fail "not the keys of the database and of the master key alone"
    expect 0 keywright export password-reset/sales/web --with-derived-keys -o web.pfx --password-from file:password
    expect_err 'holds a copy of its key, which otherwise exists nowhere'
    openssl pkcs12 -in web.pfx -passin file:password -nodes -nocerts >keys.pem 2>/dev/null
    openssl cms -decrypt -inform DER -in password.cms -inkey keys.pem -out plain
    [[ $(cat plain) == 'a password' ]] || fail "the exported key is another"
    # With its master key and its roots it is derived there as it was here.
    other_server three
    expect 0 keywright import all.pfx --password-from file:password
    refuse_err 'cannot be derived'
    expect 0 keywright show password-reset/sales/web --json
    expect_json '.store == "derived" and .derived_from == "master-key/corp"'
    expect 0 keywright decrypt password-reset/sales/web -i password.cms -o plain
    # Elsewhere the copy is a key like any other.
    other_server two
    expect 0 keywright create database/sales
    expect 0 keywright import web.pfx --password-from file:password
    expect 0 keywright show password-reset/sales/web --json
    expect_json '.store == "local" and .derived_from == null'
    expect 0 keywright decrypt password-reset/sales/web -i password.cms -o plain
}

# Two servers of one HSM, each of which has made up an id for it: the key stays in the token, and is found by the token's serial.
import_of_a_master_key_in_the_same_token_finds_it_by_serial() {
    hsm_server
    password_file
    keywright -q create password-reset/sales/web --derived
    decrypts password-reset/sales/web
    printf secret >secret
    expect 0 keywright seal master-key/corp --purpose p -i secret -o seal
    expect 0 keywright export --database sales -o all.pfx --password-from file:password
    server two
    cp one/pin two/pin
    # A token with another serial is not the one, though it has such a store.
    expect 4 keywright import all.pfx --password-from file:password
    expect_err 'it stayed in the store with id 0b1d02aa11223344, which is not configured here, and no store here has its token, serial [0-9a-f]{16}$'
    expect_err 'with this id, or any id and this token'
    # A store that may be the one and does not open is named.
    cp two/keywright.yaml plain.yaml
    local options="plugin: pkcs11, options: {library: $token_library, pin: file:pin, token_label"
    sed -i "/^stores:/a\\  theirs: {id: \"0b1d02aa99887766\", $options: nowhere}}" two/keywright.yaml
    expect 4 keywright import all.pfx --password-from file:password
    expect_err "; store theirs does not open: .*nowhere"
    cp plain.yaml two/keywright.yaml
    softhsm2-util --init-token --free --label another --pin "$token_pin" --so-pin 1234 >log
    sed -i "/^stores:/a\\  another: {id: \"0b1d02aa55667788\", $options: another}}" two/keywright.yaml
    expect 4 keywright import all.pfx --password-from file:password
    expect_err 'no store here has its token'
    sed -i "/^stores:/a\\  theirs: {id: \"0b1d02aa99887766\", $options: $token_label}}" two/keywright.yaml
    expect 0 keywright import all.pfx --password-from file:password
    expect 0 keywright show master-key/corp --json
    expect_json '.store == "theirs"'
    expect 0 keywright unseal master-key/corp --purpose p -i seal -o opened
    expect_same secret opened
    expect 0 keywright decrypt password-reset/sales/web -i password.cms -o plain
}

# The serial in a file is a hint: the key proves itself, or nothing is imported.
import_of_a_key_that_the_token_does_not_have_is_refused() {
    hsm_server
    password_file
    expect 0 keywright export master-key/corp -o corp.pfx --password-from file:password
    local locator
    locator=$(sqlite3 one/state/catalogue.db "SELECT locator FROM certificate JOIN entry ON entry.certificate = certificate.id WHERE address = 'master-key/corp'")
    pkcs11-tool --module "$token_library" --token-label "$token_label" --login --pin "$token_pin" --delete-object --type privkey --id "${locator#*id=}" >log
    server two
    cp one/pin two/pin
    sed -i "/^stores:/a\\  theirs: {id: \"0b1d02aa99887766\", plugin: pkcs11, options: {library: $token_library, pin: file:pin, token_label: $token_label}}" two/keywright.yaml
    expect 4 keywright import corp.pfx --password-from file:password
    refuse_err 'not configured here'
    expect 4 keywright show master-key/corp
}

import_derived_needs_its_master_key() {
    domain_server
    password_file
    keywright -q create password-reset/sales/web --derived
    decrypts password-reset/sales/web
    keywright -q export password-reset/sales/web -o web.pfx --password-from file:password 2>/dev/null
    expect 0 keywright delete password-reset/sales/web --force --yes
    expect 0 keywright import web.pfx --password-from file:password
    expect 0 keywright decrypt password-reset/sales/web -i password.cms -o plain
    other_server two
    expect 0 keywright create database/sales
    expect 4 keywright import web.pfx --password-from file:password
    expect_err 'derived from a master key that is neither here nor in the file'
    expect 4 keywright show password-reset/sales/web
    # Of the same name it is another one.
    expect 0 keywright create master-key/corp --database sales
    expect 4 keywright import web.pfx --password-from file:password
}

# subkey_server: hsm_server, whose softstore `local` is opened by the master key in the token.
subkey_server() {
    hsm_server
    expect 0 keywright passphrase local --new subkey:master-key/corp
    expect_err 'from now on .*/keywright.yaml:[0-9]+: options.passphrase .*must be subkey:master-key/corp'
    sed -i 's|passphrase: file:passphrase|passphrase: subkey:master-key/corp|' one/keywright.yaml
    rm one/passphrase
}

pins() { sqlite3 one/state/catalogue.db "SELECT CAST(name AS TEXT) FROM record WHERE store_id = 'derived' ORDER BY 1"; }

passphrase_new_subkey_opens_the_store_from_then_on() {
    hsm_server
    expect 0 keywright passphrase local --new subkey:master-key/corp
    [[ $(pins) == secret/*/passphrase ]] || fail "pins: $(pins)"
    expect 7 keywright sign server-encryption -i one/keywright.yaml -o signature
    sed -i 's|passphrase: file:passphrase|passphrase: subkey:master-key/corp|' one/keywright.yaml
    rm one/passphrase
    signs general/www
    # Another version of the root changes nothing, until the secret is moved to it.
    expect 0 keywright rotate master-key/corp
    signs general/www
    expect 0 keywright passphrase local --new subkey:master-key/corp
    signs general/www
    [[ $(pins) == secret/*/passphrase ]] || fail "pins: $(pins)"
    # And back to a passphrase of one's own.
    (umask 077 && echo 'a passphrase of my own' >one/passphrase)
    expect 0 keywright passphrase local --new file:one/passphrase
    expect 3 keywright sign server-encryption -i one/keywright.yaml -o signature
    sed -i 's|passphrase: subkey:master-key/corp|passphrase: file:passphrase|' one/keywright.yaml
    signs general/www
    [[ -z $(pins) ]] || fail "pins: $(pins)"
}

# A softstore that is new takes its first passphrase from there.
store_with_a_subkey_is_made_at_first_use() {
    hsm_server
    sed -i '/^stores:/a\  inner:\n    id: "77aa02aa11223344"\n    plugin: softstore\n    options: {passphrase: subkey:master-key/corp}' one/keywright.yaml
    expect 0 keywright create general/inner --store inner
    signs general/inner
    [[ $(pins) == secret/77aa02aa11223344/passphrase ]] || fail "pins: $(pins)"
    # One that was made with another passphrase does not become pinned.
    sed -i 's|passphrase: file:passphrase|passphrase: subkey:master-key/corp|' one/keywright.yaml
    expect 3 keywright sign server-encryption -i one/keywright.yaml -o signature
    expect_err 'keywright.yaml:[0-9]+'
    expect_err 'nothing tells that it was changed to that'
    [[ $(pins) == secret/77aa02aa11223344/passphrase ]] || fail "pins: $(pins)"
}

# No HMAC sees that a row is gone: what it would pin is not retired, and no new one is made in its place.
secret_whose_pin_somebody_deleted_pins_every_root() {
    subkey_server
    expect 0 keywright rotate master-key/corp
    sqlite3 one/state/catalogue.db "DELETE FROM record WHERE store_id = 'derived'"
    expect 3 keywright sign server-encryption -i one/keywright.yaml -o signature
    expect_err 'restore it from a backup'
    [[ -z $(pins) ]] || fail "pins: $(pins)"
    expect 0 keywright retire master-key/corp
    expect 5 keywright rotate master-key/corp --retire 1 --force --yes
    expect_err "root 1 of master-key/corp is needed by the passphrase of store 'local' \(which of them is not known\)"
    expect 5 keywright delete master-key/corp --force --yes
}

# Lost with the HSM: the store that this very master key opens is no place to recover into, whether it can be opened or not.
recovery_into_the_store_that_it_opens_is_a_circle() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=recovery -keyout recovery.key -out recovery.crt 2>/dev/null
    subkey_server
    printf 'subkeys: {recovery_certificate: ../recovery.crt}\n' >>one/keywright.yaml
    expect 0 keywright rotate master-key/corp
    local tokens
    tokens=$(sed -n 's/^directories.tokendir *= *//p' "$SOFTHSM2_CONF")
    rm -r "${tokens:?}"/*
    expect 5 keywright rotate master-key/corp --new-key --store local --recovery-key recovery.key
    expect_err "a circle: store 'local', opened by master-key/corp"
    expect_err 'a softstore with a passphrase of its own'
    (umask 077 && echo 'a passphrase of my own' >one/second)
    sed -i '/^stores:/a\  second: {id: "33aa02aa11223344", plugin: softstore, options: {passphrase: file:second}}' one/keywright.yaml
    expect 0 keywright rotate master-key/corp --new-key --store second --recovery-key recovery.key
    signs general/www
}

what_needs_a_root_is_named() {
    subkey_server
    keywright -q create password-reset/sales/web
    expect 5 keywright delete master-key/corp --force --yes
    expect_err "password-reset/sales/web"
    expect_err "the passphrase of store 'local'"
    expect 0 keywright retire master-key/corp
    expect 5 keywright rotate master-key/corp --retire 1 --force --yes
    expect_err "root 1 of master-key/corp is needed by password-reset/sales/web@1, the passphrase of store 'local'"
    signs general/www
    (umask 077 && echo 'a passphrase of my own' >one/passphrase)
    expect 0 keywright passphrase local --new file:one/passphrase
    sed -i 's|passphrase: subkey:master-key/corp|passphrase: file:passphrase|' one/keywright.yaml
    expect 5 keywright rotate master-key/corp --retire 1 --force --yes
    expect_err 'is needed by password-reset/sales/web@1$'
    expect 0 keywright delete password-reset/sales/web --force --yes
    expect 0 keywright rotate master-key/corp --retire 1 --force --yes
}

secret_subkey_where_there_is_none_is_refused() {
    domain_server
    sed -i 's|^catalogue_key: .*|catalogue_key: subkey:master-key/corp|' one/keywright.yaml
    expect 3 keywright list
    expect_err "keywright.yaml:[0-9]+:[0-9]+: 'catalogue_key': a subkey of a master key .* of a store alone"
    domain_again
    expect 2 keywright export --everything -o x.pfx --password-from subkey:master-key/corp
    expect_err 'of a store alone'
    expect 2 keywright passphrase local --new subkey:database/sales
    expect_err 'master-key/DOMAIN'
    sed -i 's|passphrase: file:passphrase|passphrase: subkey:general/x|' one/keywright.yaml
    expect 3 keywright config check
    expect_err 'keywright.yaml:[0-9]+:[0-9]+.*master-key/DOMAIN'
    sed -i 's|passphrase: subkey:general/x|passphrase: subkey:master-key/none|' one/keywright.yaml
    expect 0 keywright config check
    expect 3 keywright sign server-encryption -i one/keywright.yaml -o signature
    expect_err 'master-key/none, which does not exist'
}
domain_again() { sed -i 's|^catalogue_key: .*|catalogue_key: file:catalogue-key|' one/keywright.yaml; }

circles_are_refused_and_named() {
    domain_server
    expect 5 keywright passphrase local --new subkey:master-key/corp
    expect_err "a circle: store 'local', opened by master-key/corp, which would be in store 'local' itself"
    sed -i '/^stores:/a\  other:\n    id: "0b1d02aa11223344"\n    plugin: softstore\n    options: {passphrase: subkey:master-key/corp}' one/keywright.yaml
    expect 0 keywright create master-key/two --database sales --store other
    # local would be opened by a key in other, which is opened by a key in local
    expect 5 keywright passphrase local --new subkey:master-key/two
    expect_err "a circle: store 'local', opened by master-key/two in store 'other', opened by master-key/corp, which would be in store 'local' itself"
    expect 5 keywright transfer master-key/corp --to other
    expect_err "a circle: store 'other'"
    expect 5 keywright rotate master-key/corp --new-key --store other
    expect_err "a circle: store 'other'"
    (umask 077 && echo secret >password)
    expect 0 keywright export master-key/corp -o corp.pfx --password-from file:password
    expect 0 keywright retire master-key/corp
    expect 5 keywright create master-key/corp --store other --database sales
    expect_err "a circle: store 'other'"
    expect 0 keywright list --all --json
    expect_json 'map(select(.store == "other") | .certificate) == ["master-key/two"]'
    # Written by hand, it is found when the store opens.
    sed -i 's|passphrase: file:passphrase|passphrase: subkey:master-key/two|' one/keywright.yaml
    expect 5 keywright sign server-encryption -i one/keywright.yaml -o signature
    expect_err "a circle: store 'local'"
}

run_cases create_derived_signs_decrypts_and_is_told reload_does_not_miss_the_store_of_derived_keys \
    create_derived_refusals_say_why create_by_rule_derives_where_the_master_key_is_in_an_hsm \
    rotate_derived_makes_another_from_the_present_root transfer_derived_is_refused retire_and_delete_derived_work \
    export_derived_has_a_reference_unless_it_is_decided import_derived_needs_its_master_key \
    import_of_a_master_key_in_the_same_token_finds_it_by_serial import_of_a_key_that_the_token_does_not_have_is_refused \
    passphrase_new_subkey_opens_the_store_from_then_on store_with_a_subkey_is_made_at_first_use what_needs_a_root_is_named \
    secret_whose_pin_somebody_deleted_pins_every_root recovery_into_the_store_that_it_opens_is_a_circle secret_subkey_where_there_is_none_is_refused \
    circles_are_refused_and_named
