#!/usr/bin/env bash
# debian.sh SUITE -- COMMAND [ARGUMENT...]: runs a command in a bare Debian of that suite (bookworm is 12, trixie 13), at the top of a copy
# of this tree, uncommitted changes included. Its exit status is the command's.
#
# The bare system is made once by debootstrap, from the mirror of this machine, and kept for a month below ${XDG_CACHE_HOME:-~/.cache}/keywright/debian,
# beside the packages that were downloaded since and ccache's files; a run has a copy, which goes away with it. Processes and mounts are in
# namespaces of their own, so that none is left however the run ends. The network is this machine's. Needs root, for it mounts.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tree=/srv/keywright # every user may reach it: servers give up root

usage() {
    echo "usage: scripts/debian.sh SUITE -- COMMAND [ARGUMENT...]" >&2
    exit 2
}

fail() {
    echo "debian.sh: $*" >&2
    exit 1
}

# ---- In namespaces of its own --------------------------------------------------------------------------------

# Devices that programs need, and terminals and shared memory that are not this machine's.
mount_devices() {
    local device
    mount -t tmpfs -o mode=755,nosuid dev "$1"
    for device in null zero full random urandom tty; do
        : >"$1/$device"
        mount --bind "/dev/$device" "$1/$device"
    done
    mkdir "$1/pts" "$1/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$1/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev shm "$1/shm"
    ln -s pts/ptmx "$1/ptmx"
    ln -s /proc/self/fd "$1/fd"
    ln -s fd/0 "$1/stdin"
    ln -s fd/1 "$1/stdout"
    ln -s fd/2 "$1/stderr"
}

# enter SYSTEM CCACHE COMMAND...: the first process there, whose end is the end of all. pivot_root, because in a chroot there are no user namespaces.
enter() {
    local system=$1 ccache=$2 status=0
    shift 2
    mount --bind "$system" "$system"
    mount -t proc -o nosuid,nodev,noexec proc "$system/proc"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$system/sys"
    mount_devices "$system/dev"
    mkdir -p "$system/root/.cache/ccache" "$system/before"
    mount --bind "$ccache" "$system/root/.cache/ccache"
    cd "$system"
    pivot_root . before
    cd /
    umount --lazy /before
    rmdir /before
    if compgen -G '/usr/local/share/ca-certificates/*' >/dev/null; then update-ca-certificates >/dev/null 2>&1; fi
    cd "$tree"
    "$@" || status=$?
    exit "$status"
}

if [[ ${1:-} == --enter ]]; then
    shift
    enter "$@"
fi

# ---- The system ----------------------------------------------------------------------------------------------

[[ $# -ge 3 && $1 =~ ^[a-z]+$ && $2 == -- ]] || usage
suite=$1
shift 2
[[ $(id -u) -eq 0 ]] || fail "needs root, to make a Debian in a folder and to mount what it needs; run it with sudo"
[[ -n ${XDG_CACHE_HOME:-${HOME:-}} ]] || fail "neither HOME nor XDG_CACHE_HOME is set; one of them says where to keep the system"
scripts/install-packages.sh debian
umask 022
cache=${XDG_CACHE_HOME:-$HOME/.cache}/keywright/debian/$suite
mkdir -p "$cache/ccache"

run='' process=''

# New packages are kept for the next run; files of the same file system, whose links cost nothing.
clean() {
    trap '' INT TERM HUP
    if [[ -n $process ]]; then
        kill -KILL "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    fi
    [[ -n $run ]] || return 0
    for package in "$run"/var/cache/apt/archives/*.deb; do
        [[ ! -f $package || -e $cache/archives/${package##*/} ]] || ln "$package" "$cache/archives/" || true
    done
    # What was just killed may still be at work.
    rm -rf --one-file-system "$run" 2>/dev/null || { sleep 1 && rm -rf --one-file-system "$run"; }
}
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# apart COMMAND...: with mounts and processes of its own, which end with it, and it with this script. In the background, so that a signal is
# taken at once. It does not get the locks, 8 and 9.
apart() {
    local status=0
    setpriv --pdeathsig KILL unshare --mount --ipc --pid --fork --kill-child "$@" <&0 8>&- 9>&- &
    process=$!
    wait "$process" || status=$?
    process=''
    return "$status"
}

