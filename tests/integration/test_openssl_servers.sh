#!/usr/bin/env bash
# The module in programs' lives: servers whose workers have given up root or are forked for each connection, reload, and the end of a process.
# Keys in softstore and, sampled by KW_TEST_SEED, in SoftHSM; both with KW_TEST_FULL=yes. curl and psql are the clients.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/openssl.sh
. "$(dirname "$0")/openssl.sh"
RANDOM=${KW_TEST_SEED:-$RANDOM}
place=local # the store that the keys are in

# placed_server: the server `a`, in place hsm with a token.
placed_server() {
    server a
    [[ $place == hsm ]] || return 0
    mkdir token
    trap token_stop EXIT
    token_start softhsm "$case_dir/token"
    (umask 077 && printf '%s' "$token_pin" >a/pin)
    sed -i "/^stores:/a\\  hsm: {id: \"0b1d02aa\", plugin: pkcs11, options: {library: $token_library, token_label: $token_label, pin: file:pin}}" \
        a/keywright.yaml
}

# give_token_to USER: what a process needs that opens the token as this user, after a fork.
give_token_to() {
    [[ $place == hsm && $(id -u) -eq 0 ]] || return 0
    chmod 755 "$work" "$case_dir"
    chown -R "$1" token
}

# await WHAT COMMAND...: until it succeeds; twenty seconds.
await() {
    local what=$1
    shift
    for _ in {1..200}; do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    fail "$what does not come up"
}

# ---- The end of a process ------------------------------------------------------------------------------------

# SoftHSM is a user of libcrypto itself, and has ended before libcrypto ends.
command_ends_well_after_a_token_was_used() {
    placed_server
    openssl_conf
    printf 'the text' >text
    for key in rsa-2048 ec-p256; do
        expect 0 keywright create "general/$key" --key "$key" --store "$place"
        take_certificate "general/$key"
        keywright show "general/$key" --reference >key.pem
        expect 0 openssl dgst -sha256 -sign "keywright:general/$key" -out s text
        expect 0 openssl dgst -sha256 -verify public.pem -signature s text
        expect 0 openssl dgst -sha256 -sign key.pem -out s text
        expect 0 openssl pkey -in "keywright:general/$key" -noout
        expect 0 openssl req -new -key "keywright:general/$key" -subj /CN=x -out r.pem
        expect 0 openssl storeutl -noout "keywright:general/$key"
        expect 1 openssl storeutl -noout keywright:general/nothing
    done
    expect 0 valgrind -q --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=9 \
        --suppressions="$here/../memcheck.suppressions" openssl dgst -sha256 -sign key.pem -out s text
    expect 0 openssl dgst -sha256 -verify public.pem -signature s text
}

# ---- nginx ---------------------------------------------------------------------------------------------------

nginx_conf() {
    cat >nginx.conf <<END
user www-data;
worker_processes 2;
daemon off;
env SOFTHSM2_CONF;
pid $PWD/nginx.pid;
error_log $PWD/error.log info;
events {}
http {
    access_log off;
    client_body_temp_path $PWD/body; proxy_temp_path $PWD/proxy; fastcgi_temp_path $PWD/fastcgi; uwsgi_temp_path $PWD/uwsgi; scgi_temp_path $PWD/scgi;
    server {
        listen unix:$PWD/socket ssl;
        ssl_certificate $PWD/certificate.pem; ssl_certificate_key $PWD/key.pem;
        ssl_session_cache off;
        return 200 "answer\n";
    }
}
END
}

