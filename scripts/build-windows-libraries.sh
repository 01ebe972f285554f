#!/usr/bin/env bash
# build-windows-libraries.sh [LIBRARY...]: builds for Windows (x86_64) the libraries that Keywright is made of; all of them, or those named.
#
# They come from Debian's source packages, as this system's own mirror has them, and are built by mingw-w64 into a folder that all checkouts
# share: $KW_WINDOWS_LIBRARIES, else keywright/windows-libraries in the user's cache. A library is built anew when its version, its recipe
# below or the compiler has changed; else nothing is done. Prints the folder, which cmake/mingw.cmake finds
# by itself. Packages: scripts/install-packages.sh windows.
set -euo pipefail
shopt -s inherit_errexit

host=x86_64-w64-mingw32
all=(cmocka openssl libyaml jansson sqlite3 curl)
top=${KW_WINDOWS_LIBRARIES:-${XDG_CACHE_HOME:-$HOME/.cache}/keywright/windows-libraries}
prefix=$top/prefix # what is merged here was configured for here, so that its .pc files are right
jobs=$(nproc)

fail() {
    echo "build-windows-libraries.sh: $*" >&2
    exit 1
}

# ---- Recipes: in the unpacked source, into $DESTDIR$prefix ----

# Shared, because a program and the provider in it must have one libcrypto. Without modules of its own the legacy provider, which old .pfx
# files need, is part of libcrypto. What is not needed of it (the command, static libraries) is half of the work.
build_openssl() {
    local dlls=(libcrypto-3-x64.dll libssl-3-x64.dll)
    ./Configure mingw64 shared no-module no-tests --cross-compile-prefix="$host-" --prefix="$prefix" --libdir=lib \
        --openssldir='C:/Program Files/Common Files/SSL' CC=gcc-posix LDFLAGS=-static-libgcc
    make build_generated
    make -j "$jobs" "${dlls[@]}" libcrypto.pc libssl.pc
    mkdir -p "$DESTDIR$prefix/bin" "$DESTDIR$prefix/lib/pkgconfig" "$DESTDIR$prefix/include/openssl"
    cp include/openssl/*.h "$DESTDIR$prefix/include/openssl/"
    "$host-strip" --strip-unneeded "${dlls[@]}"
    cp "${dlls[@]}" "$DESTDIR$prefix/bin/"
    cp libcrypto.dll.a libssl.dll.a "$DESTDIR$prefix/lib/"
    cp libcrypto.pc libssl.pc "$DESTDIR$prefix/lib/pkgconfig/"
}

build_libyaml() {
    by_cmake -DBUILD_TESTING=OFF -DBUILD_SHARED_LIBS=OFF
    describe yaml-0.1 "${PWD##*-}" -lyaml
    sed -i 's/^Cflags:.*/& -DYAML_DECLARE_STATIC/' "$DESTDIR$prefix/lib/pkgconfig/yaml-0.1.pc"
}

build_jansson() {
    by_cmake -DJANSSON_BUILD_DOCS=OFF -DJANSSON_EXAMPLES=OFF -DJANSSON_WITHOUT_TESTS=ON -DJANSSON_BUILD_SHARED_LIBS=OFF
}

build_sqlite3() {
    # The amalgamation is made by a program that runs here.
    ./configure --disable-tcl --disable-readline
    make sqlite3.c
    mkdir -p "$DESTDIR$prefix/lib" "$DESTDIR$prefix/include"
    "$host-gcc-posix" -O2 -DSQLITE_THREADSAFE=1 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_ENABLE_COLUMN_METADATA -c sqlite3.c -o sqlite3.o
    "$host-ar" rcs "$DESTDIR$prefix/lib/libsqlite3.a" sqlite3.o
    cp sqlite3.h sqlite3ext.h "$DESTDIR$prefix/include/"
    describe sqlite3 "$(<VERSION)" -lsqlite3
}

