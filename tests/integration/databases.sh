# databases.sh: certificates, and real servers that show them, for tests. Sourced after lib.sh. What is started here ends with the case.
#
# Servers that refuse to run as root run as nobody, from a directory that they may reach. Each listens on 127.0.0.1 at a port that the system chose
# ($port).
# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used by the tests; lib.sh has set the rest

servers=()
stop_servers() {
    local process
    for process in "${servers[@]}"; do kill "$process" 2>/dev/null || true; done
    for process in "${servers[@]}"; do wait "$process" 2>/dev/null || true; done
    servers=()
}

# ---- Certificates ----

# authority NAME [ISSUER [LINE]...]: NAME.key and NAME.pem of a CA, under ISSUER where one is given; lines of extensions.
authority() {
    local name=$1 by=(-signkey "$1.key")
    [[ -z ${2:-} ]] || by=(-CA "$2.pem" -CAkey "$2.key")
    shift $(($# < 2 ? 1 : 2))
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$name.key" -out csr -subj "/CN=$name" 2>/dev/null
    printf '%s\n' "${@:-basicConstraints=critical,CA:TRUE}" keyUsage=critical,keyCertSign,cRLSign subjectKeyIdentifier=none >ext
    openssl x509 -req -in csr -days 30 -extfile ext -out "$name.pem" "${by[@]}" 2>/dev/null
}

# issued NAME ISSUER KEY USAGE [OPTION]...: a certificate under an authority (ISSUER -: self-signed) with a key (ec, or rsa:BITS); options of
# `openssl x509`. Its subject is $subject, else NAME; it is for $hosts.
hosts=DNS:localhost,IP:127.0.0.1
issued() {
    local name=$1 issuer=$2 key=$3 usage=$4 by new=(ec -pkeyopt ec_paramgen_curve:P-256)
    shift 4
    by=(-CA "$issuer.pem" -CAkey "$issuer.key")
    [[ $issuer != - ]] || by=(-signkey "$name.key")
    [[ $key == ec ]] || new=("$key")
    openssl req -new -newkey "${new[@]}" -noenc -keyout "$name.key" -out csr -subj "/CN=${subject:-$name}" 2>/dev/null
    printf '%s\n' basicConstraints=CA:FALSE "subjectAltName=$hosts" "extendedKeyUsage=$usage" authorityKeyIdentifier=none >ext
    openssl x509 -req -in csr -days 30 -extfile ext -out "$name.pem" "${by[@]}" "$@" 2>/dev/null
}

# dated NAME ISSUER BEGIN END: the server's certificate NAME with these dates (YYYYMMDD).
dated() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$1.key" -out csr -subj "/CN=$1" 2>/dev/null
    printf '%s\n' '[ca]' default_ca=d '[d]' "database=$1.index" "serial=$1.serial" new_certs_dir=. default_md=sha256 policy=p \
        x509_extensions=e '[p]' commonName=supplied '[e]' "subjectAltName=$hosts" extendedKeyUsage=serverAuth,clientAuth >ca.cnf
    : >"$1.index"
    echo 1000 >"$1.serial"
    openssl ca -batch -config ca.cnf -cert "$2.pem" -keyfile "$2.key" -startdate "${3}000000Z" -enddate "${4}000000Z" -in csr -out "$1.pem" \
        -notext 2>/dev/null
}

# ---- Servers ----

# await PATTERN FILE: until a line of the file has the port, in $port.
await() {
    local until=$((SECONDS + 30))
    port=
    while [[ $SECONDS -lt $until ]]; do
        [[ ! -f $2 ]] || port=$(sed -nE "$1" "$2" | head -n 1)
        [[ -z $port ]] || return 0
        sleep 0.02
    done
    fail "no server: $(cat "$2")"
}

# serve ARGUMENT...: openssl s_server.
serve() {
    : >server.log
    openssl s_server -accept 127.0.0.1:0 -www "$@" >server.log 2>&1 </dev/null &
    servers+=($!)
    trap stop_servers EXIT
    await 's/^ACCEPT .*:([0-9]+)$/\1/p' server.log
}

# serve_program PROGRAM ARGUMENT...: one of the test's own.
serve_program() {
    : >server.log
    /usr/bin/python3 "$here/$1" "${@:2}" >server.log 2>&1 &
    servers+=($!)
    trap stop_servers EXIT
    await 's/^ACCEPT .*:([0-9]+)$/\1/p' server.log
}

# serve_text STATEMENT: Python, for each connection `c`.
serve_text() {
    : >server.log
    /usr/bin/python3 -u -c "
import socket
s = socket.create_server(('127.0.0.1', 0))
print('ACCEPT 127.0.0.1:%d' % s.getsockname()[1])
while True:
    c = s.accept()[0]
    $1
    c.close()" >server.log 2>&1 &
    servers+=($!)
    trap stop_servers EXIT
    await 's/^ACCEPT .*:([0-9]+)$/\1/p' server.log
}

free_port() {
    /usr/bin/python3 -c "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])"
}

# Before the command of a server: makes it run as the user that servers run as. It executes the command, so that $! is the server's.
as_server=(env)
[[ $(id -u) -ne 0 ]] || as_server=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all --)

