#!/usr/bin/env bash
# Further TLS servers, and curl as a client, as docs/programs.md configures them.
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

# web_server KEY: certificates for server and client, and a directory.
web_server() {
    program_server "$1"
    new_certificate client ec-p256 3
    mkdir run
}

# serves SIGNAL: handshakes, each of which is one signature of the store (and sessions with a token, for children and threads that are new); also after the program was told to read its keys anew.
serves() {
    local before made wanted=1
    [[ $place != hsm ]] || wanted=2
    answers
    expect 0 handshakes 8
    before=$(signatures)
    expect 0 handshakes 12
    made=$(($(signatures) - before))
    [[ $made -eq $((12 * wanted)) || ($place == hsm && $made -gt 24) ]] || fail "12 handshakes are $made calls"
    kill "-$1" "$program"
    settled https
    expect 0 handshakes 12
}

# As Debian does, by apache2ctl, which gives it the environment of envvars alone that the document's line is in; its children are www-data.
httpd_prefork_signs_in_its_children() {
    web_server rsa-2048
    if [[ $place == hsm ]]; then
        give_token www-data www-data
        do_lines programs.md nginx 5
    fi
    port=$(free_port)
    mkdir run/socks lock
    {
        printf 'LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n' mpm_prefork mpm_prefork authz_core authz_core ssl ssl
        # shellcheck disable=SC2016 # httpd reads these from its environment
        printf '%s\n' 'PidFile ${APACHE_PID_FILE}' 'DefaultRuntimeDir ${APACHE_RUN_DIR}' 'ErrorLog ${APACHE_LOG_DIR}/error.log' \
            'Mutex file:${APACHE_LOCK_DIR}' 'ServerName localhost' "Listen 127.0.0.1:$port" 'StartServers 2' "DocumentRoot $case_dir/run"
        # shellcheck disable=SC2016
        [[ $(id -u) -ne 0 ]] || printf '%s\n' 'User ${APACHE_RUN_USER}' 'Group ${APACHE_RUN_GROUP}'
        printf '<VirtualHost 127.0.0.1:%s>\n' "$port"
        lines programs.md 'Apache httpd' 1
        printf '</VirtualHost>\n'
    } >apache2.conf
    {
        cat /etc/apache2/envvars
        lines programs.md 'Apache httpd' 2
        printf 'export APACHE_%s\n' "PID_FILE=$case_dir/run/pid" "RUN_DIR=$case_dir/run" "LOCK_DIR=$case_dir/lock" "LOG_DIR=$case_dir"
    } >envvars
    control() { env -u KEYWRIGHT_CONFIG -u OPENSSL_MODULES APACHE_STARTED_BY_SYSTEMD=true "APACHE_CONFDIR=$case_dir" apache2ctl "$@"; }
    expect 0 control start
    settled test -s run/pid
    program=$(cat run/pid)
    servers+=("$program")
    settled https
    [[ $(id -u) -ne 0 ]] || for child in $(pgrep -P "$program"); do
        [[ $(stat -c %U "/proc/$child") == www-data ]] || fail 'a child is still root'
    done
    serves USR1
    expect 0 control graceful
    settled https
    expect 0 control stop
    settled gone
    servers=()
    ! grep -E ':(emerg|alert|crit|error)\]' error.log || fail 'httpd complains'
}

gone() { ! kill -0 "$program" 2>/dev/null; }

# As Debian does: started as root, with a user and, where the document does not forbid it, a chroot.
haproxy_signs() {
    web_server ec-p256
    lines programs.md HAProxy 1 | bash -e
    [[ $place != hsm ]] || give_token haproxy haproxy
    port=$(free_port)
    {
        printf 'global\n    nbthread 2\n'
        [[ $(id -u) -ne 0 ]] || printf '    user haproxy\n    group haproxy\n'
        [[ $(id -u) -ne 0 || $place == hsm ]] || printf '    chroot %s\n' "$case_dir/run"
        printf 'defaults\n    mode http\n    timeout client 20s\nfrontend web\n'
        lines programs.md HAProxy 2 | sed "s/:443/:$port/"
        printf '    http-request return status 200\n'
    } >haproxy.cfg
    run haproxy.log haproxy -W -f "$case_dir/haproxy.cfg"
    settled https
    serves USR2
}

stunnel_signs() {
    local behind
    web_server ec-p256
    hand_over stunnel4 stunnel4
    serve_text 'c.recv(4096); c.sendall(b"HTTP/1.0 200 OK\r\n\r\nanswer\n")'
    behind=$port
    port=$(free_port)
    {
        printf 'foreground = yes\npid =\n[web]\naccept = 127.0.0.1:%s\nconnect = 127.0.0.1:%s\n' "$port" "$behind"
        lines programs.md stunnel
    } >stunnel.conf
    run_as_server stunnel.log stunnel "$case_dir/stunnel.conf"
    settled https
    serves HUP
}

openssl_serves_curl_with_a_client_s_certificate() {
    web_server rsa-2048
    hand_over nobody nogroup
    run_as_server openssl.log bash -c "exec $(lines programs.md openssl | sed 's/4433/127.0.0.1:0/') -Verify 1 -verify_return_error -CAfile a/client.pem"
    await 's/^ACCEPT .*:([0-9]+)$/\1/p' openssl.log
    for version in --tlsv1.3 '--tls-max 1.2'; do
        expect 0 "${as_server[@]}" bash -c "$(lines programs.md curl | sed "s|localhost/|localhost:$port/|") --silent --show-error --max-time 20 $version"
        expect_out 'CN *= *client'
    done
    expect 35 https --tls-max 1.2
}

all=(httpd_prefork_signs_in_its_children haproxy_signs stunnel_signs openssl_serves_curl_with_a_client_s_certificate)
if [[ $full == yes ]]; then
    run_cases "${all[@]}"
    place=hsm
    run_cases "${all[@]}"
else
    # two of them, one in each store; the seed says which
    chosen=$((RANDOM % ${#all[@]}))
    run_cases "${all[chosen]}"
    place=hsm
    run_cases "${all[(chosen + 1) % ${#all[@]}]}"
fi
