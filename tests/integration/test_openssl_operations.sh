#!/usr/bin/env bash
# Every operation that the openssl command does with a private key, by the module, with a key of a store: softstore, and SoftHSM, where a sample
# of the cases runs by KW_TEST_SEED, and all with KW_TEST_FULL=yes. openssl without the module, and with the public key alone, judges.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/openssl.sh
. "$(dirname "$0")/openssl.sh"
RANDOM=${KW_TEST_SEED:-$RANDOM}
place=local # the store that the keys are in

# operations_server: the server `a`, in place hsm with a token; the module is activated by openssl.cnf. Its store opens quickly, since each
# command opens it anew.
operations_server() {
    if [[ ! -d $work/quick ]]; then
        mkdir -m 700 "$work/quick"
        (umask 077 && openssl rand -base64 32 >"$work/quick/passphrase" && openssl rand -base64 32 >"$work/quick/catalogue-key")
        printf '%s\n' 'version: 1' 'state: state' 'catalogue_key: file:catalogue-key' 'store: local' 'stores:' \
            '  local: {id: 7c9e6679, plugin: softstore, options: {passphrase: file:passphrase, scrypt_log2_n: 14}}' >"$work/quick/keywright.yaml"
        printf '%s  ssl-connection: {key: ec-p256}\n  server-encryption: {key: ec-p256}\n' "$quick_keys" >>"$work/quick/keywright.yaml"
        keywright -q -c "$work/quick/keywright.yaml" apply || fail "apply"
    fi
    cp -a "$work/quick" a
    use a
    if [[ $place == hsm ]]; then
        mkdir token
        trap token_stop EXIT
        token_start softhsm "$case_dir/token"
        (umask 077 && printf '%s' "$token_pin" >a/pin)
        sed -i "/^stores:/a\\  hsm: {id: \"0b1d02aa\", plugin: pkcs11, options: {library: $token_library, token_label: $token_label, pin: file:pin}}" \
            a/keywright.yaml
    fi
    # shellcheck disable=SC2119 # it takes lines for the section, and none is fine
    openssl_conf
    printf 'the text' >text
}

# key NAME KIND: general/NAME; its certificate is NAME.pem, its public key NAME.pub.
key() {
    expect 0 keywright create "general/$1" --key "$2" --store "$place"
    keywright show "general/$1" --pem >"$1.pem"
    plain x509 -in "$1.pem" -noout -pubkey >"$1.pub"
}

# The judge: openssl without the module.
plain() { OPENSSL_CONF='' command openssl "$@"; }

pkeyutl_signs() {
    local kind salt
    operations_server
    key rsa rsa-2048
    openssl dgst -sha256 -binary -out digest text
    expect 0 openssl pkeyutl -sign -inkey keywright:general/rsa -pkeyopt digest:sha256 -in digest -out s
    expect 0 plain pkeyutl -verify -pubin -inkey rsa.pub -pkeyopt digest:sha256 -in digest -sigfile s
    expect 0 openssl pkeyutl -verify -inkey keywright:general/rsa -pkeyopt digest:sha256 -in digest -sigfile s
    printf 'another text' | openssl dgst -sha256 -binary -out other
    expect 1 openssl pkeyutl -verify -inkey keywright:general/rsa -pkeyopt digest:sha256 -in other -sigfile s
    for salt in digest:32 max:222 20:20; do # all of them are in test_signature.c
        expect 0 openssl pkeyutl -sign -inkey keywright:general/rsa -pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss \
            -pkeyopt "rsa_pss_saltlen:${salt%:*}" -in digest -out s
        expect 0 plain pkeyutl -verify -pubin -inkey rsa.pub -pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss \
            -pkeyopt "rsa_pss_saltlen:${salt#*:}" -in digest -sigfile s
    done
    expect 0 openssl pkeyutl -sign -rawin -digest sha384 -inkey keywright:general/rsa -pkeyopt rsa_padding_mode:pss \
        -pkeyopt rsa_mgf1_md:sha256 -pkeyopt rsa_pss_saltlen:digest -in text -out s
    expect 0 plain dgst -sha384 -verify rsa.pub -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha256 -sigopt rsa_pss_saltlen:48 \
        -signature s text
    expect 1 openssl pkeyutl -sign -inkey keywright:general/rsa -pkeyopt digest:sha1 -in digest -out s
    expect_err 'no new signatures are made with SHA-1|a digest of 32 bytes'
    expect 1 openssl pkeyutl -sign -inkey keywright:general/rsa -in digest -out s
    expect_err 'a signature needs the digest.s name'
    for kind in ec-p256 ec-p384; do
        key "$kind" "$kind"
        expect 0 openssl pkeyutl -sign -inkey "keywright:general/$kind" -in digest -out s
        expect 0 plain pkeyutl -verify -pubin -inkey "$kind.pub" -in digest -sigfile s
    done
    key edwards ed25519
    expect 0 openssl pkeyutl -sign -rawin -inkey keywright:general/edwards -in text -out s
    expect 0 plain pkeyutl -verify -rawin -pubin -inkey edwards.pub -in text -sigfile s
}

