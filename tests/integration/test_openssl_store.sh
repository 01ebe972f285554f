#!/usr/bin/env bash
# keywright: URIs through OSSL_STORE (docs/openssl.md): types, lists, searches, what is expected, and what is wrong with them.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/openssl.sh
source "$(dirname "$0")/openssl.sh"

utl() { openssl storeutl "${load[@]}" "$@"; }
found() { [[ $(grep -c '^[0-9]*: ' out) == "$1" ]] || fail "not $1 objects"; }

uri_of_a_certificate_gives_key_and_chain() {
    server a
    expect 0 keywright create database/sales
    take_certificate database/sales
    expect 0 utl -noout keywright:database/sales
    expect_out '^0: Pkey$'
    expect_out '^1: Certificate$'
    found 2
    expect 0 utl -noout 'keywright:database/sales?type=private'
    expect_out '^0: Pkey$'
    found 1
    expect 0 utl 'keywright:database/sales?type=public'
    expect_out '^0: Public key$'
    found 1
    sed -n '/BEGIN/,/END/p' out >p.pem
    expect_same p.pem public.pem
    for type in cert chain; do
        expect 0 utl "keywright:database/sales?type=$type"
        found 1
        sed -n '/BEGIN/,/END/p' out >c.pem
        expect_same c.pem certificate.pem
    done
    # what a program says that it expects
    expect 0 openssl x509 "${load[@]}" -in keywright:database/sales -noout -pubkey
    expect_same out public.pem
    expect 0 openssl pkey "${load[@]}" -in keywright:database/sales -pubout
    expect_same out public.pem
    expect 0 openssl pkey "${load[@]}" -pubin -in keywright:database/sales -pubout
    expect_same out public.pem
    expect 0 utl -noout -certs keywright:database/sales
    found 1
    expect 0 utl -noout -crls keywright:database/sales
    found 0
    # by number
    expect 0 keywright rotate database/sales --new-key
    expect 0 openssl x509 "${load[@]}" -in keywright:database/sales@1 -noout -pubkey
    expect_same out public.pem
    expect 0 openssl pkey "${load[@]}" -in keywright:database/sales@1 -pubout
    expect_same out public.pem
    expect 0 openssl x509 "${load[@]}" -in keywright:database/sales -noout -pubkey
    ! cmp -s out public.pem || fail 'the address is not the new certificate'
}

# A certificate of a CA comes with those that signed it.
uri_gives_the_chain_of_a_certificate_of_a_ca() {
    server a
    expect 0 keywright create general/shop --host shop.example
    for ca in root middle; do openssl ecparam -name prime256v1 -genkey -noout -out $ca.key; done
    openssl req -x509 -key root.key -subj /CN=root -days 9 -out root.pem
    openssl req -new -key middle.key -subj /CN=middle -out middle.csr
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n' >ca.ext
    openssl x509 -req -in middle.csr -CA root.pem -CAkey root.key -CAcreateserial -extfile ca.ext -days 9 -out middle.pem 2>/dev/null
    printf 'trust: {authorities: [%s]}\n' "$PWD/root.pem" >>a/keywright.yaml
    expect 0 keywright request general/shop -o shop.csr
    openssl x509 -req -in shop.csr -CA middle.pem -CAkey middle.key -CAcreateserial -copy_extensions copy -days 9 -out shop.pem 2>/dev/null
    cat shop.pem middle.pem >reply.pem
    expect 0 keywright import reply.pem --as general/shop
    keywright show general/shop --pem >chain.pem
    [[ $(grep -c BEGIN chain.pem) == 2 ]] || fail 'the chain has not two certificates'
    expect 0 utl 'keywright:general/shop?type=chain'
    found 2
    sed -n '/BEGIN/,/END/p' out >c.pem
    expect_same c.pem chain.pem
    expect 0 utl -noout 'keywright:general/shop?type=cert'
    found 1
    expect 0 utl -noout keywright:general/shop
    found 3
    # found by search, it comes without them
    expect 0 utl -noout -certs -subject /CN=shop keywright:
    found 1
}

