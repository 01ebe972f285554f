#!/usr/bin/env bash
# on_token.sh KIT PLUGIN [ARGUMENT...]: the conformance kit on the token that with_token.sh made.
set -euo pipefail
kit=$1 plugin=$2
shift 2
options=("library=$KW_TOKEN_LIBRARY" "token_label=$KW_TOKEN_LABEL" "pin=$KW_TOKEN_PIN")
[[ -z $KW_TOKEN_INIT_ARGS ]] || options+=("init_args=$KW_TOKEN_INIT_ARGS")
skips=()
case $KW_TOKEN_KIND in
# They count wrong PINs: none is sent.
opencryptoki | tpm2) skips+=(--skip open.wrong-secret --skip set-secret.changes) ;;
esac
# It reaches the software TPM through tpm2-abrmd, by a D-Bus library that does not work in the child of a fork.
[[ $KW_TOKEN_KIND != tpm2 ]] || skips+=(--skip rule-7.fork)
exec "$kit" "${skips[@]}" "$@" "$plugin" "${options[@]}"
