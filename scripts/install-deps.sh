#!/usr/bin/env bash
# Brings what building, testing and the demo need onto a Debian machine; says nothing and is quick where all is there.
#
#   scripts/install-deps.sh [PART]...      (default: all but peers and fuzz)
#
#   build         a compiler's surroundings
#   postgres      a PostgreSQL server and psql
#   mysql         a MySQL server and its client
#   mariadb       a MariaDB server and its client
#   mariadb-new   a MariaDB server of a series that tells plugins about TLS
#   clients       drivers that log in with tokens: Python's, Node's and Java's; and a clock that can be moved
#   peers         what the benches compare with, and what drives them: pgbouncer, pgbench, sysbench
#   aws           the AWS CLI and boto3
#   nextest, deny, fuzz      cargo's tools
#
# What the machine has is taken if it is recent enough. Else packages come from apt (root or sudo); the rest is kept in
# .cache, without root: servers that this Debian does not have in .cache/servers, the AWS CLI and boto3 in .cache/venv,
# drivers in .cache/clients and .cache/node, pgbouncer in .cache/peers; and cargo's tools in ~/.cargo/bin. Never starts a database server and leaves
# existing ones alone.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh

# All that is brought unless told otherwise.
readonly PARTS=(build postgres mysql mariadb mariadb-new clients aws nextest deny)
# Without what starts servers: their units, their configuration, their OS user.
readonly MARIADB=(mariadb-server-core mariadb-client-core)
readonly MYSQL=(mysql-server-core mysql-client-core)
# Java's drivers, where Debian puts them.
readonly JAVA=/usr/share/java

main() {
    local parts=("$@")
    [ ${#parts[@]} -gt 0 ] || parts=("${PARTS[@]}")

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
            mysql) has mysql 8.0 all || needs_tree ;;
            mariadb)
                if ! has mariadb 10.6 machine; then
                    # apt cannot install both kinds, and leaves alone what is there.
                    if has_server mysql 0 machine; then needs_tree; else packages+=("${MARIADB[@]}"); fi
                fi
                ;;
            mariadb-new) has mariadb 11.4 all || needs_tree ;;
            clients)
                has_python_clients || has_venv || packages+=(python3-venv ca-certificates)
                need node nodejs
                has_node_clients || need npm npm
                need javac default-jdk-headless
                [ -e $JAVA/postgresql.jar ] || packages+=(libpostgresql-jdbc-java)
                [ -e $JAVA/mariadb-java-client.jar ] || packages+=(libmariadb-java)
                need faketime faketime
                ;;
            peers)
                need pgbench postgresql-contrib
                need sysbench sysbench
                has_pgbouncer || packages+=(libevent-2.1-7 libc-ares2)
                ;;
            aws) has_aws || has_venv || packages+=(python3-venv ca-certificates) ;;
            nextest | deny) ;;
            fuzz) need g++ build-essential ;;
            *) fail "unknown part \`$part\`: expected one of ${PARTS[*]} peers fuzz" ;;
        esac
    done
    [ ${#packages[@]} -eq 0 ] || apt_install "${packages[@]}"

    for part in "${parts[@]}"; do
        case $part in
            mysql) has mysql 8.0 all || unpack mysql sid "${MYSQL[@]}" ;;
            mariadb) has mariadb 10.6 machine || has mariadb 10.6 all || unpack mariadb-11.8 trixie "${MARIADB[@]}" ;;
            mariadb-new) has mariadb 11.4 all || unpack mariadb-11.8 trixie "${MARIADB[@]}" ;;
            clients)
                has_python_clients || install_python_clients
                has_node_clients || install_node_clients
                ;;
            peers) has_pgbouncer || unpack_pgbouncer ;;
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

# has KIND VERSION WHERE: a server of the kind, `mysql` or `mariadb`, of the version or later, and a client of the kind; on
# the `machine`, or in .cache/servers as well (`all`).
has() {
    has_server "$@" && has_client "$@"
}

has_server() {
    local program version
    for program in $(programs "$3" sbin mysqld mariadbd); do
        version=$(version_of "$program" "$1") && at_least "$version" "$2" && return
    done
    return 1
}

has_client() {
    local program
    for program in $(programs "$3" bin mysql mariadb); do
        [ -z "$(version_of "$program" "$1")" ] || return 0
    done
    return 1
}

