# tokens.sh: fresh tokens of several makers, for tests. Sourced; `token_start KIND DIRECTORY` makes one in an empty directory and sets
#
#   token_library     the PKCS#11 module
#   token_init_args   what its C_Initialize wants, where it wants something
#   token_label, token_pin, token_so_pin     where token_pin_wanted is set, the PIN is that
#
# and in the environment what the module needs. `token_stop` ends what was started for it. KIND is one of token_kinds. What runs is started
# here, without systemd, and ends with this shell however it ends. What does not answer is named after a while, well before a test's own limit.
# shellcheck shell=bash disable=SC2034 # what is set here is used by the tests

token_kinds=(softhsm opencryptoki nss tpm2)
token_processes=()
token_mounts=()
token_taken=no
token_limit=60 # seconds for one call of a program on a token

token_fail() {
    printf 'tokens.sh: %s\n' "$*" >&2
    return 1
}

# token_module NAME...: the first that is installed.
token_module() {
    local name place
    for name in "$@"; do
        for place in /usr/lib/*-linux-gnu* /usr/lib64 /usr/lib; do
            [[ ! -e $place/$name ]] || { printf '%s\n' "$place/$name" && return 0; }
        done
    done
    token_fail "none of these is installed: $*"
}

# token_daemon LOG COMMAND...: in the background. What goes wrong with it stands in its log. It does not keep the lock of token_taken.
token_daemon() {
    local log=$1
    shift
    (
        [[ -z ${token_lock:-} ]] || exec {token_lock}>&-
        exec setpriv --pdeathsig KILL "$@"
    ) >"$log" 2>&1 </dev/null &
    token_processes+=($!)
}

# token_await WHAT LOG COMMAND...: until it succeeds, while the daemon that was started last runs; twenty seconds.
token_await() {
    local what=$1 log=$2 until=$((SECONDS + 20)) daemon=${token_processes[-1]}
    shift 2
    while [[ $SECONDS -lt $until ]]; do
        kill -0 "$daemon" 2>/dev/null || token_fail "$what has ended: $(tail -n 3 "$log")" || return
        ! token_limit=10 "$@" >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    token_fail "$what does not come up in 20 s: $(tail -n 3 "$log")"
}

# token_run COMMAND...: what the token has to answer.
token_run() {
    local status=0
    timeout --kill-after=5 "$token_limit" "$@" || status=$?
    [[ $status -ne 124 && $status -ne 137 ]] || token_fail "the token of $token_kind has not answered in $token_limit s: $*"
    return "$status"
}

# token_tool ARGUMENT...: pkcs11-tool on the token's module. It cannot hand over init_args; NSS takes them from the environment too.
token_tool() {
    NSS_LIB_PARAMS=$token_init_args token_run pkcs11-tool --module "$token_library" "$@"
}

# ---- SoftHSM 2 -----------------------------------------------------------------------------------------------

token_start_softhsm() {
    token_library=$(token_module softhsm/libsofthsm2.so) || return
    mkdir "$1/tokens"
    export SOFTHSM2_CONF=$1/softhsm2.conf
    printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$1" >"$SOFTHSM2_CONF"
    token_run softhsm2-util --init-token --free --label "$token_label" --pin "$token_pin" --so-pin "$token_so_pin" >"$1/log"
}

# ---- openCryptoki, software token ----------------------------------------------------------------------------

# Its places are fixed when it is compiled. Tests have them for themselves in a mount namespace: a script that will start such a token calls
# `token_space "$@"` first, which runs it again in there. Where that is not possible (a chroot that is no mount point), the places themselves
# are used, by one test at a time, provided that nobody has a token there.
token_space() {
    [[ -z ${KW_TOKEN_SPACE:-} ]] || return 0
    export KW_TOKEN_SPACE=shared
    if unshare --mount --ipc mount --make-rprivate / 2>/dev/null; then
        KW_TOKEN_SPACE=own exec unshare --mount --ipc -- "$0" "$@"
    fi
}

# token_place SOURCE TARGET
token_place() {
    mkdir -p "$2"
    mount --bind "$1" "$2"
    token_mounts+=("$2")
}

token_places_of_opencryptoki() {
    local home=$1/opencryptoki owner=$2 conf=/etc/opencryptoki/opencryptoki.conf
    getent group pkcs11 >/dev/null || token_fail "there is no group pkcs11, which the package opencryptoki makes" || return
    # The slot as the package has it: the format of the token has changed since.
    sed -n -e '/^version/p' -e '/^slot 3$/,/^}/p' "$conf" >"$1/opencryptoki.conf"
    grep -q libpkcs11_sw.so "$1/opencryptoki.conf" || token_fail "slot 3 of $conf is not the software token" || return
    if [[ ${KW_TOKEN_SPACE:-} == own ]]; then
        mkdir -p "$home"/{run,shm,lib,log,etc}
        cp -a /etc/opencryptoki/. "$home/etc"
        token_place "$home/run" /run
        token_place "$home/shm" /dev/shm
        token_place "$home/lib" /var/lib/opencryptoki
        token_place "$home/log" /var/log/opencryptoki
        token_place "$home/etc" /etc/opencryptoki
        cp "$1/opencryptoki.conf" "$conf"
    else
        mkdir -p /run/lock
        exec {token_lock}>/run/lock/keywright-opencryptoki
        flock --timeout 400 "$token_lock" ||
            token_fail "another test has openCryptoki's token (the lock /run/lock/keywright-opencryptoki) for 400 s already" || return
        [[ ! -e /var/lib/opencryptoki/swtok/NVTOK.DAT ]] ||
            token_fail "openCryptoki has a software token in /var/lib/opencryptoki/swtok; it is not touched" || return
        token_taken=yes
    fi
    mkdir -p /run/lock/opencryptoki/swtok /run/opencryptoki /var/lib/opencryptoki/swtok/TOK_OBJ /var/log/opencryptoki
    chown -R root:pkcs11 /run/lock/opencryptoki /var/lib/opencryptoki /var/log/opencryptoki
    chmod -R u=rwX,g=rwX,o= /run/lock/opencryptoki /var/lib/opencryptoki /var/log/opencryptoki
    chown "$owner":pkcs11 /run/opencryptoki
    chmod 710 /run/opencryptoki
}

# Later pkcsslotd gives up root's rights where it has its own user: it starts itself again, without its arguments, and leaves the foreground
# and what would end it. So it is started as that user.
token_start_opencryptoki() {
    local slot=3 owner=root as=()
    token_pin=12345678 # 4 to 8 characters
    token_so_pin=87654321
    token_library=$(token_module pkcs11/libopencryptoki.so opencryptoki/libopencryptoki.so) || return
    [[ $(id -u) -eq 0 ]] || token_fail "pkcsslotd is started by root alone" || return
    ! getent passwd pkcsslotd >/dev/null || owner=pkcsslotd
    [[ $owner == root ]] || as=(setpriv --reuid="$owner" --regid=pkcs11 --clear-groups --pdeathsig keep)
    token_places_of_opencryptoki "$1" "$owner" || return
    token_daemon "$1/pkcsslotd.log" "${as[@]}" /usr/sbin/pkcsslotd -f
    token_await pkcsslotd "$1/pkcsslotd.log" token_tool --list-slots || return
    token_tool --slot "$slot" --init-token --label "$token_label" --so-pin "$token_so_pin" >"$1/log" || return
    token_tool --slot "$slot" --login --login-type so --so-pin "$token_so_pin" --init-pin --pin "$token_pin" >>"$1/log" || return
    kill -0 "${token_processes[-1]}" 2>/dev/null || token_fail "pkcsslotd has not stayed in the foreground; what runs now ends with no test"
}

token_stop_opencryptoki() {
    local place
    for place in "${token_mounts[@]}"; do umount --lazy "$place"; done
    token_mounts=()
    [[ $token_taken == yes ]] || return 0
    token_taken=no
    find /var/lib/opencryptoki/swtok -type f -delete
    rm -f /dev/shm/var.lib.opencryptoki.swtok
    exec {token_lock}>&-
    unset token_lock
}

# ---- NSS softokn ---------------------------------------------------------------------------------------------

token_start_nss() {
    token_library=$(token_module libsoftokn3.so) || return
    mkdir "$1/database"
    printf '%s\n' "$token_pin" >"$1/pin"
    # Else each use of a private key costs ten thousand rounds of a derivation.
    export NSS_MIN_MP_PBE_ITERATION_COUNT=1 NSS_MAX_MP_PBE_ITERATION_COUNT=1
    token_run certutil -N -d "sql:$1/database" -f "$1/pin" || return
    token_init_args="configdir='sql:$1/database' flags=readWrite dbTokenDescription='$token_label'"
}

# ---- tpm2-pkcs11 on a software TPM ---------------------------------------------------------------------------

# swtpm serves one client at a time: tpm2-abrmd stands before it, on a bus of its own.
token_start_tpm2() {
    local places=("$1"/t "$1"/t.ctrl "$1"/bus)
    token_library=$(token_module pkcs11/libtpm2_pkcs11.so libtpm2_pkcs11.so.1) || return
    [[ ${#places[1]} -lt 100 ]] || token_fail "the path of $1 is too long for a socket in it" || return
    mkdir "$1/tpm" "$1/store"
    cat >"$1/bus.conf" <<EOF
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=${places[2]}</listen>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
EOF
    export DBUS_SESSION_BUS_ADDRESS=unix:path=${places[2]} TPM2_PKCS11_TCTI=tabrmd:bus_type=session TPM2_PKCS11_STORE=$1/store
    export TSS2_LOG=all+none TPM2_PKCS11_LOG_LEVEL=0
    token_daemon "$1/bus.log" dbus-daemon --nofork --nopidfile --config-file="$1/bus.conf"
    token_daemon "$1/swtpm.log" swtpm socket --tpm2 --flags not-need-init --tpmstate "dir=$1/tpm" \
        --server "type=unixio,path=${places[0]}" --ctrl "type=unixio,path=${places[1]}"
    token_await 'the software TPM' "$1/swtpm.log" eval "[[ -S ${places[0]} && -S ${places[1]} && -S ${places[2]} ]]" || return
    token_daemon "$1/abrmd.log" tpm2-abrmd --session --allow-root --max-transients=100 --tcti="swtpm:path=${places[0]}"
    token_await tpm2-abrmd "$1/abrmd.log" token_tool --list-slots || return
    token_tool --slot-index 0 --init-token --label "$token_label" --so-pin "$token_so_pin" >"$1/log" || return
    token_tool --token-label "$token_label" --login --login-type so --so-pin "$token_so_pin" --init-pin --pin "$token_pin" >>"$1/log"
}

# ---- All of them ---------------------------------------------------------------------------------------------

token_start() {
    local kind=$1 directory
    directory=$(readlink -f "$2")
    token_kind=$kind
    token_label=keywright-test
    token_pin=${token_pin_wanted:-1234567890}
    token_so_pin=87654321
    token_init_args=
    # Modules, and pkcs11-spy, keep memory to their end that LeakSanitizer cannot tell from ours; valgrind can (memcheck.suppressions).
    export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
    "token_start_$kind" "$directory" || token_fail "no token of $kind: $(tail -n 3 "$directory"/log 2>/dev/null)"
}

# Those that have not ended after five seconds are made to.
token_stop() {
    local process round
    for process in "${token_processes[@]}"; do
        kill "$process" 2>/dev/null || true
        for round in {1..100}; do
            kill -0 "$process" 2>/dev/null || break
            [[ $round -lt 100 ]] || kill -KILL "$process" 2>/dev/null || true
            sleep 0.05
        done
        wait "$process" 2>/dev/null || true
    done
    token_processes=()
    [[ ${token_kind:-} != opencryptoki ]] || token_stop_opencryptoki
    token_kind=
}
