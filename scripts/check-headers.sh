#!/usr/bin/env bash
# check-headers.sh: every header compiles alone with gcc and clang: the public ones as C11 and C++17 without anything else on the way, the
# core's as C11. First proves that a header which does not would be found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Werror)
failures=0 checks=0

# compiles LANGUAGE COMPILER INCLUDE OPTION...
compiles() {
    local language=$1 compiler=$2 include=$3 standard=-std=c11
    shift 3
    [[ $language == c ]] || standard=-std=c++17
    printf '#include %s\n#include %s\nint keywright_header_check;\n' "$include" "$include" |
        "$compiler" "$standard" "${warnings[@]}" "$@" -fsyntax-only -x "$language" - 2>"$work/messages"
}

check() {
    checks=$((checks + 1))
    compiles "$@" && return
    failures=$((failures + 1))
    echo "$3 does not compile alone as $1 with $2:"
    head -n 5 "$work/messages"
}

echo 'static inline size_t too_short(void) { return 0; }' >"$work/broken.h"
for compiler in gcc clang; do
    if compiles c "$compiler" '"broken.h"' -iquote "$work"; then
        echo "check-headers.sh: $compiler takes a header that needs another" >&2
        exit 1
    fi
done

for header in include/keywright/*.h; do
    for compiler in gcc clang; do check c "$compiler" "<${header#include/}>" -Iinclude; done
    for compiler in g++ clang++; do check c++ "$compiler" "<${header#include/}>" -Iinclude; done
done

read -ra libraries <<<"$(pkg-config --cflags libcrypto sqlite3 yaml-0.1 jansson)"
mapfile -t internal < <(find core -name '*.h' | sort)
for header in "${internal[@]}"; do
    for compiler in gcc clang; do
        check c "$compiler" "\"${header#core/}\"" -D_GNU_SOURCE -Iinclude -iquote core "${libraries[@]}"
    done
done

echo "$checks checks, $failures failures"
[[ $failures -eq 0 ]]