get() { curl --silent --show-error --max-time 20 --unix-socket socket --cacert certificate.pem https://localhost/; }

# The master opens the key as root; its workers have given that up, and so have those that a reload starts.
nginx_workers_without_rights_sign_and_a_reload_takes_the_new_key() {
    local running
    placed_server
    expect 0 keywright create general/web --key ec-p256 --store "$place" --host localhost
    take_certificate general/web
    keywright show general/web --reference >key.pem
    give_token_to www-data
    nginx_conf
    openssl_conf "config = $KEYWRIGHT_CONFIG"
    # Nothing but openssl.cnf tells it where the configuration is.
    setpriv --pdeathsig TERM env -u KEYWRIGHT_CONFIG nginx -e "$PWD/error.log" -p "$PWD" -c "$PWD/nginx.conf" &
    running=$!
    await nginx get
    for _ in {1..8}; do expect 0 get; done
    expect_out '^answer$'
    # while it is reloaded, too
    kill -HUP "$running"
    for _ in {1..8}; do expect 0 get; done
    expect 0 keywright rotate general/web --new-key
    take_certificate general/web
    give_token_to www-data
    kill -HUP "$running"
    await 'nginx with the new certificate' get
    for _ in {1..8}; do expect 0 get; done
    kill -QUIT "$running"
    wait "$running" || fail "nginx ended with $?"
    ! grep -E '\[(emerg|alert|crit|error)\]' error.log || fail 'nginx complains'
}

# A worker's user who may not open the token is told what is missing.
nginx_worker_that_may_not_open_the_token_says_so() {
    local running
    [[ $(id -u) -eq 0 ]] || fail 'this test wants a server that gives up root, and so to be run by root'
    placed_server
    expect 0 keywright create general/web --key ec-p256 --store "$place" --host localhost
    take_certificate general/web
    keywright show general/web --reference >key.pem
    chmod 700 token
    nginx_conf
    openssl_conf "config = $KEYWRIGHT_CONFIG"
    setpriv --pdeathsig TERM nginx -e "$PWD/error.log" -p "$PWD" -c "$PWD/nginx.conf" &
    running=$!
    await nginx test -S socket
    for _ in {1..4}; do expect 35 get; done # a worker's first complaint may be cut by nginx: SoftHSM leaves errors of its own
    grep -q "runs as user $(id -u www-data), who needs the token's files or device" error.log || fail 'no remedy'
    kill -QUIT "$running"
    wait "$running" || true
}

# ---- PostgreSQL ----------------------------------------------------------------------------------------------

# as_postgres COMMAND...: with the module of a copy of the build that this user can reach.
as_postgres() {
    local as=(env)
    [[ $(id -u) -ne 0 ]] || as=(setpriv "--reuid=$(id -u postgres)" "--regid=$(id -g postgres)" --clear-groups --inh-caps=-all -- env)
    "${as[@]}" "HOME=$PWD" "LD_LIBRARY_PATH=$work/nobody/lib" "OPENSSL_MODULES=$work/nobody/lib/ossl-modules" "$@"
}

psql_over_tls() { as_postgres psql -X -A -t "host=localhost port=$port dbname=postgres user=postgres sslmode=verify-full sslrootcert=$PWD/certificate.pem" "$@"; }

# It forks for each connection; the child makes the handshake.
postgresql_signs_in_the_child_of_each_connection() {
    local programs port
    placed_server
    programs=$(dirname "$(find /usr/lib/postgresql/*/bin -name initdb | sort -V | tail -n 1)")
    expect 0 keywright create general/db --key ec-p256 --store "$place" --host localhost
    take_certificate general/db
    as_nobody --version >/dev/null # makes the copy
    chmod 755 "$work" "$case_dir"
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    openssl_conf "config = $KEYWRIGHT_CONFIG"
    keywright show general/db --reference >key.pem
    chmod 600 key.pem
    mkdir data
    [[ $(id -u) -ne 0 ]] || chown -R postgres data a key.pem
    give_token_to postgres
    expect 0 as_postgres OPENSSL_CONF='' "$programs/initdb" -D "$PWD/data" -A trust -U postgres -N
    expect 0 as_postgres "$programs/pg_ctl" -D "$PWD/data" -l "$PWD/data/log" -w -t 60 start -o "-c listen_addresses=localhost -p $port \
        -c unix_socket_directories= -c fsync=off -c ssl=on -c ssl_cert_file=$PWD/certificate.pem -c ssl_key_file=$PWD/key.pem"
    # shellcheck disable=SC2064 # as it is now
    trap "as_postgres '$programs/pg_ctl' -D '$PWD/data' -m immediate stop >/dev/null 2>&1 || true; token_stop" EXIT
    for _ in {1..4}; do
        OPENSSL_CONF='' expect 0 psql_over_tls -c 'SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()'
        expect_out '^t\|TLSv1.3$'
    done
    expect 0 as_postgres "$programs/pg_ctl" -D "$PWD/data" -w reload
    OPENSSL_CONF='' expect 0 psql_over_tls -c 'SELECT 1'
    expect 0 as_postgres "$programs/pg_ctl" -D "$PWD/data" -w -m fast stop
    ! grep -E 'FATAL|PANIC|could not' data/log || fail 'PostgreSQL complains'
}

cases=(nginx_workers_without_rights_sign_and_a_reload_takes_the_new_key postgresql_signs_in_the_child_of_each_connection)
tokens=(command_ends_well_after_a_token_was_used nginx_worker_that_may_not_open_the_token_says_so)
if [[ ${KW_TEST_FULL:-no} == yes ]]; then
    run_cases "${cases[@]}"
    place=hsm
    run_cases "${cases[@]}" "${tokens[@]}"
else
    chosen=$((RANDOM % 2))
    run_cases "${cases[chosen]}"
    place=hsm
    run_cases "${cases[1 - chosen]}" "${tokens[@]}"
fi