list_has_the_names_of_what_begins_so() {
    server a
    expect 0 keywright create database/sales
    expect 0 keywright create 'database/Müller & Söhne'
    expect 0 keywright create general/x --subject CN=somebody
    expect 0 utl -noout keywright:
    expect_out '^[0-9]: Name: keywright:ssl-connection$'
    expect_out '^[0-9]: Name: keywright:database/M%C3%BCller%20%26%20S%C3%B6hne$'
    expect_out '^[0-9]: Name: keywright:general/x$'
    expect_out '^CN=somebody$'
    found 5
    expect 0 utl -noout keywright:database/
    refuse_out 'general'
    found 2
    expect 0 utl -noout keywright:master-key/
    found 0
    # each name can be opened
    expect 0 utl -noout -r keywright:database/
    [[ $(grep -c 'Pkey$' out) == 2 ]] || fail 'the names of the list give not two keys'
    expect 0 utl -noout 'keywright:database/?type=cert'
    expect_out '^0: Certificate$'
    found 2
    expect 0 keywright retire general/x
    expect 0 utl -noout keywright:general/
    found 0
}

search_finds_by_subject_issuer_and_serial_fingerprint_and_alias() {
    local serial
    server a
    expect 0 keywright create general/x --subject CN=somebody,O=Example
    expect 0 keywright create general/y --subject CN=somebody,O=Other
    expect 0 keywright create database/x
    take_certificate general/x
    expect 0 utl -noout -subject /O=Example/CN=somebody keywright:
    expect_out '^0: Pkey$'
    expect_out '^1: Certificate$'
    found 2
    expect 0 utl -noout -certs -subject /CN=somebody keywright:
    found 0
    expect 0 utl -noout -keys -subject /O=Other/CN=somebody keywright:database/
    found 0
    serial=$(openssl x509 -in certificate.pem -noout -serial | sed 's/serial=/0x/')
    expect 0 utl -certs -issuer /O=Example/CN=somebody -serial "$serial" keywright:
    found 1
    sed -n '/BEGIN/,/END/p' out >c.pem
    expect_same c.pem certificate.pem
    expect 0 utl -noout -issuer /O=Example/CN=somebody -serial "${serial}1" keywright:
    found 0
    expect 0 utl -noout -certs -sha256 -fingerprint "$(openssl x509 -in certificate.pem -noout -fingerprint -sha256 | sed 's/.*=//')" keywright:
    found 1
    expect 0 utl -noout -certs -sha1 -fingerprint "$(openssl pkey -pubin -in public.pem -outform DER | sha1sum | cut -c 1-40)" keywright:
    found 1
    expect 0 utl -noout -certs -sha1 -fingerprint 0123456789012345678901234567890123456789 keywright:
    found 0
    expect 0 utl -noout -certs -alias x keywright:
    found 2
    expect 0 utl -noout -certs -alias general/x keywright:
    found 1
    expect 0 utl -noout -certs -alias general/x keywright:general/y
    found 0
    # a former certificate is found by what it alone has
    expect 0 keywright rotate general/x --new-key
    expect 0 utl -noout -keys -subject /O=Example/CN=somebody keywright:
    found 1
    expect 0 utl -certs -issuer /O=Example/CN=somebody -serial "$serial" keywright:
    sed -n '/BEGIN/,/END/p' out >c.pem
    expect_same c.pem certificate.pem
    expect 0 utl -noout -keys -issuer /O=Example/CN=somebody -serial "$serial" keywright:
    found 1
}

uri_that_is_wrong_is_refused_with_the_reason() {
    local uri
    server a
    expect 0 keywright create general/x
    for uri in 'keywright:general/x?type=key' 'keywright:general/x?' 'keywright:general/x?store=local' 'keywright:general/x?type=cert&type=cert'; do
        expect 1 utl -noout "$uri"
        expect_err 'type=private, type=public, type=cert or type=chain'
    done
    expect 1 utl -noout 'keywright:general/%zz'
    expect_err 'no URI of a key'
    expect 1 utl -noout keywright:general/nothing
    found 0
    expect_err 'there is no certificate general/nothing'
    expect 1 utl -noout keywright:nonsense/x
    expect_err 'there is no kind of certificate'
    expect 0 utl -noout keywright:nonsense/
    found 0
}

