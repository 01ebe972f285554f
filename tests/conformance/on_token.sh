#!/usr/bin/env bash
# on_token.sh KIT PLUGIN [ARGUMENT...]: the conformance kit on the token that with_token.sh made.
set -euo pipefail
kit=$1 plugin=$2
shift 2
options=("library=$KW_TOKEN_LIBRARY" "token_label=$KW_TOKEN_LABEL" "pin=$KW_TOKEN_PIN")
[[ -z $KW_TOKEN_INIT_ARGS ]] || options+=("init_args=$KW_TOKEN_INIT_ARGS")
exec "$kit" "$@" "$plugin" "${options[@]}"
