#!/usr/bin/env bash
# import of what other programs write, by every algorithm that each has, and of files of many origins; export opened by each of them.
# A sample by KW_TEST_SEED; all of it with KW_TEST_FULL=yes.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

data=$here/../data
vectors=/usr/lib/python3/dist-packages/cryptography_vectors
bouncycastle=/usr/share/java/bcprov.jar
password='geheim-1234'
RANDOM=${KW_TEST_SEED:-$RANDOM}

# sample NUMBER: lines of standard input, as many as that, or all of them.
sample() {
    [[ ${KW_TEST_FULL:-no} != yes ]] || set -- 1000000
    awk -v n="$1" -v seed="$RANDOM" 'BEGIN { srand(seed) } { k = NR <= n ? NR : int(rand() * NR) + 1; if (k <= n) row[k] = $0 }
        END { for (k = 1; k <= n && k <= NR; k++) print row[k] }'
}

# with_kinds KIND...: a kind of key before each line, in turn, from another one in each run.
with_kinds() { awk -v kinds="$*" -v from="$RANDOM" '{ n = split(kinds, kind, " "); print kind[(NR + from) % n + 1], $0 }'; }

# source_keys KIND...: KIND.key and KIND.crt, made once for all cases.
source_keys() {
    local kind algorithm
    mkdir -p "$work/sources"
    for kind in "$@"; do
        case $kind in
        rsa-*) algorithm=rsa:${kind#rsa-} ;;
        ec-p*) algorithm="ec -pkeyopt ec_paramgen_curve:P-${kind#ec-p}" ;;
        ed25519) algorithm=ed25519 ;;
        esac
        # shellcheck disable=SC2086 # words
        [[ -f $work/sources/$kind.key ]] || openssl req -x509 -newkey $algorithm -noenc -keyout "$work/sources/$kind.key" \
            -out "$work/sources/$kind.crt" -subj "/CN=$kind" -days 9 -addext basicConstraints=critical,CA:FALSE 2>err || fail "$(cat err)"
        cp "$work/sources/$kind".* .
    done
}

all_kinds=(rsa-2048 ec-p256 ec-p384 ec-p521 ed25519)
[[ ${KW_TEST_FULL:-no} != yes ]] || all_kinds+=(rsa-3072 rsa-4096)

set_password() {
    printf '%s\n' "$1" >password
    chmod 600 password
}

hash_of_certificate() { openssl x509 "$@" -outform DER | sha256sum | cut -d' ' -f1; }
hash_of_key() { openssl pkey "$@" -pubout -outform DER | sha256sum | cut -d' ' -f1; }

taken=0
# takes SOURCE FILE OPTION...: FILE is imported, and holds the key and the certificate of SOURCE.key and SOURCE.crt.
takes() {
    local source=$1 file=$2
    shift 2
    taken=$((taken + 1))
    expect 0 keywright import "$file" --as "general/n$taken" --password-from file:password "$@"
    printf '%s %s %s\n' "n$taken" "$(hash_of_certificate -in "$source.crt")" "$(hash_of_key -in "$source.key")" >>wanted
}

# refuses STATUS TEXT FILE OPTION...: FILE is not, for this reason.
refuses() {
    local status=$1 text=$2 file=$3
    shift 3
    expect "$status" keywright import "$file" --as general/refused --password-from file:password "$@"
    expect_err "$text"
}

