#!/usr/bin/env bash
# What the proxy costs. Transactions a second and the median time of one: pgbench directly over TLS, through `countersign
# proxy`, and through pgbouncer in session mode with TLS to the server; sysbench likewise on MariaDB, without pgbouncer. New
# connections a second, large results, and the proxy's memory for each idle connection. All in interleaved rounds on the
# same server. SHORT=1: one second each, and 1,000 idle connections.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
# shellcheck source=bench/lib.sh
. bench/lib.sh

rounds=5 seconds=5 idle=10000 scale=20
[ "${SHORT:-0}" != 1 ] || rounds=1 seconds=1 idle=1000 scale=2
# PostgreSQL alone, or MariaDB alone, by name.
parts=("${@:-postgres mariadb}")

pgbouncer=$(command -v pgbouncer || echo "$PWD/.cache/peers/usr/sbin/pgbouncer")
need curl aws awk psql pgbench mariadb sysbench "$pgbouncer"
prepare
cargo build --quiet --release -p countersign-tests --bin idle-connections
make_folder
extras=()
trap 'kill "${extras[@]}" 2>/dev/null || true; clean_up' EXIT
start_server --listen 127.0.0.1:0
await_server
"$countersign" ca-bundle --data-dir "$folder/data" --region us-east-1 >"$folder/bundle.pem"
chmod 644 "$folder/bundle.pem"

describe() { aws rds describe-db-instances --db-instance-identifier "$1" --query "DBInstances[0].$2" --output text; }

token() {
    aws rds generate-db-auth-token --hostname "$host" --port "$port" --region us-east-1 --username bench_token
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# await_port PORT LOG
await_port() {
    local i
    for ((i = 0; i < 500; i++)); do
        (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.02
    done
    fail "nothing listens on port $1: $(cat "$2")"
}

# start_proxy ENGINE ARGUMENTS...: on $proxy_port, as process $proxy.
start_proxy() {
    proxy_port=$(free_port)
    "$countersign" proxy --listen "127.0.0.1:$proxy_port" --to "$host:$port" --engine "$1" --region us-east-1 \
        --ca-bundle "$folder/bundle.pem" --log warn "${@:2}" 2>"$folder/proxy.log" &
    proxy=$!
    extras+=("$proxy")
    await_port "$proxy_port" "$folder/proxy.log"
}

stop_proxy() {
    kill "$proxy"
    wait "$proxy" || true
}

# resident PID: in KiB.
resident() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }

# idle_connections ENGINE COUNT DATABASE: what an idle connection costs the proxy, which holds none yet.
idle_connections() {
    local limit before after count=$2
    # Each takes two file descriptors.
    limit=$((($(ulimit -Hn) - 100) / 2))
    [ "$count" -le "$limit" ] || count=$limit
    before=$(resident "$proxy")
    coproc idle_clients { exec "$target/release/idle-connections" "$1" "127.0.0.1:$proxy_port" bench_token "$3" "$count"; }
    # shellcheck disable=SC2154 # set by coproc
    local clients=$idle_clients_PID in=${idle_clients[1]} answer=
    read -r -t 300 answer <&"${idle_clients[0]}" || true
    [ "$answer" = open ] || fail "$count idle connections could not be opened: $(tail -n 3 "$folder/proxy.log")"
    after=$(resident "$proxy")
    exec {in}>&-
    wait "$clients" || true
    awk -v engine="$1" -v count="$count" -v before="$before" -v after="$after" 'BEGIN {
        printf "%d idle connections to %s: %.1f KiB each of the proxy (%.1f MiB before, %.1f MiB with them)\n",
            count, engine, (after - before) / count, before / 1024, after / 1024 }'
}

# report TITLE UNIT PATH...: medians of $folder/PATH.1, .8 and .64, with ratios to the first path.
report() {
    local title=$1 path
    shift
    echo
    echo "$title, $(nproc) cores; median of $rounds rounds of $seconds s"
    printf '%-18s %10s %10s %10s %10s %10s %10s\n' "" "1 client" "8" "64" "to direct" "8" "64"
    for path; do
        printf '%-18s' "${path##*.}"
        for clients in 1 8 64; do printf ' %10.0f' "$(median <"$folder/$path.$clients")"; done
        for clients in 1 8 64; do
            awk -v a="$(median <"$folder/$path.$clients")" -v b="$(median <"$folder/$1.$clients")" \
                'BEGIN { printf " %10.2f", a / b }'
        done
        echo
    done
}

