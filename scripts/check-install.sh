#!/usr/bin/env bash
# check-install.sh BUILD: installs into a fresh directory; holds the list of files against what is promised, runs the installed command,
# and builds and runs a program against the installed tree alone, by pkg-config and by find_package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:?usage: check-install.sh BUILD}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

DESTDIR=$work/root cmake --install "$build"
prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$build/CMakeCache.txt")
libdir=$(sed -n 's/^CMAKE_INSTALL_LIBDIR:PATH=//p' "$build/CMakeCache.txt")
configuration=$(sed -n 's/^CMAKE_BUILD_TYPE:STRING=//p' "$build/CMakeCache.txt")
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
root=$work/root$prefix

sed "s|@libdir@|$libdir|; s|@version@|$version|; s|@configuration@|${configuration,,}|" tests/install/files.txt | sort >"$work/expected"
(cd "$root" && find . ! -type d -printf '%P\n') | sort >"$work/actual"
if ! diff "$work/expected" "$work/actual"; then
    echo "check-install.sh: not what tests/install/files.txt promises (<: missing, >: not promised)" >&2
    exit 1
fi

# The command and the module find the library beside them, wherever they were put.
env -u LD_LIBRARY_PATH "$root/bin/keywright" --version >"$work/version"
env -u LD_LIBRARY_PATH openssl list -providers -provider-path "$root/$libdir/ossl-modules" -provider keywright >"$work/providers"
grep -q 'name: Keywright' "$work/providers"

export LD_LIBRARY_PATH=$root/$libdir
"$root/bin/keywright" plugins softstore >"$work/plugins"
grep -q passphrase "$work/plugins"
"$root/bin/keywright" init "$work/state" >/dev/null
"$root/bin/keywright" -c "$work/state/keywright.yaml" list --json | jq --exit-status 'map(.certificate) | index("ssl-connection") != null' >/dev/null

# pkg-config: put below another root, and put under another prefix than the configured one.
embed_by_pkg_config() {
    local flags
    export PKG_CONFIG_PATH=$1/pkgconfig
    [[ $(pkg-config --modversion keywright) == "$version" ]]
    [[ -d $(pkg-config --variable=plugindir keywright) ]]
    read -ra flags <<<"$(pkg-config --cflags --libs keywright openssl)"
    cc -std=c11 -Wall -Wextra -Werror tests/install/embed.c "${flags[@]}" -o "$work/embed"
    LD_LIBRARY_PATH=$1 "$work/embed" "$2"
}
embed_by_pkg_config "$root/$libdir" "$work/by-pkg-config"
cmake --install "$build" --prefix "$work/elsewhere" >/dev/null
embed_by_pkg_config "$work/elsewhere/$libdir" "$work/by-pkg-config-elsewhere"

cmake -S tests/install -B "$work/cmake" -G Ninja -DCMAKE_PREFIX_PATH="$root"
cmake --build "$work/cmake"
"$work/cmake/embed" "$work/by-cmake"

# The example by itself, as somebody would copy it.
cp -a examples/password-server "$work/password-server"
cmake -S "$work/password-server" -B "$work/example" -G Ninja -DCMAKE_PREFIX_PATH="$root" -DCMAKE_C_FLAGS="-Wall -Wextra -Werror"
cmake --build "$work/example"
"$work/example/password-server" --help >/dev/null
"$work/example/password-client" --help >/dev/null

# The drop-in, as systemd reads it with a unit; which speaks of what it does not know.
mkdir -p "$work/units/server.service.d"
printf '[Service]\nExecStart=/bin/true\n' >"$work/units/server.service"
verify_unit() { SYSTEMD_UNIT_PATH=$work/units: systemd-analyze verify --man=no "$work/units/server.service" 2>&1; }
cp "$root/share/keywright/systemd/keywright.conf" "$work/units/server.service.d"
said=$(verify_unit) || true
[[ -z $said ]] || {
    echo "check-install.sh: systemd reads the drop-in so: $said" >&2
    exit 1
}
sed -i 's/LimitCORE/LimitCores/' "$work/units/server.service.d/keywright.conf"
verify_unit | grep -q LimitCores || {
    echo "check-install.sh: systemd-analyze does not look at the drop-in" >&2
    exit 1
}
