#!/usr/bin/env bash
# Compares the policy engine with its reference evaluator on a million generated policies (with SHORT=1: ten thousand), then
# runs every fuzz target for SECONDS_EACH seconds (60; with SHORT=1: 5); or the targets that are named:
# scripts/fuzz.sh [TARGET]...
#
# Works with a stable compiler: RUSTC_BOOTSTRAP lets it instrument for coverage. No address sanitizer, because what is
# fuzzed has no unsafe code, and inputs run four times as fast without.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh

seconds=${SECONDS_EACH:-60}
cases=${COUNTERSIGN_CASES:-1000000}
profile=(--release)
if [ "${SHORT:-}" = 1 ]; then
    seconds=5
    cases=${COUNTERSIGN_CASES:-10000}
    # What `make test` builds anyway.
    profile=()
fi
shopt -s failglob
if [ $# -eq 0 ]; then
    echo "fuzz: $cases generated policies beside the reference evaluator"
    # Another run, other cases.
    COUNTERSIGN_CASES=$cases COUNTERSIGN_SEED=${COUNTERSIGN_SEED:-$(date +%s)} \
        cargo test --quiet "${profile[@]}" -p countersign-policy --test reference -- --ignored --nocapture millions
    set -- fuzz/fuzz_targets/*.rs
    set -- "${@##*/}"
    set -- "${@%.rs}"
fi

export RUSTC_BOOTSTRAP=1
for target in "$@"; do
    echo "fuzz: $target for ${seconds} s"
    corpora=("fuzz/corpus/$target")
    mkdir -p "${corpora[0]}"
    # Inputs that are kept in the repository; what is found goes to the first folder.
    [ ! -d "fuzz/seeds/$target" ] || corpora+=("fuzz/seeds/$target")
    cargo fuzz run --sanitizer none --target-dir "$PWD/target/fuzz" "$target" "${corpora[@]}" -- \
        -max_total_time="$seconds" -print_final_stats=1 -verbosity=0
done
echo "fuzz: nothing found by $*"
