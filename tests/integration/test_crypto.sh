#!/usr/bin/env bash
# sign, verify, encrypt, decrypt; openssl makes and checks the other half.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# The certificate and its public key as files.
take_certificate() {
    keywright show "$1" --pem >certificate.pem
    openssl x509 -in certificate.pem -noout -pubkey >public.pem
}

sign_is_verified_by_openssl() {
    local hash
    server a
    head -c 100000 /dev/urandom >text
    expect 0 keywright create database/rsa --key rsa-2048
    take_certificate database/rsa
    for hash in sha256 sha384 sha512; do
        expect 0 keywright sign database/rsa -i text -o s --hash "$hash"
        openssl dgst "-$hash" -verify public.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -signature s text \
            >/dev/null || fail "PSS $hash"
        expect 0 keywright sign database/rsa -i text -o s --hash "$hash" --padding pkcs1
        openssl dgst "-$hash" -verify public.pem -signature s text >/dev/null || fail "PKCS#1 $hash"
    done
    expect 0 keywright sign database/rsa -i text -o s
    openssl dgst -sha256 -verify public.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -signature s text \
        >/dev/null || fail "the default is not PSS with SHA-256"
    for hash in p256 p384 p521; do
        expect 0 keywright create "database/$hash" --key "ec-$hash"
        take_certificate "database/$hash"
        expect 0 keywright sign "database/$hash" -i text -o s --hash SHA-384
        openssl dgst -sha384 -verify public.pem -signature s text >/dev/null || fail "ECDSA $hash"
    done
    expect 0 keywright create general/ed --key ed25519
    take_certificate general/ed
    expect 0 keywright sign general/ed -i text -o s
    openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in text -sigfile s >/dev/null || fail "Ed25519"
}

verify_takes_what_openssl_signed_and_finds_changes() {
    server a
    openssl req -x509 -addext basicConstraints=critical,CA:FALSE -newkey rsa:2048 -noenc -keyout k.pem -out c.pem -subj /CN=x -days 9 2>/dev/null
    expect 0 keywright import c.pem --key k.pem --as general/x
    printf 'the text' >text
    openssl dgst -sha256 -sign k.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -out s text
    expect 0 keywright verify general/x -i text -s s
    expect_out 'right'
    openssl dgst -sha512 -sign k.pem -out s15 text
    expect 0 keywright --json verify general/x -i text -s s15 --hash sha512 --padding pkcs1
    expect_json '.valid == true and .certificate == "general/x"'
    expect 1 keywright verify general/x -i text -s s15
    expect_empty_out
    expect_err 'padding pkcs1'
    printf 'The text' >other
    expect 1 keywright verify general/x -i other -s s
    printf '' >empty
    expect 1 keywright verify general/x -i text -s empty
    expect 1 keywright --json verify general/x -i other -s s
    expect_empty_out
    expect 4 keywright verify general/nothing -i text -s s
}

sign_with_options_that_do_not_fit_is_usage() {
    server a
    expect 0 keywright create general/ec
    expect 0 keywright create general/ed --key ed25519
    printf x >text
    expect 2 keywright sign general/ec -i text -o s --padding pss
    expect 2 keywright sign general/ec -i text -o s --hash md5
    expect 2 keywright sign general/ec -i text -o s --hash sha1
    expect 2 keywright sign general/ed -i text -o s --hash sha256
    expect 2 keywright encrypt general/ec -i text -o s --format pgp
    expect_no_file s
    expect 4 keywright sign general/ec -i missing -o s
    expect_err 'missing'
    expect_no_file s
    expect 2 keywright sign general/ec -i . -o s
}

