# What the measurements have in common: `. bench/lib.sh` from the repository's root starts nothing by itself.
# shellcheck shell=bash

target=${CARGO_TARGET_DIR:-target}
countersign=${COUNTERSIGN_BIN:-$target/release/countersign}

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

need() {
    local program
    for program; do
        command -v "$program" >/dev/null || fail "\`$program\` is missing: \`make bench\` installs what is needed"
    done
}

# The optimized binary and, for root, the PAM module in its place.
prepare() {
    if [ -z "${COUNTERSIGN_BIN:-}" ]; then
        cargo build --quiet --release -p countersign -p pam_countersign -p auth_countersign
        [ "$(id -u)" -ne 0 ] || scripts/install.sh pam "$target/release"
    fi
    [ -x "$countersign" ] || fail "\`$countersign\` is not there"
}

# make_folder: $folder, which is gone at the end, with whatever runs in it.
make_folder() {
    folder=$(mktemp -d "${TMPDIR:-/tmp}/countersign-bench-XXXXXX")
    # The database servers run as another user when this is root.
    chmod 711 "$folder"
    server=
    trap clean_up EXIT
}

clean_up() {
    stop_server || true
    rm -rf "$folder"
}

# start_server ARGUMENTS...: on $folder/data, at $listen.
start_server() {
    "$countersign" serve --data-dir "$folder/data" --log warn "$@" 2>>"$folder/serve.log" &
    server=$!
}

# An interrupt, which stops the databases too.
stop_server() {
    [ -n "$server" ] || return 0
    kill -INT "$server"
    wait "$server" || true
    server=
}

await_server() {
    local i
    for ((i = 0; i < 2000; i++)); do
        "$countersign" status --data-dir "$folder/data" >/dev/null 2>&1 && break
        kill -0 "$server" 2>/dev/null || fail "the server ended: $(cat "$folder/serve.log")"
        sleep 0.005
    done
    eval "$("$countersign" env --data-dir "$folder/data")"
}

# call SERVICE VERSION ACTION [NAME=VALUE]...: a signed call without the start of a Python.
call() {
    local service=$1 version=$2 action=$3 arguments=() pair
    for pair in "${@:4}"; do arguments+=(--data-urlencode "$pair"); done
    curl -sS --fail-with-body --aws-sigv4 "aws:amz:us-east-1:$service" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        --data-urlencode "Action=$action" --data-urlencode "Version=$version" "${arguments[@]}" "$AWS_ENDPOINT_URL/"
}

rds() { call rds 2014-10-31 "$@"; }

# create IDENTIFIER [ENGINE MASTER NAME=VALUE...]: an instance with IAM, PostgreSQL unless another engine is named;
# $milliseconds is how long it took to be available.
create() {
    local began=${EPOCHREALTIME/./} answer
    rds CreateDBInstance DBInstanceIdentifier="$1" Engine="${2:-postgres}" DBInstanceClass=db.t3.micro AllocatedStorage=20 \
        MasterUsername="${3:-postgres}" MasterUserPassword=Master-pass-1 EnableIAMDatabaseAuthentication=true "${@:4}" \
        >"$folder/answer" ||
        fail "CreateDBInstance: $(cat "$folder/answer")"
    until answer=$(rds DescribeDBInstances DBInstanceIdentifier="$1") &&
        [[ $answer == *"<DBInstanceStatus>available<"* ]]; do
        [[ $answer != *"<DBInstanceStatus>failed<"* ]] || fail "the instance failed: $(cat "$folder/serve.log")"
        sleep 0.02
    done
    # shellcheck disable=SC2034 # for the caller
    milliseconds=$(((${EPOCHREALTIME/./} - began) / 1000))
}

# The middle one of the numbers on standard input.
median() {
    sort -g | awk '{ n[NR] = $1 } END { print (NR % 2) ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2 }'
}