pkeyutl_decrypts_and_derives() {
    local hash
    operations_server
    key rsa rsa-2048
    for hash in sha1 sha256 sha512; do
        plain pkeyutl -encrypt -pubin -inkey rsa.pub -pkeyopt rsa_padding_mode:oaep -pkeyopt "rsa_oaep_md:$hash" \
            -pkeyopt rsa_mgf1_md:sha256 -pkeyopt rsa_oaep_label:6c6162656c -in text -out c
        expect 0 openssl pkeyutl -decrypt -inkey keywright:general/rsa -pkeyopt rsa_padding_mode:oaep -pkeyopt "rsa_oaep_md:$hash" \
            -pkeyopt rsa_mgf1_md:sha256 -pkeyopt rsa_oaep_label:6c6162656c -in c -out opened
        expect_same text opened
    done
    expect 1 openssl pkeyutl -decrypt -inkey keywright:general/rsa -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha512 \
        -pkeyopt rsa_mgf1_md:sha256 -in c
    expect_empty_out
    expect 0 openssl pkeyutl -encrypt -inkey keywright:general/rsa -pkeyopt rsa_padding_mode:oaep -in text -out c
    expect 0 openssl pkeyutl -decrypt -inkey keywright:general/rsa -pkeyopt rsa_padding_mode:oaep -in c -out opened
    expect_same text opened
    key ec ec-p384
    plain genpkey -algorithm EC -pkeyopt group:P-384 -out peer.pem
    plain pkey -in peer.pem -pubout -out peer.pub
    expect 0 openssl pkeyutl -derive -inkey keywright:general/ec -peerkey peer.pub -out ours
    plain pkeyutl -derive -inkey peer.pem -peerkey ec.pub -out theirs
    expect_same ours theirs
    plain genpkey -algorithm EC -pkeyopt group:P-256 -out other.pem
    plain pkey -in other.pem -pubout -out other.pub
    expect 1 openssl pkeyutl -derive -inkey keywright:general/ec -peerkey other.pub
}

cms_signs_and_decrypts() {
    local options
    operations_server
    key rsa rsa-2048
    key ec ec-p256
    for options in 'rsa' 'rsa -keyopt rsa_padding_mode:pss' 'ec' 'ec -md sha512'; do
        read -ra options <<<"$options"
        expect 0 openssl cms -sign -nodetach -binary -in text -outform DER -out signed -signer "${options[0]}.pem" \
            -inkey "keywright:general/${options[0]}" "${options[@]:1}"
        expect 0 plain cms -verify -binary -inform DER -in signed -CAfile "${options[0]}.pem" -partial_chain -purpose any -out opened
        expect_same text opened
    done
    for options in 'rsa -keyopt rsa_padding_mode:oaep' 'rsa -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256' 'ec' \
        'ec -keyopt ecdh_kdf_md:sha256' 'ec -keyopt ecdh_cofactor_mode:1'; do
        read -ra options <<<"$options"
        plain cms -encrypt -binary -aes-256-cbc -in text -outform DER -out c -recip "${options[0]}.pem" "${options[@]:1}"
        expect 0 openssl cms -decrypt -binary -inform DER -in c -recip "${options[0]}.pem" \
            -inkey "keywright:general/${options[0]}" -out opened
        expect_same text opened
    done
    # PKCS#1 v1.5: a program's CMS and its raw use look the same to a provider, so the settings decide. libcrypto goes on with a random content
    # key then, and says nothing of the reason.
    plain cms -encrypt -binary -aes-256-cbc -in text -outform DER -out c rsa.pem
    expect 4 openssl cms -decrypt -binary -inform DER -in c -recip rsa.pem -inkey keywright:general/rsa
    sed -i 's/^  general: {key: ec-p256}/  general: {key: ec-p256, pkcs1_decrypt: true}/' a/keywright.yaml
    expect 0 openssl cms -decrypt -binary -inform DER -in c -recip rsa.pem -inkey keywright:general/rsa -out opened
    expect_same text opened
}

