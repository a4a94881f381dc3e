#!/usr/bin/env bash
# Logins a second over TLS on MySQL and on MariaDB: the password method that the server has by default against a token,
# with one client and with eight, in interleaved rounds; a thousand logins from 64 threads at once; and the memory of the
# server and of Countersign over 100,000 token logins. SHORT=1: one second each, and 2,000 logins.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
# shellcheck source=bench/lib.sh
. bench/lib.sh

rounds=5 seconds=5 many=100000
[ "${SHORT:-0}" != 1 ] || rounds=1 seconds=1 many=2000

servers=${COUNTERSIGN_CACHE:-$PWD/.cache}/servers
need curl aws awk mariadb
prepare
cargo build --quiet --release -p countersign-tests --bin mysql-logins
make_folder
start_server --listen 127.0.0.1:0 --mysql-dir "$servers/mysql/usr/sbin"
await_server
"$countersign" ca-bundle --data-dir "$folder/data" --region us-east-1 >"$folder/bundle.pem"

# client ENGINE STATEMENTS: as the master user.
client() {
    local tool=(mariadb --no-defaults --ssl-verify-server-cert)
    [ "$1" != mysql ] || tool=("$servers/mysql/usr/bin/mysql" --no-defaults --ssl-mode=VERIFY_IDENTITY)
    # `localhost` would be a socket that is another server's.
    MYSQL_PWD=Master-pass-1 "${tool[@]}" --protocol=TCP --host="$host" --port="$port" --ssl-ca="$folder/bundle.pem" \
        --user=admin --batch --skip-column-names -e "$2"
}

# run METHOD CLIENTS TIMES: what mysql-logins prints.
run() {
    local password=Bench-pass-1 token=(aws rds generate-db-auth-token --region us-east-1 --username bench_token)
    [ "$1" != token ] || password=$("${token[@]}" --hostname "$host" --port "$port")
    MYSQL_PWD=$password "$target/release/mysql-logins" "$host" "$port" "bench_$1" "$folder/bundle.pem" "$2" "$3" ||
        fail "logins as bench_$1 on $engine failed"
}

# resident PID: in MiB.
resident() { awk '/^VmRSS:/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }

# The pid of the server on the data directory.
server_pid() { pgrep --full -- "--datadir=$folder/data/databases/$1/data"; }

describe() { aws rds describe-db-instances --db-instance-identifier "$engine" --query "DBInstances[0].$1" --output text; }

measure() {
    create "$engine" "$engine" admin
    host=$(describe Endpoint.Address)
    port=$(describe Endpoint.Port)
    client "$engine" "
        CREATE USER bench_password IDENTIFIED BY 'Bench-pass-1';
        CREATE USER bench_token IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';
        ALTER USER bench_token REQUIRE SSL"
    local version plugin method clients round pid logins
    version=$(client "$engine" 'select version()')
    plugin=$(client "$engine" "select plugin from mysql.user where user = 'bench_password'")
    for method in password token; do run "$method" 1 1 >/dev/null; done
    for ((round = 0; round < rounds; round++)); do
        for clients in 1 8; do
            for method in password token; do
                run "$method" "$clients" "$seconds" | awk '{ print $4 }' >>"$folder/$engine.$method.$clients"
            done
        done
    done
    echo
    echo "logins a second over TLS, $engine $version, $(nproc) cores; median of $rounds rounds of $seconds s"
    printf '%-24s %10s %10s %14s %14s\n' "" "1 client" "8 clients" "to password, 1" "to password, 8"
    for method in password token; do
        logins=token
        [ "$method" = token ] || logins=$plugin
        awk -v name="$logins" -v one="$(median <"$folder/$engine.$method.1")" \
            -v eight="$(median <"$folder/$engine.$method.8")" -v base_one="$(median <"$folder/$engine.password.1")" \
            -v base_eight="$(median <"$folder/$engine.password.8")" \
            'BEGIN { printf "%-24s %10.0f %10.0f %14.2f %14.2f\n", name, one, eight, one / base_one, eight / base_eight }'
    done

    run token 64 16x | awk '{ printf "64 threads, %d logins: %d failed, %s a second\n", $1 + $2, $2, $4 }'

    pid=$(server_pid "$(describe DbiResourceId)")
    printf 'resident MiB, server and Countersign: %s %s' "$(resident "$pid")" "$(resident "$server")"
    for ((round = 0; round < 4; round++)); do
        run token 8 "$((many / 32))x" >/dev/null
        printf '; after %d logins %s %s' "$(((round + 1) * (many / 32) * 8))" "$(resident "$pid")" "$(resident "$server")"
    done
    echo
    aws rds delete-db-instance --db-instance-identifier "$engine" --skip-final-snapshot >/dev/null
}

for engine in mysql mariadb; do measure; done
