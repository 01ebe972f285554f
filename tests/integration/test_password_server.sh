#!/usr/bin/env bash
# examples/password-server and its client, with keys in files. openssl, sqlite3 and a client in Python judge.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/password_server.sh
. "$here/password_server.sh"

# raw LINE...: what the server answers to each, in out.
raw() { expect 0 /usr/bin/python3 "$here/raw_lines.py" ca.pem "$port" "$@"; }

passwords_reach_the_server_and_are_kept_sealed() {
    server one
    password_keys
    start_password_server
    # Who is not trusted is shown (S7), and gets nothing.
    expect 1 "$PASSWORD_CLIENT" "localhost:$port" login sales ann <<<'a word'
    [[ $(head -n 2 err) == $'This connection is not trusted!\nThe connection to the server is not considered secure.' ]] || fail "S7: $(head -n 2 err)"
    expect_err '^Reason +the certificate is self-signed'
    expect_err '^Subject +CN=PSR8Server$'
    expect_err "^SHA-256 +$(openssl x509 -in ca.pem -noout -fingerprint -sha256 | sed 's/.*=//')\$"
    expect_err 'keywright trust install server\.pem'
    ! grep -q ' login sales ' server.log || fail "the client went on"
    expect 1 "$PASSWORD_CLIENT" --ca ca.pem "127.0.0.2:$port" login sales ann <<<'a word'
    expect_err 'cannot|refused|not for this address'

    expect 0 client '' certificate sales
    keywright show database/sales --pem >sales.pem
    expect_same out sales.pem
    # The three cases of S9.
    expect 0 client 'the viewer''s word' webviewer-task sales nightly viewer
    expect 0 client 'the viewer''s word' use-task sales nightly
    expect 1 client 'another word' use-task sales nightly
    expect_err 'it keeps another password'
    expect 0 client 'bind-s3cret' directory-profile sales corp 'CN=sync,O=Corp'
    expect 0 client 'bind-s3cret' use-profile sales corp
    expect 0 client "ann's word" enrol sales ann
    expect 0 client "ann's word" login sales ann
    expect 1 client "not ann's" login sales ann
    expect_err 'the name or the password is wrong'
    cp err wrong
    expect 1 client "ann's word" login sales nobody
    expect_same err wrong
    expect 1 client 'x' use-task sales none
    expect_err 'there is no such thing'
    expect 1 client '' login sales ann
    expect_err '1 to 128 bytes'
    keywright list --json | jq -e 'map(select(.certificate == "master-key/corp.example") | .databases) == [["sales"]]' >/dev/null || fail "no master key"
    stop_password_server

    # What is kept opens by itself nowhere, also not in another row.
    ! cat vault.db* | grep -aqE "viewer's word|viewers word|bind-s3cret|ann's word" || fail "a password stands in the vault"
    [[ $(sqlite3 vault.db 'SELECT count(*), min(length(sealed)) > 65 FROM secret') == '3|1' ]] || fail "$(sqlite3 vault.db .dump)"
    ! grep -qE "viewers? word|s3cret|ann's word" server.log || fail "a password stands in the log"
    sqlite3 vault.db "INSERT INTO secret SELECT purpose, database, 'stolen', account, sealed FROM secret WHERE name = 'nightly'"
    start_password_server
    expect 0 client 'the viewers word' use-task sales nightly
    expect 1 client 'the viewers word' use-task sales stolen
    expect_err 'has failed|not encrypted'
    expect 0 client "ann's word" login sales ann
    sqlite3 vault.db "UPDATE secret SET account = 'root' WHERE name = 'nightly'"
    expect 1 client 'the viewers word' use-task sales nightly
    stop_password_server
}

