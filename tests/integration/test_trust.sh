#!/usr/bin/env bash
# What clients trust: openssl serves and verifies, gnutls and certtool judge beside it. Nothing of the machine's own trust is changed.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# Every case ends the servers that it started.
servers=()
stop_servers() { for process in "${servers[@]}"; do kill "$process" 2>/dev/null || true; done; }

# serve ARGUMENT...: openssl s_server on a free port of this machine, in $port.
serve() {
    : >server.log
    openssl s_server -accept 0 -naccept 100 -www "$@" >server.log 2>&1 </dev/null &
    servers+=($!)
    trap stop_servers EXIT
    await 'ACCEPT .*:[0-9]+'
}

# serve_text PROGRAM: what the Python program does with each connection `c`; the port is in $port.
serve_text() {
    : >server.log
    python3 -u -c "
import socket
s = socket.create_server(('127.0.0.1', 0))
print('ACCEPT 127.0.0.1:%d' % s.getsockname()[1])
while True:
    c = s.accept()[0]
    $1
    c.close()" >server.log 2>&1 &
    servers+=($!)
    trap stop_servers EXIT
    await 'ACCEPT .*:[0-9]+'
}

await() {
    local try
    for try in {1..100}; do
        port=$(sed -nE 's/^ACCEPT .*:([0-9]+)$/\1/p' server.log | head -n 1)
        [[ -z $port ]] || return 0
        sleep 0.05
    done
    fail "no server after $try tries: $(cat server.log)"
}

# certificate NAME OPTION...: NAME.key and NAME.pem, self-signed for localhost, as ssl-connection is. Later options win.
certificate() {
    local name=$1
    shift
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$name.key" -out "$name.pem" -subj "/CN=$name" -days 30 \
        -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth \
        -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" "$@" 2>/dev/null
}

# authority NAME [ISSUER]: NAME.key and NAME.pem of a CA, under ISSUER where one is given.
authority() {
    local by=()
    [[ -z ${2:-} ]] || by=(-CA "$2.pem" -CAkey "$2.key")
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n' >"$1.ext"
    if [[ -z ${2:-} ]]; then by=(-signkey "$1.key"); fi
    openssl x509 -req -in "$1.csr" -days 30 -extfile "$1.ext" -out "$1.pem" "${by[@]}" 2>/dev/null
}

# issued NAME ISSUER [LINE]...: a server's certificate under an authority; lines of extensions.
issued() {
    local name=$1 issuer=$2
    shift 2
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$name.key" -out "$name.csr" -subj "/CN=$name" 2>/dev/null
    printf '%s\n' basicConstraints=CA:FALSE subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 "${@:-extendedKeyUsage=serverAuth}" >"$name.ext"
    openssl x509 -req -in "$name.csr" -days 30 -extfile "$name.ext" -CA "$issuer.pem" -CAkey "$issuer.key" -out "$name.pem" 2>/dev/null
}

# dated NAME BEGIN END: self-signed, with these dates.
dated() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n' >ca.cnf
    : >index
    echo 01 >serial
    openssl ca -batch -config ca.cnf -selfsign -keyfile "$1.key" -in "$1.csr" -startdate "$2" -enddate "$3" -out "$1.pem" -notext 2>/dev/null
}