# The mirrors that this machine has its own Debian from.
mirror='' security=''
find_mirrors() {
    local codename uri release component
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && [[ $ID == debian ]] && echo "${VERSION_CODENAME:-}") || fail "this machine is no Debian, whose mirror could be used"
    while read -r uri release component; do
        [[ $component == main && $uri == http*:* ]] || continue
        case $release in
        "$codename" | stable) mirror=${uri%/} ;;
        "$codename-security" | stable-security) security=${uri%/} ;;
        esac
    done < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages')
    [[ -n $mirror ]] || fail "apt knows no mirror of this machine's own Debian ($codename main); add one to its sources"
}

make_base() {
    echo "debian.sh: making a bare Debian $suite from $mirror, once a month" >&2
    rm -rf --one-file-system "$cache/base" "$cache/archives" "$cache/made"
    mkdir "$cache/archives"
    if ! DEBIAN_FRONTEND=noninteractive apart debootstrap --variant=minbase --include=ca-certificates "$suite" "$cache/made" "$mirror" \
        >"$cache/debootstrap.log" 2>&1; then
        tail -n 5 "$cache/debootstrap.log" >&2
        fail "debootstrap could not make a Debian $suite from $mirror; its last words are above, all of them in $cache/debootstrap.log"
    fi
    rm -f "$cache"/made/var/cache/apt/archives/*.deb
    mv "$cache/made" "$cache/base"
    touch "$cache/base"
}

# One run at a time makes the system, and removes what a killed one has left. A run holds the lock of its own folder.
exec 8>"$cache/lock"
flock 8
find_mirrors
for old in "$cache"/run.*; do
    [[ ! -d $old ]] || ! flock --nonblock "$old" true || rm -rf --one-file-system "$old"
done
[[ -n $(find "$cache/base" -maxdepth 0 -mtime -30 2>/dev/null) ]] || make_base
run=$(mktemp -d "$cache/run.XXXXXX")
chmod 755 "$run"
exec 9<"$run"
flock 9
exec 8>&-

# ---- A copy of it, with this tree ----------------------------------------------------------------------------

cp --archive --reflink=auto "$cache/base/." "$run"
find "$cache/archives" -name '*.deb' -exec cp --archive --link -t "$run/var/cache/apt/archives" {} +

# How the network is reached from here, and whose certificates are trusted for that.
cp --dereference --remove-destination /etc/resolv.conf /etc/hosts "$run/etc/"
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    cp --dereference /usr/local/share/ca-certificates/*.crt "$run/usr/local/share/ca-certificates/"
fi
apt-config dump | grep -E '^Acquire::(https?::Proxy(::[^ ]+)?|Check-Valid-Until|Check-Date|ForceIPv[46]) "[^"]+";$' \
    >"$run/etc/apt/apt.conf.d/90host" || true
cat >"$run/etc/apt/apt.conf.d/90lean" <<'END'
Acquire::Languages "none";
END
printf '%s\n' "deb $mirror $suite main" "deb $mirror $suite-updates main" ${security:+"deb $security $suite-security main"} >"$run/etc/apt/sources.list"
echo force-unsafe-io >"$run/etc/dpkg/dpkg.cfg.d/unsafe-io" # it does not outlive this run

mkdir "$run$tree"
git -c safe.directory="$PWD" ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [[ ! -f $file && ! -L $file ]] || printf '%s\0' "$file"; done |
    tar --create --null --no-recursion --files-from=- | tar --extract --no-same-owner --directory "$run$tree"
git -c core.hooksPath=/dev/null init --quiet --template= "$run$tree"
git -C "$run$tree" add --all

# ---- The command ---------------------------------------------------------------------------------------------

environment=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CCACHE_MAXSIZE=1G)
for name in TERM CI KW_TEST_SEED KW_TEST_FULL {http,https,ftp,no,all}_proxy {HTTP,HTTPS,FTP,NO,ALL}_PROXY; do
    [[ -z ${!name:-} ]] || environment+=("$name=${!name}")
done
status=0
apart bash "$PWD/scripts/debian.sh" --enter "$run" "$cache/ccache" env --ignore-environment "${environment[@]}" "$@" || status=$?
exit "$status"
