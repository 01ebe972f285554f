#!/usr/bin/env bash
# Builds the release preset and measures what `list` and `status` cost with many certificates.
#   bench/list.sh [COUNT]
# Exit status 1 when `list` takes longer than a second for 10,000 (or fewer) certificates.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-10000}
scripts/install-packages.sh build
cmake --preset release >/dev/null
cmake --build build/release --target bench_list keywright-cli plugin-softstore >/dev/null
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
build/release/bin/keywright -q init "$directory/server"
export KEYWRIGHT_CONFIG=$directory/server/keywright.yaml
printf 'plugin_directories: [%s]\n' "$PWD/build/release/lib/keywright" >>"$KEYWRIGHT_CONFIG"
build/release/bench/bench_list "$count" "$directory/server"

# measure COMMAND...: sets $took, in milliseconds; the best of three, since other programs run too.
measure() {
    local begin now round
    took=
    for round in 1 2 3; do
        begin=$(date +%s%N)
        build/release/bin/keywright "$@" >"$directory/out"
        now=$((($(date +%s%N) - begin) / 1000000))
        [[ -n $took && $took -le $now ]] || took=$now
    done
    printf 'keywright %s: %d ms, the best of %d\n' "$*" "$took" "$round"
}

measure status
measure list --json
measure list
[[ $count -gt 10000 || $took -le 1000 ]] || { echo "list took longer than a second" >&2 && exit 1; }
