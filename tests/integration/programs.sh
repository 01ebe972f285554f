# programs.sh: what the tests of programs share, beside lib.sh, tokens.sh, databases.sh and openssl.sh: the lines of docs/programs.md, a server
# whose keys are in softstore or a token, and handshakes. SHIM stands before the token's module, STEER steers it; the build's own.
# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used by the tests; what is sourced before has set the rest
: "${SHIM:?}" "${STEER:?}"
RANDOM=${KW_TEST_SEED:-$RANDOM}
full=${KW_TEST_FULL:-no}
place=local # the store that keys are in: local (softstore) or hsm (SoftHSM behind the shim)

modules=$OPENSSL_MODULES

# lines DOCUMENT SECTION [N]: the Nth block (1) of code in the section "## SECTION" of a document, with the places of this case. A test uses what
# the document says, so that neither can be changed alone.
lines() {
    local found
    found=$(awk -v section="## $2" -v wanted="${3:-1}" '
        !code && /^## / { inside = $0 == section }
        /^ *```/ { code = !code; if (code && inside) count++; next }
        code && inside && count == wanted' "$here/../../docs/$1" |
        sed "s|/etc/keywright\\b|$case_dir/a|g; s|/usr/local/lib/ossl-modules|$modules|g
            s|/var/lib/softhsm\\b|$case_dir/token|g; s|/etc/softhsm/|$case_dir/token/|g")
    [[ -n $found ]] || fail "docs/$1 has no block ${3:-1} in its section $2"
    printf '%s\n' "$found"
}

# do_lines [FROM TO] DOCUMENT SECTION [N]: does what they say; a user FROM of theirs is TO. What only root may do is left out for others.
do_lines() {
    local from=() commands
    [[ ! $1 =~ ^(postgres|www-data)$ ]] || { from=(-e "s/\\b$1:$1\\b/$2/; s/\\broot:$1\\b/root:${2#*:}/; s/\\b$1\\b/${2%:*}/g") && shift 2; }
    commands=$(lines "$@" | sed -E "${from[@]}" -e '')
    [[ $(id -u) -eq 0 ]] || commands=$(grep -v '^ *chown' <<<"$commands")
    (umask 022 && bash -e <<<"$commands") || fail "docs: $commands"
}

# program_server KEY: the server `a` as `init` makes it, in place hsm with a token as Debian's SoftHSM has them; general/web as a/server.pem, its
# reference as a/server.key; and a/openssl.cnf as docs/openssl.md has it.
program_server() {
    server a
    chmod 755 "$work" "$case_dir"
    as_nobody --version >/dev/null # makes the copy of the build that every user reaches
    [[ ! -d $work/nobody ]] || modules=$work/nobody/lib/ossl-modules
    if [[ $place == hsm ]]; then
        mkdir token
        trap 'stop_servers; token_stop' EXIT
        token_start softhsm "$case_dir/token"
        chmod 770 token token/tokens
        chmod 640 token/softhsm2.conf
        [[ -d $work/modules ]] || { mkdir "$work/modules" && install -m 755 "$SHIM" "$work/modules/shim.so"; }
        "$STEER" control create
        export KEYWRIGHT_SHIM_MODULE=$token_library KEYWRIGHT_SHIM_CONTROL=$case_dir/control
        (umask 077 && printf '%s' "$token_pin" >a/pin)
        sed -i "/^stores:/a\\  hsm: {id: \"0b1d02aa\", plugin: pkcs11, options: {library: $work/modules/shim.so, token_label: $token_label, pin: file:pin}}" \
            a/keywright.yaml
    fi
    (umask 022 && lines openssl.md 'Activating it' >a/openssl.cnf)
    new_certificate web "$1" 1
}

# new_certificate NAME KEY N: general/NAME and its files, by the Nth block of the document.
new_certificate() {
    sed -i "/^certificates:/a\\  general/$1: {key: $2, store: $place}" a/keywright.yaml
    do_lines programs.md 'Before the first' "$3"
}

# give_token USER GROUP: what a process needs that uses the token as this user: its files, as the document gives them, and the shim's.
give_token() {
    [[ $place == hsm ]] || return 0
    do_lines www-data "$1:$2" programs.md nginx 4
    [[ $(id -u) -ne 0 ]] || chown -R "$1" control
}

# run LOG COMMAND...: a program in the background, $program. It learns of keys by openssl.cnf alone, and ends with the case.
run() {
    local log=$1
    shift
    setpriv --pdeathsig TERM env -u KEYWRIGHT_CONFIG -u OPENSSL_MODULES "OPENSSL_CONF=$case_dir/a/openssl.cnf" "$@" >"$log" 2>&1 </dev/null &
    program=$!
    servers+=("$program")
    trap 'stop_servers; [[ $place != hsm ]] || token_stop' EXIT
}

# hand_over USER GROUP: the document's rights for a program that runs as this user from its start on, and databases.sh's as_server is that user with
# the module, by its openssl.cnf alone.
hand_over() {
    do_lines postgres "$1:$2" programs.md Rights 1
    if [[ $place == hsm ]]; then
        do_lines postgres "$1:$2" programs.md Rights 2
        give_token "$1" "$2"
    fi
    as_server=(env)
    [[ $(id -u) -ne 0 ]] || as_server=(setpriv "--reuid=$1" "--regid=$2" --init-groups --inh-caps=-all --bounding-set=-all --)
    as_server+=(env -u KEYWRIGHT_CONFIG -u OPENSSL_MODULES "HOME=$case_dir" "OPENSSL_CONF=$case_dir/a/openssl.cnf")
    # what is told to do when it does not work, where it does
    as_user "$1" "$2" programs.md 'When it does not work'
    as_user "$1" "$2" openssl.md 'When a key does not open'
    expect 0 bash -c "$(lines openssl.md 'Activating it' 2)"
    expect_out 'name: Keywright'
    expect_out ': Name: keywright:general/web$'
}

# as_user USER GROUP DOCUMENT SECTION [N]: the lines, which begin with setpriv and postgres, for this user; where there is no other, without.
as_user() {
    local command reached=()
    command=$(lines "${@:3}" | sed -E "s/--reuid=postgres --regid=postgres/--reuid=$1 --regid=$2/")
    [[ $(id -u) -eq 0 ]] || command=$(sed -E 's/^setpriv .*--init-groups //' <<<"$command")
    [[ ! -d $work/nobody ]] || reached=("PATH=$work/nobody/bin:$PATH" "LD_LIBRARY_PATH=$work/nobody/lib")
    expect "${wanted_status:-0}" env -u OPENSSL_MODULES "${reached[@]}" bash -c "$command"
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
