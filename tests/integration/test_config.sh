#!/usr/bin/env bash
# config check: what is wrong is said with file, line and column, exit 3, in under 2 seconds.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# A file to spoil: one setting a line.
write_configuration() {
    printf 'text\n' >secret
    chmod 600 secret
    cat >good.yaml <<'END'
version: 1
state: state
catalogue_key: file:secret
store: local
stores:
  local:
    id: 0123abcd
    plugin: softstore
    options:
      passphrase: file:secret
END
}

# expect_wrong FILE PLACE PATTERN: exit 3 with file:PLACE and the pattern, in under 2 seconds.
expect_wrong() {
    local began=$EPOCHREALTIME took
    expect 3 keywright config check "$1"
    took=$(((${EPOCHREALTIME/[.,]/} - ${began/[.,]/}) / 1000))
    [[ $took -lt 2000 ]] || fail "took $took ms"
    expect_err "^keywright: [^:]*$(basename "$1"):$2: "
    expect_err "$3"
    expect_empty_out
}

# Makes bad.yaml of good.yaml by a sed script.
spoil() { sed "$1" good.yaml >bad.yaml; }

good_file_is_in_order() {
    write_configuration
    expect 0 keywright config check good.yaml
    expect_empty_out
    expect_err 'in order'
    expect 0 keywright -q config check good.yaml
    expect_empty_err
    expect 0 keywright config check -c good.yaml
    expect 2 keywright config check -c good.yaml good.yaml
    expect_no_file state
}

unknown_key_names_the_nearest() {
    write_configuration
    spoil 's/^store:/stroe:/'
    expect_wrong bad.yaml 4:1 "stroe(.|$)"
    expect_err "store"
    spoil 's/plugin: softstore/plugin: softsotre/'
    expect_wrong bad.yaml 8:13 'softsotre'
    expect_err 'softstore'
    spoil 's/passphrase:/pasphrase:/'
    expect_wrong bad.yaml '(10:7|9:[0-9]+)' 'pasphrase'
    expect_err 'passphrase'
}

wrong_type_is_placed() {
    write_configuration
    spoil 's/^version: 1/version: one/'
    expect_wrong bad.yaml 1:10 'version'
    spoil 's/^version: 1/version: 0x1/'
    expect_wrong bad.yaml 1:10 'a whole number'
    expect_err 'write version: 1'
    spoil 's/^state: state/state: [a, b]/'
    expect_wrong bad.yaml 2:8 'state'
    spoil 's/^stores:/stores: none/;/^  /d;/^store:/d'
    expect_wrong bad.yaml 4:9 'stores'
}

check_connect_tells_of_a_store_under_a_wrong_id() {
    server a
    expect 0 keywright config check --connect
    refuse_err warning
    sed -i 's/^    id: .*/    id: "00000000"/' a/keywright.yaml
    expect 4 keywright config check --connect
    expect_err 'warning: .*ssl-connection.*not configured'
    rm a/passphrase
    expect 3 keywright config check --connect
    expect_err 'keywright.yaml:[0-9]+:[0-9]+: .*passphrase'
}

missing_required_key_is_named() {
    write_configuration
    spoil '/^state:/d'
    expect_wrong bad.yaml '[0-9]+:[0-9]+' 'state'
    spoil '/plugin:/d'
    expect_wrong bad.yaml '[0-9]+:[0-9]+' 'plugin'
    spoil '/passphrase:/d;s/options:/options: {}/'
    expect_wrong bad.yaml '[0-9]+:[0-9]+' 'passphrase'
    : >bad.yaml
    expect 3 keywright config check bad.yaml
    expect 3 keywright config check missing.yaml
    expect_err 'missing.yaml'
}

duplicate_key_is_placed() {
    write_configuration
    { cat good.yaml; echo 'store: other'; } >bad.yaml
    expect_wrong bad.yaml 11:1 'store'
}

unknown_version_and_store_are_placed() {
    write_configuration
    spoil 's/^version: 1/version: 99/'
    expect_wrong bad.yaml 1:10 '99'
    spoil 's/^store: local/store: locla/'
    expect_wrong bad.yaml 4:8 'locla'
    expect_err 'local'
    { cat good.yaml; echo 'certificates: {databse: {key: ec-p256}}'; } >bad.yaml
    expect_wrong bad.yaml '11:[0-9]+' 'databse'
    { cat good.yaml; echo 'certificates: {database: {key: ec-p999}}'; } >bad.yaml
    expect_wrong bad.yaml '11:[0-9]+' 'ec-p999'
}

