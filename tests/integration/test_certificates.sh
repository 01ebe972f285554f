#!/usr/bin/env bash
# The life of certificates: create, list, show, request, retire, delete; openssl judges what they are.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

certificate_text() {
    keywright show "$1" --pem | openssl x509 -noout -text
}

init_makes_a_server_with_private_files() {
    expect 0 keywright init new
    expect_out '^created ssl-connection$'
    expect_out '^created server-encryption$'
    expect_mode 700 new
    expect_mode 600 new/passphrase
    expect_mode 600 new/catalogue-key
    # In quotes: eight digits, or digits around an e, would be a number.
    grep -Eq '^    id: "[0-9a-f]{8}" ' new/keywright.yaml || fail "the store's id is not in quotes"
    use new
    expect 0 keywright list --json
    expect_json '[.[].certificate] == ["ssl-connection", "server-encryption"]'
    expect_json 'all(.[]; .required and .store == "local" and (.sha256 | test("^[0-9a-f]{64}$")) and .databases == [])'
    expect 5 keywright init new
    expect_err 'new/keywright.yaml'
    expect 0 keywright --json init other
    expect_json '.configuration == "other/keywright.yaml" and ([.events[].certificate] | index("ssl-connection") != null)'
}

init_that_fails_leaves_nothing() {
    mkdir there
    touch there/passphrase
    expect 5 keywright init there
    [[ $(ls -A there) == passphrase ]] || fail "left behind: $(ls -A there)"
    expect_no_file missing
    expect 4 keywright init missing/deep
    expect_no_file missing
}

apply_is_safe_to_repeat_and_restores_what_is_missing() {
    server a
    keywright list --json >before
    expect 0 keywright apply
    expect_empty_out
    expect 0 keywright --json apply
    expect_json '.events == []'
    keywright list --json >after
    expect_same before after
    expect 0 keywright delete server-encryption --force --yes
    expect 0 keywright apply
    expect_out '^created server-encryption$'
    expect 0 keywright list --json
    expect_json 'length == 2'
}

a_start_without_server_encryption_adds_it() {
    server a
    expect 0 keywright delete server-encryption --force --yes
    # Verbs that take away or bring along add nothing; any other is a start.
    expect 4 keywright retire server-encryption
    expect 0 keywright list --json
    expect_json 'length == 2'
    expect_err 'server-encryption was missing, and was created; export it separately'
    expect 0 keywright list
    refuse_err 'missing'
}

starts_at_once_add_one_server_encryption() {
    local process pids=()
    server a
    expect 0 keywright delete server-encryption --force --yes
    for process in {1..6}; do
        keywright list >"list.$process" 2>"log.$process" &
        pids+=($!)
    done
    for process in {1..6}; do
        wait "${pids[process - 1]}" || fail "$(cat "log.$process")"
        grep -q '^server-encryption' "list.$process" || fail "start $process does without"
    done
    ! grep -q 'cannot be added' log.* || fail "$(cat log.*)"
    [[ $(cat log.* | grep -c 'was missing, and was created') -eq 1 ]] || fail "$(cat log.*)"
    [[ $(sqlite3 "$catalogue" "select count(*) from certificate, entry where entry.id = entry and address = 'server-encryption'") -eq 1 ]] ||
        fail "more than one"
}

reminder_stays_until_server_encryption_is_exported_separately() {
    local verb reminder='^server-encryption: export it separately.*`keywright export server-encryption -o FILE`$'
    server a
    printf 'a password' >password
    for verb in apply list status; do
        expect 0 keywright "$verb"
        expect_err "$reminder"
        expect 0 keywright -q "$verb"
        expect_empty_err
    done
    expect 0 keywright apply --json
    expect_json '.events == [] and (.reminders | length == 1 and (.[0] | test("export server-encryption -o")))'
    expect_empty_err
    expect 0 keywright list --json
    expect_json 'map({(.certificate): .export_due}) | add == {"ssl-connection": false, "server-encryption": true}'
    expect 0 keywright status --json
    expect_json '.reminders | length == 1'
    expect 0 keywright export --everything -o all.pfx --password-from file:password
    expect 0 keywright list
    expect_err "$reminder"
    expect 0 keywright export server-encryption -o se.pfx --password-from file:password
    for verb in apply list status; do
        expect 0 keywright "$verb"
        expect_empty_err
    done
    expect 0 keywright list --json
    expect_json 'all(.[]; .export_due | not)'
    # A note that was forged is none.
    sqlite3 "$catalogue" "update record set value = x'78' where store_id = 'keywright'"
    expect 0 keywright list
    expect_err "$reminder"
    expect 0 keywright export server-encryption -o se.pfx --password-from file:password
    expect 0 keywright list
    expect_empty_err
}

