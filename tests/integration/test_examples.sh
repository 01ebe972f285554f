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
    local verb listed
    printf 'new passphrase\n' >new-passphrase
    printf 'a long password\n' >export-password
    chmod 600 new-passphrase export-password
    printf 'the report\n' >report.txt
    openssl req -x509 -addext basicConstraints=critical,CA:FALSE -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout shop.key -out shop.crt -subj /CN=shop \
        -addext subjectAltName=DNS:shop.example -days 30 2>/dev/null

    run_examples init
    export KEYWRIGHT_CONFIG=$case_dir/server/keywright.yaml
    run_examples apply "config check" "config schema" plugins status create list show request sign verify encrypt decrypt export
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
    keywright -q create password-reset/sales/web
    run_examples retire delete
    run_examples passphrase

    # None was forgotten.
    listed=$(keywright help | sed -n '/^Verbs:$/,/^$/ s/^  \(config [a-z]*\|[a-z]*\)  .*/\1/p')
    while IFS= read -r verb; do
        [[ $verb =~ ^(init|apply|config\ check|config\ schema|plugins|status|create|list|show|request|sign|verify|encrypt|decrypt|export|import|retire|delete|passphrase)$ ]] ||
            fail "the example of '$verb' was not run"
    done <<<"$listed"
    [[ $(wc -l <<<"$listed") -eq 19 ]] || fail "$(wc -l <<<"$listed") verbs are listed"
}

run_cases example_of_every_verb_runs
