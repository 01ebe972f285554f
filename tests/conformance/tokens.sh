#!/usr/bin/env bash
# tokens.sh KIT PLUGIN [--write]: the conformance kit with the plugin pkcs11 on a fresh token of each maker. What one cannot do is a capability and no
# failure. With --write, the table of docs/hsm.md is made anew of what the kit says.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kit=$1 plugin=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/keywright-tokens.XXXXXX")
trap 'rm -rf "$work"' EXIT

# kind | package that has its version | name
tokens='softhsm|softhsm2|SoftHSM @
opencryptoki|opencryptoki|openCryptoki @, software token
nss|libnss3|NSS softokn @
tpm2|libtpm2-pkcs11-1|tpm2-pkcs11 @ on swtpm'

failed=0 names=() files=()
while IFS='|' read -r kind package name; do
    version=$(dpkg-query --show --showformat='${source:Upstream-Version}' "$package")
    name=${name/@/${version%%+*}}
    status=0
    "$here/../integration/with_token.sh" "$kind" "$here/on_token.sh" "$kit" "$plugin" --json --quick \
        >"$work/$kind.json" 2>"$work/$kind.err" </dev/null || status=$?
    if [[ $status -ne 0 ]]; then
        failed=1
        echo "FAILED: $name: exit status $status"
        jq -r '.requirements[] | select(.verdict == "fail") | "    \(.id): \(.saw)"' "$work/$kind.json" || tail -n 5 "$work/$kind.err"
    else
        jq -r --arg name "$name" '[.requirements[].verdict] |
            "\($name): \(map(select(. == "pass")) | length) passed, \(map(select(. == "not checked")) | length) not checked"' "$work/$kind.json"
    fi
    names+=("$name")
    files+=("$work/$kind.json")
done <<<"$tokens"

# row NAME FILTER: one line of the table; the filter sees a token's capabilities.
row() {
    printf '| %s |' "$1"
    for file in "${files[@]}"; do printf ' %s |' "$(jq -r ".capabilities | $2" "$file")"; done
    printf '\n'
}

table() {
    printf '| |'
    printf ' %s |' "${names[@]}"
    printf '\n|---|'
    printf '%s' "${names[@]/*/---|}"
    printf '\n'
    # shellcheck disable=SC2016 # of jq
    {
        row 'makes keys' '. as $c | [."key types"[] | if . == "RSA" then "RSA \($c."RSA bits"[0]) to \($c."RSA bits"[1])" elif . == "EC" then ($c.curves | join(", ")) else . end] | join(", ")'
        row 'takes keys made elsewhere' 'if (.operations | index("import")) then "yes" else "no" end'
        row 'signatures' '[.schemes[] | select(. == "PKCS#1 v1.5" or . == "PSS" or . == "raw RSA" or . == "ECDSA" or . == "EdDSA")] | join(", ")'
        row 'OAEP by itself' '."OAEP hashes" | if length == 0 then "no" else join(", ") end'
        row 'OAEP and PKCS#1 v1.5 by raw RSA' 'if (.schemes | index("raw RSA")) then "yes" else "no" end'
        row 'ECDH' 'if (.operations | index("derive")) then "yes" else "no" end'
        row 'keeps certificates' 'if (.operations | index("store certificates")) then "yes" else "no" end'
        row 'changes its PIN' 'if (.operations | index("set secret")) then "yes" else "no" end'
    }
}

if [[ ${3:-} == --write ]]; then
    [[ $failed -eq 0 ]] || { echo "tokens.sh: the table stays as it is" >&2 && exit 1; }
    [[ $(grep -cxE '<!-- (tokens.sh|end) -->' "$here/../../docs/hsm.md") -eq 2 ]] ||
        { echo "tokens.sh: docs/hsm.md has no place for the table" >&2 && exit 1; }
    table >"$work/table"
    sed -i -e '/^<!-- tokens.sh -->$/,/^<!-- end -->$/ { /^<!-- tokens.sh -->$/ r '"$work/table" -e '/^<!-- /!d }' "$here/../../docs/hsm.md"
fi
exit $failed