# compare_all: what arrived, by a program that knows nothing of its origin. Nothing but what was taken is there.
compare_all() {
    local name
    expect 0 keywright list --all --json
    expect_json "[.[] | select(.certificate | startswith(\"general/\"))] | length == $taken"
    [[ $(sqlite3 "$catalogue" 'select count(*) from journal') -eq 0 ]] || fail "the journal is not empty"
    [[ $taken -gt 0 ]] || return 0
    set_password "$password"
    expect 0 keywright export --everything -o all.pfx --together --password-from file:password
    openssl pkcs12 -in all.pfx -passin file:password -noenc -out all.pem -info 2>info || fail "openssl cannot read it"
    # Legacy algorithms are read, never written.
    grep -Eq '^MAC: sha256, ' info || fail "the MAC is not SHA-256: $(cat info)"
    [[ $(grep -Ec '^(PKCS7 Encrypted data|Shrouded Keybag): ' info) -gt "$taken" ]] || fail "not all is encrypted"
    ! grep -E '^(PKCS7 Encrypted data|Shrouded Keybag): ' info | grep -vq 'PBES2, PBKDF2, AES-256-CBC, .* PRF hmacWithSHA256' ||
        fail "written otherwise: $(cat info)"
    awk '/friendlyName: / { sub(/.*friendlyName: /, ""); sub(/^general\//, ""); name = $0 }
        /^-----BEGIN CERT/ && name != "" { out = "out." name ".crt" } /^-----BEGIN PRIV/ { out = "out." name ".key" }
        out != "" { print > out } /^-----END/ { close(out); out = name = "" }' all.pem
    while read -r name _; do
        printf '%s %s %s\n' "$name" "$(hash_of_certificate -in "out.$name.crt")" "$(hash_of_key -in "out.$name.key")"
    done <wanted >found
    expect_same wanted found
}

# ---- Files of many origins -------------------------------------------------------------------------------------------

