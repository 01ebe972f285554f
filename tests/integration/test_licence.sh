#!/usr/bin/env bash
# Offline licences: openssl and python judge the request, and issue the licences.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

machine=0123456789abcdef0123456789abcde0

# licensed_server NAME [KEY]: a server that takes licences of an issuer with such a key, and knows its machine's id from a file.
licensed_server() {
    server "$1"
    printf '%s\n' "$machine" >"$1/machine-id"
    issuer "${2:-EC}" issuer
    printf 'licence:\n  issuer: %s\n  machine_id_file: machine-id\n' "$PWD/issuer.pem" >>"$1/keywright.yaml"
    fingerprint=$(keywright -q show server-encryption --json | jq -r .sha256)
    keywright licence request -o request.json 2>/dev/null
    machine_id=$(jq -r .payload request.json | unbase64url | jq -r .machine_id)
}

# issuer KEY NAME: NAME.key and NAME.pem.
issuer() {
    local options=()
    case $1 in
    EC) options=(-pkeyopt ec_paramgen_curve:P-256) ;;
    P-384) options=(-pkeyopt ec_paramgen_curve:P-384) ;;
    P-521) options=(-pkeyopt ec_paramgen_curve:P-521) ;;
    esac
    openssl genpkey -quiet -algorithm "${1/#P-*/EC}" "${options[@]}" -out "$2.key" 2>/dev/null ||
        openssl genpkey -algorithm "${1/#P-*/EC}" "${options[@]}" -out "$2.key" 2>/dev/null
    openssl req -x509 -new -key "$2.key" -subj "/CN=Issuer of Licences" -days 30 -out "$2.pem" 2>/dev/null
}