# handshake CIPHER KEY s_client-OPTION...: what was agreed on is told, and the certificate is the one of the key.
handshake() {
    local cipher=$1 key=$2
    shift 2
    expect 0 plain s_client -unix socket -CAfile "$key.pem" -verify_return_error "$@" </dev/null
    expect_out "Cipher is $cipher\$"
    expect_out 'Verif(y return code|ication): (0 \(ok\)|OK)'
}

# serve KEY s_server-OPTION...
serve() {
    local name=$1
    shift
    rm -f socket
    openssl s_server -key "keywright:general/$name" -cert "$name.pem" -unix socket -quiet "$@" >log 2>&1 &
    serving=$!
    for _ in {1..200}; do
        [[ ! -S socket ]] || return 0
        sleep 0.05
    done
    fail "s_server does not come up: $(cat log)"
}

unserve() {
    kill "$serving"
    wait "$serving" || true
}

tls_servers_and_clients_use_the_key() {
    local version options
    operations_server
    key rsa rsa-2048
    key ec ec-p256
    serve rsa -cipher 'ALL'
    handshake TLS_AES_256_GCM_SHA384 rsa -tls1_3 -groups P-256
    handshake ECDHE-RSA-AES128-GCM-SHA256 rsa -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 -sigalgs RSA+SHA256
    handshake ECDHE-RSA-AES128-GCM-SHA256 rsa -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 -sigalgs rsa_pss_rsae_sha384
    # RSA key exchange: the server decrypts, and signs nothing.
    handshake AES128-SHA rsa -tls1_2 -cipher AES128-SHA
    handshake AES256-GCM-SHA384 rsa -tls1_2 -cipher AES256-GCM-SHA384
    unserve
    serve ec
    handshake TLS_AES_256_GCM_SHA384 ec -tls1_3
    handshake ECDHE-ECDSA-AES256-GCM-SHA384 ec -tls1_2
    unserve
    [[ $place != local ]] || {
        key edwards ed25519
        serve edwards
        handshake TLS_AES_256_GCM_SHA384 edwards -tls1_3
        unserve
    }
    # The client's key, in both versions.
    serve ec -www -Verify 1 -verify_return_error -CAfile rsa.pem
    printf 'GET / HTTP/1.0\r\n\r\n' >question
    expect 1 plain s_client -unix socket -tls1_2 <question
    for version in -tls1_2 -tls1_3; do
        for options in '' "-sigalgs rsa_pss_rsae_sha512:ECDSA+SHA256"; do
            # shellcheck disable=SC2086 # words
            expect 0 openssl s_client -unix socket -CAfile ec.pem "$version" $options -cert rsa.pem -key keywright:general/rsa \
                -verify_return_error -ign_eof <question
            expect_out '^Client certificate'
            expect_out 'Subject: CN *= *rsa'
        done
    done
    unserve
}

