#!/usr/bin/env bash
# Where secrets are not: in a core dump of a server, in its memory once it has closed, in what it says, in its files, and in arguments and environments.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

: "${LIBRARY:?names the library to test}"

# A server with a master key on a token, and what hangs on it: a derived key, and a softstore that a subkey opens.
hsm_server() {
    mkdir token
    trap token_stop EXIT
    token_pin_wanted=$(openssl rand -hex 16)
    token_start softhsm "$case_dir/token"
    other_server one
    openssl req -x509 -newkey rsa:2048 -noenc -keyout recovery.key -out one/recovery.pem -subj /CN=recovery 2>/dev/null
    (umask 077 && echo "$token_pin" >one/pin)
    sed -i "/^stores:/a\\  hsm:\\n    id: \"0b1d02aa11223344\"\\n    plugin: pkcs11\\n    options: {library: $token_library, token_label: $token_label, pin: file:pin}\\n  inner:\\n    id: \"77aa02aa\"\\n    plugin: softstore\\n    options: {passphrase: subkey:master-key/corp}" one/keywright.yaml
    echo 'subkeys: {recovery_certificate: recovery.pem}' >>one/keywright.yaml
    keywright -q create database/sales
    keywright -q create master-key/corp --database sales --store hsm --key rsa-2048
    keywright -q create password-reset/sales/web
    keywright -q create general/inner --store inner
}

# secrets: ./secrets, for look.py. The root by the recovery key, and the rest from it, by programs that have nothing of Keywright's.
learn_secrets() {
    local id locator
    id=$(sqlite3 "$catalogue" "SELECT id FROM entry WHERE address = 'master-key/corp'")
    sqlite3 "$catalogue" "SELECT writefile('wraps', wraps) FROM root WHERE master = '$id'" >/dev/null
    locator=$(sqlite3 "$catalogue" "SELECT CAST(locator AS TEXT) FROM certificate WHERE store_id = 'derived'")
    "$here/unseal.py" root recovery.key <wraps >bytes
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here python3 - "$id" "$locator" >secrets <<'END'
import sys, unseal
master, root = bytes.fromhex(sys.argv[1]), open("bytes", "rb").read()
key = bytes.fromhex(sys.argv[2].split(":")[4])
print("root", root.hex())
print("subkey", unseal.subkey(root, 1, master, 1, b"freed", b"").hex())
print("derived", unseal.subkey(root, 3, master, 1, b"ec-p256", key, 40).hex())
print("inner", unseal.subkey(root, 4, master, 1, b"77aa02aa:passphrase", b"").hex())
for name in "pin", "passphrase", "catalogue-key":
    print(name, open("one/" + name, "rb").read().strip().hex())
END
    # That these are the right ones: the passphrase opens the store.
    (umask 077 && grep '^inner ' secrets | cut -d ' ' -f 2 | tr -d '\n' >one/inner-passphrase)
    sed 's/subkey:master-key\/corp/file:inner-passphrase/' one/keywright.yaml >one/again.yaml
    expect 0 keywright -c one/again.yaml sign general/inner -i bytes -o signature
    rm one/inner-passphrase one/again.yaml signature
}

# look WHERE WHAT WORD...: none of them is there.
look() {
    local where=$1
    shift
    "$here/look.py" secrets "$@" >found || fail "nothing to look at: $where"
    [[ ! -s found ]] || fail "in $where: $(paste -s -d ' ' found)"
}

look_at_process() {
    look "the arguments of $1" files "/proc/$2/cmdline"
    look "the environment of $1" files "/proc/$2/environ"
    gcore -o core "$2" >gcore.log 2>&1 || fail "gcore: $(tail -n 1 gcore.log)"
    look "a core dump of $1" files "core.$2"
    rm "core.$2"
}

secrets_of_a_server_are_nowhere_but_in_its_own_pages() {
    local word child server
    hsm_server
    learn_secrets
    mkfifo questions answers
    python3 "$here/serve.py" "$LIBRARY" one/keywright.yaml password-reset/sales/web general/inner <questions >answers 2>said &
    server=$!
    exec 3>questions 4<answers
    read -r word child <&4 || fail "the server: $(cat said)"
    [[ $word == ready ]] || fail "the server: $(cat said)"
    # Where they are: looking works.
    "$here/look.py" secrets memory "$server" >found
    grep -q '^root ' found || fail "the root is not where it must be"
    look_at_process "the server" "$server"
    look_at_process "its child" "$child"
    echo >&3
    read -r word <&4 || fail "the server: $(cat said)"
    [[ $word == closed ]] || fail "the server: $(cat said)"
    look "the memory of the server that has closed" memory "$server"
    echo >&3
    wait "$server" || fail "the server: $(cat said)"
    [[ -s said ]] || fail "the server has logged nothing"
    look "what the server said" files said
    # shellcheck disable=SC2046 # names without spaces
    look "the files of the state" files $(find "$state" -type f)
}

verbs_say_no_secret() {
    local verb
    hsm_server
    learn_secrets
    echo text >text
    for verb in list "status --json" "show master-key/corp" "config check --connect" "rotate master-key/corp" \
        "seal master-key/corp --purpose freed -i text -o seal" "--json sign general/inner -i text -o signature"; do
        # shellcheck disable=SC2086
        expect 0 keywright -v -v $verb
        cat "$case_dir/out" "$case_dir/err" >>said
    done
    [[ $(wc -l <said) -gt 20 ]] || fail "too little was said"
    look "what verbs said" files said
}

run_cases secrets_of_a_server_are_nowhere_but_in_its_own_pages verbs_say_no_secret