# server_directory NAME FILE...: a directory of that user's with copies of the files, keys for it alone.
server_directory() {
    chmod 755 "$work" "$case_dir"
    mkdir -m 700 "$1"
    [[ $# -lt 2 ]] || cp "${@:2}" "$1"
    find "$1" -type f -exec chmod 600 {} +
    [[ $(id -u) -ne 0 ]] || chown -R 65534:65534 "$1"
}

# postgresql CERTIFICATE AUTHORITIES LINE...: a cluster with TLS whose pg_hba.conf has the lines; without CERTIFICATE (-) it has no TLS.
postgresql() {
    local programs tls=(-c ssl=off)
    # By version: the newest.
    programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    if [[ $1 == - ]]; then
        server_directory postgresql
    else
        tls=(-c ssl=on -c "ssl_cert_file=../$1.pem" -c "ssl_key_file=../$1.key" -c "ssl_ca_file=../$2")
        server_directory postgresql "$1.pem" "$1.key" "$2"
    fi
    "${as_server[@]}" "$programs/initdb" --no-sync --auth=trust --username=both --pgdata="$case_dir/postgresql/data" --no-locale --encoding=UTF8 >initdb.log 2>&1 ||
        fail "initdb: $(tail -n 5 initdb.log)"
    printf '%s\n' "${@:3}" >hba
    cat hba >"$case_dir/postgresql/data/pg_hba.conf"
    port=$(free_port)
    "${as_server[@]}" "$programs/postgres" -D "$case_dir/postgresql/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c fsync=off "${tls[@]}" >postgresql.log 2>&1 &
    servers+=($!)
    trap stop_servers EXIT
    local until=$((SECONDS + 60))
    until "$programs/pg_isready" -q -h 127.0.0.1 -p "$port"; do
        [[ $SECONDS -lt $until ]] || fail "postgres: $(tail -n 5 postgresql.log)"
        sleep 0.05
    done
}

# mariadb_start NAME OPTION...: a server with the certificate server and clients of the authority root; options win. The data is made once a case.
mariadb_start() {
    local name=$1
    shift
    if [[ ! -d mariadb ]]; then
        server_directory mariadb server.pem server.key root.pem
        "${as_server[@]}" mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve \
            --datadir="$case_dir/mariadb/data" --innodb-log-file-size=4M --innodb-flush-log-at-trx-commit=0 >install.log 2>&1 ||
            fail "mariadb-install-db: $(tail -n 5 install.log)"
    fi
    port=$(free_port)
    "${as_server[@]}" /usr/sbin/mariadbd --no-defaults --datadir="$case_dir/mariadb/data" --socket="$case_dir/mariadb/$name.sock" --port="$port" \
        --bind-address=127.0.0.1 --pid-file="$case_dir/mariadb/$name.pid" --skip-name-resolve --innodb-log-file-size=4M \
        --innodb-buffer-pool-size=8M --innodb-fast-shutdown=2 "$@" >"$name.log" 2>&1 &
    servers+=($!)
    trap stop_servers EXIT
    local until=$((SECONDS + 60))
    until mariadb --no-defaults --skip-ssl --socket="$case_dir/mariadb/$name.sock" --user=root -e 'SELECT 1' >/dev/null 2>&1; do
        [[ $SECONDS -lt $until ]] || fail "mariadbd: $(tail -n 5 "$name.log")"
        sleep 0.1
    done
}