# Whichever comes first: ephemeral keys, and keys of a program's own, are the default provider's work then as well.
programs_make_keys_of_their_own_with_either_order_of_providers() {
    local order group load
    operations_server
    key ec ec-p256
    export OPENSSL_CONF=''
    for order in 'keywright default' 'default keywright'; do
        read -ra order <<<"$order"
        load=(-provider "${order[0]}" -provider "${order[1]}")
        serve ec "${load[@]}"
        for group in P-256 X25519; do
            handshake TLS_AES_256_GCM_SHA384 ec -tls1_3 -groups "$group"
        done
        handshake TLS_AES_256_GCM_SHA384 ec # by what is the first choice of both, which later releases make a hybrid
        handshake ECDHE-ECDSA-AES256-GCM-SHA384 ec -tls1_2 -curves P-256
        expect 0 openssl s_client "${load[@]}" -unix socket -groups P-256:X25519 </dev/null
        unserve
        expect 0 openssl genpkey "${load[@]}" -algorithm RSA -pkeyopt bits:1024 -aes128 -pass pass:abc -out k.pem
        expect 0 plain pkey -in k.pem -passin pass:abc -noout -check
        expect 0 openssl genpkey "${load[@]}" -algorithm EC -pkeyopt group:P-384 -outform DER -out k.der
        expect 0 plain pkey -inform DER -in k.der -noout -check
        expect 0 openssl genpkey "${load[@]}" -algorithm X25519 -text
        expect_out 'BEGIN PRIVATE KEY'
        expect_out 'priv:'
        expect 0 openssl req "${load[@]}" -x509 -newkey ed25519 -noenc -keyout k.pem -subj /CN=own -out own.pem
        expect 0 plain verify -CAfile own.pem own.pem
    done
}

genpkey_and_req_make_keys_in_the_store() {
    local kind
    operations_server
    local ours=(-propquery '?provider=keywright')
    for kind in 'EC -pkeyopt group:P-256' 'EC -pkeyopt ec_paramgen_curve:secp384r1' 'RSA -pkeyopt rsa_keygen_bits:2048' 'ED25519'; do
        read -ra kind <<<"$kind"
        expect 0 openssl genpkey "${ours[@]}" -algorithm "${kind[@]}" -pkeyopt "keywright-address:general/made" \
            -pkeyopt "keywright-store:$place" -out made.pem
        expect 0 grep -c 'BEGIN KEYWRIGHT KEY REFERENCE' made.pem
        keywright show general/made --pem >certificate.pem
        plain x509 -in certificate.pem -noout -pubkey >public.pem
        expect 0 plain verify -CAfile certificate.pem -partial_chain certificate.pem
        # Both names of it sign.
        expect 0 openssl pkeyutl -sign -rawin -inkey made.pem -in text -out s
        expect 0 plain pkeyutl -verify -rawin -pubin -inkey public.pem -in text -sigfile s
        expect 0 openssl pkey -in keywright:general/made -pubout
        expect_same out public.pem
        expect 0 keywright --json list
        expect_json ".[] | select(.certificate == \"general/made\").store == \"$place\""
        expect 0 keywright retire general/made
        expect 0 keywright delete general/made --yes
    done
    expect 0 openssl req "${ours[@]}" -newkey rsa:2048 -noenc -pkeyopt keywright-address:general/web \
        -pkeyopt "keywright-store:$place" -subj /CN=web -keyout web.key -out web.csr
    expect 0 plain req -in web.csr -verify -noout
    keywright show general/web --pem | plain x509 -noout -pubkey >public.pem
    plain req -in web.csr -noout -pubkey >request.pub
    expect_same public.pem request.pub
    # A pass phrase is not asked for: there is nothing to encrypt.
    expect 0 openssl req "${ours[@]}" -x509 -newkey ed25519 -pkeyopt keywright-address:general/own -subj /CN=own -keyout own.key \
        -out own.pem
    expect 0 plain verify -CAfile own.pem own.pem
}