issue() { python3 "$here/issue_licence.py" issuer.key issuer.pem "$@"; }
unbase64url() { python3 -c 'import base64, sys; t = sys.stdin.read().strip(); sys.stdout.buffer.write(base64.urlsafe_b64decode(t + "=" * (-len(t) % 4)))'; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
day() { date -u -d "$1" +%Y-%m-%dT%H:%M:%SZ; }

request_is_signed_by_server_encryption_and_names_server_and_machine() {
    licensed_server a
    expect 0 keywright licence request -o request.json
    expect_empty_out
    expect 0 keywright licence request
    expect_json 'keys == ["payload", "protected", "signature"]'
    jq -r .payload request.json | unbase64url >payload
    jq -e --arg sha "$fingerprint" '.format == "keywright-licence-request/1" and .certificate_sha256 == $sha and
        (.machine_id | test("^[0-9a-f]{32}$")) and (.created | test("^20.*Z$")) and (.request_id | test("^[0-9a-f]{32}$"))' payload >/dev/null ||
        fail "payload: $(cat payload)"
    jq -r .protected request.json | unbase64url >header
    jq -e '.alg == "PS256" and .typ == "keywright-licence-request+json"' header >/dev/null || fail "header: $(cat header)"
    # The certificate in the header is server-encryption's, and openssl verifies the signature with it.
    jq -r '.x5c[0]' header | base64 -d >x5c.der
    [[ $(sha256sum <x5c.der) == "$fingerprint"* ]] || fail "x5c is another certificate"
    [[ $(jq -r '.["x5t#S256"]' header | unbase64url | hex) == "$fingerprint" ]] || fail "x5t#S256"
    openssl x509 -inform DER -in x5c.der -noout -pubkey >public.pem
    jq -rj '.protected + "." + .payload' request.json >signed
    jq -r .signature request.json | unbase64url >signature
    expect 0 openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -verify public.pem -signature signature signed
    # The id is made as systemd makes it: python judges, from the same file.
    [[ $machine_id == "$(python3 -c 'import hashlib, hmac, sys
made = bytearray(hmac.new(bytes.fromhex(sys.argv[1]), bytes.fromhex("9f35c16e2b804ad7b41d06e973fa58c2"), hashlib.sha256).digest()[:16])
made[6] = made[6] & 15 | 64
made[8] = made[8] & 63 | 128
print(made.hex())' "$machine")" ]] || fail "another machine id than systemd's"
    ! grep -q "$machine" request.json payload || fail "the raw id is in it"
    [[ $(keywright licence request | jq -r .payload) != "$(jq -r .payload request.json)" ]] || fail "a request comes twice"
}

request_without_a_machine_id_is_refused() {
    local content
    licensed_server a
    for content in '' 'uninitialized'; do
        printf '%s\n' "$content" >a/machine-id
        [[ -n $content ]] || : >a/machine-id
        expect 4 keywright licence request -o none.json
        expect_err 'has no id'
        expect_err 'systemd-machine-id-setup'
    done
    for content in 00000000000000000000000000000000 01234567 zz23456789abcdef0123456789abcde0 "$machine$machine"; do
        printf '%s\n' "$content" >a/machine-id
        expect 8 keywright licence request -o none.json
        expect_err 'a/machine-id'
    done
    rm a/machine-id
    expect 4 keywright licence request -o none.json
    expect_no_file none.json
    printf '%s\n' "$machine" >a/machine-id
    expect 0 keywright retire server-encryption
    expect 0 keywright delete server-encryption --yes
    expect 0 keywright licence request -o some.json # a start adds the certificate
}

licence_of_each_algorithm_is_taken() {
    local row
    licensed_server a
    for row in 'EC ES256' 'P-384 ES384' 'P-521 ES512' 'ED25519 EdDSA' 'RSA PS256' 'RSA PS384' 'RSA PS512' 'RSA RS256' 'RSA RS384' 'RSA RS512'; do
        [[ ${row% *} == RSA && -f rsa ]] || issuer "${row% *}" issuer
        [[ ${row% *} != RSA ]] || touch rsa
        issue "alg=${row#* }" "certificate_sha256=$fingerprint" >licence.json
        expect 0 keywright licence verify licence.json
        expect_out 'Issuer .*CN=Issuer of Licences'
        issue "alg=${row#* }" "certificate_sha256=$fingerprint" flip=1 >licence.json
        expect 1 keywright licence verify licence.json
        expect_err 'signature is wrong'
    done
}

licence_names_server_machine_and_dates() {
    licensed_server a
    issue "certificate_sha256=$fingerprint" "machine_id=$machine_id" "not_before=$(day yesterday)" "not_after=$(day tomorrow)" customer=Sales >licence.json
    expect 0 keywright licence verify licence.json
    expect_out 'Valid until .*Z'
    expect 0 keywright --json licence verify - <licence.json
    expect_json '.valid and .licence.customer == "Sales" and .machine_id != null and (.encrypted | not)'
    issue "machine_id=$machine_id" >licence.json
    expect 0 keywright licence verify licence.json
    expect_out 'no end'
    # A certificate in DER is as good.
    openssl x509 -in issuer.pem -outform DER -out issuer.der
    mv issuer.der issuer.pem
    expect 0 keywright licence verify licence.json
}

licence_that_does_not_hold_is_refused_with_the_reason() {
    licensed_server a
    issue "certificate_sha256=${fingerprint//[0-4]/9}" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err 'licence\.json: the licence is refused: it is for another server'
    expect_err 'keywright licence request'
    issue "machine_id=${machine_id//[0-4]/9}" "certificate_sha256=$fingerprint" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err 'for another machine'
    issue "certificate_sha256=$fingerprint" "not_after=$(day yesterday)" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err 'expired: it was valid until 20'
    issue "certificate_sha256=$fingerprint" "not_before=$(day tomorrow)" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err 'not valid before 20'
    # Another issuer, who says so; and one who says to be ours.
    cp issuer.pem ours.pem
    issuer EC other
    python3 "$here/issue_licence.py" other.key other.pem "certificate_sha256=$fingerprint" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err 'signed by another certificate'
    python3 "$here/issue_licence.py" other.key ours.pem "certificate_sha256=$fingerprint" >licence.json
    expect 1 keywright licence verify licence.json
    expect_err 'signature is wrong'
    # The licence of this machine on another server.
    issue "certificate_sha256=$fingerprint" >licence.json
    keywright -q delete server-encryption --force --yes
    expect 5 keywright licence verify licence.json
    expect_err 'for another server'
}

licence_with_a_strange_header_is_refused() {
    local cut
    licensed_server a
    issue alg=none "certificate_sha256=$fingerprint" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err 'alg none'
    issue 'header={"alg": "RS256"}' "certificate_sha256=$fingerprint" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err 'RS256 does not fit .* ec-p256'
    issue 'header={"alg": "HS256"}' "certificate_sha256=$fingerprint" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err "'HS256' is none"
    issue 'header={"crit": ["exp"], "exp": 1}' "certificate_sha256=$fingerprint" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err 'crit'
    issue 'header={"crit": ["b64"], "b64": false}' "certificate_sha256=$fingerprint" >licence.json
    expect 5 keywright licence verify licence.json
    for cut in alg 'x5t#S256'; do
        issue "cut=$cut" "certificate_sha256=$fingerprint" >licence.json
        expect 8 keywright licence verify licence.json
        expect_err 'malformed'
    done
    issue 'header={"alg": 7}' "certificate_sha256=$fingerprint" >licence.json
    expect 8 keywright licence verify licence.json
}

licence_that_is_malformed_is_refused() {
    local filter content
    licensed_server a
    issue "certificate_sha256=$fingerprint" >good.json
    for filter in '.more = "x"' '.header = {}' 'del(.payload)' 'del(.protected)' 'del(.signature)' '.signature = 1' \
        '.protected = "e30"' '.protected = "!"' '.signature |= .[:-2] + " " + .[-1:]' '[.]'; do
        jq "$filter" good.json >licence.json
        expect 8 keywright licence verify licence.json
        expect_err 'malformed'
    done
    for filter in '.signature |= .[4:]' '.payload += "="' '.payload += "A"' '.payload |= .[4:]'; do
        jq "$filter" good.json >licence.json
        expect 1 keywright licence verify licence.json
        expect_err 'signature is wrong'
    done
    sed 's/^{/{"payload": "x", /' good.json >licence.json
    expect 8 keywright licence verify licence.json
    expect_err 'duplicate'
    printf '%s{}' "$(cat good.json)" >licence.json
    expect 8 keywright licence verify licence.json
    head -c 200 good.json >licence.json
    expect 8 keywright licence verify licence.json
    issue "certificate_sha256=$fingerprint" nested=20 >licence.json
    expect 8 keywright licence verify licence.json
    expect_err 'nested deeper'
    (printf '{"payload": "' && head -c 2000000 /dev/zero | tr '\0' A && printf '"}') >licence.json
    expect 8 keywright licence verify licence.json
    expect_err 'longer than'
    # Signed by the issuer, and yet no licence.
    for content in '{}' '[]' '' 'x' '{"format": "keywright-licence/1"}' '{"format": "keywright-licence/2", "machine_id": "'"$machine_id"'"}' \
        '{"format": "keywright-licence-request/1", "certificate_sha256": "'"$fingerprint"'"}' \
        '{"format": "keywright-licence/1", "certificate_sha256": "'"${fingerprint^^}"'"}' \
        '{"format": "keywright-licence/1", "certificate_sha256": "'"$fingerprint"'", "certificate_sha256": "'"$fingerprint"'"}' \
        '{"format": "keywright-licence/1", "certificate_sha256": ["'"$fingerprint"'"]}' \
        '{"format": "keywright-licence/1", "certificate_sha256": "'"$fingerprint"'", "not_after": "2099-02-30T00:00:00Z"}' \
        '{"format": "keywright-licence/1", "certificate_sha256": "'"$fingerprint"'", "not_after": "2099-12-31"}' \
        '{"format": "keywright-licence/1", "certificate_sha256": "'"$fingerprint"'", "not_after": 4102444800}' \
        '{"format": "keywright-licence/1", "certificate_sha256": "'"$fingerprint"'", "not_before": "2020-01-02T00:00:00Z", "not_after": "2020-01-01T00:00:00Z"}'; do
        printf '%s' "$content" >payload
        issue raw=payload >licence.json
        expect 8 keywright licence verify licence.json
        expect_err 'malformed'
    done
    # A request of this server is none, even where the issuer is the server itself.
    expect 5 keywright licence verify request.json
    : >empty
    expect 8 keywright licence verify empty
    expect 4 keywright licence verify missing.json
}

licence_encrypted_to_this_server_is_taken() {
    licensed_server a
    keywright -q show server-encryption --pem >server.pem
    issue customer=Sales "not_after=$(day tomorrow)" >licence.json
    # It names no server: only encryption binds it.
    expect 8 keywright licence verify licence.json
    expect_err 'names no server'
    openssl cms -encrypt -binary -aes-256-cbc -outform DER -in licence.json -recip server.pem -keyopt rsa_padding_mode:oaep -out licence.cms
    expect 0 keywright licence verify licence.cms
    expect_out 'encrypted to server-encryption'
    openssl cms -encrypt -binary -aes-256-cbc -outform PEM -in licence.json -recip server.pem -out licence.pem
    expect 0 keywright licence verify licence.pem --json
    expect_json '.encrypted and .licence.customer == "Sales"'
    # To another; not by the issuer; damaged.
    openssl cms -encrypt -binary -aes-256-cbc -outform DER -in licence.json -recip issuer.pem -out licence.cms 2>/dev/null
    expect 1 keywright licence verify licence.cms
    expect_err 'not encrypted for this certificate'
    issuer EC other
    python3 "$here/issue_licence.py" other.key other.pem >forged.json
    openssl cms -encrypt -binary -aes-256-cbc -outform DER -in forged.json -recip server.pem -out licence.cms
    expect 5 keywright licence verify licence.cms
    expect_err 'another certificate'
    printf '%s\n' '-----BEGIN CMS-----' MAA= '-----END CMS-----' >licence.cms
    expect 1 keywright licence verify licence.cms
    issue "not_after=$(day yesterday)" >licence.json
    openssl cms -encrypt -binary -aes-256-cbc -outform DER -in licence.json -recip server.pem -out licence.cms
    expect 5 keywright licence verify licence.cms
    expect_err 'expired'
}

issuer_must_be_configured_and_readable() {
    local content
    licensed_server a
    issue "certificate_sha256=$fingerprint" >licence.json
    cat issuer.pem issuer.pem >two.pem
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.key 2>/dev/null
    for content in missing.pem two.pem issuer.key; do
        sed -i "s|issuer: .*|issuer: $PWD/$content|" a/keywright.yaml
        expect 3 keywright licence verify licence.json
        expect_err 'keywright\.yaml:[0-9]+:[0-9]+: licence: issuer: '
    done
    openssl req -x509 -new -key weak.key -subj "/CN=Weak" -days 30 -out weak.pem 2>/dev/null
    sed -i "s|issuer: .*|issuer: $PWD/weak.pem|" a/keywright.yaml
    python3 "$here/issue_licence.py" weak.key weak.pem "certificate_sha256=$fingerprint" >licence.json
    expect 5 keywright licence verify licence.json
    expect_err 'fewer than 2048 bits'
    sed -i '/issuer: /d' a/keywright.yaml
    expect 3 keywright licence verify licence.json
    expect_err 'does not say whose licences count'
}

request_of_a_server_with_an_ec_key_is_signed_by_it() {
    server a
    printf '%s\n' "$machine" >a/machine-id
    printf 'licence: {machine_id_file: machine-id}\n' >>a/keywright.yaml
    sed -i 's|^certificates:|certificates:\n  server-encryption: {key: ec-p256}|' a/keywright.yaml
    keywright -q delete server-encryption --force --yes
    expect 0 keywright licence request -o request.json
    jq -r .protected request.json | unbase64url >header
    [[ $(jq -r .alg header) == ES256 ]] || fail "alg $(jq -r .alg header)"
    jq -r '.x5c[0]' header | base64 -d | openssl x509 -inform DER -noout -pubkey >public.pem
    jq -rj '.protected + "." + .payload' request.json >signed
    jq -r .signature request.json | unbase64url | hex >numbers
    [[ $(wc -c <numbers) -eq 128 ]] || fail "the signature has another length"
    printf 'asn1=SEQUENCE:s\n[s]\nr=INTEGER:0x%s\ns=INTEGER:0x%s\n' "$(head -c 64 numbers)" "$(tail -c +65 numbers | head -c 64)" >asn1
    openssl asn1parse -genconf asn1 -noout -out signature
    expect 0 openssl dgst -sha256 -verify public.pem -signature signature signed
}

example_of_the_manual_is_a_licence() {
    local manual=$here/../../docs/licence.md
    licensed_server a
    # The script between the fences, as it stands there, on the request that this server made.
    sed -n '/^```python/,/^```/p' "$manual" | sed '1d;$d' >issue.py
    [[ -s issue.py ]] || fail "there is no example"
    python3 issue.py request.json issuer.key issuer.pem >licence.json
    expect 0 keywright licence verify licence.json
}

run_cases request_is_signed_by_server_encryption_and_names_server_and_machine request_without_a_machine_id_is_refused \
    licence_of_each_algorithm_is_taken licence_names_server_machine_and_dates licence_that_does_not_hold_is_refused_with_the_reason \
    licence_with_a_strange_header_is_refused licence_that_is_malformed_is_refused licence_encrypted_to_this_server_is_taken \
    issuer_must_be_configured_and_readable request_of_a_server_with_an_ec_key_is_signed_by_it example_of_the_manual_is_a_licence
