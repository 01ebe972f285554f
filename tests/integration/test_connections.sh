#!/usr/bin/env bash
# Connections as a client (S30-S33): real PostgreSQL and MariaDB, openssl's server, and TDS and MongoDB servers whose framing FreeTDS and pymongo
# accept. psql and mariadb judge the modes beside it. MariaDB and a token run with KW_TEST_FULL=yes, or when the seed chooses them.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/databases.sh
. "$(dirname "$0")/databases.sh"

# connection NAME SETTINGS: a profile of the server of this case, which is made at the first.
connection() {
    [[ -d one ]] || server one
    grep -q '^connections:' one/keywright.yaml || echo 'connections:' >>one/keywright.yaml
    sed -i "/^  $1: /d" one/keywright.yaml
    sed -i "/^connections:/a\\  $1: {$2}" one/keywright.yaml
}

check() { keywright connection check "$@"; }

# fails CAUSE EXIT SETTINGS: the check says this cause, in JSON and with this exit status; $case_dir/out keeps the JSON.
fails() {
    connection it "host: localhost, port: $port, $3"
    expect "$2" check it --json
    expect_json ".connected == false and .failure.cause == \"$1\" and (.failure.remedy | length) > 10"
}

# is ENCRYPTED VERIFIED SETTINGS: connected so.
is() {
    connection it "host: localhost, port: $port, $3"
    expect 0 check it --json
    expect_json ".connected and .failure == null and .encrypted == $1 and .verified == $2"
}

# ---- The profiles ----

list_shows_the_profiles() {
    connection warehouse 'protocol: sqlserver, host: db.example, mode: verify-ca, ca: [ca.pem, /b.pem], timeout: 2s'
    connection users 'protocol: postgresql, host: 192.0.2.1, client_key: keywright:general/db-client'
    expect 0 keywright connection list
    expect_out '^warehouse +sqlserver +db.example port 1433 +verify-ca'
    expect_out '^users +postgresql +192.0.2.1 port 5432 +verify-full +the system'
    expect 0 keywright connection list --json
    expect_json 'length == 2 and (.[] | select(.name == "warehouse") | .port == 1433 and .timeout_ms == 2000 and (.ca | length) == 2
        and .ca[1] == "/b.pem" and .client_key == null)'
    expect 4 check wearhouse
    expect_err "there is no connection 'wearhouse' in the configuration \(did you mean 'warehouse'\?\)"
    expect 2 keywright connection check
    # config check reads what the profiles name; the place is that of the setting.
    expect 3 keywright config check
    expect_err "keywright.yaml:[0-9]+:[0-9]+: 'ca': .*ca.pem"
    connection warehouse 'protocol: sqlserver, host: db.example'
    connection users 'protocol: postgresql, host: db.example, client_key: keywright:nothing/x'
    expect 3 keywright config check
    expect_err "keywright.yaml:[0-9]+:[0-9]+: 'client_key': 'keywright:nothing/x'"
    connection users 'protocol: postgresql, host: db.example, mode: verify_full'
    expect 3 check users
    expect_err "keywright.yaml:[0-9]+:[0-9]+: 'mode' cannot be 'verify_full' \(did you mean 'verify-full'\?\)"
    connection users 'protocol: postgresql, host: db.example, mode: plaintext'
    expect 3 check users
    connection users 'protocol: postgresql, host: db.example'
    expect 0 keywright config check
    expect 0 keywright reload
    connection users 'protocol: postgresql, host: db.example, mode: require'
    expect 0 keywright reload --dry-run --json
    expect_out 'connections.users.mode'
    sed -i '/^connections:/,$d' one/keywright.yaml
    expect 0 keywright connection list --json
    expect_json '. == []'
}

# ---- PostgreSQL ----

