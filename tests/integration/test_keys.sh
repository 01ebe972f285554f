#!/usr/bin/env bash
# W2 and W13: which kind of certificate takes which key, and what each key does; openssl is the judge.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

all_keys=(rsa-2048 rsa-3072 rsa-4096 ec-p256 ec-p384 ec-p521 ed25519)
# An address of each kind, and whether its keys have to protect secrets.
addresses=('ssl-connection signs' 'server-encryption protects' 'database/d protects' 'master-key/m protects'
    'discovery-service/own/s protects' 'password-reset/own/r protects' 'general/g signs')

take_certificate() {
    keywright show "$1" --pem >certificate.pem
    openssl x509 -in certificate.pem -noout -pubkey >public.pem
}

# key_usage KEY ADDRESS: what openssl has to show.
key_usage() {
    case $1/$2 in
    ed25519/* | ec-*/ssl-connection) echo 'Digital Signature' ;;
    ec-*) echo 'Digital Signature, Key Agreement' ;;
    rsa-*/ssl-connection | rsa-*/general/*) echo 'Digital Signature, Key Encipherment' ;;
    rsa-*) echo 'Digital Signature, Key Encipherment, Data Encipherment' ;;
    esac
}

# The long RSA keys take a second each, so they are made for one kind alone unless everything is asked for.
is_made() { [[ ${KW_TEST_FULL:-} == yes || $1 != rsa-[34]* || $2 == general/* ]]; }

every_kind_takes_the_keys_of_its_row_and_no_others() {
    local row address work_of key options
    server a
    keywright -q create database/own
    keywright -q delete ssl-connection --force --yes
    keywright -q retire server-encryption # deleted, every start would make it again
    for row in "${addresses[@]}"; do
        read -r address work_of <<<"$row"
        options=()
        [[ $address != master-key/* ]] || options=(--database own)
        for key in "${all_keys[@]}"; do
            if [[ $work_of == protects && $key == ed25519 ]]; then
                expect 5 keywright create "$address" --key "$key" "${options[@]}"
                expect_err 'cannot have the key ed25519, which can sign but not decrypt'
                expect_err 'one of rsa-3072, rsa-2048, rsa-4096, ec-p256, ec-p384, ec-p521$'
                continue
            fi
            is_made "$key" "$address" || continue
            expect 0 keywright create "$address" --key "$key" "${options[@]}"
            take_certificate "$address"
            [[ $(openssl x509 -in certificate.pem -noout -ext keyUsage | tail -n 1 | sed 's/^ *//') == "$(key_usage "$key" "$address")" ]] ||
                fail "$address $key: $(openssl x509 -in certificate.pem -noout -ext keyUsage)"
            openssl verify -x509_strict -CAfile certificate.pem certificate.pem >/dev/null || fail "$address $key does not verify"
            expect 0 keywright --json show "$address"
            expect_json ".key == \"$key\""
            if [[ $address == server-encryption ]]; then
                expect 0 keywright retire "$address"
            else
                expect 0 keywright delete "$address" --force --yes
            fi
        done
        expect 5 keywright create "$address" --key x25519 "${options[@]}"
        expect_err 'x25519, which agrees on secrets but cannot sign'
        expect 2 keywright create "$address" --key rsa-1024 "${options[@]}"
        expect_err 'one of rsa-3072'
        [[ $address == server-encryption ]] || expect 4 keywright show "$address"
    done
}

# sign_as WORDS... -- OPTIONS...: Keywright signs with WORDS, openssl verifies with OPTIONS, and the other way round Keywright verifies too.
sign_as() {
    local mine=()
    while [[ $1 != -- ]]; do
        mine+=("$1")
        shift
    done
    shift
    expect 0 keywright sign general/k -i text -o s "${mine[@]}"
    openssl dgst "$@" -verify public.pem -signature s text >/dev/null || fail "sign ${mine[*]}"
    expect 0 keywright verify general/k -i text -s s "${mine[@]}"
    printf x >>text
    expect 1 keywright verify general/k -i text -s s "${mine[@]}"
}