decrypt_opens_what_openssl_encrypted() {
    server a
    printf 'secret of a client' >text
    expect 0 keywright create database/rsa --key rsa-3072
    take_certificate database/rsa
    openssl cms -encrypt -binary -in text -outform DER -out cms.der -aes-256-cbc certificate.pem
    expect 0 keywright decrypt database/rsa -i cms.der -o plain
    expect_same text plain
    expect_mode 600 plain
    openssl cms -encrypt -binary -in text -outform PEM -out cms.pem -aes-128-cbc certificate.pem
    expect 0 keywright decrypt database/rsa -i cms.pem -o plain
    expect_same text plain
    openssl cms -encrypt -binary -in text -outform DER -out cms.oaep -aes-256-cbc -recip certificate.pem \
        -keyopt rsa_padding_mode:oaep
    expect 0 keywright decrypt database/rsa -i cms.oaep -o plain
    expect_same text plain
    openssl cms -encrypt -binary -in text -outform DER -out cms.oaep256 -aes-256-cbc -recip certificate.pem \
        -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256
    expect 0 keywright decrypt database/rsa -i cms.oaep256 -o plain
    expect_same text plain
    openssl pkeyutl -encrypt -pubin -inkey public.pem -in text -out raw -pkeyopt rsa_padding_mode:oaep \
        -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256
    expect 0 keywright decrypt database/rsa -i raw -o plain --format oaep
    expect_same text plain
    expect 0 keywright create database/ec --key ec-p256
    take_certificate database/ec
    openssl cms -encrypt -binary -in text -outform DER -out cms.ec -aes-256-cbc certificate.pem
    expect 0 keywright decrypt database/ec -i cms.ec -o plain
    expect_same text plain
}

encrypt_is_opened_by_openssl() {
    server a
    head -c 300000 /dev/urandom >text
    printf 'short' >short
    openssl req -x509 -addext basicConstraints=critical,CA:FALSE -newkey rsa:2048 -noenc -keyout k.pem -out c.pem -subj /CN=x -days 9 2>/dev/null
    expect 0 keywright import c.pem --key k.pem --as general/rsa
    expect 0 keywright encrypt general/rsa -i text -o cms
    openssl cms -decrypt -binary -inform DER -in cms -recip c.pem -inkey k.pem -out plain || fail "CMS RSA"
    expect_same text plain
    expect 0 keywright encrypt general/rsa -i short -o raw --format oaep
    openssl pkeyutl -decrypt -inkey k.pem -in raw -out plain -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
        -pkeyopt rsa_mgf1_md:sha256 || fail "OAEP"
    expect_same short plain
    expect 2 keywright encrypt general/rsa -i text -o none --format oaep
    expect_no_file none
    openssl req -x509 -addext basicConstraints=critical,CA:FALSE -newkey ec -pkeyopt ec_paramgen_curve:P-384 -noenc -keyout k.pem -out c.pem -subj /CN=y -days 9 2>/dev/null
    expect 0 keywright import c.pem --key k.pem --as general/ec
    expect 0 keywright encrypt general/ec -i text -o cms
    openssl cms -decrypt -binary -inform DER -in cms -recip c.pem -inkey k.pem -out plain || fail "CMS EC"
    expect_same text plain
    expect 5 keywright encrypt general/ec -i short -o none --format oaep
    expect 0 keywright encrypt general/ec -i /dev/null -o cms
    expect_empty_err
    expect 0 keywright decrypt general/ec -i cms -o plain
    expect_same /dev/null plain
    expect 0 keywright retire general/ec
    expect 0 keywright encrypt general/ec -i text -o cms
    expect_err 'general/ec.*no longer required'
    expect 0 keywright --json encrypt general/ec -i text -o cms
    expect_json '.events[0].warning and .length > 0'
}

decrypt_of_something_else_fails_and_leaves_no_file() {
    server a
    expect 0 keywright create database/sales --key rsa-2048
    expect 0 keywright create database/other --key rsa-2048
    printf 'text' >text
    expect 0 keywright encrypt database/other -i text -o cms
    expect 0 keywright encrypt database/other -i text -o raw --format oaep
    expect 1 keywright decrypt database/sales -i cms -o plain
    expect 1 keywright decrypt database/sales -i raw -o plain --format oaep
    expect 1 keywright decrypt database/sales -i text -o plain
    expect 1 keywright decrypt database/sales -i text -o plain --format oaep
    expect 1 keywright decrypt database/sales -i /dev/null -o plain
    expect_no_file plain
    printf 'was there before' >plain
    cp plain before
    expect 1 keywright decrypt database/sales -i cms -o plain
    expect_same plain before
    expect 0 keywright create general/ed --key ed25519
    expect 5 keywright decrypt general/ed -i raw -o plain --format oaep
    [[ $(find . -name 'plain*' | wc -l) -eq 1 ]] || fail "a temporary file stayed"
}