hostile_files_are_refused_quickly() {
    local i
    write_configuration
    {
        echo 'a: &a [x, x, x, x, x, x, x, x, x]'
        for i in b c d e f g h; do
            echo "$i: &$i [$(printf "*%s, " "$(tr b-h a-g <<<"$i")"{,,,,,,,,})]"
        done
    } >bad.yaml
    expect_wrong bad.yaml '[0-9]+:[0-9]+' '.'
    { cat good.yaml; head -c 104857600 /dev/zero | tr '\0' '#'; } >bad.yaml
    expect 3 timeout 2 keywright config check bad.yaml
    expect_err 'bad.yaml'
    printf '%*s' 1000000 '' | tr ' ' '[' >bad.yaml
    expect_wrong bad.yaml '[0-9]+:[0-9]+' '.'
    { cat good.yaml; printf '{%.0s' {1..5000}; } >bad.yaml
    expect_wrong bad.yaml '[0-9]+:[0-9]+' '.'
    spoil 's/^state: state/state: "a\x00b"/'
    expect_wrong bad.yaml 2:[0-9]+ '.'
    spoil 's/^state: state/state: "a\xffb"/'
    expect_wrong bad.yaml 2:[0-9]+ '.'
    spoil 's/^    options:/\toptions:/'
    expect_wrong bad.yaml 9:[0-9]+ '.'
    { cat good.yaml; echo '---'; cat good.yaml; } >bad.yaml
    expect_wrong bad.yaml '1[0-9]:[0-9]+' 'document'
    printf 'version: 1\n  state: x\n' >bad.yaml
    expect_wrong bad.yaml '2:[0-9]+' '.'
    head -c 4096 /dev/urandom >bad.yaml
    expect 3 keywright config check bad.yaml
    expect 3 keywright config check .
}

inline_secret_is_refused_and_not_repeated() {
    write_configuration
    spoil 's/passphrase: .*/passphrase: inline:verySecret1/'
    expect_wrong bad.yaml 10:19 'inline'
    refuse_err 'verySecret1'
    spoil 's/passphrase: .*/passphrase: verySecret1/'
    expect_wrong bad.yaml 10:19 '.'
    refuse_err 'verySecret1'
    spoil 's/passphrase: .*/passphrase: inline:verySecret1/;1a allow_inline_secrets: true'
    expect 0 keywright config check bad.yaml
    refuse_err 'verySecret1'
}

secret_that_others_may_read_is_a_warning() {
    write_configuration
    chmod 644 secret
    expect 0 keywright config check good.yaml
    expect_err '^keywright: warning: .*secret'
    expect 0 keywright --json config check good.yaml
    expect_json '[.events[] | select(.warning)] | length >= 1'
    chmod 600 secret
    expect 0 keywright config check good.yaml
    refuse_err 'warning'
}

connect_opens_stores_and_secrets() {
    server a
    expect 0 keywright config check --connect
    printf 'wrong\n' >a/passphrase
    expect 0 keywright config check
    expect 7 keywright config check --connect
    rm a/passphrase
    expect 3 keywright config check --connect
    expect_err 'passphrase'
}

schema_is_json_that_knows_the_keys() {
    expect 0 keywright config schema
    expect_json '.properties | has("stores") and has("state") and has("certificates")'
    expect_json '."$schema" | test("2020-12")'
}

plugins_are_listed_with_their_options() {
    write_configuration
    export KEYWRIGHT_CONFIG=$case_dir/good.yaml
    expect 0 keywright plugins
    expect_out '^softstore +[0-9]'
    expect 0 keywright plugins softstore
    expect_out '^passphrase +secret source, required'
    expect 0 keywright --json plugins softstore
    expect_json '.name == "softstore" and .abi == [1, 0] and (.options[] | select(.name == "passphrase") | .required and .secret)'
    expect 0 keywright --json plugins
    expect_json 'type == "array" and (map(.name) | index("softstore") != null)'
    expect 4 keywright plugins nothing
    expect_empty_out
}

run_cases good_file_is_in_order unknown_key_names_the_nearest wrong_type_is_placed check_connect_tells_of_a_store_under_a_wrong_id missing_required_key_is_named \
    duplicate_key_is_placed unknown_version_and_store_are_placed hostile_files_are_refused_quickly \
    inline_secret_is_refused_and_not_repeated secret_that_others_may_read_is_a_warning connect_opens_stores_and_secrets \
    schema_is_json_that_knows_the_keys plugins_are_listed_with_their_options
