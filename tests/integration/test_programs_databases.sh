#!/usr/bin/env bash
# Database servers and their clients as docs/programs.md configures them.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/databases.sh
. "$here/databases.sh"
# shellcheck source=tests/integration/openssl.sh
. "$here/openssl.sh"
# shellcheck source=tests/integration/programs.sh
. "$here/programs.sh"

# start_postgresql: as Debian does, by pg_ctlcluster, which hands on nothing of its environment; with the document's lines, and a user `client` who
# comes with a certificate.
start_postgresql() {
    local version etc=$case_dir/etc who=()
    version=$(basename "$(printf '%s\n' /usr/lib/postgresql/* | sort -V | tail -n 1)")
    mkdir data sockets
    [[ $(id -u) -ne 0 ]] || { chown postgres data sockets && who=(-u postgres); }
    port=$(free_port)
    export PG_CLUSTER_CONF_ROOT=$etc
    expect 0 pg_createcluster "${who[@]}" -d "$case_dir/data" -l "$case_dir/postgresql.log" -s "$case_dir/sockets" -p "$port" "$version" main -- \
        --no-sync --auth=trust --username=both --no-locale --encoding=UTF8
    etc+=/$version/main
    {
        lines programs.md PostgreSQL 1
        printf '%s\n' "ssl_ca_file = '$case_dir/a/client.pem'" fsync=off "listen_addresses='localhost'"
    } >>"$etc/postgresql.conf"
    printf '%s\n' 'hostssl all client all cert' 'hostssl all both all trust' >"$etc/pg_hba.conf"
    {
        lines programs.md PostgreSQL 2
        printf "%s = '%s'\n" SOFTHSM2_CONF "${SOFTHSM2_CONF:-}" KEYWRIGHT_SHIM_MODULE "${KEYWRIGHT_SHIM_MODULE:-}" KEYWRIGHT_SHIM_CONTROL "${KEYWRIGHT_SHIM_CONTROL:-}"
    } >>"$etc/environment"
    pg_ctlcluster --foreground "$version" main start >start.log 2>&1 </dev/null &
    program=$!
    servers+=("$program")
    trap 'stop_servers; [[ $place != hsm ]] || token_stop' EXIT
    settled psql_as both -c 'CREATE ROLE client LOGIN'
}

# psql_as USER ARGUMENT...: a client that has nothing of Keywright's.
psql_as() {
    env -u OPENSSL_CONF psql -XAt "host=localhost port=$port dbname=postgres user=$1 sslmode=verify-full sslrootcert=$case_dir/a/server.pem" "${@:2}"
}

postgresql_and_psql_have_their_keys_in_a_store() {
    program_server "$1"
    new_certificate client ec-p256 3
    hand_over postgres postgres
    do_lines programs.md PostgreSQL 3
    start_postgresql
    for version in TLSv1.2 TLSv1.3; do
        for _ in 1 2; do
            PGSSLMAXPROTOCOLVERSION=$version expect 0 psql_as both -c 'SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()'
            expect_out "^t\\|$version\$"
        done
    done
    # the client's certificate, by the document's line
    echo "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()" >query
    expect 0 as_client
    expect_out '^/CN=client$'
    expect 2 psql_as client -c 'SELECT 1'
    expect_err 'requires a valid client certificate'
    # a new key, made as the document has it
    openssl x509 -in a/server.pem -noout -serial >serial
    as_user postgres postgres programs.md Rights 3
    (umask 022 && keywright show general/web --pem >a/server.pem)
    ! openssl x509 -in a/server.pem -noout -serial | cmp -s - serial || fail 'there is no new certificate'
    kill -HUP "$program"
    settled psql_as both -c 'SELECT 1'
    ! grep -E 'FATAL|PANIC|could not' postgresql.log | grep -v 'client certificate\|is starting up' || fail 'PostgreSQL complains'
    psql_tells_why
}

as_client() { "${as_server[@]}" "PGPORT=$port" "$@" bash -c "$(lines programs.md PostgreSQL 4) -XAt <query"; }