ssl_connection_is_as_the_products_want_it() {
    local text
    server a
    text=$(certificate_text ssl-connection)
    grep -q 'Subject: CN = PSR8Server' <<<"$text" || grep -q 'Subject: CN=PSR8Server' <<<"$text" || fail "S1: subject"
    grep -q 'Not After : Dec 31 23:59:59 9999 GMT' <<<"$text" || fail "S1: validity"
    grep -q 'TLS Web Server Authentication' <<<"$text" || fail "EKU"
    grep -q 'CA:FALSE' <<<"$text" || fail "CA:FALSE"
    grep -q "DNS:$(hostname)" <<<"$text" || fail "S2: host name"
    keywright show ssl-connection --pem >a.pem
    openssl verify -CAfile a.pem a.pem >/dev/null || fail "openssl does not verify it"
}

create_each_kind_gives_its_subject() {
    local text
    server a
    expect 0 keywright create database/sales
    expect_out '^created database/sales$'
    expect_empty_err
    expect 0 keywright create master-key/corp.example --database sales
    expect 0 keywright create discovery-service/sales/scan
    expect 0 keywright create password-reset/sales/web
    expect 0 keywright create general/shop --host shop.example --host 192.0.2.7 --subject 'CN=The Shop,O=Example'
    expect 0 keywright list --json
    expect_json '[.[].certificate] == ["ssl-connection", "server-encryption", "database/sales", "master-key/corp.example",
        "discovery-service/sales/scan", "password-reset/sales/web", "general/shop"] or length == 7'
    expect_json '.[] | select(.certificate == "master-key/corp.example") | .databases == ["sales"] and .kind == "master-key" and
        .name == "corp.example" and .key == "ec-p256"'
    expect_json 'all(.[]; .not_after == "9999-12-31T23:59:59Z" or .kind == "general")'
    text=$(certificate_text database/sales)
    grep -Eq 'Subject:.*CN ?= ?psrDatabaseKey' <<<"$text" || fail "S9"
    grep -Eq 'Subject:.*OU ?= ?sales' <<<"$text" || fail "S9: OU"
    grep -Eq 'Subject: CN ?= ?Active Directory: corp.example' <<<"$(certificate_text master-key/corp.example)" || fail "S10"
    grep -Eq 'CN ?= ?Discovery Service: scan' <<<"$(certificate_text discovery-service/sales/scan)" || fail "S11"
    grep -Eq 'CN ?= ?Password Reset: web' <<<"$(certificate_text password-reset/sales/web)" || fail "S11"
    grep -q 'DNS:shop.example' <<<"$(certificate_text general/shop)" || fail "W13: DNS"
    grep -q 'IP Address:192.0.2.7' <<<"$(certificate_text general/shop)" || fail "W13: IP"
    grep -Eq 'CN ?= ?The Shop' <<<"$(certificate_text general/shop)" || fail "W13: subject"
}

create_each_algorithm_gives_such_a_key() {
    local algorithm wanted
    server a
    while read -r algorithm wanted; do
        expect 0 keywright create "general/$algorithm" --key "$algorithm"
        certificate_text "general/$algorithm" | tr -d '\n' | grep -Eq "$wanted" || fail "$algorithm is no $wanted"
        expect 0 keywright --json show "general/$algorithm"
        expect_json ".key == \"$algorithm\""
    done <<'END'
rsa-2048 Public-Key:.\(2048.bit\)
rsa-3072 Public-Key:.\(3072.bit\)
rsa-4096 Public-Key:.\(4096.bit\)
ec-p256 NIST.CURVE:.P-256
ec-p384 NIST.CURVE:.P-384
ec-p521 NIST.CURVE:.P-521
ed25519 ED25519.Public-Key
END
}

create_against_a_rule_is_refused() {
    server a
    expect 2 keywright create nonsense/x
    expect_err 'nonsense'
    expect 2 keywright create databse/x
    expect_err "did you mean 'database'"
    expect 2 keywright create database/
    expect 2 keywright create 'database/..'
    expect 2 keywright create database/x --key rsa-1024
    expect 4 keywright create discovery-service/nowhere/x
    expect_err 'nowhere'
    expect 4 keywright create master-key/corp.example --database nowhere
    expect 4 keywright create database/x --store nowhere
    expect 0 keywright create database/sales
    expect 5 keywright create database/sales
    expect 5 keywright create ssl-connection
    expect 2 keywright create master-key/corp.example
    expect_err '--database'
    keywright create database/ed --key ed25519 >out 2>err && fail "Ed25519 cannot protect secrets"
    expect 0 keywright list --json
    expect_json 'length == 3'
}

