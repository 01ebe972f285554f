# programs.sh: what the tests of programs share, beside lib.sh, tokens.sh, databases.sh and openssl.sh: the lines of docs/programs.md, a server
# whose keys are in softstore or a token, and handshakes. SHIM stands before the token's module, STEER steers it; the build's own.
# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used by the tests; what is sourced before has set the rest
: "${SHIM:?}" "${STEER:?}"
RANDOM=${KW_TEST_SEED:-$RANDOM}
full=${KW_TEST_FULL:-no}
place=local # the store that keys are in: local (softstore) or hsm (SoftHSM behind the shim)

# lines DOCUMENT SECTION [N]: the Nth block (1) of code in the section "## SECTION" of a document, with the paths of this case. A test uses what
# the document says, so that neither can be changed alone.
lines() {
    local found
    found=$(awk -v section="## $2" -v wanted="${3:-1}" '
        !code && /^## / { inside = $0 == section }
        /^ *```/ { code = !code; if (code && inside) count++; next }
        code && inside && count == wanted' "$here/../../docs/$1" |
        sed "s|/etc/keywright/|$case_dir/a/|g")
    [[ -n $found ]] || fail "docs/$1 has no block ${3:-1} in its section $2"
    printf '%s\n' "$found"
}

# program_server CERT KEY: the server `a`, in place hsm with a token; a certificate of this name as a/server.pem, its reference as a/server.key;
# and openssl.cnf as docs/openssl.md has it. Its directory is what /etc/keywright is for the document.
program_server() {
    server a
    chmod 755 "$work" "$case_dir" a
    if [[ $place == hsm ]]; then
        mkdir token
        trap 'stop_servers; token_stop' EXIT
        token_start softhsm "$case_dir/token"
        [[ -d $work/modules ]] || { mkdir "$work/modules" && install -m 755 "$SHIM" "$work/modules/shim.so"; }
        "$STEER" control create
        export KEYWRIGHT_SHIM_MODULE=$token_library KEYWRIGHT_SHIM_CONTROL=$case_dir/control
        (umask 077 && printf '%s' "$token_pin" >a/pin)
        sed -i "/^stores:/a\\  hsm: {id: \"0b1d02aa\", plugin: pkcs11, options: {library: $work/modules/shim.so, token_label: $token_label, pin: file:pin}}" \
            a/keywright.yaml
    fi
    new_certificate "$1" "$2" server
    lines openssl.md 'Activating it' >openssl.cnf
}

# new_certificate CERT KEY NAME: with a/NAME.pem and a/NAME.key.
new_certificate() {
    expect 0 keywright create "$1" --key "$2" --store "$place" --host localhost
    keywright show "$1" --pem >"a/$3.pem"
    (umask 077 && keywright show "$1" --reference >"a/$3.key")
}

# give_token USER: what a process needs that uses the token as this user: its files, and the shim's.
give_token() {
    [[ $place == hsm && $(id -u) -eq 0 ]] || return 0
    chown -R "$1" token control
}

# run LOG COMMAND...: a program in the background, $program. It learns of keys by openssl.cnf alone, and ends with the case.
run() {
    local log=$1
    shift
    setpriv --pdeathsig TERM env -u KEYWRIGHT_CONFIG "OPENSSL_CONF=$case_dir/openssl.cnf" "$@" >"$log" 2>&1 </dev/null &
    program=$!
    servers+=("$program")
    trap 'stop_servers; [[ $place != hsm ]] || token_stop' EXIT
}

# hand_over: what is in a/ and the token are that of servers' user, and databases.sh's as_server is that user with the module. For programs that
# run as one user from their start on. Keywright is used as that user from then on, too.
hand_over() {
    local modules=$OPENSSL_MODULES
    as_nobody --version >/dev/null # makes the copy of the build that this user reaches
    [[ ! -d $work/nobody ]] || modules=$work/nobody/lib/ossl-modules
    if [[ $(id -u) -eq 0 ]]; then
        lines programs.md Rights | sed 's/root:postgres /root:65534 /; s/-R postgres /-R 65534 /' | bash -e
        chown -R 65534 a/*.key
        [[ $place != hsm ]] || chown 65534 a/pin
    fi
    give_token 65534:65534
    as_server+=(env -u KEYWRIGHT_CONFIG "HOME=$case_dir" "OPENSSL_CONF=$case_dir/openssl.cnf" "OPENSSL_MODULES=$modules")
}

# run_as_server LOG COMMAND...: $program, of that user, in the background.
run_as_server() {
    local log=$1
    shift
    "${as_server[@]}" "$@" >"$log" 2>&1 </dev/null &
    program=$!
    servers+=("$program")
    trap 'stop_servers; [[ $place != hsm ]] || token_stop' EXIT
}

# settled COMMAND...: until it succeeds; twenty seconds.
settled() {
    local until=$((SECONDS + 20))
    until "$@" >/dev/null 2>&1; do
        [[ $SECONDS -lt $until ]] || fail "not in 20 s: $*"
        sleep 0.05
    done
}

# Clients have nothing of Keywright's.
https() { env -u OPENSSL_CONF curl --silent --show-error --max-time 20 --cacert a/server.pem "$@" "https://localhost:$port/"; }
handshakes() { env -u OPENSSL_CONF /usr/bin/python3 "$here/handshakes.py" "$port" a/server.pem "$@"; }

# answers: both versions of TLS, by two clients.
answers() {
    expect 0 https --tls-max 1.2
    expect 0 https --tlsv1.3
    for version in tls1_2 tls1_3; do
        expect 0 command openssl s_client -connect "localhost:$port" "-$version" -CAfile a/server.pem -verify_return_error -verify_hostname localhost </dev/null
        expect_out 'Verify return code: 0 \(ok\)'
    done
}

# signatures: calls to the backend for signatures so far, as Keywright counts them.
signatures() {
    keywright metrics --json | jq --arg store "$place" \
        '[.[] | select(.name == "keywright_store_backend_calls_total" and .labels.store == $store and .labels.operation == "sign") | .value] | add // 0 | floor'
}
