#!/usr/bin/env bash
# The loadable module: the openssl command, unchanged, with keys in a store. OPENSSL_MODULES names the folder it is in.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/openssl.sh
source "$(dirname "$0")/openssl.sh"
dgst_signs_with_a_key_of_the_store() {
    local kind
    server a
    printf 'the text' >text
    for kind in rsa-2048 ec-p256 ec-p384; do
        expect 0 keywright create "database/$kind" --key "$kind"
        take_certificate "database/$kind"
        expect 0 openssl dgst -sha256 "${load[@]}" -sign "keywright:database/$kind" -out s text
        expect 0 openssl dgst -sha256 -verify public.pem -signature s text
        # The public half of the same name verifies too.
        expect 0 openssl dgst -sha256 "${load[@]}" -prverify "keywright:database/$kind" -signature s text
    done
    expect 0 openssl dgst -sha384 "${load[@]}" -sign keywright:database/rsa-2048 -sigopt rsa_padding_mode:pss \
        -sigopt rsa_pss_saltlen:digest -out s text
    take_certificate database/rsa-2048
    expect 0 openssl dgst -sha384 -verify public.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -signature s text
}

pkeyutl_decrypts_and_derives() {
    server a
    printf 'a password' >plain
    expect 0 keywright create database/rsa --key rsa-2048
    take_certificate database/rsa
    openssl pkeyutl -encrypt -pubin -inkey public.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -in plain -out c
    expect 0 openssl pkeyutl "${load[@]}" -decrypt -inkey keywright:database/rsa -pkeyopt rsa_padding_mode:oaep \
        -pkeyopt rsa_oaep_md:sha256 -in c -out opened
    expect_same plain opened
    expect 0 keywright create database/ec --key ec-p256
    take_certificate database/ec
    openssl ecparam -name prime256v1 -genkey -noout -out peer.pem
    openssl pkey -in peer.pem -pubout -out peer.pub
    expect 0 openssl pkeyutl "${load[@]}" -derive -inkey keywright:database/ec -peerkey peer.pub -out ours
    openssl pkeyutl -derive -inkey peer.pem -peerkey public.pem -out theirs
    expect_same ours theirs
}

# Raw PKCS#1 v1.5 only where the certificate's settings say so.
pkeyutl_decrypts_pkcs1_where_allowed() {
    server a
    printf 'a password' >plain
    expect 0 keywright create database/rsa --key rsa-2048
    take_certificate database/rsa
    openssl pkeyutl -encrypt -pubin -inkey public.pem -in plain -out c
    expect 1 openssl pkeyutl "${load[@]}" -decrypt -inkey keywright:database/rsa -in c -out opened
    expect_err 'pkcs1_decrypt'
    expect 0 keywright create database/open --key rsa-2048
    printf '  database/open: {pkcs1_decrypt: true}\n' >>a/keywright.yaml
    take_certificate database/open
    openssl pkeyutl -encrypt -pubin -inkey public.pem -in plain -out c
    expect 0 openssl pkeyutl "${load[@]}" -decrypt -inkey keywright:database/open -in c -out opened
    expect_same plain opened
}

req_and_x509_sign_with_a_key_of_the_store() {
    server a
    expect 0 keywright create general/ca --key ec-p256
    expect 0 openssl req "${load[@]}" -new -key keywright:general/ca -subj /CN=request -out r.pem
    expect 0 openssl req -in r.pem -verify -noout
    expect 0 openssl req "${load[@]}" -x509 -new -key keywright:general/ca -subj /CN=issuer -days 9 -out issuer.pem
    expect 0 openssl verify -CAfile issuer.pem issuer.pem
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -keyout k.pem -subj /CN=leaf -out leaf.csr 2>/dev/null
    expect 0 openssl x509 "${load[@]}" -req -in leaf.csr -CA issuer.pem -CAkey keywright:general/ca -CAcreateserial -days 9 \
        -out leaf.pem
    expect 0 openssl verify -CAfile issuer.pem leaf.pem
}

cms_decrypts_for_an_ec_certificate() {
    server a
    printf 'a message' >plain
    expect 0 keywright create database/ec --key ec-p256
    take_certificate database/ec
    openssl cms -encrypt -binary -aes-256-cbc -outform DER -in plain -out c certificate.pem
    expect 0 openssl cms "${load[@]}" -decrypt -binary -inform DER -in c -recip certificate.pem -inkey keywright:database/ec -out opened
    expect_same plain opened
}

