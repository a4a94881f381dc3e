#!/usr/bin/env bash
# How long `serve` takes from exec to the first answered API call, how much memory it holds, and how long a new instance
# takes from the call until it is available. SHORT=1: fewer rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
# shellcheck source=bench/lib.sh
. bench/lib.sh

rounds=11 instances=3
[ "${SHORT:-0}" != 1 ] || rounds=3 instances=2

need curl awk
prepare
make_folder
start_server --listen 127.0.0.1:0
await_server

# Started again at the same place, the first call is tried until it is answered. What curl itself needs to start is
# in the figure.
listen=${AWS_ENDPOINT_URL#http://}
for ((round = 0; round < rounds; round++)); do
    stop_server
    began=${EPOCHREALTIME/./}
    start_server --listen "$listen"
    until call sts 2011-06-15 GetCallerIdentity >"$folder/answer" 2>/dev/null; do
        kill -0 "$server" 2>/dev/null || fail "the server ended: $(cat "$folder/serve.log")"
    done
    grep -q ':user/administrator<' "$folder/answer" || fail "not an answer: $(cat "$folder/answer")"
    echo $(((${EPOCHREALTIME/./} - began) / 1000))
done >"$folder/starts"
echo "exec of \`serve\` to the first answered call: $(median <"$folder/starts") ms (at most 100; of $rounds: $(sort -g "$folder/starts" | paste -sd ' '))"
awk '/^VmRSS/ { printf "resident without an instance: %.1f MiB (at most 30)\n", $2 / 1024 }' "/proc/$server/status"

for ((instance = 1; instance <= instances; instance++)); do
    create "db$instance"
    case $instance in
        1) echo "the first instance of a data directory: available in $milliseconds ms" ;;
        *) echo "an instance after it: available in $milliseconds ms (at most 3000)" ;;
    esac
done
awk '/^VmRSS/ { printf "resident with '"$instances"' instances: %.1f MiB\n", $2 / 1024 }' "/proc/$server/status"