# parameter_group ENGINE: with room for every client, for the version that is served unless another is asked for.
parameter_group() {
    local family most=300
    [ "$1" != mariadb ] || most=10100
    family=$(aws rds describe-db-engine-versions --engine "$1" --default-only --query 'DBEngineVersions[0].DBParameterGroupFamily' \
        --output text)
    aws rds create-db-parameter-group --db-parameter-group-name "bench-$1" --db-parameter-group-family "$family" \
        --description bench >/dev/null
    aws rds modify-db-parameter-group --db-parameter-group-name "bench-$1" --parameters \
        "ParameterName=max_connections,ParameterValue=$most,ApplyMethod=pending-reboot" >/dev/null
}

# --- PostgreSQL

# settings PATH: environment of libpq for the path.
settings() {
    case $1 in
        direct)
            echo "PGHOST=$host PGPORT=$port PGSSLMODE=verify-full PGSSLROOTCERT=$folder/bundle.pem PGUSER=bench_token"
            echo "PGPASSWORD=$(token)"
            ;;
        proxy) echo "PGHOST=127.0.0.1 PGPORT=$proxy_port PGSSLMODE=disable PGUSER=bench_token" ;;
        pgbouncer) echo "PGHOST=127.0.0.1 PGPORT=$bouncer_port PGSSLMODE=disable PGUSER=bench_scram" ;;
    esac
}

# through PATH COMMAND...
through() {
    local environment
    mapfile -t environment < <(settings "$1" | tr ' ' '\n')
    env PGDATABASE=postgres "${environment[@]}" "${@:2}"
}

# pgbench_tps PATH CLIENTS ARGUMENTS...
pgbench_tps() {
    local output threads=$2
    [ "$threads" -le "$(nproc)" ] || threads=$(nproc)
    output=$(cd "$folder" && through "$1" pgbench --no-vacuum --client "$2" --jobs "$threads" --time "$seconds" "${@:3}" 2>&1) ||
        fail "pgbench, $1: $output"
    awk '/^tps = / { print $3 }' <<<"$output"
}

start_pgbouncer() {
    bouncer_port=$(free_port)
    cat >"$folder/pgbouncer.ini" <<INI
[databases]
* = host=$host port=$port user=bench_scram password=Scram-pass-1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $bouncer_port
unix_socket_dir =
auth_type = any
pool_mode = session
default_pool_size = 100
max_client_conn = 200
server_tls_sslmode = verify-full
server_tls_ca_file = $folder/bundle.pem
log_connections = 0
log_disconnections = 0
INI
    local as=()
    # It does not run as root.
    [ "$(id -u)" -ne 0 ] || as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    chmod 644 "$folder/pgbouncer.ini"
    "${as[@]}" "$pgbouncer" "$folder/pgbouncer.ini" >"$folder/pgbouncer.log" 2>&1 &
    extras+=($!)
    await_port "$bouncer_port" "$folder/pgbouncer.log"
}

measure_postgres() {
    parameter_group postgres
    create postgres postgres postgres DBParameterGroupName=bench-postgres
    host=$(describe postgres Endpoint.Address) port=$(describe postgres Endpoint.Port)
    PGPASSWORD=Master-pass-1 PGSSLMODE=verify-full PGSSLROOTCERT=$folder/bundle.pem psql --quiet --no-psqlrc --host "$host" \
        --port "$port" --username postgres --dbname postgres --set ON_ERROR_STOP=1 <<'SQL'
create user bench_scram password 'Scram-pass-1';
create user bench_token;
grant rds_iam to bench_token;
grant create on schema public to bench_token, bench_scram;
SQL
    start_proxy postgres
    start_pgbouncer
    through direct pgbench --initialize --quiet --scale "$scale" >/dev/null 2>&1
    through direct psql --quiet --no-psqlrc -c 'grant all on all tables in schema public to bench_scram'

    local paths=(direct proxy pgbouncer) kind path clients round arguments
    for ((round = 0; round < rounds; round++)); do
        for kind in select-only simple-update; do
            for clients in 1 8 64; do
                for path in "${paths[@]}"; do
                    arguments=(--builtin "$kind")
                    [ "$clients" != 1 ] || arguments+=(--log --log-prefix "$path.$kind.log")
                    pgbench_tps "$path" "$clients" "${arguments[@]}" >>"$folder/$kind.$path.$clients"
                done
            done
        done
        for path in direct proxy; do
            for clients in 1 8; do
                pgbench_tps "$path" "$clients" --builtin select-only --connect >>"$folder/connect.$path.$clients"
            done
        done
        # 100 MB of rows.
        for path in "${paths[@]}"; do
            local began=${EPOCHREALTIME/./}
            through "$path" psql --quiet --no-psqlrc -At -c "copy (select repeat('x', 100) from generate_series(1, 1000000)) to stdout" \
                >/dev/null
            echo "$((101000000 / ((${EPOCHREALTIME/./} - began) / 1000)))" >>"$folder/bulk.$path"
        done
    done
    for kind in select-only simple-update; do
        report "transactions a second, pgbench $kind" "${paths[@]/#/$kind.}"
        printf 'median of a transaction with 1 client, us:'
        for path in "${paths[@]}"; do
            printf ' %s %.0f' "$path" "$(cat "$folder/$path.$kind.log".* | awk '{ print $3 }' | median)"
        done
        echo
    done
    echo
    echo "new connections a second, one statement each, 1 | 8 clients"
    for path in direct proxy; do
        printf '%-18s %10.0f %10.0f\n' "$path" "$(median <"$folder/connect.$path.1")" "$(median <"$folder/connect.$path.8")"
    done
    echo
    printf 'COPY of 101 MB to the client, MB a second:'
    for path in "${paths[@]}"; do printf ' %s %.0f' "$path" "$(median <"$folder/bulk.$path" | awk '{ print $1 / 1000 }')"; done
    echo
    stop_proxy
    aws rds delete-db-instance --db-instance-identifier postgres --skip-final-snapshot >/dev/null
}

