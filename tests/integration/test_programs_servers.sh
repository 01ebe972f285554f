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

# web_server KEY: certificates for server and client, and the directory that a server may write.
web_server() {
    program_server general/web "$1"
    new_certificate general/client ec-p256 client
    server_directory run
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

httpd_prefork_signs_in_its_children() {
    web_server rsa-2048
    hand_over
    port=$(free_port)
    {
        printf 'LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n' mpm_prefork mpm_prefork authz_core authz_core ssl ssl
        printf '%s\n' "ServerRoot $case_dir/run" "DefaultRuntimeDir $case_dir/run" "PidFile $case_dir/run/pid" "ErrorLog $case_dir/run/error.log" \
            "Mutex file:$case_dir/run" 'ServerName localhost' "Listen 127.0.0.1:$port" 'StartServers 2' "DocumentRoot $case_dir/run" \
            "<VirtualHost 127.0.0.1:$port>"
        lines programs.md 'Apache httpd'
        printf '</VirtualHost>\n'
    } >httpd.conf
    run_as_server httpd.log apache2 -f "$case_dir/httpd.conf" -DFOREGROUND
    settled https
    serves USR1
    ! grep -E ':(emerg|alert|crit|error)\]' run/error.log || fail 'httpd complains'
}

haproxy_signs() {
    web_server ec-p256
    lines programs.md HAProxy 1 | bash -e
    hand_over
    port=$(free_port)
    {
        printf 'global\n    nbthread 2\ndefaults\n    mode http\n    timeout client 20s\nfrontend web\n'
        lines programs.md HAProxy 2 | sed "s/:443/:$port/"
        printf '    http-request return status 200\n'
    } >haproxy.cfg
    run_as_server haproxy.log haproxy -W -f "$case_dir/haproxy.cfg"
    settled https
    serves USR2
}

stunnel_signs() {
    local behind
    web_server ec-p256
    hand_over
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
    hand_over
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
