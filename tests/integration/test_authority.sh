#!/usr/bin/env bash
# Certificates of a CA for ssl-connection and general: a root, intermediates and revocation lists made here by openssl. Each verdict of S5 and S6.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY SSL_CERT_FILE SSL_CERT_DIR
ca=$work/authority
mkdir "$ca"
"$here/authority.py" "$ca" &
web_server=$!
trap 'kill "$web_server"; chmod -R u+rwX "$work"; rm -rf "$work"' EXIT

# ---- The CA -------------------------------------------------------------------------------------------------

# quietly COMMAND...: openssl writes what it does to standard error also when all is well.
quietly() {
    local words
    words=$("$@" 2>&1) || fail "$*: $words"
}

new_key() { quietly openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# authority NAME: a directory with what `openssl ca` works with; its certificate is still to come.
authority() {
    mkdir "$ca/$1"
    touch "$ca/$1/index.txt"
    echo 1000 >"$ca/$1/serial"
    echo 01 >"$ca/$1/crlnumber"
    new_key "$ca/$1/key.pem"
    quietly openssl req -new -key "$ca/$1/key.pem" -subj "/CN=Test $1" -out "$ca/$1/request.csr"
    cat >"$ca/$1/ca.cnf" <<END
[ca]
default_ca = this
[this]
database = $ca/$1/index.txt
new_certs_dir = $ca/$1
serial = $ca/$1/serial
crlnumber = $ca/$1/crlnumber
certificate = $ca/$1/cert.pem
private_key = $ca/$1/key.pem
default_md = sha256
default_days = 200
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
END
}

# sign CA REQUEST CERTIFICATE [OPTION...]: the extensions are standard input.
sign() {
    local issuer=$1 request=$2 out=$3
    shift 3
    cat >"$ca/extensions"
    quietly openssl ca -batch -notext -config "$ca/$issuer/ca.cnf" -in "$request" -out "$out" -extfile "$ca/extensions" "$@"
}

authority_extensions='basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash'

# intermediate NAME ISSUER [EXTENSION...]
intermediate() {
    local name=$1 issuer=$2
    shift 2
    authority "$name"
    printf '%s\n' "$authority_extensions" "$@" | sign "$issuer" "$ca/$name/request.csr" "$ca/$name/cert.pem"
}

server_extensions='basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth'

# leaf NAME ISSUER SAN [EXTENSION or -OPTION...]: a certificate of the one key of all, in NAME.pem, in the case's directory. An extension
# takes the place of its default.
leaf() {
    local name=$1 issuer=$2 san=$3 extension options=() extensions=$server_extensions
    shift 3
    while [[ $# -gt 0 ]]; do
        if [[ $1 == -* ]]; then
            options+=("$1" "$2")
            shift
        else
            extension=${1%% *}
            extensions=$(grep -v "^$extension " <<<"$extensions" || true)
            [[ ${1#*= } == none ]] || extensions+=$'\n'$1
        fi
        shift
    done
    [[ -z $san ]] || extensions+=$'\n'"subjectAltName = $san"
    sign "$issuer" "$ca/leaf.csr" "$name.pem" "${options[@]}" <<<"$extensions"
}

# revocations CA FILE [OPTION...]: a list in DER.
revocations() {
    local issuer=$1 file=$2
    shift 2
    quietly openssl ca -gencrl -config "$ca/$issuer/ca.cnf" -out "$ca/list.pem" "$@"
    quietly openssl crl -in "$ca/list.pem" -outform DER -out "$file"
}

make_authority() {
    new_key "$ca/leaf.key"
    quietly openssl req -new -key "$ca/leaf.key" -subj /CN=pw.example -out "$ca/leaf.csr"
    authority root
    quietly openssl req -x509 -key "$ca/root/key.pem" -subj '/CN=Test root' -days 3000 -out "$ca/root/cert.pem" \
        -addext 'keyUsage = critical, keyCertSign, cRLSign'
    intermediate issuing root
    revocations issuing "$ca/good.crl"
    for _ in {1..100}; do
        [[ -f $ca/port ]] && return
        sleep 0.1
    done
    fail "the web server does not start"
}
make_authority
web=http://127.0.0.1:$(<"$ca/port")

# ---- The server ---------------------------------------------------------------------------------------------

# trusting NAME [SETTING...]: a server that trusts the root, and the one name of clients.
trusting() {
    server "$1"
    printf '  ssl-connection: {hosts: [pw.example]}\ntrust:\n  system_roots: false\n  crl_timeout: %s\n  crl_maximum_bytes: 100000\n' \
        "${timeout:-30s}" >>"$KEYWRIGHT_CONFIG"
    shift
    [[ " $* " == *authorities:* ]] || printf '  authorities: [%s]\n' "$ca/root/cert.pem" >>"$KEYWRIGHT_CONFIG"
    while [[ $# -gt 0 ]]; do
        printf '  %s\n' "$1" >>"$KEYWRIGHT_CONFIG"
        shift
    done
    look before
}

# What there is, but for what a clock says of it.
look() { keywright list --all --json | jq 'map(del(.findings))' >"$1"; }

unchanged() {
    look after
    expect_same before after
}

# accepts NAME [OPTION...]: an import with the key, and the issuing CA in the file; nothing to complain about.
accepts() {
    local name=$1
    shift
    cat "$name.pem" "$ca/issuing/cert.pem" >file.pem
    expect 0 keywright import file.pem --key "$ca/leaf.key" --as ssl-connection "$@"
}

# refuses NAME REASON [REMEDY]: likewise; it says what to do, and changes nothing.
refuses() {
    cat "$1.pem" "${issuer:-$ca/issuing/cert.pem}" >file.pem
    expect 5 keywright import file.pem --key "$ca/leaf.key" --as ssl-connection
    expect_err "$2"
    expect_err "${3:-.}"
    [[ $(wc -l <"$case_dir/err") -ge 2 ]] || fail "it says nothing of what to do"
    unchanged
}

# ---- Cases --------------------------------------------------------------------------------------------------

certificate_with_key_and_path_goes_in() {
    trusting a
    leaf good issuing DNS:pw.example
    accepts good
    expect_out '^ssl-connection: imported in place of its former certificate, which stays as ssl-connection@1$'
    expect_empty_err
    keywright show ssl-connection --pem >chain.pem
    [[ $(grep -c BEGIN chain.pem) == 2 ]] || fail "the row holds not exactly certificate and intermediate"
    openssl verify -purpose sslserver -CAfile "$ca/root/cert.pem" -untrusted chain.pem chain.pem >/dev/null || fail "openssl"
    # apply leaves a CA's certificate alone.
    expect 0 keywright apply
    expect_empty_out
    keywright show ssl-connection --pem >again.pem
    expect_same chain.pem again.pem
    # And its key works.
    keywright request ssl-connection | openssl req -noout -verify 2>&1 | grep -q OK || fail "its key does not sign"
}

pfx_with_its_path_goes_in() {
    trusting a
    leaf good issuing DNS:pw.example
    echo geheim >password
    openssl pkcs12 -export -in good.pem -inkey "$ca/leaf.key" -certfile "$ca/issuing/cert.pem" -passout pass:geheim -out good.pfx
    expect 0 keywright import good.pfx --as ssl-connection --password-from file:password
    expect_out 'in place of'
    [[ $(keywright show ssl-connection --pem | grep -c BEGIN) == 2 ]] || fail "not the path"
}

reply_to_a_request_keeps_the_key() {
    local form
    trusting a
    keywright request ssl-connection -o request.csr
    openssl req -in request.csr -noout -text >request.text
    grep -q 'TLS Web Server Authentication' request.text || fail "the request does not ask for serverAuth"
    grep -q 'Digital Signature' request.text || fail "the request does not ask for a key usage"
    # Only what the request asks for.
    sign issuing request.csr reply.pem <<<'basicConstraints = critical, CA:FALSE'
    cat "$ca/issuing/cert.pem" "$ca/root/cert.pem" reply.pem >all.pem
    cat reply.pem "$ca/issuing/cert.pem" >two.pem
    openssl x509 -in reply.pem -outform DER -out reply.der
    openssl crl2pkcs7 -nocrl -certfile all.pem -outform DER -out all.p7b
    openssl crl2pkcs7 -nocrl -certfile all.pem -out all.p7c
    printf '  intermediates: [%s]\n' "$ca/issuing/cert.pem" >>"$KEYWRIGHT_CONFIG"
    for form in two.pem reply.der all.p7b all.p7c all.pem reply.pem; do
        rm -rf "$case_dir/b"
        cp -a "$case_dir/a" "$case_dir/b"
        use b
        expect 0 keywright import "$form" --as ssl-connection
        expect_out 'in place of its former certificate, which stays as ssl-connection@1$'
        [[ $(keywright show ssl-connection --pem | grep -c BEGIN) == 2 ]] || fail "$form: not the path"
        keywright show ssl-connection --pem | openssl x509 | cmp -s - <(openssl x509 -in reply.pem) || fail "$form: another certificate"
    done
    # One key, in one place, of two certificates; each can go, and the key with the last one alone.
    [[ $(sqlite3 "$catalogue" "SELECT COUNT(*), COUNT(DISTINCT locator), COUNT(DISTINCT key_id) FROM certificate c JOIN entry e ON c.entry = e.id
        WHERE e.address = 'ssl-connection'") == '2|1|1' ]] || fail "not two certificates with one key"
    local keys
    keys=$(sqlite3 "$catalogue" "SELECT COUNT(*) FROM record WHERE CAST(name AS TEXT) LIKE 'key/%'")
    expect 0 keywright delete ssl-connection@1 --yes
    [[ $(sqlite3 "$catalogue" "SELECT COUNT(*) FROM record WHERE CAST(name AS TEXT) LIKE 'key/%'") == "$keys" ]] || fail "the key is gone"
    keywright request ssl-connection | openssl req -noout -verify 2>&1 | grep -q OK || fail "the key does not sign any more"
    expect 0 keywright delete ssl-connection --force --yes
    [[ $(sqlite3 "$catalogue" "SELECT COUNT(*) FROM record WHERE CAST(name AS TEXT) LIKE 'key/%'") == $((keys - 1)) ]] || fail "the key stays"
    expect 0 keywright apply
    expect_out '^created ssl-connection$'
}

reply_that_answers_nothing_is_refused() {
    trusting a
    leaf good issuing DNS:pw.example
    cat good.pem "$ca/issuing/cert.pem" >file.pem
    expect 5 keywright import file.pem --as ssl-connection
    expect_err 'no private key, and none of its certificates is of a key that ssl-connection has or had'
    expect_err 'request ssl-connection'
    expect 5 keywright import good.pem --as ssl-connection
    expect_err 'its certificate is not of a key that ssl-connection has'
    expect 4 keywright import good.pem --as general/none
    expect_err 'there is no general/none whose request it could be the reply to'
    expect 5 keywright import good.pem --as server-encryption
    expect_err "no certificate of one's own takes the place of server-encryption"
    expect 2 keywright import good.pem --as ssl-connection@1
    expect 2 keywright import good.pem
    expect_err 'no certificate together with its private key'
    expect_err 'with --as CERT'
    keywright request ssl-connection -o request.csr
    sign issuing request.csr reply.pem <<<"$server_extensions"
    cat reply.pem "$ca/issuing/cert.pem" >file.pem
    expect 2 keywright import file.pem --as ssl-connection --store local
    expect_err 'stays in the store where it is'
    unchanged
    new_key other.key
    expect 5 keywright import file.pem --key other.key --as ssl-connection
    unchanged
    openssl crl2pkcs7 -nocrl -certfile file.pem -outform DER -out all.p7b
    head -c 300 all.p7b >short.p7b
    expect 8 keywright import short.p7b --as ssl-connection
    (cat all.p7b; printf x) >long.p7b
    expect 8 keywright import long.p7b --as ssl-connection
    openssl crl -in "$ca/good.crl" -inform DER -out list.pem
    openssl crl2pkcs7 -in list.pem -outform DER -out none.p7b
    expect 5 keywright import none.p7b --as ssl-connection
    expect_err 'no certificates in it'
    unchanged
}

replaced_certificate_comes_back() {
    trusting a
    keywright show ssl-connection --pem >own.pem
    leaf first issuing DNS:pw.example
    leaf second issuing DNS:pw.example
    accepts first
    accepts second
    expect_out 'stays as ssl-connection@2$'
    keywright list --all --json >three
    cat first.pem "$ca/issuing/cert.pem" >file.pem
    expect 0 keywright import file.pem --as ssl-connection
    expect_out 'is here already, and is the current certificate again$'
    keywright show ssl-connection --pem | openssl x509 | cmp -s - <(openssl x509 -in first.pem) || fail "not the first one"
    expect 0 keywright import file.pem --as ssl-connection
    expect_out 'is here already$'
    # Also the server's own, which no CA vouches for but Keywright made.
    expect 0 keywright import own.pem --as ssl-connection
    expect_out 'current certificate again'
    keywright list --all --json | jq -e 'map(select(.kind == "ssl-connection")) | length == 3' >/dev/null || fail "not three"
    # Retired, it comes into use again.
    expect 0 keywright retire ssl-connection
    cat second.pem "$ca/issuing/cert.pem" >file.pem
    expect 0 keywright import file.pem --as ssl-connection
    expect 0 keywright list --json
    expect_json 'map(select(.certificate == "ssl-connection" and .required)) | length == 1'
}

path_is_found_in_file_configuration_and_system() {
    leaf good issuing DNS:pw.example
    trusting a
    expect 5 keywright import good.pem --key "$ca/leaf.key" --as ssl-connection
    expect_err "of the certificate 'CN=pw.example' the issuer 'CN=Test issuing' is not known"
    expect_err "intermediate CA under 'trust: intermediates'"
    unchanged
    trusting b "intermediates: [$ca/issuing/cert.pem]"
    expect 0 keywright import good.pem --key "$ca/leaf.key" --as ssl-connection
    # The system's roots, which this variable of libcrypto's names.
    cat "$ca/root/cert.pem" "$ca/issuing/cert.pem" >system.pem
    trusting c 'authorities: [/dev/null]'
    sed -i '/authorities:/d; s/system_roots: false/system_roots: true/' "$KEYWRIGHT_CONFIG"
    expect 5 keywright import good.pem --key "$ca/leaf.key" --as ssl-connection
    unchanged
    SSL_CERT_FILE=$PWD/system.pem expect 0 keywright import good.pem --key "$ca/leaf.key" --as ssl-connection
    # A root that is in the file is not trusted for that.
    trusting d 'authorities: [/dev/null]'
    sed -i '/authorities:/d' "$KEYWRIGHT_CONFIG"
    cat good.pem "$ca/issuing/cert.pem" "$ca/root/cert.pem" >file.pem
    expect 5 keywright import file.pem --key "$ca/leaf.key" --as ssl-connection
    expect_err "the root 'CN=Test root' is not trusted here"
    expect_err "'trust: authorities'"
    # Neither is an intermediate, whatever it is configured as.
    sed -i '$d' "$KEYWRIGHT_CONFIG"
    printf '  crl_maximum_bytes: 100000\n  authorities: [%s]\n' "$ca/issuing/cert.pem" >>"$KEYWRIGHT_CONFIG"
    expect 5 keywright import good.pem --key "$ca/leaf.key" --as ssl-connection
    expect_err "of the certificate 'CN=Test issuing' the issuer 'CN=Test root' is not known"
    unchanged
}

certificate_that_is_no_servers_is_refused() {
    trusting a
    leaf client issuing DNS:pw.example 'extendedKeyUsage = clientAuth'
    refuses client 'its extended key usage does not name serverAuth' 'ask the CA for a TLS server certificate'
    leaf none issuing DNS:pw.example 'extendedKeyUsage = none'
    refuses none 'its extended key usage is missing'
    leaf any issuing DNS:pw.example 'extendedKeyUsage = anyExtendedKeyUsage'
    refuses any "allows 'any' but does not name serverAuth"
    leaf cipher issuing DNS:pw.example 'keyUsage = critical, keyEncipherment'
    refuses cipher 'its key usage lacks digitalSignature'
    leaf authority issuing DNS:pw.example 'basicConstraints = critical, CA:TRUE' 'keyUsage = critical, digitalSignature, keyCertSign'
    refuses authority "is a CA's"
    leaf critical issuing DNS:pw.example '1.2.3.4 = critical, ASN1:UTF8:x'
    refuses critical "the certificate 'CN=pw.example' has a critical extension that is not supported"
    leaf late issuing DNS:pw.example -startdate 20200101000000Z -enddate 20200201000000Z
    refuses late 'it has expired: it was valid until 2020-02-01 00:00:00 UTC' 'clock'
    leaf early issuing DNS:pw.example -startdate 20480101000000Z -enddate 20490101000000Z
    refuses early 'it is not valid yet: it is valid from 2048-01-01 00:00:00 UTC'
    leaf sha1 issuing DNS:pw.example -md sha1
    refuses sha1 "the certificate 'CN=pw.example' is signed by means of a hash that is broken"
    openssl req -x509 -key "$ca/leaf.key" -subj /CN=pw.example -addext basicConstraints=critical,CA:FALSE \
        -addext extendedKeyUsage=serverAuth -out self.pem
    refuses self "'CN=pw.example' is self-signed: no CA vouches for it" 'keywright request'
    # No use without the extension for key usage: that is all right.
    leaf free issuing DNS:pw.example 'keyUsage = none' 'extendedKeyUsage = clientAuth, serverAuth'
    accepts free
}

path_that_does_not_hold_is_refused() {
    trusting a
    leaf good issuing DNS:pw.example
    # Another CA of the same name.
    authority twin
    openssl req -new -key "$ca/twin/key.pem" -subj '/CN=Test issuing' -out twin.csr
    printf '%s\n' "$authority_extensions" | sign root twin.csr "$ca/twin/cert.pem"
    issuer=$ca/twin/cert.pem refuses good "the issuer 'CN=Test issuing' is not known"
    leaf anyones issuing DNS:pw.example 'authorityKeyIdentifier =  none'
    issuer=$ca/twin/cert.pem refuses anyones "the signature of the certificate 'CN=pw.example' is wrong"
    intermediate constrained root 'nameConstraints = critical, permitted;DNS:good.example, excluded;DNS:bad.good.example'
    leaf within constrained DNS:www.good.example
    leaf outside constrained DNS:www.good.example,DNS:other.example
    leaf excluded constrained DNS:www.bad.good.example
    issuer=$ca/constrained/cert.pem refuses outside \
        "'CN=pw.example' has a name that the name constraints of its CA do not permit" 'without them'
    issuer=$ca/constrained/cert.pem refuses excluded 'name constraints of its CA exclude'
    cat within.pem "$ca/constrained/cert.pem" >file.pem
    expect 0 keywright import file.pem --key "$ca/leaf.key" --as ssl-connection
    look before
    intermediate clients root 'extendedKeyUsage = clientAuth'
    leaf by-clients clients DNS:pw.example
    issuer=$ca/clients/cert.pem refuses by-clients "'CN=Test clients' may not be part of a TLS server's path"
    authority short
    sign root "$ca/short/request.csr" "$ca/short/cert.pem" <<<"${authority_extensions/CA:TRUE/CA:TRUE, pathlen:0}"
    intermediate below short
    leaf deep below DNS:pw.example
    cat "$ca/below/cert.pem" "$ca/short/cert.pem" >two.pem
    issuer=two.pem refuses deep "'CN=Test short' allows fewer intermediate CAs"
    authority past
    printf '%s\n' "$authority_extensions" | sign root "$ca/past/request.csr" "$ca/past/cert.pem" \
        -startdate 20200101000000Z -enddate 20210101000000Z
    leaf by-past past DNS:pw.example
    issuer=$ca/past/cert.pem refuses by-past "the certificate 'CN=Test past' has expired"
    authority weak
    openssl genrsa -out "$ca/weak/key.pem" 1024 2>/dev/null
    openssl req -new -key "$ca/weak/key.pem" -subj '/CN=Test weak' -out "$ca/weak/request.csr"
    printf '%s\n' "$authority_extensions" | sign root "$ca/weak/request.csr" "$ca/weak/cert.pem"
    leaf by-weak weak DNS:pw.example
    issuer=$ca/weak/cert.pem refuses by-weak "the key of the CA's certificate 'CN=Test weak' is too short"
    authority nobody
    printf '%s\n' "$server_extensions" | sign root "$ca/nobody/request.csr" "$ca/nobody/cert.pem"
    leaf by-nobody nobody DNS:pw.example
    issuer=$ca/nobody/cert.pem refuses by-nobody 'Test nobody'
}

names_and_expiry_are_warned_of() {
    trusting a
    leaf wild issuing 'DNS:*.pw.example,DNS:pw.example'
    accepts wild
    expect_err "warning: ssl-connection: it is a wildcard certificate \('\*\.pw\.example'\).*your own responsibility"
    refuse_err 'lack names'
    sed -i 's/hosts: .*}/hosts: [pw.example, srv.example, 192.0.2.7, "2001:db8::7", "*.example"]}/' "$KEYWRIGHT_CONFIG"
    leaf some issuing 'DNS:pw.example,DNS:192.0.2.7,IP:2001:db8::7'
    accepts some
    expect_err 'lack names and addresses of this server: srv.example, 192.0.2.7, \*.example;'
    refuse_err wildcard
    leaf soon issuing 'DNS:pw.example,DNS:srv.example,IP:192.0.2.7,IP:2001:db8::7,DNS:*.example' -days 10
    accepts soon
    expect_err 'warning: ssl-connection: it expires soon: it is valid until 20'
    refuse_err 'lack names'
    # Without hosts in the configuration: those of this machine.
    sed -i '/hosts: /d' "$KEYWRIGHT_CONFIG"
    leaf other issuing DNS:pw.example
    accepts other
    expect_err "lack names and addresses of this server: $(hostname)"
    leaf bare issuing ''
    accepts bare
    expect_err "lack names and addresses of this server: $(hostname)"
}

# listed NAME PLACE...: a certificate whose lists are there, each a distribution point.
listed() {
    local name=$1 all
    shift
    all=$(printf ',URI:%s' "$@")
    leaf "$name" issuing DNS:pw.example "crlDistributionPoints = ${all#,}"
}

revocation_lists_that_are_fresh_are_accepted() {
    local place
    trusting a
    quietly openssl crl -inform DER -in "$ca/good.crl" -out "$ca/good.pem"
    cp "$ca/good.crl" "$ca/with space.crl"
    for place in "$web/good.crl" "$web/good.pem" "file://$ca/good.crl" "file://localhost$ca/good.pem" "file://$ca/with%20space.crl" "$web/moved"; do
        listed good "$place"
        accepts good
        expect_empty_err
    done
    grep -qx good.crl "$ca/log" || fail "it was not fetched"
    # A second place serves when the first does not, and is told.
    listed two "$web/none" "$web/good.crl"
    accepts two
    expect_err 'warning: ssl-connection: a place of revocation lists failed, and another one was used: .*404'
    listed three ldap://ldap.example/cn=x "$web/good.crl"
    accepts three
    expect_empty_err
}

revocation_lists_that_tell_nothing_are_refused() {
    timeout=2s trusting a
    # verdict STATUS PLACE REASON
    verdict() {
        listed one "$2"
        cat one.pem "$ca/issuing/cert.pem" >file.pem
        expect "$1" keywright import file.pem --key "$ca/leaf.key" --as ssl-connection
        expect_err "whether the certificate 'CN=pw.example' is revoked cannot be told"
        expect_err "$3"
        unchanged
    }
    local before=$SECONDS
    verdict 6 http://127.0.0.1:1/x.crl 'the revocation list http://127.0.0.1:1/x.crl cannot be fetched: .*[Cc]onnect'
    expect_err 'firewall'
    verdict 6 "$web/none" 'cannot be fetched: .*404'
    verdict 6 "$web/slow" 'did not arrive within 2000 ms'
    verdict 6 "$web/dripping" 'did not arrive within 2000 ms'
    [[ $((SECONDS - before)) -lt 30 ]] || fail "time-outs take $((SECONDS - before)) s"
    verdict 5 "$web/endless" 'is larger than 100000 bytes'
    verdict 5 "$web/huge" 'is larger than 100000 bytes'
    expect_err 'crl_maximum_bytes'
    verdict 5 "$web/to-file" 'is redirected to neither http nor https'
    verdict 5 "$web/in-circles" 'leads through more than 3 redirects'
    verdict 5 file:///dev/zero '/dev/zero is not a regular file'
    mkfifo "$ca/pipe"
    verdict 5 "file://$ca/pipe" 'is not a regular file'
    head -c 200000 /dev/zero >"$ca/zeros"
    verdict 5 "file://$ca/zeros" 'is larger than 100000 bytes'
    verdict 6 "file://$ca/absent" 'No such file'
    verdict 5 file://other.example/x.crl 'is not a file of this host'
    verdict 5 "file://$ca/leaf.key" 'is not a revocation list'
    refuse_err 'PRIVATE KEY'
    verdict 5 "$web/port" 'is not a revocation list'
    (cat "$ca/good.crl"; printf x) >"$ca/longer.crl"
    verdict 5 "$web/longer.crl" 'is not a revocation list'
    verdict 5 ldap://ldap.example/cn=x 'by ldap, which is not supported'
    verdict 5 gopher://127.0.0.1/x 'by gopher, which is not supported'
    revocations issuing "$ca/expired.crl" -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z
    verdict 5 "$web/expired.crl" 'has expired: it held until 2020-02-01 00:00:00 UTC'
    revocations issuing "$ca/future.crl" -crl_lastupdate 20480101000000Z -crl_nextupdate 20490101000000Z
    verdict 5 "$web/future.crl" 'holds only from 2048-01-01 00:00:00 UTC'
    revocations issuing "$ca/sha1.crl" -md sha1
    verdict 5 "$web/sha1.crl" 'signed by means of SHA1'
}

revocation_lists_that_revoke_are_believed() {
    trusting a
    listed good "$web/latest.crl"
    leaf unlisted issuing DNS:pw.example
    revocations issuing "$ca/latest.crl"
    accepts good
    look before
    listed gone "$web/latest.crl"
    quietly openssl ca -config "$ca/issuing/ca.cnf" -revoke gone.pem -crl_reason keyCompromise
    revocations issuing "$ca/latest.crl"
    refuses gone "the certificate 'CN=pw.example' is revoked since 20.*: its key is compromised" 'make a new key'
    # The intermediate's, on the root's list.
    intermediate revoked root "crlDistributionPoints = URI:$web/root.crl"
    leaf below revoked DNS:pw.example
    revocations root "$ca/root.crl"
    cat below.pem "$ca/revoked/cert.pem" >file.pem
    expect 0 keywright import file.pem --key "$ca/leaf.key" --as ssl-connection
    look before
    quietly openssl ca -config "$ca/root/ca.cnf" -revoke "$ca/revoked/cert.pem"
    revocations root "$ca/root.crl"
    leaf below2 revoked DNS:pw.example
    issuer=$ca/revoked/cert.pem refuses below2 "the certificate 'CN=Test revoked' is revoked since"
    # Lists that somebody else made.
    listed foreign "$web/root.crl"
    refuses foreign "the revocation list .* is another CA's"
    authority forger
    openssl req -x509 -key "$ca/forger/key.pem" -subj '/CN=Test issuing' -out "$ca/forger/cert.pem"
    revocations forger "$ca/forged.crl"
    listed forged "$web/forged.crl"
    refuses forged "signature of the revocation list of the certificate 'CN=pw.example' is wrong"
    # Whoever has no path to a trusted CA sends this host nowhere.
    authority stranger
    openssl req -x509 -key "$ca/stranger/key.pem" -subj '/CN=Test stranger' -out "$ca/stranger/cert.pem"
    leaf strange stranger DNS:pw.example "crlDistributionPoints = URI:$web/strange.crl"
    issuer=$ca/stranger/cert.pem refuses strange "the root 'CN=Test stranger' is not trusted here"
    ! grep -q strange "$ca/log" || fail "a URL of an untrusted certificate was asked for"
}

general_certificate_may_be_a_cas_or_ones_own() {
    trusting a
    leaf client issuing DNS:pw.example 'extendedKeyUsage = clientAuth'
    cat client.pem "$ca/issuing/cert.pem" >file.pem
    expect 0 keywright import file.pem --key "$ca/leaf.key" --as general/web
    expect_out '^imported general/web$'
    expect_empty_err
    look before
    # Once more, with a certificate of one's own: in place of it.
    openssl req -x509 -key "$ca/leaf.key" -subj /CN=own -addext basicConstraints=critical,CA:FALSE -days 10 -out own.pem
    expect 0 keywright import own.pem --key "$ca/leaf.key" --as general/web
    expect_out 'in place of its former certificate, which stays as general/web@1$'
    expect_err 'expires soon'
    look before
    expect 5 keywright import client.pem --key "$ca/leaf.key" --as general/other
    expect_err "of the certificate 'CN=pw.example' the issuer 'CN=Test issuing' is not known"
    leaf late issuing DNS:pw.example -startdate 20200101000000Z -enddate 20200201000000Z
    cat late.pem "$ca/issuing/cert.pem" >file.pem
    expect 5 keywright import file.pem --key "$ca/leaf.key" --as general/other
    expect_err 'it has expired'
    unchanged
    # A request of one's own subject and uses, and its reply.
    expect 0 keywright create general/shop --host shop.example --subject 'CN=The Shop,O=Example' --eku clientAuth --eku 1.2.3.4.5
    keywright request general/shop -o shop.csr
    openssl req -in shop.csr -noout -text | grep -q 'TLS Web Client Authentication, 1.2.3.4.5' || fail "extended key usage"
    expect 2 keywright create general/other --eku clientAuht
    expect_err "no extended key usage 'clientAuht'"
    expect_err "did you mean 'clientAuth'"
    expect 2 keywright create general/other --eku 1.2.x
    expect 2 keywright create general/other --eku ''
    expect 2 keywright create ssl-connection --eku clientAuth
    expect_err 'for general certificates alone'
    sign issuing shop.csr shop.pem -preserveDN <<<"$server_extensions"
    cat shop.pem "$ca/issuing/cert.pem" >file.pem
    expect 0 keywright import file.pem --as general/shop
    expect 0 keywright show general/shop
    expect_out 'Subject +CN=The Shop'
    expect_out 'DNS:shop.example'
    # What Keywright exported was judged before: it goes in also where nobody knows the CA.
    echo geheim >password
    expect 0 keywright export general/shop -o shop.pfx --password-from file:password
    trusting b
    sed -i '/authorities:/d' "$KEYWRIGHT_CONFIG"
    expect 0 keywright import shop.pfx --password-from file:password
    expect 5 keywright import shop.pfx --password-from file:password --as general/elsewhere
    expect_err "no complete path to a trusted CA: of the certificate 'CN=Test issuing'"
}

trust_settings_that_are_wrong_are_told() {
    leaf good issuing DNS:pw.example
    cat good.pem "$ca/issuing/cert.pem" >file.pem
    local line
    # wrong PATH REASON
    wrong() {
        trusting "$1" "authorities: [$ca/root/cert.pem, $2]"
        line=$(grep -n 'authorities:' "$KEYWRIGHT_CONFIG" | cut -d: -f1)
        expect 3 keywright import file.pem --key "$ca/leaf.key" --as ssl-connection
        expect_err "keywright.yaml:$line:16: 'trust: authorities': .*$3"
        expect_err 'in PEM or DER'
        unchanged
        expect 3 keywright config check
        expect_err "keywright.yaml:$line:16"
    }
    wrong a "$ca/absent.pem" "$ca/absent.pem: No such file"
    echo nothing >nothing.pem
    wrong b "$PWD/nothing.pem" "nothing.pem: .*neither"
    wrong c "$ca/leaf.key" "leaf.key: there is no certificate in it"
    openssl x509 -in "$ca/root/cert.pem" -outform DER -out root.der
    trusting d "authorities: [$PWD/root.der]"
    expect 0 keywright config check
    expect 0 keywright import file.pem --key "$ca/leaf.key" --as ssl-connection
}

run_cases certificate_with_key_and_path_goes_in pfx_with_its_path_goes_in reply_to_a_request_keeps_the_key \
    reply_that_answers_nothing_is_refused replaced_certificate_comes_back path_is_found_in_file_configuration_and_system \
    certificate_that_is_no_servers_is_refused path_that_does_not_hold_is_refused names_and_expiry_are_warned_of \
    revocation_lists_that_are_fresh_are_accepted revocation_lists_that_tell_nothing_are_refused \
    revocation_lists_that_revoke_are_believed general_certificate_may_be_a_cas_or_ones_own trust_settings_that_are_wrong_are_told
