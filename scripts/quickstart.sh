#!/usr/bin/env bash
# quickstart.sh [--hsm] [DIRECTORY]: builds Keywright and shows it at work, step by step, in a new directory.
#
# Installs what building needs (as root, or by sudo when something is missing), builds build/release, makes a server's keys in
# DIRECTORY (default: a new one below $TMPDIR), and lets the openssl command be the client. Stops at the first thing that is not so.
# With --hsm the keys move into a token of SoftHSM, which is an HSM in software; it is then taken away, and brought back.
set -euo pipefail

usage() {
    echo "usage: scripts/quickstart.sh [--hsm] [DIRECTORY]    builds Keywright and shows it at work in a new directory" >&2
    echo "       --hsm: with the keys in a PKCS#11 token (SoftHSM)" >&2
    exit "$1"
}

fail() {
    echo "quickstart.sh: $*" >&2
    exit 1
}

[[ ${1:-} != --help && ${1:-} != -h ]] || usage 0 2>&1
what=software packages=build
if [[ ${1:-} == --hsm ]]; then
    what=hsm packages=hsm
    shift
fi
[[ $# -le 1 ]] || usage 2
[[ ${1:-} != -* ]] || usage 2
source_directory=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

strong='' faint='' good='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    strong=$'\033[1m' faint=$'\033[2m' good=$'\033[32m' plain=$'\033[0m'
fi

# ---- Where ----

if [[ $# -eq 1 ]]; then
    if [[ -e $1 && -n $(ls -A "$1" 2>/dev/null || echo file) ]]; then
        fail "'$1' is there already: name a new or an empty directory"
    fi
    mkdir -p "$1"
    directory=$(cd "$1" && pwd)
else
    directory=$(mktemp -d "${TMPDIR:-/tmp}/keywright-quickstart.XXXXXX")
fi
chmod 700 "$directory"

# ---- Build ----

log=$directory/build.log
build() {
    cd "$source_directory"
    cmake --preset release -DBUILD_TESTING=OFF
    cmake --build --preset release
}
echo "installing what is missing of the Debian packages that building needs (a minute or two on a bare system)"
"$source_directory/scripts/install-packages.sh" "$packages"
echo "building into $source_directory/build/release (log: $log)"
if ! build >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    fail "the build failed; the last lines of $log are above"
fi
PATH=$source_directory/build/release/bin:$PATH
export PATH
unset KEYWRIGHT_CONFIG

# ---- Steps ----

began=$SECONDS
step_number=0
steps=0
cd "$directory"

step() {
    step_number=$((step_number + 1))
    printf '\n%s%d/%d  %s%s\n' "$strong" "$step_number" "$steps" "$1" "$plain"
}
# Shows a command as one could type it, and runs it.
run() {
    printf '  %s$ %s%s\n' "$faint" "$(shown "$@")" "$plain"
    "$@" 2>&1 | sed 's/^/    /'
}
shown() {
    local word space=''
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=,@+-]+$ ]] || word="'$word'"
        printf '%s%s' "$space" "$word"
        space=' '
    done
}
# The same for a line that needs a shell.
line() {
    printf '  %s$ %s%s\n' "$faint" "$1" "$plain"
    eval "$1"
}
proves() { printf '  %s=> %s%s\n' "$good" "$1" "$plain"; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }
on() { line "export KEYWRIGHT_CONFIG=$(shown "$directory/$1/keywright.yaml")"; }
# For what must fail: shows what is said, and which exit status it has.
run_refused() {
    local expected=$1 status=0
    shift
    run "$@" || status=$?
    [[ $status -eq $expected ]] || fail "exit status $status instead of $expected"
    printf '    %s(exit status %d)%s\n' "$faint" "$status" "$plain"
}

# openssl's TLS server, with a key by URI, on a free port of this machine.
tls_server=''
serve_tls() {
    local modules=$source_directory/build/release/lib/ossl-modules
    printf '  %s$ %s &%s\n' "$faint" "openssl s_server -provider-path $modules -provider default -provider keywright -cert tls.pem -key keywright:general/tls -accept 0 -www" "$plain"
    openssl s_server -provider-path "$modules" -provider default -provider keywright -cert tls.pem -key keywright:general/tls -accept 0 -www >s_server.log 2>&1 </dev/null &
    tls_server=$!
    trap 'kill "$tls_server" 2>/dev/null || true' EXIT
    for _ in {1..100}; do
        port=$(sed -nE 's/^ACCEPT .*:([0-9]+)$/\1/p' s_server.log | head -n 1)
        [[ -z $port ]] || return 0
        sleep 0.1
    done
    cat s_server.log >&2
    fail "the TLS server does not start"
}
handshake() {
    line "openssl s_client -connect localhost:$port -CAfile tls.pem -verify_return_error < /dev/null 2>&1 | grep -E 'Verify return code|alert' | sort -u | sed 's/^/    /'"
    openssl s_client -connect "localhost:$port" -CAfile tls.pem -verify_return_error </dev/null >s_client.log 2>&1
}

show_software() {
    steps=10
    step "A server: init writes its configuration and creates what every server has"
    run keywright init server
    on server
    proves "One command made the store, the catalogue, a certificate for TLS and one for the server's own secrets."

    step "Certificates for a database, a directory domain, a discovery service and a password reset"
    run keywright create database/sales
    run keywright create master-key/corp.example --database sales
    run keywright create discovery-service/sales/scan
    run keywright create password-reset/sales/web
    run keywright list
    proves "Each has its own key, which never leaves the store unencrypted."

    step "A client gets the certificate of the database, and nothing else"
    run mkdir client
    line "keywright show database/sales --pem > client/sales.pem"
    run openssl x509 -in client/sales.pem -noout -subject -enddate
    line "openssl x509 -in client/sales.pem -noout -pubkey > client/sales.pub"
    line "printf 'correct horse battery staple' > client/password.txt"
    proves "It is an ordinary X.509 certificate; the client needs no Keywright."

    step "The client encrypts a password with openssl (CMS, its default: PKCS#1 v1.5); the server decrypts"
    run openssl cms -encrypt -binary -aes256 -in client/password.txt -outform DER -out client/default.cms client/sales.pem
    run keywright decrypt database/sales -i client/default.cms -o decrypted.txt
    same client/password.txt decrypted.txt
    proves "The same password came out: what openssl encrypts by default, the store's key opens."

    step "The same with CMS and OAEP"
    run openssl cms -encrypt -binary -aes256 -in client/password.txt -outform DER -out client/oaep.cms \
        -recip client/sales.pem -keyopt rsa_padding_mode:oaep
    run keywright decrypt database/sales -i client/oaep.cms -o decrypted.txt
    same client/password.txt decrypted.txt
    proves "The same password came out."

    step "The same with a raw RSA-OAEP block (SHA-256)"
    run openssl pkeyutl -encrypt -pubin -inkey client/sales.pub -in client/password.txt -out client/raw.oaep \
        -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256
    run keywright decrypt database/sales -i client/raw.oaep -o decrypted.txt --format oaep
    same client/password.txt decrypted.txt
    proves "The same password came out, also without CMS around it."

    step "The server signs; openssl verifies"
    line "echo 'an order of 100 pieces' > order.txt"
    run keywright sign database/sales -i order.txt -o order.sig
    run openssl dgst -sha256 -sigopt rsa_padding_mode:pss -verify client/sales.pub -signature order.sig order.txt
    line "echo 'an order of 999 pieces' > forged.txt"
    if run keywright verify database/sales -i forged.txt -s order.sig; then
        fail "a changed order passed as signed"
    fi
    proves "The signature is right for openssl, and wrong for a changed order."

    step "Everything of the database goes into one encrypted file"
    line "(umask 077; openssl rand -base64 24 > export-password)"
    run keywright export --database sales -o sales.pfx --password-from file:export-password
    run openssl pkcs12 -in sales.pfx -passin file:export-password -noout -info
    proves "It is a .pfx (PKCS#12) that other programs open too, with the password alone."

    step "A second, empty server imports it"
    run keywright init second-server
    on second-server
    run keywright import sales.pfx --password-from file:export-password
    run keywright list --database sales
    proves "Database, master key, discovery service and password reset arrived together."

    step "The ciphertexts of before open on the second server"
    for ciphertext in default.cms oaep.cms; do
        run keywright decrypt database/sales -i "client/$ciphertext" -o decrypted.txt
        same client/password.txt decrypted.txt
    done
    run keywright decrypt database/sales -i client/raw.oaep -o decrypted.txt --format oaep
    same client/password.txt decrypted.txt
    run keywright verify database/sales -i order.txt -s order.sig
    proves "The database moved, and nothing that was encrypted to it is lost."
}

show_hsm() {
    local library=/usr/lib/softhsm/libsofthsm2.so
    steps=9
    step "A server with its keys in software, as init makes it"
    run keywright init server
    on server
    run keywright create database/sales
    run keywright create master-key/corp.example --database sales
    proves "The keys are in the store 'local': encrypted records of the catalogue."

    step "A client encrypts a password with openssl and the certificate of the database"
    line "keywright show database/sales --pem > sales.pem"
    line "printf 'correct horse battery staple' > password.txt"
    run openssl cms -encrypt -binary -aes256 -in password.txt -outform DER -out before.cms sales.pem
    proves "What is encrypted now must open after the key has moved."

    step "A token: SoftHSM makes one, and the configuration gets a second store"
    run mkdir tokens
    line "printf 'directories.tokendir = %s\nobjectstore.backend = file\n' \"\$PWD/tokens\" > softhsm2.conf"
    line "export SOFTHSM2_CONF=\$PWD/softhsm2.conf"
    line "(umask 077; openssl rand -hex 8 > server/pin; openssl rand -hex 8 > so-pin)"
    line "export PIN=\$(cat server/pin) SO_PIN=\$(cat so-pin)"
    run pkcs11-tool --module "$library" --init-token --slot-index 0 --label prod --so-pin env:SO_PIN
    run pkcs11-tool --module "$library" --token-label prod --init-pin --login --login-type so --so-pin env:SO_PIN --pin env:PIN
    printf '%s\n' '  hsm:' '    id: "5eed0b1d"' '    plugin: pkcs11' \
        "    options: {library: $library, token_label: prod, pin: file:pin}" \
        'databases:' "  '*': {store: hsm}" >store.yaml
    run cat store.yaml
    line "cat store.yaml >> server/keywright.yaml"
    run keywright config check --connect
    proves "A wrong library, label or PIN would have been told here, with what there is instead."

    step "All server keys move to the token, while the server may be at work"
    run keywright transfer --everything --to hsm
    run keywright list
    run pkcs11-tool --module "$library" --token-label prod --login --pin env:PIN --list-objects --type privkey
    proves "Each copy did all that its key does before the old one went. It is sensitive: it does not come out again."

    step "The token decrypts what was encrypted before"
    run keywright decrypt database/sales -i before.cms -o decrypted.txt
    same password.txt decrypted.txt
    proves "A new process, an old ciphertext, and the key is in the token."

    step "A program that runs on: openssl's TLS server with a key in the token"
    run keywright create general/tls --host localhost --eku serverAuth --store hsm
    line "keywright show general/tls --pem > tls.pem"
    serve_tls
    handshake
    proves "openssl s_server signs with keywright:general/tls; it never sees the key."

    step "The token is taken away"
    line "mv tokens tokens-away"
    run_refused 6 keywright decrypt database/sales -i before.cms -o decrypted.txt
    if handshake; then
        fail "a handshake without the token"
    fi
    proves "The error names the store and what is missing; nothing is lost. The TLS server still runs."

    step "The token is back"
    line "mv tokens-away tokens"
    run keywright decrypt database/sales -i before.cms -o decrypted.txt
    same password.txt decrypted.txt
    handshake
    proves "The same TLS server, never restarted, found the token again."

    step "What it took: calls to the token"
    line "keywright status --json | jq -r '.stores[] | select(.name == \"hsm\") | .operations[] | \"\(.operation): \(.calls) times, \(.backend_calls) calls of C_ functions\"'"
    proves "Counted over all processes that have used this server's state."
}

"show_$what"
[[ $step_number -eq $steps ]] || fail "$step_number steps of $steps"

places=("  first server   $directory/server/keywright.yaml (the configuration), $directory/server/state (the keys)")
tries=()
plugin=softstore
if [[ $what == hsm ]]; then
    plugin=pkcs11
    places+=("  token          $directory/tokens; its PIN is in $directory/server/pin")
    tries+=("  export SOFTHSM2_CONF=$directory/softhsm2.conf")
else
    places+=("  second server  $directory/second-server/keywright.yaml" "  client         $directory/client")
fi
cat <<END

${strong}All $steps steps passed, in $((SECONDS - began)) seconds.${plain}

Where things are
  the command    $source_directory/build/release/bin/keywright
$(printf '%s\n' "${places[@]}")

What to try next
$(printf '%s\n' "  export PATH=$source_directory/build/release/bin:\$PATH" "  export KEYWRIGHT_CONFIG=$directory/server/keywright.yaml" "${tries[@]}")
  keywright show database/sales        everything about one certificate
  keywright status                     stores, what they can do, counts
  keywright plugins $plugin          the options of a store
  keywright --help                     all verbs; 'keywright help VERB' has examples
When you have seen enough: rm -r $directory
END
