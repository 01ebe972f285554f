#!/usr/bin/env bash
# Reference files (docs/openssl.md): programs that take only key files load them, and write them when they are told to write a key.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/openssl.sh
source "$(dirname "$0")/openssl.sh"

# openssl reads a file through its store of files.
reference_is_read_as_the_private_key() {
    local key
    server a
    openssl_conf
    printf 'the text' >text
    for key in rsa-2048 ec-p256 ec-p521 ed25519; do
        expect 0 keywright create "general/$key" --key "$key"
        take_certificate "general/$key"
        keywright show "general/$key" --reference >key.pem
        expect 0 openssl pkey -in key.pem -pubout
        expect_same out public.pem
        expect 0 openssl pkeyutl -sign -rawin -inkey key.pem -in text -out s
        OPENSSL_CONF='' expect 0 openssl pkeyutl -verify -rawin -pubin -inkey public.pem -in text -sigfile s
    done
    # of one type among others, beside a certificate, in either order
    keywright show general/ec-p256 --reference >key.pem
    take_certificate general/ec-p256
    cat key.pem certificate.pem >both.pem
    expect 0 openssl pkey -in both.pem -pubout
    expect_same out public.pem
    cat certificate.pem key.pem >both.pem
    expect 0 openssl pkey -in both.pem -pubout
    expect_same out public.pem
    expect 0 openssl ec -in key.pem -pubout -out p.pem
    expect_same p.pem public.pem
    expect 1 openssl rsa -in key.pem -pubout
}

# get_page PORT: by TLS, with client certificate and key. Python reads the key's file with SSL_CTX_use_PrivateKey_file, as curl, PostgreSQL,
# HAProxy and others do; unlike curl it runs with AddressSanitizer's runtime, too.
get_page() {
    foreign python3 -c '
import socket, ssl, sys
context = ssl.create_default_context(cafile="server.pem")
context.load_cert_chain("certificate.pem", "key.pem")
with context.wrap_socket(socket.create_connection(("localhost", int(sys.argv[1])), 20), server_hostname="localhost") as connection:
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    print(b"".join(iter(lambda: connection.recv(4096), b"")).decode())
' "$1"
}

reference_is_a_client_s_key_file() {
    local running port
    server a
    expect 0 keywright create general/client --key ec-p256
    take_certificate general/client
    keywright show general/client --reference >key.pem
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout server.key -out server.pem -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost 2>/dev/null
    : >log
    command openssl s_server -accept 0 -key server.key -cert server.pem -www -Verify 1 -verify_return_error -CAfile certificate.pem >log 2>&1 &
    running=$!
    for _ in {1..200}; do
        port=$(sed -n 's/^ACCEPT.*:\([0-9]*\)$/\1/p' log)
        [[ -z $port ]] || break
        sleep 0.05
    done
    openssl_conf
    expect 0 get_page "$port"
    expect_out 'Client certificate'
    expect_out 'CN *= *client'
    expect 0 keywright delete general/client --force --yes
    expect 1 get_page "$port"
    expect_err 'SSLError: \[SSL\]' # and not what errno was by then
    kill "$running"
    wait "$running" || true
}

other_key_files_are_read_as_before() {
    server a
    unset KEYWRIGHT_CONFIG
    printf 'the text' >text
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null
    openssl pkey -in rsa.pem -outform DER -out rsa.der
    openssl pkey -in rsa.pem -traditional -out old.pem
    openssl pkey -in rsa.pem -aes256 -passout pass:secret -out sealed.pem
    openssl pkey -in rsa.pem -pubout -out public.pem
    openssl req -x509 -key rsa.pem -subj /CN=x -out certificate.pem
    openssl_conf "config = $PWD/absent.yaml"
    for file in rsa.pem rsa.der old.pem sealed.pem; do
        expect 0 openssl pkey -in "$file" -passin pass:secret -pubout
        expect_same out public.pem
    done
    expect 0 openssl x509 -in certificate.pem -noout -pubkey
    expect_same out public.pem
    expect 0 openssl pkey -pubin -in public.pem -pubout
    expect_same out public.pem
    # what is not a key is none
    head -c 3000 /dev/urandom >noise
    expect 1 openssl pkey -in noise
    printf '0\200' >noise
    expect 1 openssl pkey -in noise
}

# Everything that programs do to write a private key writes its reference.
private_key_is_written_as_its_reference() {
    local key
    server a
    openssl_conf
    for key in rsa-2048 ec-p256 ed25519; do
        expect 0 keywright create "general/$key" --key "$key"
        keywright show "general/$key" --reference >key.pem
        for options in '' '-aes256 -passout pass:x'; do
            # shellcheck disable=SC2086
            expect 0 openssl pkey -in "keywright:general/$key" $options -out written.pem
            expect_same key.pem written.pem
        done
        expect 0 openssl pkey -in key.pem -text -noout
        expect_out "^Private key in a store: keywright:general/$key\$"
        expect_out '^pub|^Modulus'
        refuse_out 'priv:|prime1|privateExponent'
        for options in '-outform DER' -traditional; do
            # shellcheck disable=SC2086
            expect 1 openssl pkey -in "keywright:general/$key" $options -out written
            [[ ! -s written ]] || fail "something was written with $options"
        done
    done
    expect 0 openssl rsa -in keywright:general/rsa-2048 -out written.pem
    expect 0 openssl pkey -in written.pem -noout
    expect 0 openssl pkey -in keywright:general/ec-p256 -text_pub -noout
    refuse_out 'store'
}

# reference_of FIELDS: a reference file whose SEQUENCE has these.
reference_of() {
    printf 'asn1=SEQUENCE:a\n[a]\n%s\n' "$1" >fields
    openssl asn1parse -genconf fields -noout -out der
    echo '-----BEGIN KEYWRIGHT KEY REFERENCE-----'
    openssl base64 -in der
    echo '-----END KEYWRIGHT KEY REFERENCE-----'
}

reference_that_is_wrong_is_refused_with_the_reason() {
    server a
    expect 0 keywright create general/x
    reference_of $'v=INTEGER:1\nu=UTF8:keywright:general/x' >made.pem
    keywright show general/x --reference >key.pem
    expect_same made.pem key.pem
    reference_of $'v=INTEGER:2\nu=UTF8:keywright:general/x' >version.pem
    reference_of $'v=INTEGER:1\nu=UTF8:keywright:general/x\nw=INTEGER:1' >more.pem
    reference_of $'v=INTEGER:1\nu=UTF8:pkcs11:general/x' >scheme.pem
    reference_of $'v=INTEGER:1\nu=UTF8:keywright:%4' >uri.pem
    reference_of $'v=INTEGER:1\nu=UTF8:keywright:general/nothing' >nothing.pem
    openssl_conf
    for file in version more scheme uri nothing; do
        expect 1 openssl pkey -in $file.pem -noout
    done
}

run_cases reference_is_read_as_the_private_key reference_is_a_client_s_key_file other_key_files_are_read_as_before \
    private_key_is_written_as_its_reference reference_that_is_wrong_is_refused_with_the_reason
