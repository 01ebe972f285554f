#!/usr/bin/env bash
# Programs with the module and a token: the end of a process, and a worker that may not open what the master could. What servers do in their
# daily life is in test_programs_*.sh.
# shellcheck source=tests/integration/tokens.sh
. "$(dirname "$0")/tokens.sh"
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/openssl.sh
. "$(dirname "$0")/openssl.sh"

# token_server: the server `a`, with a token as its store `hsm`.
token_server() {
    server a
    mkdir token
    trap token_stop EXIT
    token_start softhsm "$case_dir/token"
    (umask 077 && printf '%s' "$token_pin" >a/pin)
    sed -i "/^stores:/a\\  hsm: {id: \"0b1d02aa\", plugin: pkcs11, options: {library: $token_library, token_label: $token_label, pin: file:pin}}" \
        a/keywright.yaml
}

# await WHAT COMMAND...: until it succeeds; twenty seconds.
await() {
    local what=$1
    shift
    for _ in {1..200}; do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    fail "$what does not come up"
}

# ---- The end of a process ------------------------------------------------------------------------------------

# SoftHSM is a user of libcrypto itself, and has ended before libcrypto ends.
command_ends_well_after_a_token_was_used() {
    token_server
    openssl_conf
    printf 'the text' >text
    for key in rsa-2048 ec-p256; do
        expect 0 keywright create "general/$key" --key "$key" --store hsm
        take_certificate "general/$key"
        keywright show "general/$key" --reference >key.pem
        expect 0 openssl dgst -sha256 -sign "keywright:general/$key" -out s text
        expect 0 openssl dgst -sha256 -verify public.pem -signature s text
        expect 0 openssl dgst -sha256 -sign key.pem -out s text
        expect 0 openssl pkey -in "keywright:general/$key" -noout
        expect 0 openssl req -new -key "keywright:general/$key" -subj /CN=x -out r.pem
        expect 0 openssl storeutl -noout "keywright:general/$key"
        expect 1 openssl storeutl -noout keywright:general/nothing
    done
    expect 0 valgrind -q --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=9 \
        --suppressions="$here/../memcheck.suppressions" openssl dgst -sha256 -sign key.pem -out s text
    expect 0 openssl dgst -sha256 -verify public.pem -signature s text
}

# ---- nginx ---------------------------------------------------------------------------------------------------

nginx_conf() {
    cat >nginx.conf <<END
user www-data;
worker_processes 2;
daemon off;
env SOFTHSM2_CONF;
pid $PWD/nginx.pid;
error_log $PWD/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $PWD/body; proxy_temp_path $PWD/proxy; fastcgi_temp_path $PWD/fastcgi; uwsgi_temp_path $PWD/uwsgi; scgi_temp_path $PWD/scgi;
    server {
        listen unix:$PWD/socket ssl;
        ssl_certificate $PWD/certificate.pem; ssl_certificate_key $PWD/key.pem;
        ssl_session_cache off;
        return 200 "answer\n";
    }
}
END
}

get() { curl --silent --show-error --max-time 20 --unix-socket socket --cacert certificate.pem https://localhost/; }

# A worker's user who may not open the token is told what is missing.
nginx_worker_that_may_not_open_the_token_says_so() {
    local running
    [[ $(id -u) -eq 0 ]] || fail 'this test wants a server that gives up root, and so to be run by root'
    token_server
    expect 0 keywright create general/web --key ec-p256 --store hsm --host localhost
    take_certificate general/web
    keywright show general/web --reference >key.pem
    chmod 700 token
    nginx_conf
    openssl_conf "config = $KEYWRIGHT_CONFIG"
    setpriv --pdeathsig TERM nginx -e "$PWD/error.log" -p "$PWD" -c "$PWD/nginx.conf" &
    running=$!
    await nginx test -S socket
    expect 35 get
    # nginx goes by the first error of OpenSSL's queue, so what SoftHSM leaves there must not stand before ours.
    grep -q "\[crit\].*runs as user $(id -u www-data), who needs the token's files or device" error.log || fail 'no remedy'
    kill -QUIT "$running"
    wait "$running" || true
}

run_cases command_ends_well_after_a_token_was_used nginx_worker_that_may_not_open_the_token_says_so