# Over HTTP alone, which is all that lists of revoked certificates come over, with the system's own trusted roots.
build_curl() {
    by_cmake -DBUILD_CURL_EXE=OFF -DBUILD_SHARED_LIBS=OFF -DBUILD_TESTING=OFF -DENABLE_MANUAL=OFF -DHTTP_ONLY=ON \
        -DCURL_USE_SCHANNEL=ON -DCURL_USE_OPENSSL=OFF -DCURL_ZLIB=OFF -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF -DUSE_NGHTTP2=OFF \
        -DUSE_LIBIDN2=OFF -DUSE_WIN32_IDN=ON -DCURL_USE_LIBSSH2=OFF -DCURL_USE_LIBPSL=OFF -DENABLE_UNICODE=ON
    sed -i 's/^Cflags:.*/& -DCURL_STATICLIB/' "$DESTDIR$prefix/lib/pkgconfig/libcurl.pc"
}

build_cmocka() {
    by_cmake -DBUILD_SHARED_LIBS=OFF -DWITH_STATIC_LIB=ON -DWITH_EXAMPLES=OFF -DUNIT_TESTING=OFF
}

# ---- What recipes share ----

by_cmake() {
    local compiled=$PWD/compiled-for-windows
    cmake -S . -B "$compiled" -G Ninja -DCMAKE_SYSTEM_NAME=Windows -DCMAKE_SYSTEM_PROCESSOR=x86_64 -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_COMPILER="$host-gcc-posix" -DCMAKE_CXX_COMPILER="$host-g++-posix" -DCMAKE_RC_COMPILER="$host-windres" \
        -DCMAKE_FIND_ROOT_PATH="$prefix;/usr/$host" -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER \
        -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY \
        -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_POSITION_INDEPENDENT_CODE=ON "$@"
    cmake --build "$compiled" --parallel "$jobs"
    DESTDIR=$DESTDIR cmake --install "$compiled"
}

# describe NAME VERSION LIBRARY...: a .pc file, where the source brings none.
describe() {
    local name=$1 version=$2
    shift 2
    mkdir -p "$DESTDIR$prefix/lib/pkgconfig"
    printf 'prefix=%s\nName: %s\nDescription: %s\nVersion: %s\nLibs: -L${prefix}/lib %s\nCflags: -I${prefix}/include\n' \
        "$prefix" "$name" "$name" "$version" "$*" >"$DESTDIR$prefix/lib/pkgconfig/$name.pc"
}

# ---- Source packages ----

# The versions of a source package that apt knows, newest first.
versions_of() {
    apt-cache showsrc --only-source "$1" 2>/dev/null | awk '$1 == "Version:" { print $2 }' | sort --version-sort --reverse --unique
}

# sources_of FILE URI...: the entries of one of apt's files that lead to Debian's packages there, for their sources: all else about them stays,
# since apt takes no two entries for one place that differ in their keys.
sources_of() {
    local file=$1
    shift
    case $file in
    *.sources)
        awk -v uris="$*" 'BEGIN { RS = ""; count = split(uris, uri, " ") }
            { for (i = 1; i <= count; i++)
                  if (index($0, uri[i]) && gsub(/(^|\n)Types:[^\n]*/, "\nTypes: deb-src")) { print $0 "\n"; next } }' "$file"
        ;;
    *)
        awk -v uris="$*" 'BEGIN { count = split(uris, uri, " ") }
            $1 == "deb" { for (i = 1; i <= count; i++) if (index($0, uri[i])) { sub(/deb/, "deb-src"); print; next } }' "$file"
        ;;
    esac
}