# One bad row of the catalogue, and one store that is away, take only what is theirs.
what_cannot_be_read_leaves_the_rest_alone() {
    server a
    sed -i '/^stores:/a\  second: {id: "0b1d02aa", plugin: softstore, options: {passphrase: file:second}}' a/keywright.yaml
    (umask 077 && echo 'a passphrase' >a/second)
    expect 0 keywright create general/first
    expect 0 keywright create general/away --store second
    expect 0 keywright create general/last
    rm a/second
    expect 1 utl -noout 'keywright:general/?type=private'
    expect_err 'second'
    found 2
    expect 0 utl -noout -certs keywright:general/away
    found 1
    expect 1 utl -noout keywright:general/away
    found 1
    sqlite3 "$catalogue" "UPDATE certificate SET key = 'rsa-2048' WHERE entry = (SELECT id FROM entry WHERE address = 'general/first')"
    expect 1 foreign timeout 20 openssl storeutl "${load[@]}" -noout keywright:
    expect_err 'general/first'
    found 4
    expect 0 utl -noout 'keywright:general/last?type=private'
    refuse_err 'general/first'
    found 1
    expect 1 utl -noout keywright:general/first
    expect_err 'damaged'
    found 0
}

# The module's section of openssl.cnf names the configuration; without it the environment does.
configuration_is_the_program_s_or_the_environment_s() {
    server a
    expect 0 keywright create general/x
    take_certificate general/x
    openssl_conf
    expect 0 openssl pkey -in keywright:general/x -pubout
    expect_same out public.pem
    openssl_conf "config = $KEYWRIGHT_CONFIG"
    KEYWRIGHT_CONFIG=$PWD/absent expect 0 openssl pkey -in keywright:general/x -pubout
    expect_same out public.pem
    unset KEYWRIGHT_CONFIG
    expect 0 openssl pkey -in keywright:general/x -pubout
    openssl_conf 'config = absent.yaml'
    expect 1 openssl pkey -in keywright:general/x -pubout
    expect_err "$PWD/absent.yaml: there is no configuration file"
    printf 'state: x\nstore:\n  local: {}\n' >bad.yaml
    openssl_conf 'config = bad.yaml'
    expect 1 openssl pkey -in keywright:general/x -pubout
    expect_err "$PWD/bad.yaml:3:3: "
    # who has keys elsewhere is not concerned
    openssl genpkey -algorithm ED25519 -out plain.pem
    expect 0 openssl pkey -in plain.pem -noout
    expect 0 openssl list -providers
    expect_out 'Keywright'
}

# A PIN or passphrase whose source is `prompt` is asked for as the program asks for a key's pass phrase.
prompt_is_asked_by_the_program() {
    server a
    sed -i '/^stores:/a\  asking: {id: "0b1d02aa", plugin: softstore, options: {passphrase: file:asking}}' a/keywright.yaml
    (umask 077 && echo 'a passphrase' >a/asking)
    expect 0 keywright create general/x --store asking
    take_certificate general/x
    keywright show general/x --reference >key.pem
    sed -i 's/file:asking/prompt/' a/keywright.yaml
    for key in keywright:general/x key.pem; do
        expect 0 openssl pkey "${load[@]}" -in "$key" -passin 'pass:a passphrase' -pubout
        expect_same out public.pem
        expect 1 openssl pkey "${load[@]}" -in "$key" -passin pass:wrong -pubout
    done
}

run_cases uri_of_a_certificate_gives_key_and_chain uri_gives_the_chain_of_a_certificate_of_a_ca list_has_the_names_of_what_begins_so \
    search_finds_by_subject_issuer_and_serial_fingerprint_and_alias uri_that_is_wrong_is_refused_with_the_reason \
    what_cannot_be_read_leaves_the_rest_alone configuration_is_the_program_s_or_the_environment_s prompt_is_asked_by_the_program