# tests/data/formats.tsv, whose verdicts are of reading: a certificate of a CA is read, and refused by a rule.
import_of_each_vector_gives_its_verdict() {
    local file word verdict said certificates key status
    server a
    source_keys ec-p256
    while IFS=$'\t' read -r file word verdict said certificates key; do
        case $word in '-' | '""') set_password '' ;; *) set_password "$word" ;; esac
        status=0
        case $verdict in unsupported | refused) status=5 ;; corrupt) status=8 ;; secret) status=7 ;; invalid) status=2 ;; esac
        case $file in
        pkcs12/*)
            if [[ $certificates == - ]]; then
                refuses 2 'holds no certificate together with its private key' "$vectors/$file"
            elif [[ $key == - ]]; then
                refuses 4 'has no private key' "$vectors/$file"
            else
                refuses 5 "is a CA's" "$vectors/$file"
            fi
            ;;
        asymmetric/*)
            if [[ $status -eq 0 ]]; then
                openssl pkey -in "$vectors/$file" -passin file:password -out v.key
                [[ $(hash_of_key -in v.key) == "$key" ]] || fail "the table has another key for $file"
                openssl req -x509 -key v.key -subj /CN=v -addext basicConstraints=critical,CA:FALSE -out v.crt
                takes v v.crt --key "$vectors/$file"
                refuses 5 'does not belong to the private key' ec-p256.crt --key "$vectors/$file"
            else
                refuses "$status" "$said" ec-p256.crt --key "$vectors/$file"
            fi
            ;;
        x509/*)
            # No certificate of others belongs to this key.
            [[ $status -ne 0 ]] || continue
            refuses "$status" "$said" "$vectors/$file" --key ec-p256.key
            ;;
        esac
    done < <(grep -v '^#' "$data/formats.tsv" | sample 20)
    compare_all
}

# ---- .pfx --------------------------------------------------------------------------------------------------------------

import_takes_pfx_of_openssl() {
    local kind cipher mac
    server a
    source_keys "${all_kinds[@]}"
    set_password "$password"
    while read -r kind cipher mac; do
        openssl pkcs12 -export -in "$kind.crt" -inkey "$kind.key" -passout file:password -out f.pfx -legacy \
            -keypbe "$cipher" -certpbe "$cipher" -macalg "$mac" || fail "openssl: $kind $cipher $mac"
        takes "$kind" f.pfx
    done < <(
        for cipher in NONE PBE-SHA1-{RC2-40,RC2-128,2DES,3DES,RC4-40,RC4-128} {AES-{128,192,256},CAMELLIA-256,ARIA-128,DES-EDE3,DES}-CBC; do
            for mac in sha1 sha224 sha256 sha384 sha512; do echo "$cipher $mac"; done
        done | with_kinds "${all_kinds[@]}" | sample 6
    )
    # As Windows wants it: the name of its provider, and what the key is for.
    openssl pkcs12 -export -legacy -in rsa-2048.crt -inkey rsa-2048.key -passout file:password -out f.pfx \
        -CSP 'Microsoft Enhanced RSA and AES Cryptographic Provider' -keyex -LMK -iter 2000
    takes rsa-2048 f.pfx
    # RFC 9579.
    openssl pkcs12 -export -nomac -in ec-p256.crt -inkey ec-p256.key -passout file:password -out bare.pfx
    PASSWORD=$password python3 "$data/make_files.py" pbmac1 f.pfx bare.pfx
    if [[ $(openssl version) =~ ^OpenSSL\ 3\.[0-3]\. ]]; then
        refuses 5 'unsupported MAC: PBMAC1' f.pfx
    else
        takes ec-p256 f.pfx
        openssl pkcs12 -export -pbmac1_pbkdf2 -in ec-p256.crt -inkey ec-p256.key -passout file:password -out f.pfx
        takes ec-p256 f.pfx
    fi
    refuses 5 'no MAC.*' bare.pfx
    expect_err '--allow-no-mac'
    takes ec-p256 bare.pfx --allow-no-mac
    compare_all
}

import_takes_pfx_in_ber() {
    server a
    source_keys rsa-2048 ec-p256
    set_password "$password"
    openssl pkcs12 -export -in ec-p256.crt -inkey ec-p256.key -passout file:password -out der.pfx
    python3 "$data/make_files.py" ber f.pfx der.pfx
    [[ $(head -c 2 f.pfx | od -An -tx1) == ' 30 80' ]] || fail "it is not BER"
    takes ec-p256 f.pfx
    printf '\0' >>f.pfx
    refuses 8 'malformed or cut off' f.pfx
    openssl pkcs12 -export -legacy -in rsa-2048.crt -inkey rsa-2048.key -passout file:password -out der.pfx
    python3 "$data/make_files.py" ber f.pfx der.pfx
    takes rsa-2048 f.pfx
    compare_all
}

import_takes_pfx_of_any_password() {
    local word status
    server a
    source_keys ec-p256
    while read -r word; do
        set_password "$word"
        openssl pkcs12 -export -in ec-p256.crt -inkey ec-p256.key -passout file:password -out f.pfx
        takes ec-p256 f.pfx
        openssl pkcs12 -export -legacy -in ec-p256.crt -inkey ec-p256.key -passout file:password -out f.pfx
        takes ec-p256 f.pfx
        certtool --to-p12 --load-certificate ec-p256.crt --load-privkey ec-p256.key --p12-name x --password "$word" --outder \
            --outfile f.pfx 2>err || fail "$(cat err)"
        takes ec-p256 f.pfx
        set_password "${word}x"
        refuses 7 'password is wrong' f.pfx
    done < <(printf '%s\n' 'Müller' '密碼 Ω' '🔑🗝' 'a"b\c $d' "$(printf 'x%.0s' {1..200})" | sample 2)
    # OpenSSL 1.0 made a character of each byte.
    printf 'Müller' | python3 "$data/make_files.py" latin password
    openssl pkcs12 -export -legacy -in ec-p256.crt -inkey ec-p256.key -passout file:password -out f.pfx
    set_password 'Müller'
    takes ec-p256 f.pfx
    # Absent and empty are two, and one types nothing for both; neither opens what has a password, nor a password them.
    for word in --null-password --empty-password; do
        status=0
        certtool --to-p12 --load-certificate ec-p256.crt --load-privkey ec-p256.key --p12-name x "$word" --outder --outfile f.pfx 2>err || status=$?
        # GnuTLS 3.8.9 itself crashes on --null-password (SIGSEGV); other versions write such a file.
        [[ $word != --null-password || $status -ne 139 ]] || continue
        [[ $status -eq 0 ]] || fail "$(cat err)"
        set_password ''
        takes ec-p256 f.pfx
        set_password x
        refuses 7 'password is wrong' f.pfx
    done
    set_password x
    openssl pkcs12 -export -in ec-p256.crt -inkey ec-p256.key -passout file:password -out f.pfx
    set_password ''
    refuses 7 'password is wrong' f.pfx
    compare_all
}

import_takes_pfx_of_gnutls() {
    local kind cipher mac
    server a
    source_keys "${all_kinds[@]}"
    set_password "$password"
    while read -r kind cipher mac; do
        certtool --to-p12 --load-certificate "$kind.crt" --load-privkey "$kind.key" --p12-name x --password "$password" --outder \
            --outfile f.pfx --pkcs-cipher "$cipher" --hash "$mac" 2>err || fail "certtool: $kind $cipher $mac: $(cat err)"
        takes "$kind" f.pfx
    done < <(
        for cipher in 3des 3des-pkcs12 aes-128 aes-192 aes-256 rc2-40 arcfour; do
            for mac in sha1 sha256 sha384 sha512; do echo "$cipher $mac"; done
        done | with_kinds "${all_kinds[@]}" | sample 4
    )
    compare_all
}

import_takes_pfx_of_nss() {
    local kind key_cipher certificate_cipher mac
    local nss_kinds=(rsa-2048 ec-p256)
    [[ ${KW_TEST_FULL:-no} != yes ]] || nss_kinds=(rsa-2048 rsa-3072 rsa-4096 ec-p256 ec-p384 ec-p521)
    server a
    source_keys "${nss_kinds[@]}"
    set_password "$password"
    mkdir nss
    certutil -N -d sql:nss --empty-password
    for kind in "${nss_kinds[@]}"; do
        openssl pkcs12 -export -in "$kind.crt" -inkey "$kind.key" -name "$kind" -passout file:password -out f.pfx
        pk12util -i f.pfx -d sql:nss -W "$password" >out
    done
    while read -r kind key_cipher certificate_cipher mac; do
        rm -f f.pfx
        pk12util -o f.pfx -n "$kind" -d sql:nss -W "$password" -c "${key_cipher//_/ }" -C "${certificate_cipher//_/ }" -M "$mac" >out 2>&1 ||
            fail "pk12util: $kind $key_cipher $certificate_cipher $mac: $(cat out)"
        takes "$kind" f.pfx
    done < <(
        for key_cipher in AES-{128,192,256}-CBC CAMELLIA-256-CBC "${nss_ciphers[@]}"; do
            for certificate_cipher in AES-128-CBC none "${nss_ciphers[@]}"; do
                for mac in SHA-1 SHA-256 SHA-512; do echo "$key_cipher $certificate_cipher $mac"; done
            done
        done | with_kinds "${nss_kinds[@]}" | sample 4
    )
    pk12util -o f.pfx -n rsa-2048 -d sql:nss -W 'Müller €' >out
    set_password 'Müller €'
    takes rsa-2048 f.pfx
    compare_all
}

nss_ciphers=('PKCS_#12_V2_PBE_With_SHA-1_And_3KEY_Triple_DES-CBC' 'PKCS_#12_V2_PBE_With_SHA-1_And_40_Bit_RC2_CBC'
    'PKCS_#12_V2_PBE_With_SHA-1_And_128_Bit_RC4')

# java_pfx FILE STORETYPE OPTION...: j.pfx with the key of f.pfx.
java_pfx() {
    keytool -importkeystore -srckeystore f.pfx -srcstoretype PKCS12 -srcstorepass "$password" -deststoretype PKCS12 \
        -deststorepass "$password" -destkeystore j.pfx "$@" >out 2>&1 || fail "keytool $*: $(cat out)"
}

import_takes_pfx_of_java() {
    local kind cipher mac
    server a
    source_keys rsa-2048 ec-p256 ec-p521 ed25519
    set_password "$password"
    while read -r kind cipher mac; do
        openssl pkcs12 -export -in "$kind.crt" -inkey "$kind.key" -name "$kind" -passout file:password -out f.pfx
        rm -f j.pfx
        java_pfx "-J-Dkeystore.pkcs12.keyProtectionAlgorithm=$cipher" "-J-Dkeystore.pkcs12.certProtectionAlgorithm=$cipher" \
            "-J-Dkeystore.pkcs12.macAlgorithm=HmacPBE$mac"
        takes "$kind" j.pfx
    done < <(
        for cipher in PBEWithSHA1And{DESede,RC2_40,RC2_128,RC4_40,RC4_128} PBEWithHmacSHA{1,224,256,384,512}AndAES_{128,256}; do
            for mac in SHA1 SHA256 SHA512; do echo "$cipher $mac"; done
        done | with_kinds rsa-2048 ec-p256 ec-p521 ed25519 | sample 1
    )
    # No MAC, as `keystore.pkcs12.macAlgorithm` can have it.
    rm -f j.pfx
    java_pfx -J-Dkeystore.pkcs12.macAlgorithm=NONE
    refuses 5 'no MAC' j.pfx
    # Two keys in one file: one cannot be meant.
    keytool -genkeypair -alias second -keyalg EC -groupname secp256r1 -dname CN=second -storetype PKCS12 -keystore f.pfx \
        -storepass "$password" >out 2>&1
    refuses 2 'the file holds 2' f.pfx
    compare_all
}

import_takes_pfx_of_bouncycastle() {
    local kind
    server a
    source_keys rsa-2048 ec-p256
    set_password "$password"
    while read -r kind; do
        openssl pkcs12 -export -in "$kind.crt" -inkey "$kind.key" -name "$kind" -passout file:password -out f.pfx
        rm -f j.pfx
        java_pfx -destprovidername BC -providerclass org.bouncycastle.jce.provider.BouncyCastleProvider -providerpath "$bouncycastle"
        takes "$kind" j.pfx
    done < <(printf '%s\n' rsa-2048 ec-p256 | sample 1)
    # Its Ed25519 keys carry their public key (RFC 5958).
    keytool -genkeypair -alias own -keyalg Ed25519 -dname CN=own -storetype PKCS12 -keystore own.pfx -storepass "$password" \
        -ext BC:c=ca:false -providername BC -providerclass org.bouncycastle.jce.provider.BouncyCastleProvider \
        -providerpath "$bouncycastle" >out 2>&1 || fail "$(cat out)"
    expect 0 keywright import own.pfx --as general/own --password-from file:password
    openssl pkcs12 -in own.pfx -passin file:password -nokeys -legacy 2>err | openssl x509 -pubkey -noout >public.pem || fail "$(cat err)"
    printf text >text
    expect 0 keywright sign general/own -i text -o signature
    openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in text -sigfile signature >out || fail "another key"
}

import_takes_the_chain_of_a_pfx() {
    local name
    server a
    printf 'trust: {authorities: [../root.crt]}\n' >>a/keywright.yaml
    for name in root middle leaf; do openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$name.key"; done
    openssl req -x509 -key root.key -subj /CN=root -addext basicConstraints=critical,CA:TRUE -out root.crt
    openssl req -new -key middle.key -subj /CN=middle -addext basicConstraints=critical,CA:TRUE |
        openssl x509 -req -CA root.crt -CAkey root.key -copy_extensions copy -out middle.crt 2>err
    openssl req -new -key leaf.key -subj /CN=leaf -addext basicConstraints=critical,CA:FALSE |
        openssl x509 -req -CA middle.crt -CAkey middle.key -copy_extensions copy -out leaf.crt 2>err
    source_keys ec-p256
    cat ec-p256.crt root.crt middle.crt >others.pem
    set_password "$password"
    openssl pkcs12 -export -in leaf.crt -inkey leaf.key -certfile others.pem -passout file:password -out f.pfx
    takes leaf f.pfx
    cat root.crt leaf.crt middle.crt leaf.key >f.pem
    takes leaf f.pem
    compare_all
    # The path is there as far as the root, which who trusts it has, and no stranger.
    grep -qF "$(sed -n 2p middle.crt)" all.pem || fail "the issuer is missing"
    for name in root ec-p256; do ! grep -qF "$(sed -n 2p $name.crt)" all.pem || fail "$name came in"; done
}

# ---- Keys and certificates -------------------------------------------------------------------------------------------

import_takes_keys_of_each_form() {
    local kind form file
    server a
    source_keys "${all_kinds[@]}"
    set_password "$password"
    while read -r kind form; do
        file=${form//[^a-zA-Z0-9]/_}.key
        # shellcheck disable=SC2086 # words
        case $form in
        certtool*) certtool --to-p8 --load-privkey "$kind.key" --password "$password" --pkcs-cipher ${form#certtool } --outfile "$file" 2>err ;;
        pkcs8*) openssl pkcs8 -topk8 -in "$kind.key" -passout file:password -provider legacy -provider default -out "$file" ${form#pkcs8} 2>err ;;
        traditional*)
            openssl pkey -traditional -in "$kind.key" -passout file:password -provider legacy -provider default -out "$file" ${form#traditional} 2>err
            ;;
        esac || fail "$kind: $form"
        takes "$kind" "$kind.crt" --key "$file"
    done < <(
        {
            for form in ' -aes-128-cbc' ' -aes'{128,192,256} ' -'{des3,des,camellia256,aria128,seed,rc2} ' -outform DER'; do
                echo "traditional$form"
            done | with_kinds rsa-2048 ec-p256 ec-p521
            {
                for form in '-nocrypt -outform DER' -nocrypt {,-scrypt,'-v2prf hmacWithSHA1','-v1 PBE-SHA1-3DES'}' -outform DER' -scrypt \
                    '-v2 '{aes-128-cbc,aes-192-cbc,aes-256-cbc,des3,des,camellia-128-cbc,aria-256-cbc,rc2}{,' -v2prf '{hmacWithSHA1,hmacWithSHA224,hmacWithSHA384,hmacWithSHA512}} \
                    '-v1 PBE-'{MD5-DES,SHA1-DES,MD5-RC2-64,SHA1-RC2-64,SHA1-RC4-128,SHA1-RC4-40,SHA1-3DES,SHA1-2DES,SHA1-RC2-128,SHA1-RC2-40}; do
                    echo "pkcs8 $form"
                done
                for form in 3des 3des-pkcs12 aes-128 aes-192 aes-256 rc2-40 arcfour; do echo "certtool $form"; done
            } | with_kinds "${all_kinds[@]}"
        } | sample 8
    )
    python3 "$data/make_files.py" v2 v2.key
    refuses 5 'does not belong to the private key' ed25519.crt --key v2.key
    compare_all
}

import_takes_pem_with_text_around_it() {
    local end
    server a
    source_keys ec-p256
    set_password "$password"
    openssl ec -in ec-p256.key -aes128 -passout file:password -out sealed.key 2>err
    for end in '' $'\r'; do
        {
            printf 'Bag Attributes\n    friendlyName: x\n# a comment -----\n\n'
            cat ec-p256.crt
            printf 'and between\n\n'
            openssl ecparam -name prime256v1
            cat sealed.key
            printf -- '-- \nand behind'
        } | sed "s/\$/$end/" >f.pem
        takes ec-p256 f.pem
    done
    openssl x509 -in ec-p256.crt -outform DER -out c.der
    openssl pkcs8 -topk8 -in ec-p256.key -passout file:password -outform DER -out k.der
    takes ec-p256 c.der --key k.der
    openssl x509 -in ec-p256.crt -trustout -addtrust serverAuth -out trusted.pem
    takes ec-p256 trusted.pem --key k.der
    set_password another
    refuses 7 'password of the private key is wrong' c.der --key k.der
    refuses 7 'password of the private key is wrong' f.pem
    compare_all
}

import_of_a_bad_key_is_refused_with_the_reason() {
    local what
    server a
    source_keys ec-p256
    set_password "$password"
    for what in same exponent roca off-curve; do python3 "$data/make_files.py" $what $what.key; done
    refuses 8 'two primes are the same' ec-p256.crt --key same.key
    refuses 8 'public exponent is 1' ec-p256.crt --key exponent.key
    refuses 5 'ROCA' ec-p256.crt --key roca.key
    refuses 8 'point is not on the curve' ec-p256.crt --key off-curve.key
    openssl req -x509 -newkey rsa:1024 -noenc -keyout weak.key -out weak.crt -subj /CN=weak \
        -addext basicConstraints=critical,CA:FALSE 2>err
    refuses 5 '1024 bits is too weak; it needs at least 2048' weak.crt --key weak.key
    openssl pkcs12 -export -in weak.crt -inkey weak.key -passout file:password -out weak.pfx
    refuses 5 '1024 bits is too weak; it needs at least 2048' weak.pfx
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.key
    refuses 5 'does not belong to the private key' ec-p256.crt --key other.key
    cat ec-p256.crt other.key >both.pem
    refuses 5 'does not belong to the private key' both.pem
    compare_all
}

# ---- Export ------------------------------------------------------------------------------------------------------------

# expect_keys FILE NAME...: openssl finds the certificates and keys of general/NAME in it, which is what `show` says.
expect_keys() {
    local file=$1 name
    shift
    openssl pkcs12 -in "$file" -passin file:password -noenc -out found.pem 2>err || fail "$file: $(cat err)"
    csplit -s -f part. found.pem '/-----BEGIN/' '{*}'
    grep -l 'BEGIN PRIVATE KEY' part.* | while read -r name; do hash_of_key -in "$name"; done | sort >keys
    grep -l 'BEGIN CERTIFICATE' part.* | while read -r name; do hash_of_certificate -in "$name"; done | sort >certificates
    rm part.*
    for name in "$@"; do openssl x509 -in "$name.crt" -pubkey -noout | hash_of_key -pubin; done | sort >wanted
    expect_same wanted keys
    for name in "$@"; do hash_of_certificate -in "$name.crt"; done | sort >wanted
    expect_same wanted certificates
}

# What each tool makes of an export, it writes anew, and openssl compares the two.
through_openssl() { expect_keys "$@"; }

through_certtool() {
    local file=$1
    shift
    certtool --p12-info --inder --infile "$file" --password "$password" >info 2>err || fail "certtool: $file: $(cat err)"
    [[ $(grep -c 'BEGIN CERTIFICATE' info) -eq $# ]] || fail "certtool does not see all certificates of $file"
    [[ $(grep -Ec 'BEGIN .*PRIVATE KEY' info) -eq $# ]] || fail "certtool does not see all keys of $file"
    for name in "$@"; do grep -qF "$(sed -n 3p "$name.crt")" info || fail "certtool does not see $name in $file"; done
}

through_pk12util() {
    local file=$1 name
    shift
    rm -rf nss
    mkdir nss
    certutil -N -d sql:nss --empty-password
    pk12util -i "$file" -d sql:nss -w password >out 2>&1 || fail "pk12util: $file: $(cat out)"
    for name in $(printf '%s\n' "$@" | sample 1); do
        pk12util -o through.pfx -n "general/$name" -d sql:nss -w password >out 2>&1 || fail "pk12util: $name: $(cat out)"
        expect_keys through.pfx "$name"
    done
}

through_keytool() {
    local file=$1
    shift
    rm -f through.pfx
    keytool -importkeystore -srckeystore "$file" -srcstoretype PKCS12 -srcstorepass "$password" -deststoretype PKCS12 \
        -deststorepass "$password" -destkeystore through.pfx >out 2>&1 || fail "keytool: $file: $(cat out)"
    expect_keys through.pfx "$@"
}

export_is_opened_by_each_tool() {
    local kind tool kinds
    server a
    set_password "$password"
    kinds=(rsa-2048 ec-p256)
    [[ ${KW_TEST_FULL:-no} != yes ]] || kinds+=(rsa-3072 rsa-4096 ec-p384 ec-p521)
    for kind in "${kinds[@]}" ed25519; do
        keywright -q create "general/$kind" --key "$kind"
        keywright show "general/$kind" --pem >"$kind.crt"
    done
    # NSS knows no Ed25519 keys in such files.
    expect 0 keywright export "${kinds[@]/#/general/}" -o one.pfx --together --password-from file:password
    expect 0 keywright export "${kinds[@]/#/general/}" -o each --separate --password-from file:password
    through_pk12util one.pfx "${kinds[@]}"
    for kind in $(printf '%s\n' "${kinds[@]}" | sample 1); do through_pk12util "each/general+$kind.pfx" "$kind"; done
    kinds+=(ed25519)
    expect 0 keywright export "${kinds[@]/#/general/}" -o one.pfx --together --password-from file:password
    expect 0 keywright export "${kinds[@]/#/general/}" -o each --separate --password-from file:password
    for tool in openssl certtool keytool; do
        "through_$tool" one.pfx "${kinds[@]}"
        for kind in $(printf '%s\n' "${kinds[@]}" | sample 1); do "through_$tool" "each/general+$kind.pfx" "$kind"; done
    done
}

run_cases export_is_opened_by_each_tool import_of_each_vector_gives_its_verdict import_takes_pfx_of_openssl import_takes_pfx_in_ber \
    import_takes_pfx_of_any_password import_takes_pfx_of_gnutls import_takes_pfx_of_nss import_takes_pfx_of_java \
    import_takes_pfx_of_bouncycastle import_takes_the_chain_of_a_pfx import_takes_keys_of_each_form \
    import_takes_pem_with_text_around_it import_of_a_bad_key_is_refused_with_the_reason
