# password_server.sh: what the tests of examples/password-server share, besides lib.sh. PASSWORD_SERVER and PASSWORD_CLIENT name the programs.
# shellcheck shell=bash disable=SC2154
: "${PASSWORD_SERVER:?}" "${PASSWORD_CLIENT:?}"

# password_keys: of the server `one`. Databases have RSA keys, which the example wants, and ssl-connection is for localhost.
password_keys() {
    sed -i 's/^  database: {key: ec-p256}/  database: {key: rsa-2048}/' one/keywright.yaml
    keywright -q delete ssl-connection --force --yes
    keywright -q create ssl-connection --host localhost --host 127.0.0.1 --key ec-p256
    keywright trust export -o ca.pem
}

# start_password_server: for sales and corp.example. Its port is $port.
start_password_server() {
    local until=$((SECONDS + 60))
    : >ready
    "$PASSWORD_SERVER" --database sales --domain corp.example --vault vault.db >ready 2>server.log &
    server_pid=$!
    trap 'kill $server_pid 2>/dev/null || true' EXIT
    until [[ -s ready ]]; do
        if ! kill -0 "$server_pid" 2>/dev/null || [[ $SECONDS -ge $until ]]; then
            fail "the server does not start: $(cat server.log)"
        fi
        sleep 0.02
    done
    port=$(sed -n 's/^listening on 127\.0\.0\.1 port //p' ready)
}

# It ends by itself, and cleanly.
stop_password_server() {
    local status=0
    kill -TERM "$server_pid"
    wait "$server_pid" || status=$?
    [[ $status -eq 0 ]] || fail "the server ended with $status: $(cat server.log)"
    trap - EXIT
}

# client PASSWORD ARGUMENT...: sends it.
client() {
    local password=$1
    shift
    printf '%s\n' "$password" | "$PASSWORD_CLIENT" --ca "${ca:-ca.pem}" "localhost:$port" "$@"
}

# await COMMAND...: until it succeeds; twenty seconds.
await() {
    local until=$((SECONDS + 20))
    until "$@"; do
        [[ $SECONDS -lt $until ]] || fail "in vain: $*"
        sleep 0.02
    done
}