# What libpq prints of a key that does not open: the reason alone, and openssl the whole sentence.
psql_tells_why() {
    sed '/^config = /s/keywright.yaml/other.yaml/' a/openssl.cnf >a/other.cnf
    expect 2 as_client "OPENSSL_CONF=$case_dir/a/other.cnf"
    expect_err 'could not load private key file .*client.key": keywright: the configuration is wrong'
    sed '/^module = /s/keywright.so/nothing.so/' a/openssl.cnf >a/other.cnf
    expect 2 as_client "OPENSSL_CONF=$case_dir/a/other.cnf"
    expect_err 'could not load private key file .*client.key": unsupported'
    chmod 644 a/client.key
    expect 2 as_client
    expect_err 'has group or world access'
    chmod 600 a/client.key
    [[ $(id -u) -eq 0 ]] || return 0
    chmod 600 a/keywright.yaml
    expect 2 as_client
    expect_err 'could not load private key file .*client.key": keywright: no permission for a file or device'
    wanted_status=1 as_user postgres postgres programs.md 'When it does not work'
    expect_err 'user postgres needs the right to read the file .*/a/keywright.yaml'
}

postgresql_with_rsa() { postgresql_and_psql_have_their_keys_in_a_store rsa-2048; }
postgresql_with_ec() { postgresql_and_psql_have_their_keys_in_a_store ec-p256; }

mariadb_and_its_client_have_their_keys_in_a_store() {
    program_server rsa-2048
    new_certificate client ec-p256 3
    hand_over nobody nogroup
    lines programs.md MariaDB 1 >server.cnf
    lines programs.md MariaDB 2 >client.cnf
    server_directory mariadb
    expect 0 "${as_server[@]}" mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve \
        --datadir="$case_dir/mariadb/data" --innodb-log-file-size=4M --innodb-flush-log-at-trx-commit=0
    port=$(free_port)
    run_as_server mariadb.log /usr/sbin/mariadbd --defaults-file="$case_dir/server.cnf" --datadir="$case_dir/mariadb/data" --socket="$case_dir/mariadb/socket" \
        --port="$port" --bind-address=127.0.0.1 --pid-file="$case_dir/mariadb/pid" --innodb-log-file-size=4M --innodb-buffer-pool-size=8M \
        --innodb-fast-shutdown=2 --ssl-ca="$case_dir/a/client.pem"
    root() { mariadb --no-defaults --socket="$case_dir/mariadb/socket" --user=root "$@"; }
    settled root -e 'SELECT 1'
    root -e "CREATE USER client@'%' REQUIRE X509"
    as_user_client() { "${as_server[@]}" mariadb "$@" --host=localhost --protocol=tcp --port="$port" --user=client -BNe "SHOW STATUS LIKE 'Ssl_version'"; }
    for version in TLSv1.2 TLSv1.3; do
        expect 0 as_user_client --defaults-file="$case_dir/client.cnf" --tls-version="$version"
        expect_out "$version"
    done
    root -e 'FLUSH SSL'
    expect 0 as_user_client --defaults-file="$case_dir/client.cnf"
    expect 1 as_user_client --no-defaults --ssl-ca="$case_dir/a/server.pem"
    expect_err 'Access denied'
}

if [[ $full == yes ]]; then
    run_cases postgresql_with_rsa postgresql_with_ec mariadb_and_its_client_have_their_keys_in_a_store
    place=hsm
    run_cases postgresql_with_rsa postgresql_with_ec mariadb_and_its_client_have_their_keys_in_a_store
else
    # the seed chooses softstore, or MariaDB, beside
    chosen=$((RANDOM % 3))
    [[ $chosen -ne 1 ]] || run_cases postgresql_with_rsa
    place=hsm
    run_cases postgresql_with_ec
    [[ $chosen -ne 2 ]] || run_cases mariadb_and_its_client_have_their_keys_in_a_store
fi
