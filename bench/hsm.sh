#!/usr/bin/env bash
# Builds the release preset and measures what Keywright's road costs with a SoftHSM token: calls, counted; times, as ratios in one run.
#   bench/hsm.sh [ROUNDS]
# Exit status 1 when a budget or a limit is not kept.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ -z ${KW_TOKEN_LIBRARY:-} ]]; then
    scripts/install-packages.sh test
    cmake --preset release -DBUILD_TESTING=ON >/dev/null
    cmake --build build/release --target bench_hsm pkcs11-shim pkcs11-steer plugin-softstore plugin-pkcs11 keywright-cli >/dev/null
    exec tests/integration/with_token.sh softhsm bench/hsm.sh "$@"
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
bin=$PWD/build/release
keywright=$bin/bin/keywright
"$keywright" -q init "$directory/server"
printf '%s' "$KW_TOKEN_PIN" >"$directory/server/pin"
chmod 600 "$directory/server/pin"

# The same server twice: once it knows the module itself, once the shim before it.
for library in "$KW_TOKEN_LIBRARY" "$bin/tests/modules/pkcs11-shim.so"; do
    configuration=$directory/server/$(basename "$library" .so).yaml
    {
        cat "$directory/server/keywright.yaml"
        printf '  hsm:\n    id: "0b1d02aa"\n    plugin: pkcs11\n'
        printf '    options: {library: %s, token_label: %s, pin: "file:pin"}\n' "$library" "$KW_TOKEN_LABEL"
    } >"$configuration"
done
direct=$directory/server/$(basename "$KW_TOKEN_LIBRARY" .so).yaml
"$keywright" -c "$direct" -q create general/rsa-2048 --key rsa-2048 --store hsm
"$keywright" -c "$direct" -q create general/ec-p256 --key ec-p256 --store hsm

export KEYWRIGHT_SHIM_MODULE=$KW_TOKEN_LIBRARY KEYWRIGHT_SHIM_CONTROL=$directory/control
"$bin/tests/shim" "$directory/control" create
status=0
"$bin/bench/bench_hsm" "$configuration" calls || status=1
"$bin/bench/bench_hsm" "$configuration" latency || status=1
"$bin/bench/bench_hsm" "$direct" ratio "$@" || status=1
exit $status
