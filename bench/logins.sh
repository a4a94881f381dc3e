#!/usr/bin/env bash
# Logins a second over TLS on one PostgreSQL: trust, scram-sha-256, a token through PAM, a token through LDAP, with one
# client and with eight. Rounds are interleaved, so that what else the machine does hits all of them. SHORT=1: one
# second each.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
# shellcheck source=bench/lib.sh
. bench/lib.sh

rounds=5 seconds=5
[ "${SHORT:-0}" != 1 ] || rounds=1 seconds=1

need curl aws psql pgbench awk
prepare
make_folder
start_server --listen 127.0.0.1:0 --door ldap
await_server
create bench

describe() { aws rds describe-db-instances --db-instance-identifier bench --query "DBInstances[0].$1" --output text; }
host=$(describe Endpoint.Address)
port=$(describe Endpoint.Port)
id=$(describe DbiResourceId)
"$countersign" ca-bundle --data-dir "$folder/data" --region us-east-1 >"$folder/bundle.pem"
# Both doors of a database are open; which one is asked is the hba file's choice. The lines of this bench go first.
methods=(trust scram ldap)
hba=$folder/data/databases/$id/config/pg_hba.conf
pam=
if [ -e /etc/pam.d/countersign ]; then
    methods=(trust scram pam ldap)
    pam="hostssl all bench_pam all pam pamservice=countersign"
else
    echo "without PAM: its module is not installed, which needs root"
fi
{
    echo "hostssl all bench_trust all trust"
    echo "hostssl all bench_scram all scram-sha-256"
    echo "$pam"
    cat "$hba"
} >"$folder/hba"
cat "$folder/hba" >"$hba"
kill -HUP "$(head -n 1 "$folder/data/databases/$id/data/postmaster.pid")"

export PGSSLMODE=verify-full PGSSLROOTCERT=$folder/bundle.pem PGHOST=$host PGPORT=$port PGDATABASE=postgres
PGPASSWORD=Master-pass-1 psql --quiet --no-psqlrc --username postgres --set ON_ERROR_STOP=1 <<'SQL'
create user bench_trust;
create user bench_scram password 'Scram-pass-1';
create user bench_pam;
create user bench_ldap;
grant rds_iam to bench_pam, bench_ldap;
SQL

password() {
    case $1 in
        trust) ;;
        scram) echo Scram-pass-1 ;;
        *)
            aws rds generate-db-auth-token --hostname "$host" --port "$port" --region us-east-1 --username "bench_$1"
            ;;
    esac
}

# logins METHOD CLIENTS SECONDS: logins a second.
logins() {
    local password output
    password=$(password "$1")
    output=$(PGPASSWORD=$password pgbench --connect --no-vacuum --file "$folder/select.sql" --username "bench_$1" \
        --client "$2" --jobs "$2" --time "$3" 2>&1) || fail "pgbench as bench_$1: $output"
    [[ $output == *"failed transactions: 0 "* ]] || [[ $output != *"failed transactions"* ]] || fail "$output"
    awk '/^tps = / { print $3 }' <<<"$output"
}

echo 'select 1;' >"$folder/select.sql"
for method in "${methods[@]}"; do logins "$method" 1 1 >/dev/null; done
for ((round = 0; round < rounds; round++)); do
    for clients in 1 8; do
        for method in "${methods[@]}"; do
            logins "$method" "$clients" "$seconds" >>"$folder/$method.$clients"
        done
    done
done

echo "logins a second over TLS, $("$(command -v psql)" --version), $(nproc) cores; median of $rounds rounds of $seconds s"
printf '%-16s %10s %10s %12s %12s\n' "" "1 client" "8 clients" "to scram, 1" "to scram, 8"
for method in "${methods[@]}"; do
    case $method in
        scram) name=scram-sha-256 ;;
        pam | ldap) name="token, ${method^^}" ;;
        *) name=$method ;;
    esac
    awk -v name="$name" -v one="$(median <"$folder/$method.1")" -v eight="$(median <"$folder/$method.8")" \
        -v scram_one="$(median <"$folder/scram.1")" -v scram_eight="$(median <"$folder/scram.8")" \
        'BEGIN { printf "%-16s %10.0f %10.0f %12.2f %12.2f\n", name, one, eight, one / scram_one, eight / scram_eight }'
done