# programs WHERE FOLDER NAME...: where programs of these names are.
programs() {
    local where=$1 folder=$2 name found
    shift 2
    for name in "$@"; do
        for found in "$(command -v "$name" || true)" {/usr/{sbin,libexec,bin},/usr/local/{mysql/bin,sbin,bin}}/"$name"; do
            [ ! -x "$found" ] || echo "$found"
        done
        [ "$where" = machine ] || for found in .cache/servers/*/usr/"$folder/$name"; do
            [ ! -x "$found" ] || echo "$found"
        done
    done | awk '!seen[$0]++'
}

# version_of PROGRAM KIND: what it says its version is; nothing where it is of the other kind. Debian has MariaDB's programs
# under MySQL's names too.
version_of() {
    local text kind=mysql
    text=$("$1" --version 2>/dev/null) || return 1
    [[ $text != *MariaDB* ]] || kind=mariadb
    [ "$kind" = "$2" ] || return 1
    sed -nE 's/.* (Ver|from) ([0-9]+(\.[0-9]+)+).*/\2/p' <<<"$text"
}

needs_tree() {
    [ -r /usr/share/keyrings/debian-archive-keyring.gpg ] || packages+=(debian-archive-keyring)
}

# unpack NAME SUITE PACKAGE...: into .cache/servers/NAME.
unpack() {
    command -v apt-get >/dev/null || fail "this system has no apt: install by hand what Debian has as ${*:3}"
    prepare_servers
    say "unpacking ${*:3} of Debian $2 into .cache/servers/$1"
    scripts/server-tree.sh "$2" ".cache/servers/$1" "${@:3}" ||
        fail "there is no server in .cache/servers/$1; try again with: scripts/install-deps.sh ${parts[*]}"
}

# Root runs servers as another user, who must be able to come to them: .cache/servers leads to a public place where the
# repository is private.
prepare_servers() {
    local public=/var/cache/countersign/servers
    mkdir -p .cache
    if [ ! -e .cache/servers ]; then
        rm -f .cache/servers
        if is_public "$PWD/.cache"; then
            mkdir -m 755 .cache/servers
        else
            say "other users cannot enter $PWD/.cache: servers go to $public"
            (umask 022 && mkdir -p "$public")
            ln -s "$public" .cache/servers
        fi
    fi
    is_public "$(realpath .cache/servers)" ||
        fail "the user that runs servers cannot enter $(realpath .cache/servers): allow it (chmod o+x), or remove .cache/servers"
}

# is_public FOLDER: whether all users can enter it. Who is not root runs servers as himself.
is_public() {
    [ "$(id -u)" -eq 0 ] || return 0
    local folder=$1
    while [ -n "$(find "$folder" -maxdepth 0 -perm -001)" ]; do
        [ "$folder" != / ] || return 0
        folder=$(dirname "$folder")
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
    # The package lists may be old or absent: fetch them only if the first try fails. What is installed stays.
    if ! apt_get install --no-install-recommends --no-remove "$@" &&
        ! { apt_get update && apt_get install --no-install-recommends --no-remove "$@"; }; then
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

# What is installed is what the files beside the clients' scripts ask for.
has_python_clients() {
    cmp -s tests/clients/requirements.txt .cache/clients/requirements.txt
}

install_python_clients() {
    say "installing Python's clients into .cache/clients"
    mkdir -p .cache
    [ -x .cache/clients/bin/pip ] || python3 -m venv --clear .cache/clients || fail "python3 cannot make .cache/clients"
    .cache/clients/bin/pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt >&2 ||
        fail "pip could not install what tests/clients/requirements.txt asks for"
    cp tests/clients/requirements.txt .cache/clients/
}

has_node_clients() {
    [ -d .cache/node/node_modules ] && cmp -s tests/clients/package.json .cache/node/package.json
}

install_node_clients() {
    say "installing Node's clients into .cache/node"
    rm -rf .cache/node
    mkdir -p .cache/node.new
    cp tests/clients/package.json .cache/node.new/
    npm install --prefix .cache/node.new --silent --no-audit --no-fund --no-package-lock --ignore-scripts >&2 ||
        fail "npm could not install what tests/clients/package.json asks for"
    mv -T .cache/node.new .cache/node
}

has_pgbouncer() {
    command -v pgbouncer >/dev/null || .cache/peers/usr/sbin/pgbouncer --version >/dev/null 2>&1
}

# Installed, Debian's package would start a service on port 6432.
unpack_pgbouncer() {
    say "unpacking pgbouncer into .cache/peers"
    command -v apt-get >/dev/null || fail "this system has no apt: install pgbouncer by hand"
    local folder
    folder=$(mktemp -d)
    (cd "$folder" && apt-get -q -o APT::Sandbox::User=root download pgbouncer >/dev/null) || fail "apt-get could not download pgbouncer"
    mkdir -p .cache/peers
    dpkg-deb -x "$folder"/pgbouncer_*.deb .cache/peers
    rm -rf "$folder"
    has_pgbouncer || fail "pgbouncer in .cache/peers does not run"
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
