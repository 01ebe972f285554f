#!/usr/bin/env bash
# Full TLS 1.3 handshakes per second of nginx with a key of softstore through the OpenSSL module, against the same nginx with the same key
# from a file, as a ratio in one run. Two workers; two clients, which use the same cores.
#   bench/nginx.sh [ROUNDS [SECONDS]]
# Exit status 1 when a median is below its limit.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-15} seconds=${2:-2} limit=0.97
[[ $rounds =~ ^[1-9][0-9]*$ && $seconds =~ ^[1-9][0-9]*$ ]] || {
    echo "usage: bench/nginx.sh [ROUNDS [SECONDS]]" >&2
    exit 2
}
scripts/install-packages.sh test
cmake --preset release >/dev/null
cmake --build build/release --target openssl-provider plugin-softstore keywright-cli >/dev/null
directory=$(mktemp -d)
servers=()
stop() {
    [[ ${#servers[@]} -eq 0 ]] || kill "${servers[@]}" 2>/dev/null || true
    wait
    rm -rf "$directory"
}
trap stop EXIT
chmod 755 "$directory" # the workers' user
keywright=$PWD/build/release/bin/keywright
export KEYWRIGHT_CONFIG=$directory/server/keywright.yaml KEYWRIGHT_BENCH_PASSWORD=bench
"$keywright" -q init "$directory/server"
cat >"$directory/openssl.cnf" <<CNF
openssl_conf = start
[start]
providers = providers
[providers]
default = default_part
keywright = keywright_part
[default_part]
activate = 1
[keywright_part]
activate = 1
module = $PWD/build/release/lib/ossl-modules/keywright.so
config = $KEYWRIGHT_CONFIG
CNF

# start NAME PORT KEY CERTIFICATE OPENSSL_CONF: an nginx of two workers.
start() {
    local own=$directory/$1
    mkdir "$own"
    cat >"$own/nginx.conf" <<CONF
worker_processes 2;
daemon off;
pid $own/pid;
events {}
http {
    access_log off;
    client_body_temp_path $own/body;
    proxy_temp_path $own/proxy;
    fastcgi_temp_path $own/fastcgi;
    uwsgi_temp_path $own/uwsgi;
    scgi_temp_path $own/scgi;
    ssl_session_cache off;
    ssl_session_tickets off;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {
        listen 127.0.0.1:$2 ssl reuseport;
        ssl_certificate $4;
        ssl_certificate_key $3;
        return 200 "answer\n";
    }
}
CONF
    OPENSSL_CONF=$5 nginx -e "$own/error.log" -p "$own" -c "$own/nginx.conf" &
    servers+=($!)
    for _ in {1..200}; do
        ! openssl s_client -connect "127.0.0.1:$2" </dev/null >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    echo "nginx with $1 does not answer: $(cat "$own/error.log")" >&2
    exit 1
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# handshakes PORT: per second, of both clients.
handshakes() {
    local client
    for client in 1 2; do
        openssl s_time -connect "127.0.0.1:$1" -new -tls1_3 -time "$seconds" >"$directory/client$client" 2>/dev/null &
        clients[client]=$!
    done
    wait "${clients[1]}" "${clients[2]}"
    sed -nE 's/^([0-9]+) connections in ([0-9]+) real seconds.*/\1 \2/p' "$directory/client1" "$directory/client2" |
        awk '{ sum += $1 / $2 } END { if (NR != 2 || sum == 0) exit 1; print sum }'
}

clients=() status=0
echo "nginx ($(nginx -v 2>&1 | sed 's|.*/||'), $(openssl version)), full handshakes/s: keywright: against the same key from a file; $rounds rounds of $seconds s"
for key in rsa-2048 ec-p256; do
    name=general/$key
    "$keywright" -q create "$name" --key "$key" --host localhost
    "$keywright" show "$name" --pem >"$directory/$key.pem"
    "$keywright" show "$name" --reference >"$directory/$key.reference"
    "$keywright" -q export "$name" -o "$directory/key.pfx" --password-from env:KEYWRIGHT_BENCH_PASSWORD 2>/dev/null
    openssl pkcs12 -in "$directory/key.pfx" -passin env:KEYWRIGHT_BENCH_PASSWORD -nocerts -noenc -out "$directory/$key.key"
    rm "$directory/key.pfx"
    store_port=$(free_port)
    start "$key-store" "$store_port" "$directory/$key.reference" "$directory/$key.pem" "$directory/openssl.cnf"
    file_port=$(free_port)
    start "$key-file" "$file_port" "$directory/$key.key" "$directory/$key.pem" /etc/ssl/openssl.cnf
    : >"$directory/rounds"
    for ((round = 0; round < rounds; round++)); do
        # whoever is second finds a warmer machine, or a cooler one: they take turns
        if ((round % 2)); then
            store=$(handshakes "$store_port") file=$(handshakes "$file_port")
        else
            file=$(handshakes "$file_port") store=$(handshakes "$store_port")
        fi
        echo "$store $file" >>"$directory/rounds"
    done
    awk -v key="$key" -v limit="$limit" '
        function median(list, count,   i, j, swap) {
            for (i = 2; i <= count; i++)
                for (j = i; j > 1 && list[j - 1] > list[j]; j--) { swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap }
            return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
        }
        { store[NR] = $1; file[NR] = $2; ratio[NR] = $1 / $2 }
        END {
            middle = median(ratio, NR)
            printf "%-9s %7.0f/s by keywright:, %7.0f/s by a file, ratio %.3f (limit %.2f)%s\n", key, median(store, NR), median(file, NR),
                middle, limit, middle < limit ? ": BELOW" : ""
            exit middle < limit
        }' "$directory/rounds" || status=1
done
exit $status