create_master_key_again_adds_databases() {
    server a
    expect 0 keywright create database/sales
    expect 0 keywright create database/research
    expect 0 keywright create master-key/corp.example --database sales
    expect 0 keywright create master-key/corp.example --database research --database sales
    expect 0 keywright --json show master-key/corp.example
    expect_json '.databases == ["research", "sales"] and .number == 1'
    expect 0 keywright list --database research --json
    expect_json '[.[].certificate] | index("master-key/corp.example") != null and index("database/research") != null and
        index("database/sales") == null'
    expect 5 keywright create master-key/corp.example --database research
}

# As many as it takes to fill more than a line: all in the details, a few in the list.
master_key_of_many_databases_is_shown_whole_and_listed_short() {
    local number options=()
    server a
    for number in {10..39}; do
        keywright -q create "database/branch-office-$number" --key ec-p256
        options+=(--database "branch-office-$number")
    done
    expect 0 keywright create master-key/corp.example --key ec-p256 "${options[@]}"
    expect 0 keywright show master-key/corp.example
    expect_out 'branch-office-10, branch-office-11'
    [[ $(grep -o 'branch-office-[0-9]*' out | sort -u | wc -l) -eq 30 ]] || fail "not all 30 databases"
    expect 0 keywright list
    expect_out 'branch-office-10, branch-office-11, branch-office-12 and 27 more'
}

create_with_json_shows_the_certificate() {
    server a
    expect 0 keywright --json create database/sales
    expect_json '.certificate == "database/sales" and .required == true and (.sha256 | length == 64)'
    keywright show database/sales --pem >a.pem
    [[ $(jq -r .sha256 out) == "$(openssl x509 -in a.pem -outform DER | sha256sum | cut -d' ' -f1)" ]] || fail "SHA-256"
}

show_tells_what_openssl_tells() {
    local name
    server a
    expect 0 keywright create general/shop --key rsa-2048 --host shop.example
    expect 0 keywright --json show general/shop
    cp out shown.json
    keywright show general/shop --pem >a.pem
    [[ $(jq -r .sha1 shown.json) == "$(openssl x509 -in a.pem -outform DER | sha1sum | cut -d' ' -f1)" ]] || fail "SHA-1"
    [[ $(jq -r .spki_sha256 shown.json) == \
        "$(openssl x509 -in a.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)" ]] || fail "SPKI"
    [[ $(jq -r .serial shown.json | tr '[:lower:]' '[:upper:]' | sed 's/^0*//') == \
        "$(openssl x509 -in a.pem -noout -serial | sed 's/serial=0*//')" ]] || fail "serial"
    jq -e '.san == ["DNS:shop.example"] and .self_signed and .store_id != "" and .plugin == "softstore" and .chain_length == 1' \
        shown.json >/dev/null || fail "details"
    expect 0 keywright show general/shop
    for name in Subject SAN 'Valid from' 'Valid until' SHA-256 SHA-1 Key Store Chain 'Key usage' Locator; do
        expect_out "^$name +[^ ]"
    done
    expect_out "^SHA-256 +$(openssl x509 -in a.pem -noout -fingerprint -sha256 | sed 's/.*=//')"
    expect_out "^SHA-1 +$(openssl x509 -in a.pem -noout -fingerprint -sha1 | sed 's/.*=//')"
    TZ=Asia/Kolkata expect 0 keywright show general/shop
    expect_out "^Valid from +$(TZ=Asia/Kolkata date -d "$(jq -r .not_before shown.json)" '+%Y-%m-%d %H:%M:%S') IST \\(UTC\\+05:30\\)"
    expect_out '^Valid until +without end'
    TZ='<-03>3' expect 0 keywright show general/shop
    expect_out "^Valid from +.* UTC-03:00\$"
    expect 0 keywright show general/shop --text
    openssl x509 -in a.pem -noout -text | grep -A3 'Serial Number' >wanted
    grep -q 'Serial Number' out || fail "--text"
    expect 0 keywright --json show general/shop --pem
    [[ $(jq -r .pem out | openssl x509 -noout -fingerprint) == "$(openssl x509 -in a.pem -noout -fingerprint)" ]] || fail "PEM in JSON"
    expect 4 keywright show general/nothing
    expect_empty_out
    expect_err 'general/nothing'
}

# docs/openssl.md has the format.
show_reference_is_a_file_that_names_the_key() {
    server a
    expect 0 keywright create 'general/Müller & 50%?'
    expect 0 keywright show 'general/Müller & 50%?' --reference
    expect_out '^-----BEGIN KEYWRIGHT KEY REFERENCE-----$'
    cp out reference.pem
    expect 0 openssl asn1parse -in reference.pem
    expect_out 'l= +1 prim: INTEGER +:01$'
    expect_out 'UTF8STRING +:keywright:general/M%C3%BCller%20%26%2050%25%3F$'
    expect 0 keywright show ssl-connection@1 --reference
    cp out reference.pem
    expect 0 openssl asn1parse -in reference.pem
    expect_out 'UTF8STRING +:keywright:ssl-connection@1$'
    expect 4 keywright show general/nothing --reference
    expect_empty_out
}

