#!/usr/bin/env bash
# Brings what building, testing and the demo need onto a Debian machine; says nothing and is quick where all is there.
#
#   scripts/install-deps.sh [build] [postgres] [aws] [nextest] [deny] [fuzz]      (default: all but fuzz)
#
# Packages come from apt (root or sudo). The AWS CLI and boto3 go to .cache/venv unless the machine has recent ones,
# cargo's tools to ~/.cargo/bin. Never starts a database server and leaves existing ones alone.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh

main() {
    local parts=("$@")
    [ ${#parts[@]} -gt 0 ] || parts=(build postgres aws nextest deny)

    command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.94 or later, see https://rustup.rs"
    local part packages=()
    for part in "${parts[@]}"; do
        case $part in
            build) need gcc build-essential; need curl curl ca-certificates ;;
            postgres)
                has_postgres || packages+=(postgresql)
                need psql postgresql-client
                need openssl openssl
                need pgrep procps
                ;;
            aws) has_aws || has_venv || packages+=(python3-venv ca-certificates) ;;
            nextest | deny) ;;
            fuzz) need g++ build-essential ;;
            *) fail "unknown part \`$part\`: expected build, postgres, aws, nextest, deny or fuzz" ;;
        esac
    done
    [ ${#packages[@]} -eq 0 ] || apt_install "${packages[@]}"

    for part in "${parts[@]}"; do
        case $part in
            aws) has_aws || install_aws ;;
            nextest) cargo_tool cargo-nextest 0.9.143 --no-default-features --features default-no-update ;;
            deny) cargo_tool cargo-deny 0.20.2 ;;
            fuzz) cargo_tool cargo-fuzz 0.13.2 ;;
        esac
    done
}

fail() {
    echo "install-deps: $*" >&2
    exit 1
}

say() {
    echo "install-deps: $*" >&2
}

# need COMMAND PACKAGE...: the packages, unless the command is there.
need() {
    command -v "$1" >/dev/null || packages+=("${@:2}")
}

# A PostgreSQL server of 14 or later, where distributions put it or on PATH.
has_postgres() {
    local server version
    for server in /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres "$(command -v postgres || true)"; do
        [ -x "$server" ] || continue
        version=$("$server" --version | sed -nE 's/^postgres \(PostgreSQL\) ([0-9]+).*/\1/p')
        [ "${version:-0}" -ge 14 ] && return
    done
    return 1
}

apt_install() {
    local as_root=()
    if ! command -v apt-get >/dev/null; then
        fail "this system has no apt; install by hand what provides these Debian packages: $*"
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "not root and no sudo; as root: apt-get install $*"
        as_root=(sudo)
    fi
    say "installing $*"
    # Debian would start a server on port 5432; Countersign starts its own.
    if [[ " $* " == *" postgresql "* ]]; then
        "${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
        echo "create_main_cluster = false" |
            "${as_root[@]}" tee /etc/postgresql-common/createcluster.d/countersign.conf >/dev/null
    fi
    local log
    log=$(mktemp)
    apt_get() {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1
    }
    # The package lists may be old or absent: fetch them only if the first try fails.
    if ! apt_get install --no-install-recommends "$@" &&
        ! { apt_get update && apt_get install --no-install-recommends "$@"; }; then
        cat "$log" >&2
        fail "apt-get could not install $*"
    fi
    rm -f "$log"
}

# The first releases that know AWS_ENDPOINT_URL: CLI 1.29.0 and 2.13.0, boto3 1.28.0.
has_aws() {
    local version
    version=$(aws --version 2>&1 | sed -nE 's|^aws-cli/([0-9.]+) .*|\1|p') || return 1
    case $version in
        1.*) at_least "$version" 1.29.0 || return 1 ;;
        [2-9].*) at_least "$version" 2.13.0 || return 1 ;;
        *) return 1 ;;
    esac
    version=$(python3 -c 'import boto3; print(boto3.__version__)' 2>/dev/null) && at_least "$version" 1.28.0
}

at_least() {
    [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

has_venv() {
    python3 -c 'import ensurepip, venv' 2>/dev/null
}

install_aws() {
    say "installing the AWS CLI and boto3 into .cache/venv"
    [ -x .cache/venv/bin/pip ] || python3 -m venv --clear .cache/venv || fail "python3 cannot make .cache/venv"
    .cache/venv/bin/pip install --quiet --disable-pip-version-check 'awscli>=1.29' 'boto3>=1.28' >&2 ||
        fail "pip could not install awscli and boto3"
    hash -r
    has_aws || fail "the AWS CLI in .cache/venv does not run: $(aws --version 2>&1 || true)"
}

# cargo_tool NAME VERSION [FEATURES...]: any version that is there already will do. Built to be ready soon, not to run
# fast: link-time optimization would double the wait.
cargo_tool() {
    command -v "$1" >/dev/null && return
    say "building $1 (a few minutes, once)"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        CARGO_TARGET_DIR="$PWD/target/tools" cargo install --quiet --locked "$1@$2" "${@:3}" >&2 ||
        fail "cargo could not install $1"
    rm -rf target/tools
}

main "$@"