key_that_no_store_makes_is_refused_and_leaves_nothing() {
    local options
    operations_server
    keywright -q create general/there
    keywright list --json >before
    local ours=(-propquery '?provider=keywright')
    while IFS='|' read -r options words; do
        read -ra options <<<"$options"
        expect 1 openssl genpkey "${ours[@]}" -algorithm "${options[@]}" -out made.pem
        expect_err "$words"
        expect 0 keywright list --json
        expect_same out before
        [[ ! -s made.pem ]] || fail "a key was written"
    done <<'EOF'
EC -pkeyopt group:P-256 -pkeyopt keywright-address:general/there|general/there exists already
EC -pkeyopt group:P-256 -pkeyopt keywright-address:nonsense/x|nonsense
EC -pkeyopt group:P-256 -pkeyopt keywright-address:general/x@2|leave out @2
EC -pkeyopt group:P-256 -pkeyopt keywright-address:general/x -pkeyopt keywright-store:absent|there is no store 'absent'
EC -pkeyopt group:P-256 -pkeyopt keywright-store:local|keywright-address too
EC -pkeyopt group:secp256k1 -pkeyopt keywright-address:general/x|P-256, P-384 or P-521, and not secp256k1
EC -pkeyopt keywright-address:general/x|needs the group
RSA -pkeyopt rsa_keygen_bits:1024 -pkeyopt keywright-address:general/x|rsa-1024
RSA -pkeyopt rsa_keygen_pubexp:3 -pkeyopt keywright-address:general/x|the exponent 65537
RSA -pkeyopt rsa_keygen_primes:3 -pkeyopt keywright-address:general/x|two primes
X25519 -pkeyopt keywright-address:general/x|no kind of certificate has a key of type X25519
ED25519 -pkeyopt keywright-address:database/x|database
EOF
}

ca_ocsp_and_ts_sign() {
    operations_server
    key ca rsa-2048
    mkdir ca
    : >ca/index
    echo 01 >ca/serial
    expect 0 openssl req -x509 -new -key keywright:general/ca -subj /CN=authority -days 30 -addext keyUsage=keyCertSign,digitalSignature \
        -sigopt rsa_padding_mode:pss -out ca.pem
    expect 0 plain verify -CAfile ca.pem ca.pem
    printf '%s\n' '[ca]' 'database = ca/index' 'serial = ca/serial' 'new_certs_dir = ca' 'default_md = sha256' 'policy = p' '[p]' \
        'commonName = supplied' '[ts]' 'extendedKeyUsage = critical,timeStamping' '[tsa]' 'serial = ca/tsserial' 'default_policy = 1.2.3.4' \
        'digests = sha256' 'signer_digest = sha256' >ca.cnf
    plain req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout leaf.key -subj /CN=leaf -out leaf.csr 2>leaf.log
    expect 0 openssl ca -config ca.cnf -name ca -batch -keyfile keywright:general/ca -cert ca.pem -days 9 -in leaf.csr -out leaf.pem
    expect 0 plain verify -CAfile ca.pem leaf.pem
    expect 0 openssl ca -config ca.cnf -name ca -gencrl -crldays 3 -keyfile keywright:general/ca -cert ca.pem -out crl.pem
    expect 0 plain crl -in crl.pem -CAfile ca.pem -noout
    expect_err 'verify OK'
    plain ocsp -issuer ca.pem -cert leaf.pem -reqout request.ocsp
    expect 0 openssl ocsp -index ca/index -rsigner ca.pem -rkey keywright:general/ca -CA ca.pem -reqin request.ocsp -respout answer.ocsp \
        -ndays 1
    expect 0 plain ocsp -respin answer.ocsp -issuer ca.pem -cert leaf.pem -CAfile ca.pem -no_nonce
    expect_out 'leaf.pem: good'
    key stamp ec-p256
    expect 0 openssl req -new -key keywright:general/stamp -subj /CN=stamp -out stamp.csr
    expect 0 openssl x509 -req -in stamp.csr -CA ca.pem -CAkey keywright:general/ca -days 9 -extfile ca.cnf -extensions ts -out stamp.pem
    plain ts -query -data text -sha256 -cert -out request.tsq
    keywright show general/stamp --reference >stamp.key # it takes files alone
    expect 0 openssl ts -reply -config ca.cnf -section tsa -queryfile request.tsq -signer stamp.pem -inkey stamp.key -out answer.tsr
    expect 0 plain ts -verify -queryfile request.tsq -in answer.tsr -CAfile ca.pem
}

# pss_key NAME OPTION...: general/NAME, a key for PSS alone that openssl made with these options of genpkey, comes in with its certificate.
pss_key() {
    local name=$1
    shift
    (umask 077 && printf 'a password' >password)
    plain genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 "$@" -out "$name.key" 2>made || fail "$(cat made)"
    plain req -x509 -key "$name.key" -subj "/CN=$name" -days 9 -addext basicConstraints=critical,CA:FALSE -out "$name.pem"
    plain x509 -in "$name.pem" -noout -pubkey >"$name.pub"
    plain pkcs12 -export -inkey "$name.key" -in "$name.pem" -passout file:password -out "$name.pfx"
    expect 0 keywright import "$name.pfx" --as "general/$name" --store "$place" --password-from file:password
    rm "$name.key"
}

