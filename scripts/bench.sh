#!/usr/bin/env bash
# Runs every bench of the crates, then the measurements of the whole, bench/*.sh. With SHORT=1 each takes seconds,
# and the figures are rough.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
export SHORT=${SHORT:-0}
shopt -s nullglob

quick=()
[ "$SHORT" != 1 ] || quick=(--quick)

for bench in crates/*/benches/*.rs; do
    manifest=${bench%/benches/*}/Cargo.toml
    echo "bench: $(basename "$bench" .rs) of ${manifest%/Cargo.toml}"
    cargo bench --quiet --manifest-path "$manifest" --bench "$(basename "$bench" .rs)" -- "${quick[@]}"
done
for measurement in bench/start.sh bench/logins.sh bench/mysql.sh bench/proxy.sh; do
    echo "bench: $measurement"
    "$measurement"
done
