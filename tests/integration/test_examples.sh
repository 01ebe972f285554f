#!/usr/bin/env bash
# Every example of every verb's help runs as it is printed.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# The examples of a verb, one a line.
examples() {
    # shellcheck disable=SC2086 # a verb of two words
    keywright help $1 | sed -n '/^Examples:$/,$ s/^  keywright /keywright /p'
}

run_examples() {
    local verb example count=0
    for verb in "$@"; do
        while IFS= read -r example; do
            expect 0 bash -c "$example"
            count=$((count + 1))
        done < <(examples "$verb")
        [[ $count -gt 0 ]] || fail "$verb has no example"
    done
}

# In an order in which each finds what it needs. What the examples take for granted is made before.
example_of_every_verb_runs() {
    local verb listed try port='' example locator
    printf 'new passphrase\n' >new-passphrase
    printf 'a long password\n' >export-password
    chmod 600 new-passphrase export-password
    printf 'the report\n' >report.txt
    openssl req -x509 -addext basicConstraints=critical,CA:FALSE -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout shop.key -out shop.crt -subj /CN=shop \
        -addext subjectAltName=DNS:shop.example -days 30 2>/dev/null

    run_examples init
    export KEYWRIGHT_CONFIG=$case_dir/server/keywright.yaml
    run_examples apply "config check" "config schema" plugins status metrics reload create list show request sign verify encrypt decrypt export
    jq -e . keywright.schema.json >/dev/null || fail "the schema is no JSON"
    openssl x509 -in sales.pem -noout || fail "show --pem"
    openssl req -in server.csr -noout -verify 2>/dev/null || fail "request"
    expect_same report.txt report.out
    expect_file sales.pfx
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout ca.key -out ca.crt -subj /CN=CA -days 300 2>/dev/null
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -copy_extensions copy -days 200 -out reply.crt 2>/dev/null
    openssl crl2pkcs7 -nocrl -certfile reply.crt -out reply.p7b
    printf 'trust: {authorities: [%s]}\n' "$PWD/ca.crt" >>"$KEYWRIGHT_CONFIG"
    run_examples import
    # A licence, by an issuer; a server that shows its certificate; directories for trust that are not the machine's.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout issuer.key -out issuer.pem -subj /CN=Issuer -days 30 2>/dev/null
    printf 'a%.0s' {1..32} >server/machine-id
    printf 'licence: {issuer: ../issuer.pem, machine_id_file: machine-id}\n' >>server/keywright.yaml
    run_examples "licence request" "trust export"
    jq -e .payload request.json >/dev/null || fail "licence request"
    openssl x509 -in server.pem -noout || fail "trust export"
    python3 "$here/issue_licence.py" issuer.key issuer.pem "certificate_sha256=$(keywright show server-encryption --json | jq -r .sha256)" >licence.json
    mkdir -p trust/local trust/certs
    # The examples of import have put a CA's certificate there, and its root would be the one to install.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout own.key -out server.pem -subj /CN=own -days 30 \
        -addext basicConstraints=critical,CA:FALSE 2>/dev/null
    run_examples "licence verify" "trust install"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout tls.key -out server.pem -subj /CN=localhost -days 30 \
        -addext subjectAltName=DNS:localhost 2>/dev/null
    : >server.log # there before the program is
    openssl s_server -accept 0 -www -cert server.pem -key tls.key >server.log 2>&1 </dev/null &
    trap 'kill %1' EXIT
    for try in {1..100}; do
        port=$(sed -nE 's/^ACCEPT .*:([0-9]+)$/\1/p' server.log)
        [[ -z $port ]] || break
        sleep 0.05
    done
    [[ -n $port ]] || fail "no server: $(cat server.log) ($try)"
    # On the port that is free here.
    while IFS= read -r example; do
        expect 0 bash -c "${example//:8443/:$port}"
    done < <(examples "trust check")
    printf 'connections:\n  warehouse: {protocol: tls, host: localhost, port: %s, ca: [../server.pem]}\n' "$port" >>server/keywright.yaml
    run_examples "connection list" "connection check"
    printf 'another passphrase\n' >server/hsm-passphrase
    chmod 600 server/hsm-passphrase
    sed -i '/^stores:/a\  hsm: {id: "0b1d02aa", plugin: softstore, options: {passphrase: file:hsm-passphrase}}' server/keywright.yaml
    run_examples transfer rotate
    # A key that nobody names any more, in place of the one of the example.
    keywright -q create general/left --store hsm --key ec-p256
    locator=$(keywright show general/left --json | jq -r .locator)
    sqlite3 server/state/catalogue.db "DELETE FROM certificate WHERE entry IN (SELECT id FROM entry WHERE address = 'general/left');
        DELETE FROM entry WHERE address = 'general/left'"
    while IFS= read -r example; do
        expect 0 bash -c "${example//ec:id=a1b2c3/$locator}"
    done < <(examples adopt)
    expect 0 keywright show general/signer
    printf 'a secret' >secret.txt
    run_examples seal
    rm secret.txt
    run_examples unseal
    [[ $(cat secret.txt) == 'a secret' ]] || fail "unseal"
    run_examples retire delete
    # The configuration follows each new passphrase.
    while IFS= read -r example; do
        expect 0 bash -c "$example"
        sed -i "/^  local:/,/passphrase:/ s#passphrase: [^},]*#passphrase: ${example##* }#; s#file:new-passphrase#file:../new-passphrase#" \
            server/keywright.yaml
    done < <(examples passphrase)
    expect 0 keywright config check --connect

    # None was forgotten.
    listed=$(keywright help | sed -n '/^Verbs:$/,/^$/ s/^  \([a-z]\+\( [a-z]\+\)\?\)  .*/\1/p')
    while IFS= read -r verb; do
        [[ $verb =~ ^(init|apply|config\ check|config\ schema|plugins|status|create|list|show|request|sign|verify|encrypt|decrypt|export|import|retire|delete|passphrase|licence\ (request|verify)|trust\ (export|install|check)|transfer|rotate|adopt|metrics|reload|seal|unseal|connection\ (list|check))$ ]] ||
            fail "the example of '$verb' was not run"
    done <<<"$listed"
    [[ $(wc -l <<<"$listed") -eq 33 ]] || fail "$(wc -l <<<"$listed") verbs are listed"
}

run_cases example_of_every_verb_runs
