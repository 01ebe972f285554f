#!/usr/bin/env bash
# Builds the release preset and measures what Keywright's road costs, as ratios in one run.
#   bench/run.sh [ROUNDS]
# Exit status 1 when a median is below its limit.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-packages.sh build
cmake --preset release -DBUILD_TESTING=OFF >/dev/null
cmake --build build/release --target bench_key plugin-softstore >/dev/null
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
TMPDIR=$directory build/release/bench/bench_key "$@"