# A directory of trusted certificates that openssl takes in place of the system's.
trust_only() {
    rm -rf trusted
    mkdir trusted
    [[ $# -eq 0 ]] || cp "$@" trusted
    openssl rehash trusted 2>/dev/null
    export SSL_CERT_DIR=$PWD/trusted SSL_CERT_FILE=/dev/null
}

expect_untrusted() {
    [[ $(head -n 2 out) == $'This connection is not trusted!\nThe connection to the server is not considered secure.' ]] ||
        fail "S7: not the two lines, but: $(head -n 2 out)"
}

export_gives_the_certificate_without_its_key() {
    local sha
    server a
    sha=$(keywright -q show ssl-connection --json | jq -r .sha256)
    expect 0 keywright trust export -o s.pem
    expect_empty_out
    expect 0 keywright trust export
    expect_same out s.pem
    expect 0 keywright trust export --format der -o s.der
    expect 0 keywright trust export --format p7b -o s.p7b
    [[ $(openssl x509 -in s.pem -outform DER | sha256sum) == "$sha"* ]] || fail "PEM"
    [[ $(sha256sum <s.der) == "$sha"* ]] || fail "DER"
    [[ $(openssl pkcs7 -inform DER -in s.p7b -print_certs | openssl x509 -outform DER | sha256sum) == "$sha"* ]] || fail "PKCS#7"
    certtool --p7-info --inder --infile s.p7b >/dev/null || fail "certtool does not read it"
    ! grep -aq 'PRIVATE' s.pem s.der s.p7b || fail "a key is in it"
    expect_mode 644 s.pem
    expect 0 keywright trust export --json
    expect_json '.format == "pem" and (.pem | startswith("-----BEGIN CERTIFICATE-----"))'
    expect 0 keywright trust export --json --format der -o s.der
    expect_json '.output == "s.der"'
    expect 2 keywright trust export --json --format der
    expect 2 keywright trust export --format jks
    expect_err 'pem, der or p7b'
    expect 0 keywright retire ssl-connection
    expect 0 keywright delete ssl-connection --yes
    expect 4 keywright trust export -o none.pem
    expect_no_file none.pem
}

check_of_an_untrusted_server_says_so_and_what_to_do() {
    local sha
    trust_only
    certificate self
    serve -cert self.pem -key self.key
    unset KEYWRIGHT_CONFIG # none is needed
    expect 1 keywright trust check "localhost:$port"
    expect_untrusted
    expect_out 'Reason +the certificate is self-signed'
    expect_out 'Subject +CN=self$'
    expect_out 'Issuer +itself'
    expect_out 'Valid until 20..-..-..T'
    expect_out 'Names +DNS:localhost$'
    sha=$(openssl x509 -in self.pem -noout -fingerprint -sha256 | cut -d = -f 2)
    expect_out "SHA-256 +$sha\$"
    expect_out 'keywright trust export -o server.pem'
    expect_out 'keywright trust install server.pem'
    expect_err "^keywright: localhost:$port: the connection is not trusted: the certificate is self-signed"
    expect 1 keywright trust check "localhost:$port" --json
    expect_json '(.trusted | not) and .problems[0].code == "self-signed" and .protocol == "TLSv1.3" and .certificate.san == ["DNS:localhost", "IP Address:127.0.0.1"]
        or .certificate.san == ["DNS:localhost", "IP:127.0.0.1"]'
    # By a file, by the system's trust, and by neither again.
    expect 0 keywright trust check "localhost:$port" --ca self.pem
    expect_out '^This connection is trusted\.$'
    expect_empty_err
    trust_only self.pem
    expect 0 keywright trust check "127.0.0.1:$port" --json
    expect_json '.trusted and .problems == []'
    certificate other
    trust_only other.pem
    expect 1 keywright trust check "localhost:$port"
    expect 4 keywright trust check "localhost:$port" --ca missing.pem
    expect 8 keywright trust check "localhost:$port" --ca self.key
    stop_servers
}

check_tells_each_reason() {
    trust_only
    authority root
    authority middle root
    issued leaf middle
    issued client middle extendedKeyUsage=clientAuth
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.key 2>/dev/null || openssl genrsa -out weak.key 1024 2>/dev/null
    openssl req -x509 -new -key weak.key -subj /CN=weak -addext subjectAltName=DNS:localhost -days 30 -out weak.pem
    dated past 20200101000000Z 20210101000000Z
    dated future 20990101000000Z 20990201000000Z
    cat middle.pem root.pem >chain.pem

    # NAME, more for s_server, host, trusted, code.
    while IFS='|' read -r name more host trusted code sentence; do
        # shellcheck disable=SC2086 # words
        serve -cert "$name.pem" -key "$name.key" $more
        # shellcheck disable=SC2086
        trust_only $trusted
        expect 1 keywright trust check "$host:$port" --json
        [[ $(jq -r '[.problems[].code] | join(" ")' out) == "$code" ]] || fail "$name: $(jq -c .problems out)"
        expect 1 keywright trust check "$host:$port"
        expect_untrusted
        expect_out "Reason +.*$sentence"
        stop_servers
    done <<'TABLE'
leaf||localhost||unknown-issuer|unable to get local issuer certificate: CN=middle
leaf|-cert_chain middle.pem|localhost||unknown-issuer|unable to get local issuer certificate: CN=root
leaf|-cert_chain chain.pem|localhost||unknown-root|CN=root, is not among those
leaf||localhost|root.pem|unknown-issuer|CN=middle
client|-cert_chain middle.pem|localhost|root.pem|purpose|CN=client is not one for TLS servers
past||localhost|past.pem|expired|expired: it was valid until 2021-01-01T00:00:00Z
past||127.0.0.1||self-signed name-mismatch expired|self-signed
future||localhost|future.pem|not-yet-valid|not valid before 2099-01-01T00:00:00Z
future||127.0.0.1|future.pem|name-mismatch not-yet-valid|not for this address, but for localhost
weak|-cipher DEFAULT@SECLEVEL=0|localhost|weak.pem|weak|CN=weak is too short
TABLE

    trust_only root.pem
    serve -cert leaf.pem -key leaf.key -cert_chain middle.pem
    expect 0 keywright trust check "localhost:$port"
    expect 0 keywright trust check "localhost.:$port"
    expect 0 keywright trust check "[::1]:$port"
    stop_servers
    serve -tls1_2 -cert leaf.pem -key leaf.key -cert_chain middle.pem
    expect 0 keywright trust check "localhost:$port" --json
    expect_json '.protocol == "TLSv1.2"'
    # The name asked for is the name that was given (SNI): the server has another certificate for it.
    stop_servers
    serve -cert past.pem -key past.key -servername localhost -cert2 leaf.pem -key2 leaf.key
    expect 1 keywright trust check "localhost:$port" --json
    expect_json '.certificate.subject == "CN=leaf"'
    expect 1 keywright trust check "127.0.0.1:$port" --json
    expect_json '.certificate.subject == "CN=past"'
    stop_servers
}

# TLS 1.2 ends with an alert where a client's certificate is demanded; the server's has been seen before that.
check_of_a_server_that_wants_a_certificate_of_ours_judges_its_own() {
    trust_only
    certificate demanding
    serve -tls1_2 -Verify 1 -cert demanding.pem -key demanding.key
    expect 1 keywright trust check "localhost:$port" --json
    expect_json '.certificate.subject == "CN=demanding" and [.problems[].code] == ["self-signed"]'
    trust_only demanding.pem
    expect 0 keywright trust check "localhost:$port"
    stop_servers
    serve -Verify 1 -cert demanding.pem -key demanding.key
    expect 0 keywright trust check "localhost:$port"
    stop_servers
    # With RSA key exchange nothing has shown by then that the server has the key: anybody could send this certificate.
    openssl req -x509 -newkey rsa:2048 -noenc -keyout rsa.key -out rsa.pem -subj /CN=rsa -addext subjectAltName=DNS:localhost 2>/dev/null
    trust_only rsa.pem
    serve -tls1_2 -cipher AES128-GCM-SHA256 -cert rsa.pem -key rsa.key
    expect 0 keywright trust check "localhost:$port"
    stop_servers
    serve -tls1_2 -cipher AES128-GCM-SHA256 -Verify 1 -cert rsa.pem -key rsa.key
    expect 1 keywright trust check "localhost:$port"
    expect_err 'handshake failed'
    stop_servers
}

check_of_a_malformed_certificate_is_a_reason_like_others() {
    trust_only
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout malformed.key -out malformed.pem -subj /CN=malformed \
        -days 30 -addext subjectAltName=DER:0c:01:41 2>/dev/null
    serve -cert malformed.pem -key malformed.key
    expect 1 keywright trust check "localhost:$port"
    expect_untrusted
    expect_out 'the certificate is malformed: '
    expect_out 'Subject +CN=malformed'
    expect 1 keywright trust check "localhost:$port" --json
    expect_json '[.problems[].code] | index("malformed") != null'
    stop_servers
}

check_without_tls_or_server_says_what_is_wrong() {
    local target
    trust_only
    serve_text "c.sendall(b'220 mail.example ready\r\n'); c.recv(1000)"
    expect 1 keywright trust check "127.0.0.1:$port"
    expect_err 'does not speak TLS'
    expect_empty_out
    stop_servers
    serve_text "c.recv(1000)"
    expect 1 keywright trust check "127.0.0.1:$port"
    expect_err 'ended the connection'
    stop_servers
    serve_text "c.recv(1); import struct; c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))"
    expect 1 keywright trust check "127.0.0.1:$port" --json
    expect_empty_out
    expect_err '"exit_status":1'
    stop_servers
    # What looks like TLS and is none.
    serve_text "c.recv(1000); c.sendall(bytes([0x16, 3, 3, 0, 4, 2, 0, 0, 0]) + b'x' * 50)"
    expect 1 keywright trust check "127.0.0.1:$port"
    expect_err 'handshake'
    # Nobody listens any more.
    kill "${servers[-1]}"
    wait "${servers[-1]}" || true
    expect 6 keywright trust check "127.0.0.1:$port"
    expect_err 'cannot be reached at 127.0.0.1: Connection refused'
    expect 6 keywright trust check no-such-host.invalid:443
    expect_err 'host is not known'
    certificate self
    serve -tls1_1 -cipher DEFAULT@SECLEVEL=0 -cert self.pem -key self.key
    expect 5 keywright trust check "localhost:$port"
    expect_err 'no TLS 1.2 or newer'
    stop_servers
    for target in '' localhost localhost: :443 localhost:0 localhost:65536 localhost:http localhost:443x '[::1]' '[::1:443' '[localhost]:443' \
        ::1:443 'local host:443' 'https://localhost:443' "$(printf 'a%.0s' {1..300}):443"; do
        expect 2 keywright trust check "$target"
    done
    expect 2 keywright trust check
}

# install ARGUMENT...: into directories of the case's own.
install() { keywright trust install "$@" --local-directory local --system-directory certs; }

install_lets_others_trust_and_can_be_repeated() {
    local file
    mkdir local certs
    certificate self
    expect 0 install self.pem
    expect_out 'now trusts the certificate'
    expect_out "written to $PWD/local/keywright-[0-9a-f]{16}.crt"
    file=$(ls local)
    expect_mode 644 "local/$file"
    expect_same "local/$file" self.pem
    # openssl by directory and by file; a client of openssl's and one of gnutls; trust check itself.
    openssl verify -no-CAfile -CApath certs self.pem >/dev/null || fail "openssl does not trust it by the directory"
    openssl verify -no-CApath -CAfile certs/ca-certificates.crt -purpose sslserver -x509_strict self.pem >/dev/null || fail "nor by the file"
    serve -cert self.pem -key self.key
    SSL_CERT_DIR=$PWD/certs SSL_CERT_FILE=/dev/null expect 0 keywright trust check "localhost:$port"
    expect 0 timeout 20 bash -c "openssl s_client -connect localhost:$port -CApath certs -verify_return_error -verify_hostname localhost </dev/null"
    # docs/trust.md: gnutls' clients take it, certtool's judgement does not.
    expect 0 timeout 20 bash -c "gnutls-cli --x509cafile certs/ca-certificates.crt --port $port localhost </dev/null"
    expect_out 'The certificate is trusted'
    expect 1 certtool --verify --load-ca-certificate self.pem --infile self.pem
    stop_servers
    # Again: nothing changes.
    find local certs -printf '%p %T@ %l\n' | sort >before
    expect 0 install self.pem
    expect_out 'already'
    find local certs -printf '%p %T@ %l\n' | sort >after
    expect_same before after
    # What only half of it is left of is mended.
    rm certs/keywright-* certs/ca-certificates.crt
    expect 0 install self.pem --json
    expect_json '[.events[].what] | any(test("now trusts"))'
    openssl verify -no-CAfile -CApath certs self.pem >/dev/null || fail "not mended"
    openssl crl2pkcs7 -nocrl -certfile self.pem -outform DER -out self.p7b
    openssl x509 -in self.pem -outform DER -out self.der
    for file in self.p7b self.der; do
        expect 0 install "$file"
        expect_out 'already'
    done
    expect 0 install - <self.pem
    expect_out 'already'
}

install_without_a_file_takes_ssl_connection() {
    mkdir local certs
    server a
    expect 0 install
    keywright trust export -o s.pem
    openssl verify -no-CAfile -CApath certs s.pem >/dev/null || fail "openssl does not trust it"
}

install_takes_the_root_of_a_path() {
    mkdir local certs
    authority root
    authority middle root
    issued leaf middle
    cat leaf.pem middle.pem root.pem >all.pem
    expect 0 install all.pem
    expect_same "$(echo local/*)" root.pem
    openssl verify -no-CAfile -CApath certs -untrusted middle.pem leaf.pem >/dev/null || fail "openssl does not trust it"
}

# What a CA issued for ssl-connection: clients need the root, which the server neither sends nor keeps.
export_of_a_cas_certificate_leads_to_the_root() {
    mkdir local certs
    server a
    authority root
    authority middle root
    issued leaf middle "extendedKeyUsage=serverAuth" "keyUsage=digitalSignature"
    cat leaf.pem middle.pem >path.pem
    printf '%s\n' 'trust: {authorities: [../root.pem], system_roots: false}' >>a/keywright.yaml
    expect 0 keywright import path.pem --key leaf.key --as ssl-connection
    expect 0 keywright trust export -o all.pem
    [[ $(grep -c BEGIN all.pem) -eq 3 ]] || fail "$(grep -c BEGIN all.pem) certificates"
    openssl verify -no-CAfile -no-CApath -trusted root.pem -untrusted all.pem leaf.pem >/dev/null || fail "no path"
    expect 0 keywright trust export --format p7b -o all.p7b
    [[ $(openssl pkcs7 -inform DER -in all.p7b -print_certs | grep -c BEGIN) -eq 3 ]] || fail "PKCS#7"
    expect 0 install
    expect_same "$(echo local/*)" root.pem
}

install_that_is_refused_leaves_nothing_behind() {
    local unprivileged=() less=-dac_override,-dac_read_search
    mkdir local certs
    certificate self
    certificate other
    authority root
    issued leaf root
    cat self.pem other.pem >two.pem
    : >empty
    expect 5 install leaf.pem
    expect_err 'self-signed: the one to trust is that of the authority'
    expect 5 install two.pem
    expect_err 'more than one'
    expect 8 install empty
    expect 8 install self.key
    expect_err 'self\.key: there is no certificate in it'
    head -c 300 self.pem >cut.pem
    expect 8 install cut.pem
    openssl x509 -in self.pem -outform DER | head -c 100 >cut.der
    expect 8 install cut.der
    expect 4 install missing.pem
    [[ -z $(find local certs -mindepth 1) ]] || fail "left: $(find local certs -mindepth 1)"
    expect 4 keywright trust install self.pem --local-directory nowhere --system-directory certs
    expect_err 'ca-certificates'
    # A signature that is not its own: no anchor.
    openssl x509 -in self.pem -outform DER >bad.der
    printf '\377' | dd of=bad.der bs=1 seek=$(($(wc -c <bad.der) - 1)) conv=notrunc 2>/dev/null
    cmp -s bad.der <(openssl x509 -in self.pem -outform DER) || expect 5 install bad.der

    # update-ca-certificates works, and yet it is not trusted: the bundle cannot be made.
    mkdir -p certs/ca-certificates.crt/in-the-way
    expect 1 install self.pem
    expect_err 'still does not trust'
    [[ -z $(ls -A local) ]] || fail "left: $(ls local)"
    [[ -z $(find certs -lname '*keywright*' -o -name '*keywright*') ]] || fail "left: $(find certs -name '*keywright*')"
    rm -r certs
    mkdir certs

    # It fails itself.
    mkdir certs/ca-certificates.crt.new
    expect 1 install self.pem
    expect_err 'update-ca-certificates failed'
    [[ -z $(ls -A local) ]] || fail "left: $(ls local)"
    rm -r certs
    mkdir certs

    # Rights (S8): root without the capability to overrule them is as any user.
    [[ $(id -u) -ne 0 ]] || unprivileged=(setpriv "--bounding-set=$less" "--inh-caps=$less")
    chmod 555 certs
    expect 1 "${unprivileged[@]}" keywright trust install self.pem --local-directory local --system-directory certs
    expect_err 'certs: the user with the number [0-9]+ has no right to write'
    expect_err 'run it as root'
    chmod 755 certs
    chmod 555 local
    expect 1 "${unprivileged[@]}" keywright trust install self.pem --local-directory local --system-directory certs
    expect_err 'local: the user with the number'
    chmod 755 local
    [[ -z $(find local certs -mindepth 1) ]] || fail "left: $(find local certs -mindepth 1)"
}

run_cases export_gives_the_certificate_without_its_key check_of_an_untrusted_server_says_so_and_what_to_do check_tells_each_reason \
    check_without_tls_or_server_says_what_is_wrong install_lets_others_trust_and_can_be_repeated install_without_a_file_takes_ssl_connection \
    install_takes_the_root_of_a_path export_of_a_cas_certificate_leads_to_the_root check_of_a_server_that_wants_a_certificate_of_ours_judges_its_own \
    check_of_a_malformed_certificate_is_a_reason_like_others install_that_is_refused_leaves_nothing_behind
