#!/usr/bin/env bash
# Builds the release preset and measures what the OpenSSL module costs a program that signs, as ratios in one run:
#   - with softstore, against the very same key from a file, by OpenSSL's default provider;
#   - with a SoftHSM token, against pkcs11-provider on the same token: the module that $PKCS11_PROVIDER names, the installed one, or the one of
#     Debian's package, which is fetched into the build directory (for Debian 12 from bookworm-backports).
#   bench/provider.sh [ROUNDS]
# Exit status 1 when a median is below its limit, or there is no pkcs11-provider.
set -euo pipefail
cd "$(dirname "$0")/.."

installed() {
    local place
    for place in /usr/lib/*-linux-gnu*/ossl-modules/pkcs11.so /usr/lib64/ossl-modules/pkcs11.so "$1"/usr/lib/*/ossl-modules/pkcs11.so; do
        [[ ! -e $place ]] || echo "$place"
    done | head -n 1
}

# fetch DIRECTORY: the package, unpacked there. Neither the system's packages nor its sources change, and no rights are needed.
fetch() {
    local sources options=() suite mirror
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    if [[ -z $(apt-cache madison pkcs11-provider 2>/dev/null) ]]; then
        # shellcheck source=/dev/null
        suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
        # from where this machine has its own Debian
        mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
            awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }')
        [[ -n $mirror ]] || return 1
        [[ $suite != bookworm ]] || suite=bookworm-backports
        sources=$1/sources.list
        printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite" >"$sources"
        options=(-o "Dir::Etc::SourceList=$sources" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$1/lists" -o "Dir::Cache=$1/cache")
        apt-get -qq "${options[@]}" -o Acquire::Retries=3 update
    fi
    (cd "$1" && apt-get -qq "${options[@]}" download pkcs11-provider && dpkg -x pkcs11-provider_*.deb .) >&2
}

if [[ -z ${KW_TOKEN_LIBRARY:-} ]]; then
    scripts/install-packages.sh hsm
    cmake --preset release -DBUILD_TESTING=OFF >/dev/null
    cmake --build build/release --target bench_provider openssl-provider plugin-softstore plugin-pkcs11 keywright-cli >/dev/null
    package=$PWD/build/release/pkcs11-provider
    export PKCS11_PROVIDER=${PKCS11_PROVIDER:-$(installed "$package")}
    if [[ -z $PKCS11_PROVIDER ]]; then
        fetch "$package" || { echo "pkcs11-provider cannot be fetched; install it, or name its module in \$PKCS11_PROVIDER" >&2 && exit 1; }
        PKCS11_PROVIDER=$(installed "$package")
    fi
    exec tests/integration/with_token.sh softhsm bench/provider.sh "$@"
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
bin=$PWD/build/release
keywright=$bin/bin/keywright
export KEYWRIGHT_CONFIG=$directory/server/keywright.yaml KEYWRIGHT_BENCH_PASSWORD=bench OPENSSL_CONF=$directory/openssl.cnf
"$keywright" -q init "$directory/server"
printf '%s' "$KW_TOKEN_PIN" >"$directory/server/pin"
chmod 600 "$directory/server/pin"
sed -i "/^stores:/a\\  hsm: {id: \"0b1d02aa\", plugin: pkcs11, options: {library: $KW_TOKEN_LIBRARY, token_label: $KW_TOKEN_LABEL, pin: file:pin}}" \
    "$KEYWRIGHT_CONFIG"

# conf [MODULE]: default first, as docs/openssl.md has it.
conf() {
    printf '%s\n' 'openssl_conf = start' '[start]' 'providers = providers' '[providers]' 'default = default_part' \
        'keywright = keywright_part' "${1:+pkcs11 = pkcs11_part}" '[default_part]' 'activate = 1' '[keywright_part]' 'activate = 1' \
        "module = $bin/lib/ossl-modules/keywright.so"
    [[ -z ${1:-} ]] || printf '%s\n' '[pkcs11_part]' 'activate = 1' "module = $1" "pkcs11-module-path = $KW_TOKEN_LIBRARY" \
        "pkcs11-module-token-pin = file:$directory/server/pin"
}

other=${PKCS11_PROVIDER:-}
[[ -e $other ]] || { echo "there is no pkcs11-provider at '$other'" >&2 && exit 1; }
status=0
conf >"$OPENSSL_CONF"
echo "digest-sign by keywright: (softstore) against the same key from a file ($(openssl version))"
for subject in rsa-2048:0.98 ec-p256:0.90; do
    name=general/${subject%:*}
    "$keywright" -q create "$name" --key "${subject%:*}"
    "$keywright" -q export "$name" -o "$directory/key.pfx" --password-from env:KEYWRIGHT_BENCH_PASSWORD 2>/dev/null
    openssl pkcs12 -in "$directory/key.pfx" -passin env:KEYWRIGHT_BENCH_PASSWORD -nocerts -noenc -out "$directory/${subject%:*}.pem"
    "$bin/bench/bench_provider" "${subject%:*} digest-sign" "${subject#*:}" "keywright:$name" "file:$directory/${subject%:*}.pem" "$@" ||
        status=1
    rm -f "$directory/key.pfx"
done
conf "$other" >"$OPENSSL_CONF"
echo "digest-sign by keywright: (SoftHSM) against pkcs11-provider on the same token"
for key in rsa-2048 ec-p256; do
    "$keywright" -q create "general/hsm-$key" --key "$key" --store hsm
    id=$("$keywright" show "general/hsm-$key" --json | jq -r .key_id | sed 's/../%&/g')
    "$bin/bench/bench_provider" "$key digest-sign" 1.0 "keywright:general/hsm-$key" \
        "pkcs11:token=$KW_TOKEN_LABEL;id=$id;type=private" "$@" || status=1
done
exit $status
