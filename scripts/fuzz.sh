#!/usr/bin/env bash
# Runs every fuzz target for SECONDS_EACH seconds (60; with SHORT=1: 5), or those named: scripts/fuzz.sh [TARGET]...
#
# Works with a stable compiler: RUSTC_BOOTSTRAP lets it instrument for coverage. No address sanitizer, because what is
# fuzzed has no unsafe code, and inputs run four times as fast without.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
export RUSTC_BOOTSTRAP=1

seconds=${SECONDS_EACH:-60}
[ "${SHORT:-}" != 1 ] || seconds=5
shopt -s failglob
if [ $# -eq 0 ]; then
    set -- fuzz/fuzz_targets/*.rs
    set -- "${@##*/}"
    set -- "${@%.rs}"
fi

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
