#!/usr/bin/env bash
# Several processes at once, processes that die, and processes without rights.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

# One of 8 processes: 25 creations, and reads in between.
create_many() {
    local process=$1 number
    for number in {1..25}; do
        keywright create "database/p$process-n$number" || return 1
        keywright list --json >"list.$process" || return 1
        jq -e ". | map(.certificate) | index(\"database/p$process-n$number\") != null" "list.$process" >/dev/null || return 1
        keywright show "database/p$process-n$number" --json >"show.$process" || return 1
    done
}

eight_processes_lose_and_double_nothing() {
    local process pids=()
    server a
    for process in {1..8}; do
        create_many "$process" >"log.$process" 2>&1 &
        pids+=($!)
    done
    for process in {1..8}; do
        wait "${pids[process - 1]}" || fail "process $process: $(tail -n 3 "log.$process")"
    done
    ! grep -qi 'locked\|busy' log.* || fail "a process met a lock: $(grep -hi 'locked\|busy' log.* | head -n 1)"
    expect 0 keywright list --json
    expect_json '[.[] | select(.kind == "database")] | length == 200'
    expect_json '([.[].certificate] | unique | length) == length and ([.[].sha256] | unique | length) == length'
    [[ $(sqlite3 "$catalogue" 'select count(*) from journal') -eq 0 ]] || fail "the journal is not empty"
    [[ $(sqlite3 "$catalogue" 'select count(*) from (select 1 from certificate group by store_id, locator having count(*) > 1)') -eq 0 ]] ||
        fail "two certificates share a key"
    printf text >text
    for process in 1 8; do
        expect 0 keywright encrypt "database/p$process-n25" -i text -o cms
        expect 0 keywright decrypt "database/p$process-n25" -i cms -o plain
        expect_same text plain
    done
}

same_name_from_many_is_created_once() {
    local process created=0 pids=()
    server a
    for process in {1..8}; do
        keywright create database/same >"log.$process" 2>&1 &
        pids+=($!)
    done
    for process in {1..8}; do
        if wait "${pids[process - 1]}"; then
            created=$((created + 1))
        else
            grep -q 'database/same' "log.$process" || fail "$(cat "log.$process")"
        fi
    done
    [[ $created -eq 1 ]] || fail "created $created times"
    expect 0 keywright list --json
    expect_json '[.[] | select(.kind == "database")] | length == 1'
    # The keys of the others are gone: each record that the store keeps for a key belongs to a certificate.
    keywright -q create database/another
    expect 0 keywright --json status
    expect_json '.certificates == 4'
}

apply_from_many_creates_once() {
    local process pids=()
    server a
    expect 0 keywright delete server-encryption --force --yes
    for process in {1..6}; do
        keywright apply >"log.$process" 2>&1 &
        pids+=($!)
    done
    for process in {1..6}; do
        wait "${pids[process - 1]}" || fail "$(cat "log.$process")"
    done
    [[ $(cat log.* | grep -c 'created server-encryption') -eq 1 ]] || fail "created $(cat log.* | grep -c created) times"
}

killed_creations_leave_nothing_behind() {
    local round before after pid
    server a
    keywright -q create database/steady --key ec-p256
    before=$(sqlite3 "$catalogue" 'select count(*) from record')
    for round in {1..30}; do
        # RSA, so that there is time to be killed in.
        keywright create "database/killed-$round" --key rsa-2048 >/dev/null 2>&1 &
        pid=$!
        sleep "0.$(printf '%03d' $((round * 17 % 600)))"
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    expect 0 keywright apply
    [[ $(sqlite3 "$catalogue" 'select count(*) from journal') -eq 0 ]] || fail "the journal is not empty"
    expect 0 keywright list --all --json
    cp out listed.json
    jq -r '.[] | select(.name | test("killed")) | .certificate' listed.json >finished
    # What is there is whole, and nothing more is there.
    after=$(sqlite3 "$catalogue" 'select count(*) from record')
    [[ $after -eq $((before + $(wc -l <finished))) ]] ||
        fail "$after records for $(wc -l <finished) finished creations and $before before"
    printf text >text
    while IFS= read -r address; do
        expect 0 keywright encrypt "$address" -i text -o cms
        expect 0 keywright decrypt "$address" -i cms -o plain
    done <finished
    [[ $(wc -l <finished) -lt 30 ]] || fail "none was killed in time: the test tests nothing"
    # The names of the others are free.
    for round in {1..30}; do
        grep -qx "database/killed-$round" finished && continue
        expect 0 keywright create "database/killed-$round"
        break
    done
}

