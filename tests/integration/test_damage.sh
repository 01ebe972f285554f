#!/usr/bin/env bash
# What is damaged, changed by others, or locked: told with its name, and the rest goes on.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# flip TABLE ROWID COLUMN: changes one byte in the middle of a value, in the kind of value that it is.
flip() {
    local kind hex at digit
    kind=$(sqlite3 "$catalogue" "select typeof($3) from $1 where rowid = $2")
    if [[ $kind == integer ]]; then
        sqlite3 "$catalogue" "pragma ignore_check_constraints = on; update $1 set $3 = $3 + 1 where rowid = $2"
        return
    fi
    hex=$(sqlite3 "$catalogue" "select hex(cast($3 as blob)) from $1 where rowid = $2")
    [[ -n $hex ]] || return 1
    at=$((${#hex} / 2 | 1)) # the lower half of a byte
    digit=$(printf '%X' $((0x${hex:at:1} ^ 1)))
    hex=${hex:0:at}$digit${hex:at+1}
    sqlite3 "$catalogue" "pragma ignore_check_constraints = on; update $1 set $3 = cast(X'$hex' as $kind) where rowid = $2"
}

columns() { sqlite3 "$catalogue" "select name from pragma_table_info('$1')"; }

damaged_server() {
    server a
    keywright -q create database/sales
    keywright -q create database/research
    printf 'text' >text
    keywright encrypt database/sales -i text -o sales.cms
    keywright encrypt database/research -i text -o research.cms
    sqlite3 "$catalogue" 'pragma wal_checkpoint(truncate)' >/dev/null
    cp -a a whole
}

restore() {
    rm -rf a
    cp -a whole a
}

entry_and_certificate_rows_are_told_when_changed() {
    local table row column
    damaged_server
    for table in entry certificate; do
        row=$(sqlite3 "$catalogue" "select $table.rowid from $table join entry e on e.id = $table.$([[ $table == entry ]] && echo id || echo entry)
            where e.address = 'database/sales'")
        for column in $(columns "$table"); do
            restore
            flip "$table" "$row" "$column" || continue
            expect 8 keywright list
            expect_out 'database/research'
            refuse_out 'database/sales '
            expect_err '[^ ]'
            # What is damaged is named once.
            refuse_err '((entry|certificate) [^ :]+).*\1'
            expect 8 keywright --json list
            expect_json '[.[].certificate] | index("database/research") != null and index("database/sales") == null'
            [[ $column == id || $column == address || $column == entry ]] || expect 8 keywright decrypt database/sales -i sales.cms -o none
            expect_no_file none
            expect 0 keywright decrypt database/research -i research.cms -o plain
            expect_same text plain
        done
    done
}

damaged_rows_are_dropped_by_force_and_nothing_else() {
    local change
    damaged_server
    keywright -q create password-reset/research/web
    keywright -q retire password-reset/research/web
    for change in "update entry set created = created + 1 where address = 'database/sales'" \
        "update certificate set number = 3 where entry = (select id from entry where address = 'database/sales')" \
        "update certificate set chain = X'3000' where entry = (select id from entry where address = 'database/sales')"; do
        restore
        sqlite3 "$catalogue" "$change"
        expect 8 keywright show database/sales
        expect_err 'keywright delete CERT --force'
        expect 8 keywright delete database/sales --yes
        expect 8 keywright list
        expect 0 keywright delete database/sales --yes --force
        expect_err 'stays in its store'
        expect 0 keywright list
        expect 0 keywright create database/sales
        expect 0 keywright decrypt database/research -i research.cms -o plain
    done
    # What hangs on it is not left without it.
    restore
    keywright -q create password-reset/sales/web
    sqlite3 "$catalogue" "update entry set created = created + 1 where address = 'database/sales'"
    expect 5 keywright delete database/sales --yes --force
    expect_err 'password-reset/sales/web depends'
    # Damage in the store is none of the certificate.
    restore
    sqlite3 "$catalogue" "update record set value = zeroblob(150) where name = cast('kek' as blob)"
    expect 8 keywright delete database/sales --yes --force
    expect 0 keywright list --json
    expect_json '[.[].certificate] | index("database/sales") != null'
}

store_records_are_told_when_changed() {
    local row name column status broken
    damaged_server
    expect 0 keywright decrypt database/sales -i sales.cms -o plain
    while IFS='|' read -r row name; do
        for column in value mac generation; do
            restore
            flip record "$row" "$column"
            broken=0
            for database in sales research; do
                status=0
                keywright decrypt "database/$database" -i "$database.cms" -o plain >out 2>err || status=$?
                case $status in
                0) expect_same text plain ;;
                8)
                    broken=$((broken + 1))
                    grep -q 'local\|record' err || fail "the record is not named: $(cat err)"
                    ;;
                *) fail "record $name, $column: exit status $status: $(cat err)" ;;
                esac
            done
            # A key's record is one key's; the store's own are all keys'.
            [[ $name != *key* || $broken -le 1 ]] || fail "record $name broke both keys"
        done
    done < <(sqlite3 "$catalogue" "select rowid, cast(name as text) from record" 2>/dev/null ||
        sqlite3 "$catalogue" "select rowid, hex(name) from record")
}

every_record_matters_to_somebody() {
    local row status database told
    damaged_server
    keywright list --json | jq -r '.[].certificate' >addresses
    for row in $(sqlite3 "$catalogue" 'select rowid from record'); do
        restore
        flip record "$row" value
        told=0
        while IFS= read -r database; do
            status=0
            keywright sign "$database" -i text -o s >out 2>err || status=$?
            [[ $status -eq 0 || $status -eq 8 ]] || fail "exit status $status: $(cat err)"
            [[ $status -eq 0 ]] || told=$((told + 1))
        done <addresses
        [[ $told -ge 1 ]] || fail "a changed record went unseen"
    done
}

wrong_passphrase_is_exit_7_and_not_damage() {
    damaged_server
    printf 'wrong\n' >a/passphrase
    expect 7 keywright decrypt database/sales -i sales.cms -o plain
    expect_err 'keywright.yaml:[0-9]+:[0-9]+: .*passphrase'
    expect_err 'write the right passphrase into .*/a/passphrase'
    expect_no_file plain
    rm a/passphrase
    expect 3 keywright decrypt database/sales -i sales.cms -o plain
    expect_err 'keywright.yaml:[0-9]+:[0-9]+: .*passphrase.*No such file'
    expect_err 'mode 0600'
    printf 'wrong\n' >a/passphrase
    expect 0 keywright list
    expect 7 keywright create database/more
    expect 0 keywright list --all --json
    expect_json 'length == 4'
    printf 'extra line\n' >>whole/passphrase
    restore
    keywright decrypt database/sales -i sales.cms -o plain >out 2>err && fail "two lines are no passphrase"
    expect_no_file plain
}

wrong_catalogue_key_is_told() {
    local status=0
    damaged_server
    head -c 64 /dev/urandom | base64 -w 0 >a/catalogue-key
    keywright list >out 2>err || status=$?
    [[ $status -eq 7 || $status -eq 8 ]] || fail "exit status $status"
    grep -q 'catalogue' err || fail "the catalogue key is not named"
}

catalogue_that_is_none_is_told() {
    local status
    damaged_server
    printf 'this is no database, but a text that is long enough to be taken for one' >"$catalogue"
    rm -f "$catalogue"-wal "$catalogue"-shm
    status=0
    keywright list >out 2>err || status=$?
    [[ $status -eq 8 ]] || fail "exit status $status: $(cat err)"
    restore
    truncate -s 5000 "$catalogue"
    rm -f "$catalogue"-wal "$catalogue"-shm
    status=0
    keywright list >out 2>err || status=$?
    [[ $status -eq 8 ]] || fail "exit status $status: $(cat err)"
    restore
    rm "$catalogue"
    rm -f "$catalogue"-wal "$catalogue"-shm
    expect 4 keywright list
    expect_err 'apply'
}

row_of_another_server_is_not_taken() {
    damaged_server
    # The certificate of one entry under the name of another.
    sqlite3 "$catalogue" "update entry set certificate = (select certificate from entry where address = 'database/research')
        where address = 'database/sales'"
    expect 8 keywright show database/sales
    expect 0 keywright show database/research
}

passphrase_changes_for_all() {
    damaged_server
    printf 'the new one\n' >new
    chmod 600 new
    expect 0 keywright passphrase local --new file:new
    expect_err 'keywright.yaml'
    expect 7 keywright decrypt database/sales -i sales.cms -o plain
    cp new a/passphrase
    expect 0 keywright decrypt database/sales -i sales.cms -o plain
    expect_same text plain
    expect 4 keywright passphrase nowhere --new file:new
    expect 3 keywright passphrase local --new file:missing
    expect 0 keywright decrypt database/sales -i sales.cms -o plain
    keywright passphrase local --new 'plainSecret9' >out 2>err && fail "a passphrase in argv"
    ! grep -q 'plainSecret9' out err || fail "a passphrase is repeated"
    cp whole/passphrase a/passphrase
    printf 'x' >other
    expect 7 keywright passphrase local --new file:other
}

run_cases entry_and_certificate_rows_are_told_when_changed damaged_rows_are_dropped_by_force_and_nothing_else store_records_are_told_when_changed every_record_matters_to_somebody \
    wrong_passphrase_is_exit_7_and_not_damage wrong_catalogue_key_is_told catalogue_that_is_none_is_told \
    row_of_another_server_is_not_taken passphrase_changes_for_all