# What openssl encrypts is what the client does; a password is for its request alone.
password_is_for_its_request_alone() {
    local sha text label
    server one
    password_keys
    start_password_server
    keywright show database/sales --pem >sales.pem
    sha=$(openssl x509 -in sales.pem -outform DER | sha256sum | cut -d ' ' -f 1)
    label=$(printf 'webviewer-task sales nightly' | od -An -tx1 | tr -d ' \n')
    text=$(printf 'a word' | openssl pkeyutl -encrypt -certin -inkey sales.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
        -pkeyopt rsa_mgf1_md:sha256 -pkeyopt "rsa_oaep_label:$label" | base64 -w 0)
    request() { printf '{"do":"%s","database":"sales","name":"%s","account":"a","certificate":"%s","password":"%s"}' "$1" "$2" "$3" "$text"; }
    raw "$(request webviewer-task nightly "$sha")" "$(request webviewer-task daily "$sha")" "$(request enrol nightly "$sha")" \
        "$(request webviewer-task nightly "${sha//[0-9]/0}")" "$(request webviewer-task nightly '')"
    [[ $(jq -c .ok out | tr '\n' ' ') == 'true false false false false ' ]] || fail "$(cat out)"
    [[ $(sed -n '2,3p' out | grep -c 'not encrypted for this request') -eq 2 ]] || fail "$(cat out)"
    expect 0 client 'a word' use-task sales nightly
    # A new key for the database: clients have it at once, and who has the former certificate is still understood.
    expect 0 keywright rotate database/sales --new-key
    expect 0 client 'a new word' webviewer-task sales nightly viewer
    expect 0 client 'a new word' use-task sales nightly
    raw "$(request webviewer-task nightly "$sha")"
    [[ $(jq -c .ok out) == true ]] || fail "$(cat out)"
    expect 0 client 'a word' use-task sales nightly
    stop_password_server
}

requests_that_are_none_are_refused_and_the_server_goes_on() {
    local line long
    server one
    password_keys
    start_password_server
    long=$(printf 'a%.0s' {1..65})
    local lines=('{"do":"dance"}' '{"do":7}' '{}' '{"do":"login"}' '{"do":"certificate","database":"hr"}' '{"do":"certificate","database":"../x"}'
        '{"do":"certificate","database":""}' "{\"do\":\"certificate\",\"database\":\"$long\"}" '{"do":"use","of":"user","database":"sales","name":"ann"}'
        '{"do":"login","database":"sales","name":"ann\u0007","password":"AAAA"}' '{"do":"login","database":"sales","name":"ann","password":"####"}'
        '{"do":"login","database":"sales","name":"ann","certificate":[],"password":"AAAA"}' '{"do":"login","database":"sales","name":"ann","password":""}')
    raw "${lines[@]}" '{"do":"certificate","database":"sales"}'
    jq -es 'map(.ok) == [range('${#lines[@]}') | false] + [true]' out >/dev/null || fail "$(cat out)"
    # What is no line of JSON, or too long a one, ends the connection.
    for line in 'GET / HTTP/1.1' '' '[1]' '{"do":"login","do":"use"}' '{"do":"%x"}' $'{"do":"\xff"}'; do
        raw "$line" '{"do":"certificate","database":"sales"}'
        [[ $(head -n 1 out) == - ]] || fail "$line: $(cat out)"
    done
    # Not TLS, and TLS of old.
    printf 'hello\r\n' | timeout 5 bash -c "cat >/dev/tcp/127.0.0.1/$port" || true
    ! openssl s_client -connect "127.0.0.1:$port" -tls1_1 -cipher DEFAULT@SECLEVEL=0 </dev/null >/dev/null 2>&1 || fail "TLS 1.1"
    openssl s_client -connect "127.0.0.1:$port" -tls1_2 -CAfile ca.pem -verify_return_error </dev/null >/dev/null 2>&1 || fail "TLS 1.2"
    expect 0 client '' certificate sales
    stop_password_server
}

many_clients_are_served_at_once() {
    local i clients=()
    server one
    password_keys
    start_password_server
    for i in {1..10}; do
        (client "word $i" webviewer-task sales "task$i" viewer && client "word $i" use-task sales "task$i") &
        clients+=($!)
    done
    for i in "${clients[@]}"; do
        wait "$i" || fail "a client failed: $(cat server.log)"
    done
    # Who is connected and says nothing does not keep it from ending.
    exec 7<>"/dev/tcp/127.0.0.1/$port"
    stop_password_server
    exec 7<&-
}

running_server_follows_certificate_and_configuration() {
    server one
    password_keys
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout root.key -out root.pem -subj /CN=Root -days 30 2>/dev/null
    printf 'trust: {authorities: [../root.pem], system_roots: false}\n' >>one/keywright.yaml
    start_password_server
    expect 0 client 'a word' enrol sales ann
    # A CA's certificate takes the place of the self-signed one.
    keywright request ssl-connection -o server.csr
    openssl x509 -req -in server.csr -CA root.pem -CAkey root.key -copy_extensions copy -days 20 -out reply.pem 2>/dev/null
    expect 0 keywright import reply.pem --as ssl-connection
    expect 1 client 'a word' login sales ann
    expect_err 'CN=Root'
    ca=root.pem expect 0 client 'a word' login sales ann
    # SIGHUP takes a new configuration, and not a bad one.
    sed 's/^version: 1/version: nonsense/' one/keywright.yaml >bad.yaml
    cp one/keywright.yaml good.yaml
    cp bad.yaml one/keywright.yaml
    kill -HUP $server_pid
    await grep -q 'the configuration stays as it was' server.log
    ca=root.pem expect 0 client 'a word' login sales ann
    cp good.yaml one/keywright.yaml
    kill -HUP $server_pid
    await grep -q 'the configuration was read anew' server.log
    ca=root.pem expect 0 client 'a word' login sales ann
    stop_password_server
}

server_that_cannot_start_says_why() {
    server one
    password_keys
    expect 1 "$PASSWORD_SERVER" --database sales --domain corp.example --vault /nowhere/vault.db
    expect_err 'cannot start: /nowhere/vault\.db'
    expect 1 env KEYWRIGHT_CONFIG=/nowhere.yaml "$PASSWORD_SERVER" --database sales --domain corp.example --vault vault.db
    expect_err 'no configuration file'
    expect 64 "$PASSWORD_SERVER" --database sales
    expect 64 "$PASSWORD_SERVER" --database 'a b' --domain corp.example --vault vault.db
    expect 64 "$PASSWORD_CLIENT" localhost:1 dance
    keywright -q create database/curves --key ec-p256
    expect 1 "$PASSWORD_SERVER" --database curves --domain corp.example --vault vault.db
    expect_err 'has no RSA key'
}

walk_through_quotes_the_example() {
    local top=$here/../..
    expect 0 /usr/bin/python3 "$here/quotes.py" "$top/docs/embedding.md" "$top/examples/password-server"
    sed 's/kw_key_decrypt(key, &oaep,/kw_key_decrypt(key, NULL,/' "$top/docs/embedding.md" >other.md
    expect 1 /usr/bin/python3 "$here/quotes.py" other.md "$top/examples/password-server"
}

run_cases walk_through_quotes_the_example passwords_reach_the_server_and_are_kept_sealed password_is_for_its_request_alone requests_that_are_none_are_refused_and_the_server_goes_on \
    many_clients_are_served_at_once running_server_follows_certificate_and_configuration server_that_cannot_start_says_why