# Adds deb-src entries where there are none: for each of Debian's own, from the same mirror, in files of their own.
add_sources() {
    local kind file entries uris=() as_root=()
    mapfile -t uris < <(apt-get indextargets --format '$(CREATED_BY)|$(ORIGIN)|$(REPO_URI)' |
        awk -F '|' '$1 == "Packages" && $2 == "Debian" { sub(/\/$/, "", $3); print $3 }' | sort --unique)
    [[ ${#uris[@]} -gt 0 ]] || fail "apt knows no mirror of Debian's: its packages' sources are needed"
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null || fail "not root, and there is no sudo: add deb-src lines to apt's sources, and run 'apt-get update'"
        as_root=(sudo)
    fi
    for kind in list sources; do
        entries=$(for file in /etc/apt/sources.list /etc/apt/sources.list.d/*."$kind"; do
            [[ ! -e $file || ($file == /etc/apt/sources.list && $kind != list) ]] || sources_of "$file" "${uris[@]}"
        done)
        [[ -z $entries ]] || "${as_root[@]}" tee "/etc/apt/sources.list.d/keywright-sources.$kind" <<<"$entries" >/dev/null
    done
    "${as_root[@]}" apt-get --quiet=2 --option Acquire::Retries=3 update
}

# ---- One library ----

# unpack NAME VERSION FOLDER: the sources with Debian's patches, in the one folder FOLDER/*/. Fails when the mirror does not have them.
unpack() {
    (cd "$3" && apt-get --quiet=2 --option Acquire::Retries=3 --option APT::Sandbox::User=root source "$1=$2") \
        >"$top/$1.unpack.log" 2>&1 </dev/null
}

# key NAME VERSION: what the result depends on.
key() {
    local name=$1 version=$2 recipe
    recipe=$(declare -f "build_$name")
    {
        echo "$name $version $recipe"
        [[ $recipe != *by_cmake* ]] || declare -f by_cmake
        [[ $recipe != *describe* ]] || declare -f describe
        "$host-gcc-posix" --version
    } | sha256sum | cut -c 1-64
}

# build NAME VERSION KEY FOLDER: what is unpacked in FOLDER.
build() {
    local name=$1 version=$2 wanted=$3 folder=$4 source log=$top/$1.log result=0
    source=$(echo "$folder"/*/)
    echo "building $name $version for Windows (log: $log)" >&2
    export DESTDIR=$folder/result
    # Not as a condition: in one, `set -e` does nothing.
    set +e
    (set -e && cd "$source" && "build_$name") >"$log" 2>&1 </dev/null
    result=$?
    set -e
    if [[ $result -ne 0 ]]; then
        tail -n 30 "$log" >&2
        fail "$name could not be built; the last words are above, the source is in $source"
    fi
    # What was there of an older one goes first.
    rm -f "$top/built/$name"
    if [[ -e $top/files/$name ]]; then
        (cd "$prefix" && xargs --null --no-run-if-empty rm -f --) <"$top/files/$name"
    fi
    (cd "$DESTDIR$prefix" && find . ! -type d -print0) >"$top/files/$name"
    cp -a "$DESTDIR$prefix/." "$prefix/"
    echo "$wanted" >"$top/built/$name"
}

# The newest version that is there: a mirror may know of one before it has its files.
provide() {
    local name=$1 version wanted folder versions
    mapfile -t versions < <(versions_of "$name")
    [[ ${#versions[@]} -gt 0 ]] || fail "apt knows no source of $name"
    for version in "${versions[@]}"; do
        wanted=$(key "$name" "$version")
        [[ ! -e $top/built/$name || $(<"$top/built/$name") != "$wanted" ]] || return 0
        folder=$(mktemp -d "$top/work.XXXXXX")
        if unpack "$name" "$version" "$folder"; then
            build "$name" "$version" "$wanted" "$folder"
            rm -rf "$folder"
            return 0
        fi
        rm -rf "$folder"
        echo "the mirror has no source of $name $version" >&2
    done
    tail -n 20 "$top/$name.unpack.log" >&2
    fail "apt-get got no source of $name"
}

libraries=("${@:-${all[@]}}")
for library in "${libraries[@]}"; do
    declare -F "build_$library" >/dev/null || fail "'$library' is none of: ${all[*]}"
done
for program in "$host-gcc-posix" "$host-windres" dpkg-source cmake ninja make perl tclsh; do
    command -v "$program" >/dev/null || fail "there is no $program: scripts/install-packages.sh windows"
done

mkdir -p "$top/built" "$top/files" "$prefix"
exec 9>"$top/lock"
flock 9
rm -rf "$top"/work.*
[[ -n $(versions_of openssl) ]] || add_sources
for library in "${libraries[@]}"; do
    provide "$library"
done
echo "$prefix"
