#!/usr/bin/env bash
# W2: an invalid PKCS#1 v1.5 ciphertext is answered like a valid one: by exit status, form of the output and words nobody can tell.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# As in test_openssl_module.sh.
: "${OPENSSL_MODULES:?names the directory of the module}"
export OPENSSL_MODULES
unset OPENSSL_CONF
load=(-provider keywright -provider default)
if [[ -n ${KW_PRELOAD:-} ]]; then
    openssl() { LD_PRELOAD=$KW_PRELOAD ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 command openssl "$@"; }
fi

prepare() {
    server a
    printf '  database/open: {pkcs1_decrypt: true}\n' >>a/keywright.yaml
    keywright -q create database/open --key rsa-2048
    keywright show database/open --pem >certificate.pem
    openssl x509 -in certificate.pem -noout -pubkey >public.pem
}

# block TYPE [END]: 256 bytes 00 TYPE, padding, END (00), and a content key of 32 bytes that is not the message's.
block() {
    python3 -c 'import sys
sys.stdout.buffer.write(bytes([0, int(sys.argv[1])]) + b"\x77" * 221 + bytes([int(sys.argv[2])]) + b"\x5a" * 32)' "$1" "${2:-0}"
}

# raw FILE: RSA without padding.
raw() { openssl pkeyutl -encrypt -pubin -inkey public.pem -pkeyopt rsa_padding_mode:none -in "$1" -out "$2"; }

# Each invalid ciphertext as bad.NAME.
invalid_ciphertexts() {
    block 1 >b && raw b bad.type
    block 2 7 >b && raw b bad.unended
    python3 -c 'import sys; sys.stdout.buffer.write(bytes([0, 2]) + b"\x77" * 4 + b"\0" + b"\x5a" * 249)' >b && raw b bad.short-padding
    printf 'a password' >text
    openssl pkeyutl -encrypt -pubin -inkey public.pem -in text -out good
    python3 -c 'd = bytearray(open("good", "rb").read()); d[128] ^= 1; open("bad.changed", "wb").write(d)'
    head -c 256 /dev/zero | tr '\0' '\377' >bad.too-large
    head -c 256 /dev/zero >bad.zero
    head -c 255 good >bad.cut
}

# Never anything but the status, the absence of words, and bytes in a file.
openssl_decrypt() {
    expect 0 openssl pkeyutl "${load[@]}" -decrypt -inkey keywright:database/open \
        -in "$1" -out "$2"
    expect_empty_err
    expect_empty_out
}

raw_decryption_of_an_invalid_ciphertext_is_a_message() {
    local bad sums
    prepare
    invalid_ciphertexts
    openssl_decrypt good opened
    expect_same text opened
    for bad in bad.*; do
        openssl_decrypt "$bad" one
        openssl_decrypt "$bad" two
        expect_same one two
        [[ $(stat -c %s one) -le 245 ]] || fail "$bad: a message longer than any"
        ! cmp -s one text || fail "$bad: opened"
        sha256sum <one >>sums
    done
    sums=$(sort -u sums | wc -l)
    [[ $sums -ge $(($(find . -name 'bad.*' | wc -l) - 1)) ]] || fail "$sums different messages" # two may be empty
    # Another catalogue key makes other messages.
    printf 'a password\n' >password
    chmod 600 password
    expect 0 keywright export database/open -o open.pfx --password-from file:password
    other_server other
    printf '  database/open: {pkcs1_decrypt: true}\n' >>other/keywright.yaml
    expect 0 keywright import open.pfx --password-from file:password
    openssl_decrypt good opened
    expect_same text opened
    for bad in bad.*; do
        openssl_decrypt "$bad" one
        sha256sum <one >>sums
    done
    [[ $(sort -u sums | wc -l) -ge $((2 * sums - 2)) ]] || fail "the messages do not hang on the catalogue key"
}

# message CIPHER: message.cms for the certificate; splice FILE: puts this in place of its encrypted content key, as spliced.cms.
message() { openssl cms -encrypt -binary "-$1" -outform DER -in text -out message.cms certificate.pem; }
splice() {
    python3 - "$1" <<'END'
import sys
message, key = open("message.cms", "rb").read(), open(sys.argv[1], "rb").read()
at = message.index(b"\x04\x82\x01\x00") + 4
open("spliced.cms", "wb").write(message[:at] + key.rjust(256, b"\0")[:256] + message[at + 256:])
END
}

# answer FILE: the status, the words and what the output is like, as answer.FILE.
answer() {
    local status=0
    rm -f plain
    keywright decrypt database/open -i spliced.cms -o plain >out 2>err || status=$?
    {
        printf '%s\n' "$status"
        cat out err
        [[ ! -e plain ]] || stat -c '%s %a' plain
    } >"answer.$1"
}

cms_with_an_invalid_block_is_answered_as_with_a_wrong_content_key() {
    local cipher bad
    prepare
    invalid_ciphertexts
    block 2 >b && raw b wrong-key
    head -c 100000 /dev/urandom >text
    for cipher in aes-256-gcm aes-256-ofb aes-128-cbc; do
        message "$cipher"
        expect 0 keywright decrypt database/open -i message.cms -o plain
        expect_same text plain
        [[ $cipher != aes-128-cbc ]] || break # 32 bytes are no key of it
        splice wrong-key
        answer wrong
        for bad in bad.*; do
            splice "$bad"
            answer bad
            expect_same answer.wrong answer.bad
            [[ $cipher == aes-256-ofb ]] || continue # which has neither tag nor padding, so that every key opens it
            mv plain before
            answer bad
            expect_same plain before
        done
    done
    # Padding is right by chance, once in 256: the same then each time. A key that fits no block of it, too.
    for bad in wrong-key bad.changed; do
        splice "$bad"
        answer first
        for _ in {1..12}; do
            answer again
            expect_same answer.first answer.again
        done
    done
}

run_cases raw_decryption_of_an_invalid_ciphertext_is_a_message cms_with_an_invalid_block_is_answered_as_with_a_wrong_content_key
