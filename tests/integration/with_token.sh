#!/usr/bin/env bash
# with_token.sh KIND COMMAND...: runs a command with a fresh token (tokens.sh), which it finds in KW_TOKEN_LIBRARY, KW_TOKEN_INIT_ARGS,
# KW_TOKEN_LABEL and KW_TOKEN_PIN, and a TMPDIR that is removed afterwards. Its exit status is the command's.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/integration/tokens.sh
. "$here/tokens.sh"
[[ $# -ge 2 ]] || { echo "usage: with_token.sh KIND COMMAND..." >&2 && exit 2; }
[[ $1 != opencryptoki ]] || token_space "$@"
kind=$1
shift
# In memory where that is possible: SoftHSM writes a file some ten times for each object. openCryptoki's namespace has another /dev/shm.
place=/tmp
[[ $kind == opencryptoki || ! -w /dev/shm || $(stat -f -c %T /dev/shm) != tmpfs ]] || place=/dev/shm
directory=$(mktemp -d "${TMPDIR:-$place}/keywright-token.XXXXXX")
trap 'token_stop; rm -rf "$directory"' EXIT
token_start "$kind" "$directory"
export KW_TOKEN_KIND=$kind KW_TOKEN_LIBRARY=$token_library KW_TOKEN_INIT_ARGS=$token_init_args KW_TOKEN_LABEL=$token_label KW_TOKEN_PIN=$token_pin
status=0
mkdir "$directory/tmp"
TMPDIR=$directory/tmp "$@" || status=$?
exit "$status"
