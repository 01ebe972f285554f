#!/usr/bin/env bash
# export and import: from server to server, and from and to other programs.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

password='a long password'

# A server with a database and all that is its own, and what was encrypted there.
database_server() {
    server "$1"
    keywright -q create database/sales --key rsa-2048
    keywright -q create database/research
    keywright -q create master-key/corp.example --database sales
    keywright -q create discovery-service/sales/scan
    keywright -q create password-reset/sales/web
    keywright -q create password-reset/sales/app
    printf 'old data' >text
    keywright encrypt database/sales -i text -o database.cms
    keywright encrypt master-key/corp.example -i text -o master.cms
    keywright encrypt password-reset/sales/app -i text -o reset.cms
    printf '%s\n' "$password" >password
    chmod 600 password
}

one_of_several_is_chosen_by_its_friendly_name() {
    local alias
    server a
    printf '%s\n' "$password" >password
    chmod 600 password
    for alias in web shop; do
        keytool -genkeypair -keystore two.p12 -storetype PKCS12 -storepass "$password" -alias "$alias" -dname "CN=$alias" \
            -keyalg EC -groupname secp256r1 >/dev/null 2>&1 || fail "keytool"
    done
    expect 2 keywright import two.p12 --as general/other --password-from file:password
    expect_err "'web'.*'shop'|'shop'.*'web'"
    expect 0 keywright import two.p12 --as general/shop --password-from file:password
    expect 0 keywright show general/shop --json
    expect_json '.subject == "CN=shop"'
    expect 4 keywright show general/web
    # A file of Keywright's has the address as friendly name.
    expect 0 keywright import two.p12 --as general/web --password-from file:password
    expect 0 keywright export general/web general/shop -o both.pfx --password-from file:password
    other_server b
    expect 0 keywright import both.pfx --as general/web --password-from file:password
    expect 4 keywright show general/shop
}

database_moves_with_all_its_own_to_another_server() {
    local file
    database_server a
    keywright list --database sales --json | jq '[.[] | {certificate, sha256, databases}]' >before
    expect 0 keywright export --database sales -o sales.pfx --password-from file:password
    expect_mode 600 sales.pfx
    other_server b
    expect 0 keywright --json import sales.pfx --password-from file:password
    expect_json '[.events[].certificate] | index("database/sales") != null and index("password-reset/sales/app") != null'
    keywright list --database sales --json | jq '[.[] | {certificate, sha256, databases}]' >after
    expect_same before after
    refuse_err 'does not have'
    [[ $(jq length after) -eq 5 ]] || fail "not all of the database arrived"
    for file in database:database/sales master:master-key/corp.example reset:password-reset/sales/app; do
        expect 0 keywright decrypt "${file#*:}" -i "${file%%:*}.cms" -o plain
        expect_same text plain
    done
    # Once more: all is there already, and nothing changes.
    expect 0 keywright import sales.pfx --password-from file:password
    keywright list --database sales --json | jq '[.[] | {certificate, sha256, databases}]' >again
    expect_same before again
}

identity_survives_the_move() {
    database_server a
    keywright show database/sales --json >before
    expect 0 keywright export --everything -o all.pfx --password-from file:password
    other_server b
    expect 0 keywright delete server-encryption --force --yes
    expect 0 keywright import all.pfx --password-from file:password
    keywright show database/sales --json >after
    [[ $(jq -r .certificate_id before) == "$(jq -r .certificate_id after)" ]] || fail "the certificate id changed"
    [[ $(jq -r .key_id before) != "$(jq -r .key_id after)" ]] || fail "the key's id did not change"
}

