#!/usr/bin/env bash
# nginx as docs/programs.md configures it: workers without rights, reload under load, what a handshake costs, and the HSM taken away.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/databases.sh
. "$here/databases.sh"
# shellcheck source=tests/integration/openssl.sh
. "$here/openssl.sh"
# shellcheck source=tests/integration/programs.sh
. "$here/programs.sh"
count=100
[[ $full == no ]] || count=1000

# start_nginx: two workers, who are www-data where the master is root.
start_nginx() {
    port=$(free_port)
    {
        lines programs.md nginx 1
        lines programs.md nginx 2
        printf 'env KEYWRIGHT_SHIM_MODULE;\nenv KEYWRIGHT_SHIM_CONTROL;\ndaemon off;\npid %s/nginx.pid;\nevents {}\nhttp {\n    access_log off;\n' "$case_dir"
        printf "    %s_temp_path $case_dir/%s;\n" client_body body proxy proxy fastcgi fastcgi uwsgi uwsgi scgi scgi
        printf '    ssl_session_cache off;\n    ssl_session_tickets off;\n    server {\n        listen 127.0.0.1:%s ssl;\n' "$port"
        lines programs.md nginx 3
        printf '        return 200 "answer\\n";\n    }\n}\n'
    } >nginx.conf
    give_token www-data www-data
    run nginx.log nginx -e "$case_dir/error.log" -p "$case_dir" -c "$case_dir/nginx.conf"
    settled https
}

reload() {
    env -u KEYWRIGHT_CONFIG -u OPENSSL_MODULES "OPENSSL_CONF=$case_dir/a/openssl.cnf" nginx -e "$case_dir/error.log" -p "$case_dir" -c "$case_dir/nginx.conf" -s reload
}

workers() { pgrep -P "$program" | sort | tr '\n' ' '; }

old_are_gone() {
    local process
    for process in $1; do ! kill -0 "$process" 2>/dev/null || return 1; done
    [[ $(pgrep -c -P "$program") -eq 2 ]]
}

complaints() { grep -E '\[(emerg|alert|crit|error)\]' error.log; }

nginx_reloads_under_load_and_no_handshake_fails() {
    local before old client wanted=1
    program_server ec-p256
    start_nginx
    expect 0 https
    expect_out '^answer$'
    answers
    [[ $(id -u) -ne 0 ]] || for worker in $(pgrep -P "$program"); do
        [[ $(stat -c %U "/proc/$worker") == www-data ]] || fail 'a worker is still root'
    done
    # a handshake is one signature: C_SignInit and C_Sign, or one operation of softstore
    [[ $place != hsm ]] || wanted=2
    expect 0 handshakes 8 # each worker has had its first
    before=$(signatures)
    [[ $place != hsm ]] || calls=$("$STEER" control calls any)
    expect 0 handshakes 20
    [[ $(($(signatures) - before)) -eq $((20 * wanted)) ]] || fail "20 handshakes are $(($(signatures) - before)) calls"
    [[ $place != hsm || $(($("$STEER" control calls any) - calls)) -eq 40 ]] || fail "the module was called $(($("$STEER" control calls any) - calls)) times"
    # reloads while handshakes go on, until as many as wanted were made and all workers of before are gone
    handshakes "$count" "$case_dir/stop" >load 2>failures &
    client=$!
    for _ in 1 2; do
        old=$(workers)
        expect 0 reload
        settled old_are_gone "$old"
    done
    touch stop
    wait "$client" || fail "of $(cat load) handshakes: $(cat failures)"
    [[ $(cat load) -ge $count ]] || fail "there were $(cat load) handshakes"
    # a new key, and a certificate for it: from the next reload on
    openssl x509 -in a/server.pem -noout -serial >serial
    do_lines programs.md 'Before the first' 2
    ! openssl x509 -in a/server.pem -noout -serial | cmp -s - serial || fail 'there is no new certificate'
    give_token www-data www-data
    old=$(workers)
    kill -HUP "$program"
    settled old_are_gone "$old"
    expect 0 handshakes 8
    kill -QUIT "$program"
    wait "$program" || fail "nginx ended with $?"
    servers=()
    ! complaints || fail 'nginx complains'
}

nginx_serves_again_when_the_hsm_is_back() {
    program_server rsa-2048
    do_lines programs.md nginx 5
    start_nginx
    answers
    expect 0 handshakes 8
    "$STEER" control drop
    for version in --tlsv1.3 '--tls-max 1.2'; do
        # shellcheck disable=SC2086
        for _ in 1 2; do expect 35 https $version; done
    done
    grep -q 'SSL_do_handshake() failed (.*keywright: store hsm' error.log || fail 'nginx has not told'
    expect 1 reload
    "$STEER" control restore
    settled handshakes 4
    expect 0 handshakes 20
    answers
    kill -QUIT "$program"
    wait "$program" || fail "nginx ended with $?"
    servers=()
}

nginx_worker_without_rights_serves_until_the_hsm_goes_and_names_them() {
    [[ $(id -u) -eq 0 ]] || return 0 # who is not root gives up nothing
    program_server ec-p256
    chmod 711 a
    start_nginx
    expect 0 handshakes 8
    "$STEER" control drop
    expect 35 https
    "$STEER" control restore
    for _ in 1 2 3 4; do expect 35 https; done
    grep -q 'user www-data needs the right to read the file .*/a/pin' error.log || fail 'no right is named'
    kill -QUIT "$program"
    wait "$program" || fail "nginx ended with $?"
    servers=()
}

if [[ $full == yes ]]; then
    run_cases nginx_reloads_under_load_and_no_handshake_fails
    place=hsm
    run_cases nginx_reloads_under_load_and_no_handshake_fails nginx_serves_again_when_the_hsm_is_back \
        nginx_worker_without_rights_serves_until_the_hsm_goes_and_names_them
else
    # the reload with one store, the seed says which
    [[ $((RANDOM % 2)) -eq 0 ]] || place=hsm
    run_cases nginx_reloads_under_load_and_no_handshake_fails
    place=hsm
    run_cases nginx_serves_again_when_the_hsm_is_back
fi