limits=(-pkeyopt rsa_pss_keygen_md:sha384 -pkeyopt rsa_pss_keygen_mgf1_md:sha384 -pkeyopt rsa_pss_keygen_saltlen:40)

keys_for_pss_alone_sign_by_pss_alone() {
    local name pss=(-sigopt rsa_padding_mode:pss)
    operations_server
    pss_key any
    pss_key limited "${limits[@]}"
    for name in any limited; do
        expect 0 keywright show "general/$name"
        expect_out '^Key  *rsa-pss-2048$'
        expect 0 openssl pkey -in "keywright:general/$name" -noout -text
        expect_out "Private key in a store: keywright:general/$name"
        expect_out 'PSS parameter restrictions'
        expect 0 openssl dgst -sha384 -sign "keywright:general/$name" -out s text
        expect 0 plain dgst -sha384 -verify "$name.pub" -signature s text
        expect 0 openssl dgst -sha384 "${pss[@]}" -sigopt rsa_pss_saltlen:digest -sign "keywright:general/$name" -out s text
        expect 0 plain dgst -sha384 -verify "$name.pub" "${pss[@]}" -sigopt rsa_pss_saltlen:digest -signature s text
        expect 1 openssl dgst -sha384 -sigopt rsa_padding_mode:pkcs1 -sign "keywright:general/$name" -out s text
        expect_err 'PSS alone'
        expect 1 openssl pkeyutl -decrypt -inkey "keywright:general/$name" -pkeyopt rsa_padding_mode:oaep -in s -out o
        expect 5 keywright sign "general/$name" -i text -o s --hash sha384 --padding pkcs1
        expect_err 'PSS alone'
        expect 0 keywright sign "general/$name" -i text -o s --hash sha384
        expect 0 plain dgst -sha384 -verify "$name.pub" "${pss[@]}" -sigopt rsa_pss_saltlen:digest -signature s text
        expect 5 keywright encrypt "general/$name" -i text -o o
        expect 0 openssl req -new -key "keywright:general/$name" -subj /CN=x -sha384 -out x.csr
        expect 0 plain req -in x.csr -verify -noout -text
        expect_out 'Public Key Algorithm: rsassaPss'
        expect 0 openssl x509 -req -in x.csr -signkey "keywright:general/$name" -sha384 -days 3 -out x.pem
        expect 0 plain verify -check_ss_sig -CAfile x.pem x.pem
        expect 0 openssl cms -sign -nodetach -md sha384 -in text -binary -signer "$name.pem" -inkey "keywright:general/$name" \
            -keyopt rsa_padding_mode:pss -outform DER -out c
        expect 0 plain cms -verify -inform DER -in c -binary -CAfile "$name.pem" -purpose any -out t
        expect_same t text
    done
    # What its certificate does not let it sign with.
    expect 0 openssl dgst -sha256 -sign keywright:general/any -out s text
    expect 1 openssl dgst -sha256 -sign keywright:general/limited -out s text
    expect_err 'SHA384 alone, not with SHA256'
    expect 1 openssl dgst -sha384 -sigopt rsa_pss_saltlen:39 -sign keywright:general/limited -out s text
    expect_err 'salts of 40 bytes and more'
    expect 1 openssl dgst -sha384 -sigopt rsa_mgf1_md:sha256 -sign keywright:general/limited -out s text
    expect_err 'MGF1 of SHA384 alone'
    expect 5 keywright sign general/limited -i text -o s
}

keys_for_pss_alone_serve_tls() {
    operations_server
    pss_key any
    pss_key limited -pkeyopt rsa_pss_keygen_md:sha384 -pkeyopt rsa_pss_keygen_mgf1_md:sha384 -pkeyopt rsa_pss_keygen_saltlen:48
    serve any
    handshake TLS_AES_256_GCM_SHA384 any -tls1_3 -sigalgs rsa_pss_pss_sha256
    handshake ECDHE-RSA-AES128-GCM-SHA256 any -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 -sigalgs rsa_pss_pss_sha512
    expect 1 plain s_client -unix socket -tls1_3 -sigalgs rsa_pss_rsae_sha256 </dev/null
    unserve
    serve limited
    handshake TLS_AES_256_GCM_SHA384 limited -tls1_3 -sigalgs rsa_pss_pss_sha256:rsa_pss_pss_sha384
    expect 1 plain s_client -unix socket -tls1_3 -sigalgs rsa_pss_pss_sha256 </dev/null
    unserve
}