signatures_with_every_hash_of_sha_2_are_openssls() {
    local key hash
    server a
    printf 'the text' >text
    for key in rsa-2048 ec-p256 ec-p384 ec-p521; do
        expect 0 keywright create general/k --key "$key"
        take_certificate general/k
        for hash in sha224 sha256 sha384 sha512; do
            if [[ $key == rsa-* ]]; then
                sign_as --hash "$hash" --padding pkcs1 -- "-$hash"
                sign_as --hash "$hash" --padding pss -- "-$hash" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest \
                    -sigopt "rsa_mgf1_md:$hash"
            else
                sign_as --hash "$hash" -- "-$hash"
            fi
        done
        expect 0 keywright delete general/k --force --yes
    done
    expect 0 keywright create general/k --key ed25519
    take_certificate general/k
    expect 0 keywright sign general/k -i text -o s
    openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in text -sigfile s >/dev/null || fail "Ed25519"
    expect 2 keywright sign general/k -i text -o t --hash sha3-256
    expect_err 'sha224, sha256, sha384 or sha512'
}

general_certificates_are_for_what_the_configuration_says() {
    server a
    cat >>a/keywright.yaml <<'END'
  general/shop: {subject: 'CN=Shop,O=Example', hosts: [shop.example, xn--mnchen-3ya.example, 192.0.2.1], extended_key_usage: [serverAuth, clientAuth]}
  general/build: {extended_key_usage: [codeSigning]}
  general/card: {extended_key_usage: [1.3.6.1.4.1.311.20.2.2]}
  general/stamp: {extended_key_usage: [timeStamping, serverAuth]}
END
    expect 0 keywright create general/shop
    take_certificate general/shop
    expect 0 openssl x509 -in certificate.pem -noout -text -nameopt RFC2253
    expect_out 'Subject: CN=Shop,O=Example'
    expect_out 'DNS:shop.example, DNS:xn--mnchen-3ya.example, DNS:192.0.2.1, IP Address:192.0.2.1'
    expect_out 'TLS Web Server Authentication, TLS Web Client Authentication'
    expect 0 openssl verify -purpose sslserver -verify_hostname xn--mnchen-3ya.example -CAfile certificate.pem certificate.pem
    expect 0 openssl verify -purpose sslclient -CAfile certificate.pem certificate.pem
    # The CA is asked for the same.
    expect 0 keywright request general/shop -o shop.csr
    expect 0 openssl req -in shop.csr -noout -verify -text
    expect_out 'TLS Web Server Authentication, TLS Web Client Authentication'
    expect_out 'Digital Signature'
    expect_out 'DNS:xn--mnchen-3ya.example'
    expect 0 keywright create general/build
    take_certificate general/build
    openssl verify -purpose sslserver -CAfile certificate.pem certificate.pem >/dev/null 2>&1 && fail "a code signer passes for a server"
    expect 0 keywright show general/build
    expect_out '^Extended usage +code signing$'
    expect 0 keywright create general/card
    expect 0 keywright create general/open --host xn--bcher-kva.example
    expect 0 keywright show general/open
    expect_out '^Extended usage +not restricted$'
    expect 2 keywright create general/stamp
    expect_err 'timeStamping .*alone'
    expect 2 keywright create general/umlaut --host bücher.example
    expect_err 'xn--'
    expect 4 keywright show general/umlaut
}

fixed_kinds_take_no_extended_usages() {
    server a
    sed -i 's/  database: {key: ec-p256}/  database: {key: ec-p256, extended_key_usage: [serverAuth]}/' a/keywright.yaml
    expect 3 keywright create database/d
    expect_err "keywright.yaml:[0-9]+:[0-9]+: 'extended_key_usage' goes with general certificates alone"
    expect 4 keywright show database/d
}

run_cases every_kind_takes_the_keys_of_its_row_and_no_others signatures_with_every_hash_of_sha_2_are_openssls \
    general_certificates_are_for_what_the_configuration_says fixed_kinds_take_no_extended_usages