request_is_signed_by_the_key() {
    local address
    server a
    expect 0 keywright create general/rsa --key rsa-2048 --host shop.example
    expect 0 keywright create general/ec --key ec-p384
    expect 0 keywright create general/ed --key ed25519
    for address in ssl-connection general/rsa general/ec general/ed; do
        expect 0 keywright request "$address" -o r.csr
        openssl req -in r.csr -noout -verify >verified 2>&1 || fail "$address: $(cat verified)"
        grep -qi 'verify ok' verified || fail "$address: $(cat verified)"
        diff <(openssl req -in r.csr -noout -pubkey) <(keywright show "$address" --pem | openssl x509 -noout -pubkey) ||
            fail "$address: another key"
    done
    expect 0 keywright request general/rsa
    openssl req -in out -noout -text | grep -q 'DNS:shop.example' || fail "SAN"
    expect 0 keywright --json request general/rsa
    jq -r .request out | openssl req -noout -verify 2>/dev/null || fail "request in JSON"
    expect 4 keywright request general/nothing -o none.csr
    expect_no_file none.csr
}

retire_hides_and_delete_removes() {
    server a
    expect 0 keywright create database/sales
    printf 'old data' >text
    expect 0 keywright encrypt database/sales -i text -o cms
    expect 5 keywright delete database/sales --yes
    expect_err 'retire'
    expect 5 keywright delete database/sales
    expect_err 'required'
    expect 0 keywright retire database/sales
    expect_out '^retired database/sales$'
    expect 5 keywright retire database/sales
    expect 0 keywright list
    refuse_out 'database/sales'
    expect 0 keywright list --all
    expect_out 'database/sales'
    expect 0 keywright list --all --json
    expect_json '.[] | select(.kind == "database") | .required == false and .retired == true'
    # Kept for old data.
    expect 0 keywright decrypt database/sales -i cms -o plain
    expect_same text plain
    expect 5 keywright delete database/sales </dev/null
    expect_err '--yes'
    expect 0 keywright delete database/sales --yes
    expect_out '^deleted database/sales'
    expect 0 keywright list --all
    refuse_out 'database/sales'
    expect 4 keywright delete database/sales --yes
    expect 4 keywright decrypt database/sales -i cms -o plain2
    expect_no_file plain2
    expect 0 keywright create general/used
    expect 0 keywright delete general/used --force --yes
    expect 4 keywright show general/used
}

retire_database_takes_its_own() {
    server a
    expect 0 keywright create database/sales
    expect 0 keywright create database/research
    expect 0 keywright create discovery-service/sales/scan
    expect 0 keywright create password-reset/sales/web
    expect 0 keywright create master-key/only.example --database sales
    expect 0 keywright create master-key/both.example --database sales --database research
    expect 0 keywright --json retire database/sales
    expect_json '[.events[].certificate] | sort == ["database/sales", "discovery-service/sales/scan", "master-key/only.example",
        "password-reset/sales/web"]'
    expect 0 keywright list --json
    expect_json '[.[].certificate] | index("master-key/both.example") != null and index("database/research") != null and length == 4'
}

unicode_names_work_and_control_characters_do_not() {
    server a
    expect 0 keywright create 'database/Büro 2'
    expect 0 keywright list
    expect_out 'database/Büro 2'
    LC_ALL=C expect 0 keywright list
    expect_out 'database/Büro 2'
    expect 2 keywright create "database/$(printf 'a\033[31mb')"
    ! grep -q "$(printf '\033')" err || fail "an escape sequence reached the terminal"
    expect 2 keywright create "database/$(printf 'a\xff')"
    expect 2 keywright create 'database/a@b'
}

run_cases init_makes_a_server_with_private_files init_that_fails_leaves_nothing \
    apply_is_safe_to_repeat_and_restores_what_is_missing a_start_without_server_encryption_adds_it \
    starts_at_once_add_one_server_encryption reminder_stays_until_server_encryption_is_exported_separately ssl_connection_is_as_the_products_want_it \
    create_each_kind_gives_its_subject create_each_algorithm_gives_such_a_key create_against_a_rule_is_refused \
    create_master_key_again_adds_databases master_key_of_many_databases_is_shown_whole_and_listed_short create_with_json_shows_the_certificate show_tells_what_openssl_tells \
    show_reference_is_a_file_that_names_the_key request_is_signed_by_the_key retire_hides_and_delete_removes \
    retire_database_takes_its_own unicode_names_work_and_control_characters_do_not
