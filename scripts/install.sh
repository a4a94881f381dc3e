#!/usr/bin/env bash
# Puts a built Countersign into the system, or takes it out.
#
#   scripts/install.sh all BUILD_DIR      binary, its manual pages and completions, PAM module and service file, plugin of MySQL
#                                         and MariaDB, systemd unit
#   scripts/install.sh pam BUILD_DIR      PAM module and service file only
#   scripts/install.sh remove             all of it; a PAM service file changed by hand stays
#
# BUILD_DIR is where cargo left `countersign`, `libpam_countersign.so` and `libauth_countersign.so`, such as target/release.
# PREFIX (/usr/local) is for the binary and what goes with it, the plugin and the unit; DESTDIR goes before every path, for
# packagers. The binary is run for its manual pages and completions.
set -euo pipefail

scripts=$(cd "$(dirname "$0")" && pwd)
prefix=${PREFIX:-/usr/local}
destdir=${DESTDIR:-}

main() {
    local action=${1:-} build=${2:-}
    case $action in
        all | pam) [ -d "$build" ] || fail "\`$build\` is not a folder: expected where cargo built, such as target/release" ;;
        remove) ;;
        *) sed -nE '2,/^set /s/^# ?//p' "$0" >&2; exit 2 ;;
    esac
    local security service="$destdir/etc/pam.d/countersign" plugin unit completions
    # Where the binary looks for it, under the name it was built with. MySQL and MariaDB load plugins from their own folders.
    plugin="$destdir$prefix/lib/countersign/libauth_countersign.so"
    unit="$destdir$prefix/lib/systemd/system/countersign.service"
    security=$destdir$(security_dir)
    # In this order: bash, zsh, fish.
    completions=("$destdir$prefix"/share/{bash-completion/completions/countersign,zsh/site-functions/_countersign,fish/vendor_completions.d/countersign.fish})

    case $action in
        all)
            put 755 "$build/countersign" "$destdir$prefix/bin/countersign"
            put_manual "$build/countersign"
            put_pam "$build" "$security" "$service"
            put 755 "$build/libauth_countersign.so" "$plugin"
            sed "s|@PREFIX@|$prefix|g" "$scripts/countersign.service" | put 644 - "$unit"
            reload_units
            ;;
        pam) put_pam "$build" "$security" "$service" ;;
        remove)
            drop "$destdir$prefix/bin/countersign"
            local file
            for file in "$destdir$prefix"/share/man/man1/countersign{,-*}.1 "${completions[@]}"; do drop "$file"; done
            drop "$security/pam_countersign.so"
            if [ -e "$service" ] && ! cmp -s "$scripts/countersign.pam" "$service"; then
                echo "kept $service: it was changed by hand"
            else
                drop "$service"
            fi
            drop "$plugin"
            rmdir --ignore-fail-on-non-empty "${plugin%/*}" 2>/dev/null || true
            drop "$unit"
            reload_units
            ;;
    esac
}

fail() {
    echo "install: $*" >&2
    exit 1
}

# put MODE SOURCE TARGET: complete or not at all. A module that is mapped by running database servers must be replaced
# by another file, never overwritten.
put() {
    [ "$2" = - ] || [ -f "$2" ] || fail "$2 is not there: build it first (make release)"
    mkdir -p "$(dirname "$3")" || fail "cannot write to $(dirname "$3"): run as root, or set PREFIX or DESTDIR"
    local new
    new=$(mktemp "$3.XXXXXX") || fail "cannot write to $(dirname "$3"): run as root, or set PREFIX or DESTDIR"
    if [ "$2" = - ]; then cat >"$new"; else cat "$2" >"$new"; fi
    chmod "$1" "$new"
    if cmp -s "$new" "$3"; then
        rm -f "$new"
    else
        mv -f "$new" "$3"
        echo "installed $3"
    fi
}

drop() {
    [ -e "$1" ] || return 0
    rm -f "$1"
    echo "removed $1"
}

put_manual() {
    local pages page shell index=0
    pages=$(mktemp -d)
    "$1" man "$pages" || { rm -rf "$pages"; fail "$1 does not run here, so there are no manual pages"; }
    for page in "$pages"/*.1; do put 644 "$page" "$destdir$prefix/share/man/man1/${page##*/}"; done
    rm -rf "$pages"
    for shell in bash zsh fish; do
        "$1" completions "$shell" | put 644 - "${completions[index]}"
        index=$((index + 1))
    done
}

put_pam() {
    put 755 "$1/libpam_countersign.so" "$2/pam_countersign.so"
    if [ -e "$3" ] && ! cmp -s "$scripts/countersign.pam" "$3"; then
        echo "kept $3: it was changed by hand"
    else
        put 644 "$scripts/countersign.pam" "$3"
    fi
}

# Where libpam looks for modules: beside pam_unix.so.
security_dir() {
    local triplet dir
    triplet=$(gcc -print-multiarch 2>/dev/null || true)
    for dir in /lib/"${triplet:-none}"/security /usr/lib/"${triplet:-none}"/security /lib/*-linux-gnu*/security \
        /usr/lib64/security /lib64/security /lib/security; do
        if [ -e "$dir/pam_unix.so" ]; then
            echo "$dir"
            return
        fi
    done
    fail "found no folder with pam_unix.so: is PAM installed?"
}

# Only for the running system, and only where systemd runs it.
reload_units() {
    if [ -z "$destdir" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
}

main "$@"
