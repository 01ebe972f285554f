#!/usr/bin/env bash
# fuzz.sh [SECONDS [TARGET...]]: builds the fuzz targets (fuzz/fuzz_TARGET.c) and runs each for SECONDS (20; 0: on its seeds alone).
#
# Seeds are fuzz/corpus/TARGET and files that openssl makes here, with keys that are worth nothing. What libFuzzer learns stays in
# build/fuzz/corpus/TARGET for the next run. An input that crashes, leaks or hangs is kept and named:
# build/fuzz/fuzz/fuzz_TARGET FILE runs it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-20}
[[ $seconds =~ ^[0-9]+$ ]] || {
    echo "usage: scripts/fuzz.sh [SECONDS [TARGET...]]" >&2
    exit 2
}
[[ $# -eq 0 ]] || shift
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(address certificate key pem pfx prelude seal uri yaml)

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz

corpus=build/fuzz/corpus found=build/fuzz/found
mkdir -p "$corpus"/{address,certificate,key,pem,pfx,prelude,seal,uri,yaml} "$found"

# ---- Seeds ---------------------------------------------------------------------------------------------------

seeds() {
    local kind algorithm at=$corpus/seeds
    mkdir -p "$at"
    for kind in p256 ed25519 rsa; do
        case $kind in
        p256) algorithm="ec -pkeyopt ec_paramgen_curve:P-256" ;;
        ed25519) algorithm=ed25519 ;;
        rsa) algorithm=rsa:1024 ;;
        esac
        # shellcheck disable=SC2086 # words
        openssl req -x509 -newkey $algorithm -noenc -keyout "$at/$kind.key" -out "$at/$kind.crt" -subj "/CN=$kind/OU=x" \
            -addext subjectAltName=DNS:a,IP:127.0.0.1,email:a@b -addext extendedKeyUsage=serverAuth \
            -addext keyUsage=digitalSignature -addext nameConstraints=permitted\;DNS:a 2>/dev/null
        openssl x509 -in "$at/$kind.crt" -outform DER -out "$corpus/certificate/$kind"
        openssl pkcs8 -topk8 -in "$at/$kind.key" -nocrypt -outform DER -out "$corpus/key/$kind"
        openssl pkcs8 -topk8 -in "$at/$kind.key" -iter 1 -passout pass:password -outform DER -out "$corpus/key/$kind-pbes2"
        cat "$at/$kind.key" "$at/$kind.crt" | tail -c +12 >"$corpus/pem/$kind"
        openssl pkcs12 -export -in "$at/$kind.crt" -inkey "$at/$kind.key" -iter 1 -nomac -name "$kind" -passout pass:password \
            -out "$corpus/pfx/$kind"
        openssl pkcs12 -export -in "$at/$kind.crt" -inkey "$at/$kind.key" -keypbe NONE -certpbe NONE -nomac -name "$kind" \
            -passout pass:password -out "$corpus/pfx/$kind-plain"
    done
    openssl ec -in "$at/p256.key" -outform DER -out "$corpus/key/traditional" 2>/dev/null
    openssl rsa -in "$at/rsa.key" -traditional -outform DER -out "$corpus/key/traditional-rsa" 2>/dev/null
    openssl ec -in "$at/p256.key" -aes128 -passout pass:password 2>/dev/null | tail -c +12 >"$corpus/pem/traditional"
    openssl pkcs8 -topk8 -in "$at/p256.key" -scrypt -scrypt_N 2 -scrypt_r 1 -scrypt_p 1 -passout pass:password -outform DER \
        -out "$corpus/key/scrypt"
    openssl pkcs8 -topk8 -in "$at/p256.key" -v1 PBE-SHA1-3DES -iter 1 -passout pass:password -outform DER -out "$corpus/key/pbes1"
    openssl pkcs12 -export -in "$at/p256.crt" -inkey "$at/p256.key" -legacy -iter 1 -maciter -passout pass:password \
        -out "$corpus/pfx/legacy"
    cp conf/keywright.yaml "$corpus/yaml/whole"
}
[[ -f $corpus/seeds/rsa.key ]] || seeds

# ---- Running them ----------------------------------------------------------------------------------------------

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
failed=()
for target in "${targets[@]}"; do
    [[ -x build/fuzz/fuzz/fuzz_$target ]] || {
        echo "fuzz.sh: there is no target $target" >&2
        exit 2
    }
    folders=("$corpus/$target")
    [[ ! -d fuzz/corpus/$target ]] || folders+=("fuzz/corpus/$target")
    log=$found/$target.log
    # Without a time only what is there already is tried, which libFuzzer calls no runs.
    how=(-max_total_time="$seconds")
    [[ $seconds -ne 0 ]] || how=(-runs=0)
    if "build/fuzz/fuzz/fuzz_$target" "${how[@]}" -timeout=10 -rss_limit_mb=1024 -max_len=8192 \
        -artifact_prefix="$found/$target-" -print_final_stats=1 "${folders[@]}" >"$log" 2>&1; then
        printf '%-12s %9s inputs, %s kept\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
            "$(find "$corpus/$target" -type f | wc -l)"
    else
        tail -n 40 "$log"
        printf 'FAILED  %s: %s\n' "$target" "$(sed -n 's/.*Test unit written to //p' "$log")"
        failed+=("$target")
    fi
done
[[ ${#failed[@]} -eq 0 ]] || {
    echo "fuzz.sh: failed: ${failed[*]}; the inputs are in $found" >&2
    exit 1
}