# With what openssl makes of the same options.
keys_for_pss_alone_are_made() {
    operations_server
    expect 0 openssl genpkey -propquery '?provider=keywright' -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 "${limits[@]}" \
        -pkeyopt keywright-address:general/made -pkeyopt "keywright-store:$place" -out made.pem
    grep -q 'BEGIN KEYWRIGHT KEY REFERENCE' made.pem || fail "no reference file"
    keywright show general/made --pem >made.crt
    expect 0 plain x509 -in made.crt -noout -text
    expect_out 'Public Key Algorithm: rsassaPss'
    expect_out 'Hash Algorithm: SHA2-384'
    expect_out 'Mask Algorithm: MGF1 with SHA2-384'
    expect_out 'Minimum Salt Length: 40'
    ! grep -q 'Key Encipherment' out || fail "a key for PSS alone enciphers"
    expect 0 plain verify -CAfile made.crt made.crt
    expect 0 openssl dgst -sha384 -sign made.pem -out s text
    plain x509 -in made.crt -noout -pubkey >made.pub
    expect 0 plain dgst -sha384 -verify made.pub -signature s text
    expect 0 keywright request general/made -o made.csr
    expect 0 plain req -in made.csr -verify -noout
    # A successor of the same kind, where the configuration names no other.
    sed -i '/^  general: {key:/d' a/keywright.yaml
    expect 0 keywright rotate general/made --new-key --store "$place"
    expect 0 keywright show general/made --text
    expect_out 'Minimum Salt Length: 40'
    [[ $place == hsm ]] || {
        (umask 077 && printf 'a password' >password)
        expect 0 keywright export general/made -o out.pfx --password-from file:password
        plain pkcs12 -in out.pfx -passin file:password -noenc -out out.pem
        expect 0 plain pkey -in out.pem -noout -text
        expect_out 'Minimum Salt Length: 40'
        keywright show general/made --pem | plain x509 -noout -pubkey >made.pub
        plain pkey -in out.pem -pubout >out.pub
        expect_same out.pub made.pub
    }
}

keys_for_pss_alone_that_are_of_no_use_are_refused() {
    local address
    operations_server
    pss_key there
    for address in database/sales server-encryption; do
        expect 5 keywright import there.pfx --as "$address" --password-from file:password
    done
    plain genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha1 -pkeyopt rsa_pss_keygen_mgf1_md:sha1 \
        -out k.pem 2>made
    plain req -x509 -key k.pem -sha1 -subj /CN=old -days 9 -addext basicConstraints=critical,CA:FALSE -out c.pem
    expect 5 keywright import c.pem --key k.pem --as general/old
    expect_err 'SHA-1 alone'
    expect 2 keywright create general/x --key rsa-pss-2048
    expect_err "there is no such kind of key"
}

both=(pkeyutl_signs pkeyutl_decrypts_and_derives cms_signs_and_decrypts tls_servers_and_clients_use_the_key
    genpkey_and_req_make_keys_in_the_store ca_ocsp_and_ts_sign keys_for_pss_alone_sign_by_pss_alone keys_for_pss_alone_serve_tls
    keys_for_pss_alone_are_made)
run_cases "${both[@]}" programs_make_keys_of_their_own_with_either_order_of_providers key_that_no_store_makes_is_refused_and_leaves_nothing \
    keys_for_pss_alone_that_are_of_no_use_are_refused
# Tokens' modules do not stand a sanitizer that comes late.
if [[ -z ${KW_PRELOAD:-} ]]; then
    place=hsm
    if [[ ${KW_TEST_FULL:-no} != yes ]]; then
        both=("${both[RANDOM % ${#both[@]}]}")
    fi
    run_cases "${both[@]}"
fi