export_demands_a_password() {
    database_server a
    expect 5 keywright export --database sales -o sales.pfx </dev/null
    expect_err '--password-from'
    : >empty
    keywright export --database sales -o sales.pfx --password-from file:empty >out 2>err && fail "an empty password"
    expect 3 keywright export --database sales -o sales.pfx --password-from file:missing
    expect_no_file sales.pfx
    keywright export --database sales -o sales.pfx --password-from "secret1234" >out 2>err && fail "a password in argv"
    ! grep -q 'secret1234' out err || fail "a password is repeated"
    keywright export --database sales -o sales.pfx --password-from "inline:secret1234" >out 2>err && fail "a password in argv"
    ! grep -q 'secret1234' out err || fail "a password is repeated"
    # A location, if none is set.
    keywright export --database sales --password-from file:password >out 2>err && fail "no location"
    grep -q -- '-o' err || fail "the remedy does not name -o"
    expect 0 env "PASSWORD=$password" keywright export --database sales -o sales.pfx --password-from env:PASSWORD
    exec 7<password
    expect 0 keywright export --database sales -o b.pfx --password-from fd:7
    exec 7<&-
    expect_file sales.pfx
}

export_is_read_by_openssl() {
    database_server a
    expect 0 keywright export database/sales -o sales.pfx --password-from file:password
    openssl pkcs12 -in sales.pfx -passin file:password -noenc -out all.pem || fail "openssl cannot read it"
    openssl pkey -in all.pem -pubout -out from_key.pem
    keywright show database/sales --pem | openssl x509 -noout -pubkey >from_certificate.pem
    expect_same from_key.pem from_certificate.pem
    grep -q 'friendlyName' all.pem || fail "no friendlyName"
    openssl cms -decrypt -binary -inform DER -in database.cms -recip all.pem -inkey all.pem -out plain
    expect_same text plain
    ! openssl pkcs12 -in sales.pfx -passin pass:wrong -noout 2>/dev/null || fail "any password opens it"
}

ssl_connection_is_never_exported() {
    database_server a
    expect 5 keywright export ssl-connection -o x.pfx --password-from file:password
    expect_err 'ssl-connection'
    expect 5 keywright export database/sales ssl-connection -o x.pfx --password-from file:password
    expect_no_file x.pfx
    expect 0 keywright export --everything -o all.pfx --password-from file:password
    openssl pkcs12 -in all.pfx -passin file:password -nokeys | openssl storeutl -noout -text -certs /dev/stdin >all.txt 2>/dev/null
    grep -q 'psrDatabaseKey' all.txt || fail "the database is missing"
    ! grep -q 'PSR8Server' all.txt || fail "ssl-connection was exported"
}