private_half_is_never_written() {
    server a
    expect 0 keywright create database/ec --key ec-p256
    take_certificate database/ec
    expect 0 openssl pkey "${load[@]}" -in keywright:database/ec
    refuse_out 'PRIVATE KEY'
    expect 0 openssl pkey "${load[@]}" -in keywright:database/ec -pubout -out p.pem
    expect_same p.pem public.pem
}

uri_that_names_no_key_is_refused_with_the_reason() {
    local uri
    server a
    printf 'the text' >text
    expect 0 keywright create 'database/Müller & Söhne' --key ec-p256
    take_certificate 'database/Müller & Söhne'
    expect 0 openssl dgst -sha256 "${load[@]}" -sign 'keywright:database/M%C3%BCller%20%26%20S%c3%b6hne' -out s text
    expect 0 openssl dgst -sha256 -verify public.pem -signature s text
    for uri in keywright: keywright:database/nothing keywright:% keywright:%4 keywright:%00 keywright:nonsense/x; do
        expect 1 openssl dgst -sha256 "${load[@]}" -sign "$uri" text
        expect_empty_out
    done
    expect 1 openssl dgst -sha256 "${load[@]}" -sign keywright:database/nothing text
    expect_err 'there is no certificate database/nothing'
    KEYWRIGHT_CONFIG=$PWD/absent expect 1 openssl dgst -sha256 "${load[@]}" -sign keywright:database/nothing text
    expect_err 'no configuration file'
}

# A TLS server calls nothing but its key: a new configuration reaches it at the next handshake, and its key moves online.
server_takes_a_new_configuration_and_its_key_moves() {
    local running clients
    server a
    expect 0 keywright create general/tls --key ec-p256
    take_certificate general/tls
    openssl s_server "${load[@]}" -key keywright:general/tls -cert certificate.pem -unix socket -quiet >log 2>&1 &
    running=$!
    for _ in {1..200}; do
        [[ -S socket ]] && break
        sleep 0.05
    done
    handshake() { command openssl s_client -unix socket -CAfile certificate.pem -verify_return_error </dev/null; }
    expect 0 handshake
    sed -i '/^stores:/a\  second: {id: "0b1d02aa", plugin: softstore, options: {passphrase: file:passphrase}}' a/keywright.yaml
    expect 0 keywright reload
    expect_err '1 contexts of running programs were told, and 0 of them have it'
    expect_err 'process [0-9]+ .openssl.: not yet'
    expect 5 keywright transfer general/tls --to second
    expect_err 'process [0-9]+ .openssl. .*second'
    expect 0 handshake
    expect 0 keywright transfer general/tls --to second
    expect 0 handshake
    expect 0 keywright --json list
    expect_json '.[] | select(.certificate == "general/tls").store == "second"'
    # one that the server cannot take: it says so, and goes on
    sed -i '/^stores:/a\  third: {id: "0b1d02ab", plugin: softstore, options: {passphrase: env:THIRD}}' a/keywright.yaml
    (while sleep 0.2; do handshake; done) >later 2>&1 &
    clients=$!
    THIRD='a passphrase' expect 0 keywright reload
    kill "$clients"
    expect_err 'process [0-9]+ .openssl.: cannot take it, and goes on with the configuration it has'
    expect 0 handshake
    kill "$running"
    wait || true
}

# It is the program's, or the system's, and the command has its keys elsewhere.
mistake_in_openssl_cnf_does_not_stop_the_command() {
    server a
    keywright -q create general/x
    printf '%s\n' 'config_diagnostics = 1' 'openssl_conf = start' '[start]' 'activate = 1' >wrong.cnf
    OPENSSL_CONF=$PWD/wrong.cnf expect 1 command openssl version
    echo text >text
    OPENSSL_CONF=$PWD/wrong.cnf expect 0 keywright sign general/x -i text -o signature
    OPENSSL_CONF=$PWD/wrong.cnf expect 0 keywright verify general/x -i text -s signature
}

module_is_listed_and_loads_without_a_configuration() {
    unset KEYWRIGHT_CONFIG
    expect 0 openssl list -providers "${load[@]}"
    expect_out 'Keywright'
    expect_out 'status: active'
}

run_cases dgst_signs_with_a_key_of_the_store pkeyutl_decrypts_and_derives pkeyutl_decrypts_pkcs1_where_allowed \
    req_and_x509_sign_with_a_key_of_the_store cms_decrypts_for_an_ec_certificate private_half_is_never_written \
    uri_that_names_no_key_is_refused_with_the_reason server_takes_a_new_configuration_and_its_key_moves module_is_listed_and_loads_without_a_configuration mistake_in_openssl_cnf_does_not_stop_the_command