# --- MariaDB

# sysbench_tps PATH CLIENTS TEST COMMAND
sysbench_tps() {
    local output arguments=(--mysql-host="$host" --mysql-port="$port" --mysql-ssl=on --mysql-user=bench_password
        --mysql-password=Bench-pass-1)
    [ "$1" != proxy ] || arguments=(--mysql-host=127.0.0.1 --mysql-port="$proxy_port" --mysql-user=bench_token)
    # `localhost` would be a Unix socket.
    [ "$host" != localhost ] || [ "$1" = proxy ] || arguments[0]=--mysql-host=127.0.0.1
    output=$(cd "$folder" && sysbench "$3" "${arguments[@]}" --mysql-db=bench --tables=4 --table-size=20000 --threads="$2" \
        --time="$seconds" "${@:4}" 2>&1) || fail "sysbench, $1: $output"
    sed -nE 's/.*transactions: .*\(([0-9.]+) per sec.*/\1/p' <<<"$output"
}

measure_mariadb() {
    parameter_group mariadb
    create mariadb mariadb admin DBParameterGroupName=bench-mariadb
    host=$(describe mariadb Endpoint.Address) port=$(describe mariadb Endpoint.Port)
    MYSQL_PWD=Master-pass-1 mariadb --no-defaults --ssl-verify-server-cert --protocol=TCP --host="$host" --port="$port" \
        --ssl-ca="$folder/bundle.pem" --user=admin -e "
        CREATE DATABASE bench;
        CREATE USER bench_password IDENTIFIED BY 'Bench-pass-1' REQUIRE SSL;
        CREATE USER bench_token IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';
        ALTER USER bench_token REQUIRE SSL;
        GRANT ALL ON bench.* TO bench_password;
        GRANT ALL ON bench.* TO bench_token"
    # sysbench 1.0 wants these where it runs. The server would refuse a client's certificate that it knows nothing of: one of
    # DSA, which TLS 1.3 does not have, stays at home.
    cp "$folder/bundle.pem" "$folder/cacert.pem"
    openssl dsaparam -genkey -out "$folder/client-key.pem" 2048 2>/dev/null
    openssl req -x509 -new -key "$folder/client-key.pem" -days 1 -subj /CN=bench -out "$folder/client-cert.pem"
    start_proxy mysql --max-connections 10000
    sysbench_tps proxy 4 oltp_read_only prepare >/dev/null
    local paths=(direct proxy) kind path clients round
    for ((round = 0; round < rounds; round++)); do
        for kind in oltp_point_select oltp_read_write; do
            for clients in 1 8 64; do
                for path in "${paths[@]}"; do
                    sysbench_tps "$path" "$clients" "$kind" run >>"$folder/$kind.$path.$clients"
                done
            done
        done
    done
    for kind in oltp_point_select oltp_read_write; do
        report "transactions a second, sysbench $kind on MariaDB" "${paths[@]/#/$kind.}"
    done
    echo
    stop_proxy
    start_proxy mysql --max-connections 10000
    idle_connections mysql "$idle" bench
    stop_proxy
    aws rds delete-db-instance --db-instance-identifier mariadb --skip-final-snapshot >/dev/null
}

# shellcheck disable=SC2048,SC2086 # a list of words
for part in ${parts[*]}; do "measure_$part"; done