# After a rotation many still have the old certificate.
decrypt_for_a_former_certificate_names_it() {
    local format
    server a
    expect 0 keywright create database/sales --key rsa-2048
    keywright show database/sales --pem >old.pem
    printf 'text' >text
    expect 0 keywright rotate database/sales --new-key
    expect 0 keywright rotate database/sales --new-key --key ec-p256
    for format in DER PEM; do
        openssl cms -encrypt -binary -outform $format -in text -recip old.pem -out cms
        expect 1 keywright decrypt database/sales -i cms -o plain
        expect_err 'the message is encrypted for database/sales@1$'
        expect_err 'keywright decrypt database/sales@1'
        expect 1 keywright decrypt database/sales@2 -i cms -o plain
        expect_err 'the message is encrypted for database/sales@1$'
        expect 0 keywright decrypt database/sales@1 -i cms -o plain
        expect_same plain text
    done
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -x509 -out other.pem -subj /CN=other -days 9 2>log
    openssl cms -encrypt -binary -outform DER -in text -recip other.pem -out cms
    expect 1 keywright decrypt database/sales -i cms -o plain
    expect_err 'not encrypted for this certificate'
}

pipes_work_at_both_ends() {
    server a
    expect 0 keywright create database/sales
    printf 'through a pipe' >text
    # shellcheck disable=SC2002 # a pipe is what is tested
    cat text | keywright encrypt database/sales -i - -o - | keywright decrypt database/sales -i - -o - | cat >plain
    expect_same text plain
    keywright sign database/sales -i - -o - <text >s
    expect 0 keywright verify database/sales -i text -s s
    expect 0 keywright verify database/sales -i - -s s <text
}

output_replaces_whole_files_and_writes_to_devices() {
    server a
    expect 0 keywright create database/sales
    printf 'text' >text
    ln -s real link
    printf 'old' >real
    expect 0 keywright encrypt database/sales -i text -o link
    [[ -L link ]] || fail "the link was replaced"
    expect 0 keywright decrypt database/sales -i real -o plain
    expect_same text plain
    expect 0 keywright sign database/sales -i text -o /dev/null
    [[ -c /dev/null ]] || fail "/dev/null was replaced"
    expect 1 keywright sign database/sales -i text -o /dev/full
    expect_err '/dev/full'
    expect 2 keywright sign database/sales -i text -o .
    expect 4 keywright sign database/sales -i text -o nowhere/s
    expect 1 bash -c 'keywright sign database/sales -i text -o - >/dev/full'
    expect_err 'standard output'
}

output_that_does_not_fit_leaves_what_was_there() {
    server a
    expect 0 keywright create database/sales
    head -c 3000000 /dev/urandom >text
    expect 0 keywright encrypt database/sales -i text -o cms
    printf 'precious' >plain
    # A limit on files' size fails the writing as a full disk does.
    expect 1 bash -c 'trap "" XFSZ; ulimit -f 1000; keywright decrypt database/sales -i cms -o plain'
    expect_err 'plain: cannot be written'
    [[ $(cat plain) == precious ]] || fail "the file was touched"
    [[ $(find . -maxdepth 1 -name 'plain*' | wc -l) -eq 1 ]] || fail "a temporary file stayed"
}

run_cases sign_is_verified_by_openssl verify_takes_what_openssl_signed_and_finds_changes \
    sign_with_options_that_do_not_fit_is_usage decrypt_opens_what_openssl_encrypted encrypt_is_opened_by_openssl \
    decrypt_of_something_else_fails_and_leaves_no_file decrypt_for_a_former_certificate_names_it pipes_work_at_both_ends output_replaces_whole_files_and_writes_to_devices \
    output_that_does_not_fit_leaves_what_was_there
