#!/usr/bin/env bash
# Builds the release preset and measures what seals cost, as ratios in one run: beside bare libcrypto, and beside a SoftHSM token that encrypts each record.
#   bench/seal.sh [ROUNDS]
# Exit status 1 when a median is below its limit.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ -z ${KW_TOKEN_LIBRARY:-} ]]; then
    scripts/install-packages.sh test
    cmake --preset release -DBUILD_TESTING=ON >/dev/null
    cmake --build build/release --target bench_seal plugin-softstore plugin-pkcs11 keywright-cli >/dev/null
    exec tests/integration/with_token.sh softhsm bench/seal.sh "$@"
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
keywright=$PWD/build/release/bin/keywright
export KEYWRIGHT_CONFIG=$directory/server/keywright.yaml
"$keywright" -q init "$directory/server"
printf '%s' "$KW_TOKEN_PIN" >"$directory/server/pin"
chmod 600 "$directory/server/pin"
printf '  hsm:\n    id: "0b1d02aa"\n    plugin: pkcs11\n    options: {library: %s, token_label: %s, pin: "file:pin"}\n' \
    "$KW_TOKEN_LIBRARY" "$KW_TOKEN_LABEL" >>"$KEYWRIGHT_CONFIG"
"$keywright" -q create database/bench
"$keywright" -q create master-key/bench --database bench --key rsa-2048 --store hsm
build/release/bench/bench_seal "$KEYWRIGHT_CONFIG" "$@"