reader_without_write_access_fails_at_once_and_leaves_nothing() {
    local began
    server a
    chmod -R a+rX,a-w a
    as_nobody --version >/dev/null || fail "nobody cannot run the command"
    began=$EPOCHREALTIME
    find a | sort >before
    sha256sum "$catalogue" >sum
    expect 1 as_nobody create database/x
    [[ $(((${EPOCHREALTIME/[.,]/} - ${began/[.,]/}) / 1000000)) -lt 10 ]] || fail "not at once"
    expect_err 'write|may not'
    expect_err 'a/state'
    find a | sort >after
    expect_same before after
    sha256sum -c --quiet sum || fail "the catalogue changed"
    mkdir locked
    chmod 555 locked
    expect 1 as_nobody init locked/new
    expect_no_file locked/new
}

init_from_many_is_done_once_and_its_directory_stays() {
    local round process status done_by pids
    for round in {1..5}; do
        done_by=0
        pids=()
        rm -rf same
        # From any state of the directory: absent, and there already.
        [[ $((round % 2)) -eq 1 ]] || mkdir same
        for process in {1..6}; do
            keywright init same >"log.$process" 2>&1 &
            pids+=($!)
        done
        for process in {1..6}; do
            status=0
            wait "${pids[process - 1]}" || status=$?
            if [[ $status -eq 0 ]]; then
                done_by=$((done_by + 1))
            else
                [[ $status -eq 5 ]] || fail "exit status $status: $(cat "log.$process")"
                grep -q 'already' "log.$process" || fail "$(cat "log.$process")"
            fi
        done
        [[ $done_by -eq 1 ]] || fail "done $done_by times"
        find same -maxdepth 1 -printf '%P\n' | sort | tr '\n' ' ' >made
        [[ $(cat made) == ' catalogue-key keywright.yaml passphrase state ' ]] || fail "made: $(cat made)"
        expect 0 keywright -c same/keywright.yaml list --json
        expect_json 'length == 2'
    done
}

init_refused_removes_nothing_of_others() {
    mkdir mine
    printf 'precious' >mine/passphrase
    printf 'precious' >mine/notes
    expect 5 keywright init mine
    expect_err 'mine/passphrase'
    [[ $(find mine -type f | sort | tr '\n' ' ') == 'mine/notes mine/passphrase ' ]] || fail "not as it was: $(find mine)"
    [[ $(cat mine/passphrase mine/notes) == preciousprecious ]] || fail "overwritten"
    rm mine/passphrase
    mkdir -p mine/state/run
    printf 'precious' >mine/state/run/notes
    expect 5 keywright init mine
    expect_err 'mine/state'
    [[ $(find mine -type f | sort | tr '\n' ' ') == 'mine/notes mine/state/run/notes ' ]] || fail "not as it was: $(find mine)"
    expect 0 keywright init new
    expect 5 keywright init new
    expect_err 'keywright apply -c new/keywright.yaml'
}

init_interrupted_is_completed_by_apply() {
    local pid
    keywright init half >/dev/null 2>&1 &
    pid=$!
    for _ in {1..1000}; do
        [[ ! -e half/keywright.yaml ]] || break
        sleep 0.005
    done
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    expect 5 keywright init half
    expect_err 'keywright apply -c half/keywright.yaml'
    expect 0 keywright apply -c half/keywright.yaml
    expect 0 keywright -c half/keywright.yaml list --json
    expect_json 'length == 2'
}

run_cases init_from_many_is_done_once_and_its_directory_stays init_refused_removes_nothing_of_others \
    init_interrupted_is_completed_by_apply eight_processes_lose_and_double_nothing same_name_from_many_is_created_once apply_from_many_creates_once \
    killed_creations_leave_nothing_behind reader_without_write_access_fails_at_once_and_leaves_nothing