separate_gives_one_file_each() {
    local count
    database_server a
    expect 0 keywright export --database sales --separate -o dir --password-from file:password
    count=$(find dir -name '*.pfx' | wc -l)
    [[ $count -eq 5 ]] || fail "$count files instead of 5"
    [[ $(find dir -name '*.pfx' -perm 600 | wc -l) -eq 5 ]] || fail "others may read them"
    # The setting chooses, and --together overrules it.
    printf 'export: {one_file_each: true, directory: chosen}\n' >>a/keywright.yaml
    expect 0 keywright config check
    expect 0 keywright export --database sales --password-from file:password
    [[ $(find a/chosen -name '*.pfx' | wc -l) -eq 5 ]] || fail "the setting does not choose"
    expect 0 keywright export --database sales --together -o one.pfx --password-from file:password
    expect_file one.pfx
    other_server b
    for file in dir/*; do
        # The database first: the others belong to it.
        [[ $file != *database* ]] || expect 0 keywright import "$file" --password-from file:password
    done
    for file in dir/*; do
        expect 0 keywright import "$file" --password-from file:password
    done
    expect 0 keywright list --database sales --json
    expect_json 'length == 5'
}

separate_files_have_names_of_their_own() {
    local address
    server a
    printf '%s\n' "$password" >password
    chmod 600 password
    for address in database/p database/p-q 'database/a b' database/a-b database/a%20b database/a+b database/näme; do
        keywright -q create "$address"
    done
    keywright -q create password-reset/p/q-r
    keywright -q create password-reset/p-q/r
    expect 0 keywright export --everything --separate -o dir --password-from file:password
    find dir -type f -printf '%f\n' | LC_ALL=C sort >names
    LC_ALL=C sort >wanted <<'END'
database+p.pfx
database+p-q.pfx
database+a%20b.pfx
database+a-b.pfx
database+a%2520b.pfx
database+a%2Bb.pfx
database+näme.pfx
password-reset+p+q-r.pfx
password-reset+p-q+r.pfx
server-encryption.pfx
END
    expect_same wanted names
    # A former certificate has its number, in the file's name and in what is told.
    keywright -q retire password-reset/p/q-r
    keywright -q create password-reset/p/q-r
    expect 0 keywright export --everything --separate -o dir --password-from file:password
    expect_out '^password-reset/p/q-r@1: exported to dir/password-reset\+p\+q-r@1\.pfx$'
    expect_out '^password-reset/p/q-r: exported to dir/password-reset\+p\+q-r\.pfx$'
    expect_file dir/password-reset+p+q-r@1.pfx
}

export_and_import_go_through_a_pipe() {
    database_server a
    keywright export --database sales -o - --password-from file:password >piped.pfx 2>err || fail "$(cat err)"
    openssl pkcs12 -in piped.pfx -passin file:password -noout || fail "not the file alone"
    expect 2 keywright export --database sales -o - --separate --password-from file:password
    other_server b
    expect 0 keywright import - --password-from file:password <piped.pfx
    expect 0 keywright decrypt database/sales -i database.cms -o plain
    expect_same text plain
    expect 2 keywright import - --password-from file:password </dev/null
}

import_with_a_wrong_password_is_exit_7_and_imports_nothing() {
    database_server a
    expect 0 keywright export --database sales -o sales.pfx --password-from file:password
    printf 'wrong' >wrong
    other_server b
    expect 7 keywright import sales.pfx --password-from file:wrong
    refuse_err 'wrong'\''s'
    expect 5 keywright import sales.pfx </dev/null
    expect_err '--password-from'
    expect 0 keywright list --all --json
    expect_json 'length == 2'
}

import_of_a_damaged_file_imports_nothing() {
    local size at status
    database_server a
    expect 0 keywright export --database sales -o sales.pfx --password-from file:password
    other_server b
    size=$(stat -c %s sales.pfx)
    for at in 5 40 $((size / 3)) $((size / 2)) $((size - 20)); do
        cp sales.pfx damaged.pfx
        printf '\x5a' | dd of=damaged.pfx bs=1 seek="$at" conv=notrunc status=none
        cmp -s sales.pfx damaged.pfx && continue
        status=0
        keywright import damaged.pfx --password-from file:password >out 2>err || status=$?
        [[ $status -eq 7 || $status -eq 8 || $status -eq 5 ]] || fail "byte $at: exit status $status: $(cat err)"
    done
    head -c $((size / 2)) sales.pfx >damaged.pfx
    expect 8 keywright import damaged.pfx --password-from file:password
    expect 0 keywright list --all --json
    expect_json 'length == 2'
    [[ $(sqlite3 "$catalogue" 'select count(*) from journal') -eq 0 ]] || fail "the journal is not empty"
}

own_certificate_never_replaces_a_key_certificate() {
    local address
    database_server a
    openssl req -x509 -addext basicConstraints=critical,CA:FALSE -newkey rsa:2048 -noenc -keyout k.pem -out c.pem -subj /CN=own -days 9 2>/dev/null
    openssl pkcs12 -export -in c.pem -inkey k.pem -passout file:password -out own.pfx
    for address in database/sales master-key/corp.example discovery-service/sales/scan password-reset/sales/web server-encryption; do
        keywright show "$address" --json | jq .sha256 >before
        expect 5 keywright import own.pfx --as "$address" --password-from file:password
        expect_err "$address|own"
        expect 5 keywright import c.pem --key k.pem --as "$address"
        keywright show "$address" --json | jq .sha256 >after
        expect_same before after
    done
    # Nor does one take a free place under another name.
    expect 5 keywright import own.pfx --as database/fresh --password-from file:password
    expect 0 keywright list --all --json
    expect_json '[.[].certificate] | index("database/fresh") == null'
    # A certificate of one's own is what `general` is for.
    expect 0 keywright import own.pfx --as general/own --password-from file:password
}

certificate_of_a_ca_is_never_imported() {
    server a
    local address
    openssl req -x509 -addext basicConstraints=critical,CA:TRUE -newkey rsa:2048 -noenc -keyout k.pem -out c.pem \
        -subj /OU=forged/CN=psrDatabaseKey -days 9 2>/dev/null
    for address in general/own database/forged; do
        expect 5 keywright import c.pem --key k.pem --as "$address"
        expect_err 'CA'
    done
    expect 0 keywright list --all --json
    expect_json 'length == 2'
}

import_reads_files_of_openssl() {
    server a
    printf '%s\n' "$password" >password
    openssl req -x509 -addext basicConstraints=critical,CA:FALSE -newkey rsa:2048 -noenc -keyout k.pem -out c.pem -subj /CN=one -days 9 2>/dev/null
    openssl pkcs12 -export -in c.pem -inkey k.pem -passout file:password -out modern.pfx
    openssl pkcs12 -export -in c.pem -inkey k.pem -passout file:password -certpbe AES-128-CBC -keypbe AES-192-CBC -macalg sha1 \
        -out other.pfx
    openssl pkcs12 -export -in c.pem -inkey k.pem -passout file:password -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1 \
        -out des.pfx
    openssl pkcs12 -export -in c.pem -inkey k.pem -passout file:password -nomac -out nomac.pfx
    openssl pkcs8 -topk8 -in k.pem -passout file:password -out k8.pem
    openssl rsa -in k.pem -traditional -out k1.pem 2>/dev/null
    openssl x509 -in c.pem -outform DER -out c.cer
    for file in modern other des; do
        expect 0 keywright import "$file.pfx" --as "general/$file" --password-from file:password
        expect 0 keywright delete "general/$file" --force --yes
    done
    expect 5 keywright import nomac.pfx --as general/nomac --password-from file:password
    expect_err '--allow-no-mac'
    expect 0 keywright import nomac.pfx --as general/nomac --password-from file:password --allow-no-mac
    expect 0 keywright delete general/nomac --force --yes
    expect 0 keywright import c.pem --key k8.pem --as general/k8 --password-from file:password
    expect 0 keywright delete general/k8 --force --yes
    expect 0 keywright import c.cer --key k1.pem --as general/k1
    expect 0 keywright delete general/k1 --force --yes
    cat c.pem k.pem >both.pem
    expect 0 keywright import both.pem --as general/both
    printf text >text
    expect 0 keywright sign general/both -i text -o s --padding pkcs1
    openssl x509 -in c.pem -noout -pubkey >public.pem
    openssl dgst -sha256 -verify public.pem -signature s text >/dev/null || fail "the imported key is another"
}

import_mistakes_are_refused() {
    server a
    printf '%s\n' "$password" >password
    openssl req -x509 -addext basicConstraints=critical,CA:FALSE -newkey rsa:2048 -noenc -keyout k.pem -out c.pem -subj /CN=one -days 9 2>/dev/null
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out other.pem 2>/dev/null
    openssl pkcs12 -export -in c.pem -inkey k.pem -passout file:password -out x.pfx
    expect 2 keywright import x.pfx --password-from file:password
    expect_err '--as'
    expect 4 keywright import missing.pfx --as general/x --password-from file:password
    keywright import c.pem --key other.pem --as general/x >out 2>err && fail "a key that is not the certificate's"
    keywright import c.pem --as general/x >out 2>err && fail "no key"
    printf 'no certificate' >text
    keywright import text --as general/x >out 2>err && fail "not a certificate"
    expect 4 keywright import x.pfx --as general/x --store nowhere --password-from file:password
    expect 2 keywright import x.pfx --as nonsense --password-from file:password
    expect 0 keywright list --all --json
    expect_json 'length == 2'
    # Another certificate in an entry that has one.
    expect 0 keywright import x.pfx --as general/x --password-from file:password
    openssl req -x509 -addext basicConstraints=critical,CA:FALSE -newkey rsa:2048 -noenc -keyout k2.pem -out c2.pem -subj /CN=two -days 9 2>/dev/null
    expect 5 keywright import c2.pem --key k2.pem --as database/x
}

failed_export_leaves_an_existing_file() {
    database_server a
    printf 'precious' >sales.pfx
    expect 4 keywright export database/nothing -o sales.pfx --password-from file:password
    expect 4 keywright export --database nothing -o sales.pfx --password-from file:password
    [[ $(cat sales.pfx) == precious ]] || fail "the file was touched"
    keywright export --database sales -o nowhere/sales.pfx --password-from file:password >out 2>err && fail "no directory"
    expect 0 keywright export --database sales -o sales.pfx --password-from file:password
    openssl pkcs12 -in sales.pfx -passin file:password -noout || fail "the file was not replaced"
    [[ $(find . -maxdepth 1 -name '*sales.pfx*' | wc -l) -eq 1 ]] || fail "a temporary file stayed"
}

export_follows_links_and_writes_into_pipes() {
    local reader
    database_server a
    mkdir elsewhere
    printf 'former' >elsewhere/real.pfx
    chmod 644 elsewhere/real.pfx
    ln -s elsewhere/real.pfx link.pfx
    ln -s link.pfx second.pfx
    expect 0 keywright export --database sales -o second.pfx --password-from file:password
    [[ -L second.pfx && -L link.pfx ]] || fail "a link was replaced"
    openssl pkcs12 -in elsewhere/real.pfx -passin file:password -noout || fail "not written behind the links"
    expect_mode 600 elsewhere/real.pfx
    [[ $(find . elsewhere -maxdepth 1 -name '*.pfx.*' | wc -l) -eq 0 ]] || fail "a temporary file stayed"
    ln -s nowhere dangling.pfx
    expect 4 keywright export --database sales -o dangling.pfx --password-from file:password
    expect_err 'dangling.pfx'
    [[ -L dangling.pfx && ! -e nowhere ]] || fail "the link was replaced"
    mkfifo pipe
    timeout 60 cat pipe >piped.pfx &
    reader=$!
    expect 0 timeout 60 keywright export --database sales -o pipe --password-from file:password
    [[ -p pipe ]] || fail "the pipe was replaced"
    wait "$reader" || fail "nothing came through the pipe"
    openssl pkcs12 -in piped.pfx -passin file:password -noout || fail "not whole through the pipe"
    # The command's own files too.
    printf text >text
    ln -s elsewhere/signature signature
    expect 4 keywright sign database/sales -i text -o signature
    printf 'former' >elsewhere/signature
    expect 0 keywright sign database/sales -i text -o signature
    [[ -L signature ]] || fail "the link was replaced"
    ! grep -q former elsewhere/signature || fail "not written behind the link"
}

run_cases one_of_several_is_chosen_by_its_friendly_name export_follows_links_and_writes_into_pipes database_moves_with_all_its_own_to_another_server identity_survives_the_move export_demands_a_password \
    export_is_read_by_openssl ssl_connection_is_never_exported separate_gives_one_file_each \
    separate_files_have_names_of_their_own export_and_import_go_through_a_pipe \
    import_with_a_wrong_password_is_exit_7_and_imports_nothing import_of_a_damaged_file_imports_nothing \
    own_certificate_never_replaces_a_key_certificate certificate_of_a_ca_is_never_imported \
    import_reads_files_of_openssl import_mistakes_are_refused \
    failed_export_leaves_an_existing_file
