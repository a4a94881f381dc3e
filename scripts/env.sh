# Puts the tools that install-deps.sh fetched in front of PATH: `. scripts/env.sh`. Makefile does the same.
# shellcheck shell=bash
countersign_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$countersign_root/.cache/venv/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
unset countersign_root