# psql_is YES|NO SETTINGS: psql with the same settings connects over TLS (or not).
psql_is() {
    local answer
    answer=$(PGCONNECT_TIMEOUT=20 psql -XAtc 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()' "host=localhost port=$port dbname=postgres $2" 2>&1) || true
    [[ $answer == "$1" ]] || fail "psql with '$2' says '$answer' instead of '$1'"
}

postgresql_modes_are_libpqs() {
    local pg='protocol: postgresql'
    authority root
    issued server root ec serverAuth
    authority other
    authority people
    postgresql server people.pem 'hostssl all ssl all trust' 'hostnossl all plain all trust' 'hostssl all certificate all cert' 'host all both all trust'
    psql -Xq "host=localhost port=$port user=both dbname=postgres" -c 'CREATE ROLE certificate LOGIN' || fail "no role"
    local both="$pg, user: both" ca="ca: [../root.pem]"
    is false false "$both, mode: disable"
    psql_is f 'user=both sslmode=disable'
    is false false "$both, mode: allow"
    expect_json '.fallback == null'
    psql_is f 'user=both sslmode=allow'
    is true false "$both, mode: prefer"
    psql_is t 'user=both sslmode=prefer'
    is true false "$both, mode: require"
    expect_json '.problems[0].code == "unknown-issuer" and .protocol == "TLSv1.3"'
    is true true "$both, mode: require, $ca"
    is true true "$both, mode: verify-ca, $ca"
    is true true "$both, mode: verify-full, $ca"
    psql_is t 'user=both sslmode=verify-full sslrootcert=root.pem'
    is true true "$both, $ca"
    # What the server does not let in one way is tried the other, and said.
    is true false "$pg, user: ssl, mode: allow"
    expect_json '.fallback | startswith("plaintext was tried first")'
    fails tls-required 1 "$pg, user: ssl, mode: disable"
    expect_json '.notice | test("no encryption")'
    # Who is not let in for another reason has connected, and what the server says is shown.
    is true true "$pg, user: nobody, $ca"
    expect_json '.notice | test("pg_hba.conf")'
    # No other authority is believed than those that are named; the name counts in verify-full alone.
    fails unknown-issuer 1 "$both, mode: verify-ca, ca: [../other.pem]"
    fails unknown-issuer 1 "$both, mode: require, ca: [../other.pem]"
    fails unknown-issuer 1 "$both"
    expect_json '.failure.message == "Failed to connect - unable to get local issuer certificate" and .failure.certificate.subject == "CN=server"
        and .failure.certificate.issuer == "CN=root" and .failure.position == 0'
    expect 1 check it
    expect_out '^Failed to connect - unable to get local issuer certificate$'
    expect_out '^It concerns +the server.s certificate$'
    expect_out 'CN=server'
    expect_err '^keywright: it: Failed to connect - unable to get local issuer certificate$'
    expect_err 'name its file in `ca`'
    connection it "protocol: postgresql, host: 127.0.0.2, port: $port, user: both, $ca"
    expect 6 check it --json
    expect_json '.failure.cause == "unreachable" and (.failure.message | test("Connection refused"))'

    # Client certificates. The server speaks of them after the handshake, and of those that it does not trust in an alert.
    subject=certificate issued client people ec clientAuth
    subject=certificate issued stranger other ec clientAuth
    openssl pkcs8 -topk8 -in client.key -out sealed.key -passout pass:secret 2>/dev/null
    printf 'secret\n' >password
    printf 'wrong\n' >wrong
    chmod 600 password wrong
    local user="$pg, user: certificate, $ca"
    fails client-certificate-required 1 "$user"
    is true true "$user, client_certificate: ../client.pem, client_key: ../client.key"
    expect_json '.client_certificate_wanted and .client_certificate_sent and .notice == null'
    psql_is t 'user=certificate sslmode=verify-full sslrootcert=root.pem sslcert=client.pem sslkey=client.key'
    is true true "$user, client_certificate: ../client.pem, client_key: ../sealed.key, client_key_password: 'file:../password'"
    fails key-password 7 "$user, client_certificate: ../client.pem, client_key: ../sealed.key, client_key_password: 'file:../wrong'"
    fails key-password 7 "$user, client_certificate: ../client.pem, client_key: ../sealed.key"
    fails key-mismatch 1 "$user, client_certificate: ../client.pem, client_key: ../stranger.key"
    fails client-certificate-refused 1 "$user, client_certificate: ../stranger.pem, client_key: ../stranger.key"
    expect_json '.failure.message | test("does not trust its authority")'
    fails client-certificate-file 4 "$user, client_certificate: ../missing.pem, client_key: ../client.key"
    fails client-key-file 4 "$user, client_certificate: ../client.pem, client_key: ../missing.key"
    # What is in a file, and not what was asked of this command, is wrong.
    fails client-key-file 3 "$user, client_certificate: ../client.pem, client_key: ../client.pem"
    fails client-key-file 3 "$user, client_certificate: ../client.pem, client_key: .."
    sed 5d client.key >cut.key
    fails client-key-file 3 "$user, client_certificate: ../client.pem, client_key: ../cut.key"
    fails client-certificate-file 3 "$user, client_certificate: ../client.key, client_key: ../client.key"
    fails ca-file 3 "$pg, user: both, ca: [../client.key]"
    fails ca-file 4 "$pg, user: both, ca: [../missing.pem]"

    # A mistake here is never mended by plaintext.
    fails key-mismatch 1 "$both, mode: prefer, client_certificate: ../client.pem, client_key: ../stranger.key"
}

# A server without TLS, and one that a store's key is a client's of.
postgresql_without_tls_is_said() {
    postgresql - '' 'host all all all trust'
    fails no-tls 1 'protocol: postgresql, user: both'
    expect_json '.failure.message == "Failed to connect - the server does not support TLS"'
    fails no-tls 1 'protocol: postgresql, user: both, mode: require'
    is false false 'protocol: postgresql, user: both, mode: prefer'
    expect_json '.fallback == "TLS was tried first: the server does not support TLS"'
    is false false 'protocol: postgresql, user: both, mode: allow'
    # Another protocol: this server waits for what the client says first.
    fails timeout 6 'protocol: mysql, timeout: 300ms'
}

# store_key ADDRESS: PostgreSQL lets the key's certificate in, whichever store it is in.
store_key() {
    keywright show "$1" --pem >client.pem
    authority root
    issued server root ec serverAuth
    postgresql server client.pem 'hostssl all certificate all cert'
    is true true "protocol: postgresql, user: certificate, ca: [../root.pem], client_key: 'keywright:$1'"
    expect_json '.client_certificate_sent and .notice == null'
    # A certificate of the key's that is in a file: the same one here.
    is true true "protocol: postgresql, user: certificate, ca: [../root.pem], client_key: 'keywright:$1', client_certificate: ../client.pem"
    issued stranger root ec clientAuth
    fails key-mismatch 1 "protocol: postgresql, user: certificate, ca: [../root.pem], client_key: 'keywright:$1', client_certificate: ../stranger.pem"
    connection it "protocol: postgresql, host: localhost, port: $port, client_key: 'keywright:general/absent'"
    expect 4 check it
    expect_err 'general/absent'
}

client_key_in_softstore_signs() {
    server one
    expect 0 keywright create general/db-client --subject CN=certificate
    store_key general/db-client
}

client_key_in_a_token_signs() {
    local serial
    mkdir token
    trap 'token_stop; stop_servers' EXIT
    token_start softhsm "$case_dir/token"
    server one
    serial=$(pkcs11-tool --module "$token_library" --list-slots | awk '/serial num/ { print $4; exit }')
    (umask 077 && echo "$token_pin" >one/pin)
    sed -i "/^stores:/a\\  hsm:\\n    id: \"0b1d02aa11223344\"\\n    plugin: pkcs11\\n    options: {library: $token_library, token_label: $token_label, token_serial: \"$serial\", pin: file:pin}" \
        one/keywright.yaml
    expect 0 keywright create general/db-client --subject CN=certificate --store hsm --key rsa-2048
    store_key general/db-client
    trap 'stop_servers; token_stop' EXIT
}

# ---- MariaDB ----

mariadb_modes_are_libpqs() {
    local at='protocol: mariadb' ca="ca: [../root.pem]"
    authority root
    authority other
    issued server root ec serverAuth
    issued client root ec clientAuth
    issued stranger other ec clientAuth
    local tls=("--ssl-cert=$case_dir/mariadb/server.pem" "--ssl-key=$case_dir/mariadb/server.key" "--ssl-ca=$case_dir/mariadb/root.pem")
    mariadb_start with "${tls[@]}"
    is false false "$at, mode: disable"
    is false false "$at, mode: allow"
    is true false "$at, mode: prefer"
    is true false "$at, mode: require"
    is true true "$at, mode: verify-ca, $ca"
    is true true "$at, $ca"
    is true true "protocol: mysql, $ca"
    is true true "$at, $ca, client_certificate: ../client.pem, client_key: ../client.key"
    expect_json '.client_certificate_sent'
    fails unknown-root 1 "$at" # this server sends the root too
    fails client-certificate-refused 1 "$at, $ca, client_certificate: ../stranger.pem, client_key: ../stranger.key"
    fails protocol 1 'protocol: sqlserver'
    [[ $(mariadb --no-defaults --protocol=tcp --host=localhost --port="$port" --user=root --ssl-ca=root.pem --ssl-verify-server-cert -BNe \
        "SHOW STATUS LIKE 'Ssl_version'" | cut -f 2) == TLSv1* ]] || fail "mariadb"
    # Checks leave no wrong password and no blocked host behind.
    mariadb --no-defaults --skip-ssl --socket="$case_dir/mariadb/with.sock" --user=root -BNe "SHOW STATUS LIKE 'Access_denied_errors'" >denied
    grep -Eq '\s0$' denied || fail "counted: $(cat denied)"
    stop_servers
    mariadb_start without --skip-ssl
    fails no-tls 1 "$at, $ca"
    is false false "$at, mode: prefer"
    expect_json '.fallback | test("does not support TLS")'
}

# ---- SQL Server and MongoDB ----

sqlserver_begins_tls_within_tds() {
    authority root
    issued server root rsa:2048 serverAuth
    serve_program tds_server.py on server.pem server.key
    # The independent client takes this server for SQL Server.
    printf '[it]\nhost = localhost\nport = %s\ntds version = 7.4\nencryption = require\nca file = %s\ncheck certificate hostname = yes\n' "$port" "$PWD/root.pem" >freetds.conf
    expect 0 env FREETDSCONF="$PWD/freetds.conf" timeout 20 tsql -S it -U sa -P password <<<exit
    is true true 'protocol: sqlserver, ca: [../root.pem]'
    expect_json '.protocol == "TLSv1.2"'
    is true false 'protocol: sqlserver, mode: prefer'
    fails tls-required 1 'protocol: sqlserver, mode: disable'
    is true false 'protocol: sqlserver, mode: allow'
    fails unknown-issuer 1 'protocol: sqlserver'
    serve_program tds_server.py none server.pem server.key
    fails no-tls 1 'protocol: sqlserver, mode: require'
    is false false 'protocol: sqlserver, mode: disable'
    is false false 'protocol: sqlserver, mode: prefer'
    serve_program tds_server.py late server.pem server.key
    fails injected 1 'protocol: sqlserver, ca: [../root.pem]'
    serve_program tds_server.py strict server.pem server.key
    is true true 'protocol: sqlserver-strict, ca: [../root.pem]'
    expect_json '.protocol == "TLSv1.3"'
    expect 0 bash -c "openssl s_client -connect localhost:$port -alpn tds/8.0 -CAfile root.pem -verify_return_error </dev/null"
    expect_out 'ALPN protocol: tds/8.0'
    fails unknown-issuer 1 'protocol: sqlserver-strict'
    # One that has TLS, and another protocol in it.
    serve -cert server.pem -key server.key -alpn h2
    fails no-common-protocol 1 'protocol: sqlserver-strict, ca: [../root.pem]'
}

mongodb_is_in_tls_or_not() {
    authority root
    issued server root ec serverAuth
    serve_program mongo_server.py tls server.pem server.key
    expect 0 timeout 20 /usr/bin/python3 -c "import pymongo; pymongo.MongoClient('localhost', $port, tls=True, tlsCAFile='root.pem').admin.command('ping')"
    is true true 'protocol: mongodb, ca: [../root.pem]'
    is true false 'protocol: mongodb, mode: allow'
    expect_json '.fallback == "plaintext was tried first: the server takes no connection in plaintext"'
    fails tls-required 1 'protocol: mongodb, mode: disable'
    serve_program mongo_server.py plain
    expect 0 timeout 20 /usr/bin/python3 -c "import pymongo; pymongo.MongoClient('localhost', $port).admin.command('ping')"
    fails no-tls 1 'protocol: mongodb'
    expect_json '.failure.message == "Failed to connect - the server does not support TLS"'
    is false false 'protocol: mongodb, mode: prefer'
    expect_json '.fallback | test("does not support TLS")'
    is false false 'protocol: mongodb, mode: disable'
}

# ---- The diagnosis, row by row ----

# row CAUSE MESSAGE SETTINGS SERVER-OPTION...: what a server of openssl's with these options makes a check say.
row() {
    local cause=$1 message=$2 settings=$3
    shift 3
    serve "$@"
    fails "$cause" 1 "protocol: tls, $settings"
    jq -e --arg message "Failed to connect - $message" '.failure.message == $message' "$case_dir/out" >/dev/null ||
        fail "$cause: not '$message' but $(jq .failure.message "$case_dir/out")"
    stop_servers
}

# of NAME: the options of s_server for a certificate.
of() { options=(-cert "$1.pem" -key "$1.key"); }

diagnosis_of_certificates_names_the_one_and_the_reason() {
    local ca='ca: [../root.pem]' options
    authority root
    authority middle root
    authority half root basicConstraints=critical,CA:FALSE
    issued under middle ec serverAuth
    issued good root ec serverAuth
    issued self - ec serverAuth
    issued client root ec clientAuth
    issued below half ec serverAuth
    issued small root rsa:1024 serverAuth
    issued old root ec serverAuth -sha1
    hosts=DNS:other.example issued elsewhere root ec serverAuth
    dated past root 20200101 20210101
    dated future root 20990101 20991231
    # Another authority of the same name.
    mkdir twin && (cd twin && authority root)
    cat middle.pem root.pem >path.pem

    of under && row unknown-issuer 'unable to get local issuer certificate' "$ca" "${options[@]}"
    expect_json '.failure.certificate.subject == "CN=under" and .failure.certificate.issuer == "CN=middle"'
    row unknown-issuer 'unable to get local issuer certificate' 'ca: [../self.pem]' "${options[@]}" -cert_chain middle.pem
    expect_json '.failure.certificate.subject == "CN=middle" and .failure.position == 1'
    row unknown-root 'self-signed certificate in certificate chain' 'ca: [../self.pem]' "${options[@]}" -cert_chain path.pem
    expect_json '.failure.certificate.subject == "CN=root" and .failure.position == 2'
    of self && row self-signed 'self-signed certificate' "$ca" "${options[@]}"
    of past && row expired 'certificate has expired' "$ca" "${options[@]}"
    expect_json '.failure.detail | test("2021-01-01")'
    of future && row not-yet-valid 'certificate is not yet valid' "$ca" "${options[@]}"
    of elsewhere && row name-mismatch 'hostname mismatch' "$ca" "${options[@]}"
    expect_json '.failure.detail | test("other.example")'
    serve "${options[@]}"
    connection it "protocol: tls, host: 127.0.0.1, port: $port, $ca"
    expect 1 check it --json
    expect_json '.failure.cause == "name-mismatch" and .failure.message == "Failed to connect - IP address mismatch"'
    of client && row purpose 'unsuitable certificate purpose' "$ca" "${options[@]}"
    of below && row purpose 'invalid CA certificate' "$ca" "${options[@]}" -cert_chain half.pem
    of small && row weak 'EE certificate key too weak' "$ca" "${options[@]}" -cipher DEFAULT:@SECLEVEL=0
    of old && row weak 'CA signature digest algorithm too weak' "$ca" "${options[@]}" -cipher DEFAULT:@SECLEVEL=0
    # A demand that nobody here knows.
    hosts=$'DNS:localhost\n1.2.3.4=critical,ASN1:NULL' issued demanding root ec serverAuth
    of demanding && row verification 'unhandled critical extension' "$ca" "${options[@]}"
    of good && row signature 'certificate signature failure' 'ca: [../twin/root.pem]' "${options[@]}"
}

# Of a certificate as large as libssl lets pass a page is said, and it takes no more memory than its size lets expect (with a sanitizer's own).
certificate_of_endless_names_is_told_in_a_page() {
    local options used hosts # too long for the environment of a program
    hosts=DNS:other.example$(printf ',DNS:a%.0s' {1..33000})
    authority root
    issued bomb root ec serverAuth
    of bomb && serve "${options[@]}"
    connection it "protocol: tls, host: localhost, port: $port, ca: [../root.pem]"
    used=$(/usr/bin/python3 -c 'import resource, subprocess, sys
with open("out", "w") as out, open("err", "w") as err:
    status = subprocess.run(sys.argv[1:], stdout=out, stderr=err).returncode
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)' keywright connection check it)
    expect_out '^Reason +the certificate is not for this name, but for other.example, a, .* and 32981 more$'
    expect_out '^ +and 32981 more$'
    [[ $(wc -l <out) -lt 50 && $(wc -c <out) -lt 5000 ]] || fail "$(wc out)"
    [[ ${used% *} == 1 && ${used#* } -lt 500 ]] || fail "exit status and MiB: $used"
    expect 1 check it --json
    expect_json '.failure.cause == "name-mismatch" and (.certificate.san | length) == 33001'
    SSL_CERT_DIR=/nowhere expect 1 keywright trust check "localhost:$port" --ca root.pem
    expect_out 'and 32981 more$'
    [[ $(wc -l <out) -lt 50 ]] || fail "$(wc out)"
}

# after_handshake WANTED TICKETS END: a server of TLS 1.3 that wants a client's certificate, takes it, sends tickets, and ends the connection.
after_handshake() {
    serve_text "import ssl
    t = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    t.load_cert_chain('good.pem', 'good.key')
    t.load_verify_locations('root.pem')
    t.verify_mode, t.num_tickets = ssl.$1, $2
    try:
        t = t.wrap_socket(c, server_side=True)
        t.$3()
    except OSError as reason:
        print(reason)"
}

client_certificate_that_is_taken_is_no_failure_whatever_comes_next() {
    local ca='ca: [../root.pem]' own='client_certificate: ../client.pem, client_key: ../client.key'
    authority root
    issued good root ec serverAuth
    issued client root ec clientAuth
    # A goodbye, or a ticket before the connection ends, says that nothing has failed.
    after_handshake CERT_REQUIRED 0 unwrap
    is true true "protocol: tls, $ca, $own"
    expect_json '.client_certificate_sent'
    after_handshake CERT_OPTIONAL 0 unwrap
    is true true "protocol: tls, $ca"
    after_handshake CERT_REQUIRED 2 close
    is true true "protocol: tls, $ca, $own"
    # Without either nobody knows.
    after_handshake CERT_REQUIRED 0 close
    fails client-certificate 1 "protocol: tls, $ca, $own"
    expect_json '.failure.message | test("ended the connection after it had asked for a client certificate")'
}

diagnosis_of_tls_tells_what_the_server_wants() {
    local ca='ca: [../root.pem]' options version
    authority root
    authority other
    issued good root ec serverAuth
    issued client root ec clientAuth
    issued stranger other ec clientAuth
    issued server root ec serverAuth
    dated past root 20200101 20210101
    local own='client_certificate: ../client.pem, client_key: ../client.key'
    of good
    for version in -tls1_2 -tls1_3; do
        row client-certificate-required 'the server requires a client certificate' "$ca" "${options[@]}" "$version" -Verify 2 -CAfile root.pem -verify_return_error
        serve "${options[@]}" "$version" -Verify 2 -CAfile root.pem -verify_return_error
        is true true "protocol: tls, $ca, $own"
        row client-certificate-refused 'the server refuses the client certificate: it does not trust its authority' \
            "$ca, client_certificate: ../stranger.pem, client_key: ../stranger.key" "${options[@]}" "$version" -Verify 2 -CAfile root.pem -verify_return_error
        row client-certificate-refused 'the server refuses the client certificate: it has expired' \
            "$ca, client_certificate: ../past.pem, client_key: ../past.key" "${options[@]}" "$version" -Verify 2 -CAfile root.pem -verify_return_error
        row client-certificate-refused 'the server refuses the client certificate: it is not one for TLS clients' \
            "$ca, client_certificate: ../server.pem, client_key: ../server.key" "${options[@]}" "$version" -Verify 2 -CAfile root.pem -verify_return_error
    done
    row protocol-too-old 'the server has no version of TLS that is allowed' "$ca" "${options[@]}" -tls1_1 -cipher DEFAULT:@SECLEVEL=0
    row no-common-cipher 'the server and the client have no ciphers in common' "$ca" "${options[@]}" -tls1_2 -cipher PSK
    row unknown-name 'the server does not know the name that it was called by' "$ca" "${options[@]}" \
        -servername other.example -servername_fatal -cert2 good.pem -key2 good.key
    serve_text 'c.recv(1000); c.send(b"\x16\x03\x03\x00\x04zzzz")'
    fails handshake 1 "protocol: tls, $ca"
    serve_text 'c.recv(1000); c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")'
    fails no-tls 1 "protocol: tls, $ca"
    serve_text 'c.recv(1000)'
    fails ended 1 "protocol: tls, $ca"
    serve_text 'import time; time.sleep(20)'
    fails timeout 6 "protocol: tls, timeout: 300ms"
    # Bytes behind PostgreSQL's yes, from somebody between (CVE-2021-23222).
    serve_text 'c.recv(8); c.send(b"SR\0\0\0\x08\0\0\0\0"); import time; time.sleep(0.2)'
    fails injected 1 'protocol: postgresql'
    fails protocol 1 'protocol: sqlserver'
    serve_text 'c.recv(8); c.send(b"E\0\0\0\x20SFATAL\0Mbuy this\0\0"); import time; time.sleep(0.2)'
    fails protocol 1 'protocol: postgresql'
    refuse_out 'buy this'
    serve_text 'c.send(b"SSH-2.0-OpenSSH\r\n" + bytes(5000)); c.recv(8)'
    fails protocol 1 'protocol: mysql'
}

cases=(list_shows_the_profiles postgresql_modes_are_libpqs postgresql_without_tls_is_said sqlserver_begins_tls_within_tds mongodb_is_in_tls_or_not
    diagnosis_of_certificates_names_the_one_and_the_reason certificate_of_endless_names_is_told_in_a_page
    client_certificate_that_is_taken_is_no_failure_whatever_comes_next diagnosis_of_tls_tells_what_the_server_wants)
long=(client_key_in_softstore_signs client_key_in_a_token_signs mariadb_modes_are_libpqs)
if [[ ${KW_TEST_FULL:-no} == yes ]]; then
    cases+=("${long[@]}")
else
    RANDOM=${KW_TEST_SEED:-$$}
    cases+=("${long[RANDOM % ${#long[@]}]}")
fi
# Only those that are named, for who looks for a fault.
[[ -z ${KW_TEST_CASES:-} ]] || read -ra cases <<<"$KW_TEST_CASES"
run_cases "${cases[@]}"
