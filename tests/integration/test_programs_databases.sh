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

# start_postgresql: with the document's lines, and a user `client` who comes with a certificate.
start_postgresql() {
    local programs
    programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    server_directory postgresql
    expect 0 "${as_server[@]}" "$programs/initdb" --no-sync --auth=trust --username=both --pgdata="$case_dir/postgresql/data" --no-locale --encoding=UTF8
    {
        lines programs.md PostgreSQL 1
        printf '%s\n' "ssl_ca_file = '$case_dir/a/client.pem'" fsync=off "listen_addresses='localhost'" "unix_socket_directories=''"
    } >>postgresql/data/postgresql.conf
    printf '%s\n' 'hostssl all client all cert' 'hostssl all both all trust' >postgresql/data/pg_hba.conf
    port=$(free_port)
    run_as_server postgresql.log "$programs/postgres" -D "$case_dir/postgresql/data" -p "$port"
    settled psql_as both -c 'CREATE ROLE client LOGIN'
}

# psql_as USER ARGUMENT...: a client that has nothing of Keywright's.
psql_as() {
    env -u OPENSSL_CONF psql -XAt "host=localhost port=$port dbname=postgres user=$1 sslmode=verify-full sslrootcert=$case_dir/a/server.pem" "${@:2}"
}

postgresql_and_psql_have_their_keys_in_a_store() {
    program_server general/db "$1"
    new_certificate general/client ec-p256 client
    hand_over
    start_postgresql
    for version in TLSv1.2 TLSv1.3; do
        for _ in 1 2; do
            PGSSLMAXPROTOCOLVERSION=$version expect 0 psql_as both -c 'SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()'
            expect_out "^t\\|$version\$"
        done
    done
    # the client's certificate, by the document's line
    echo "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()" >query
    expect 0 "${as_server[@]}" "PGPORT=$port" bash -c "$(lines programs.md PostgreSQL 2) -XAt <query"
    expect_out '^/CN=client$'
    expect 2 psql_as client -c 'SELECT 1'
    expect_err 'requires a valid client certificate'
    kill -HUP "$program"
    expect 0 psql_as both -c 'SELECT 1'
    ! grep -E 'FATAL|PANIC|could not' postgresql.log | grep -v 'client certificate\|is starting up' || fail 'PostgreSQL complains'
}

postgresql_with_rsa() { postgresql_and_psql_have_their_keys_in_a_store rsa-2048; }
postgresql_with_ec() { postgresql_and_psql_have_their_keys_in_a_store ec-p256; }

mariadb_and_its_client_have_their_keys_in_a_store() {
    program_server general/db rsa-2048
    new_certificate general/client ec-p256 client
    hand_over
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
    as_client() { "${as_server[@]}" mariadb "$@" --host=localhost --protocol=tcp --port="$port" --user=client -BNe "SHOW STATUS LIKE 'Ssl_version'"; }
    for version in TLSv1.2 TLSv1.3; do
        expect 0 as_client --defaults-file="$case_dir/client.cnf" --tls-version="$version"
        expect_out "$version"
    done
    root -e 'FLUSH SSL'
    expect 0 as_client --defaults-file="$case_dir/client.cnf"
    expect 1 as_client --no-defaults --ssl-ca="$case_dir/a/server.pem"
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
