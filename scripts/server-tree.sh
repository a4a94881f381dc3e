#!/usr/bin/env bash
# Unpacks programs of another Debian release into a folder, where they run beside the machine's own: as anybody, without a
# chroot, by the libraries that came with them. Needs no root; nothing is installed, and no script of a package is run.
#
#   scripts/server-tree.sh SUITE FOLDER PACKAGE...      such as: sid .cache/servers/mysql mysql-server-core
#
# FOLDER then looks like a normal installation, FOLDER/usr/sbin/mysqld and so on, and may be moved. It appears complete or
# not at all. The packages come from the machine's own Debian mirror by apt, which checks their signatures.
set -euo pipefail
shopt -s nullglob

readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

main() {
    [ $# -ge 3 ] || { sed -nE '2,/^set /s/^# ?//p' "$0" >&2; exit 2; }
    local suite=$1 folder=$2
    shift 2
    # Database servers run as another user than the one who builds, and must be able to read all of it.
    umask 022
    mkdir -p "$(dirname "$folder")"
    folder=$(cd -P "$(dirname "$folder")" && pwd)/$(basename "$folder")
    # What a killed run left.
    find "${folder%/*}" -maxdepth 1 -name "${folder##*/}.??????" -mmin +60 -exec rm -rf {} +
    # On the same file system, so that it can be moved into place. Not `local`: the trap needs it.
    work=$(mktemp -d "$folder.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"

    fetch "$suite" "$@"
    mkdir "$work/tree"
    local package
    for package in "$work"/apt/cache/archives/*.deb; do
        case ${package##*/} in
            # For tools that no test uses, and large.
            perl* | libperl* | *-perl_*) ;;
            *) dpkg-deb --extract "$package" "$work/tree" ;;
        esac
    done
    rm -rf "$work"/tree/usr/share/{doc,info,locale,man} "$work"/tree/var
    wrap "$work/tree"
    # A tree that cannot be reached is in nobody's way, and an older one that could not be completed goes.
    rm -rf "$folder"
    mv -T "$work/tree" "$folder"
}

fail() {
    echo "server-tree: $*" >&2
    exit 1
}

# fetch SUITE PACKAGE...: the packages and all they depend on into $work/apt/cache/archives, by an apt that knows of
# nothing installed and keeps its state apart from the machine's.
fetch() {
    local suite=$1 apt=$work/apt
    shift
    [ -r "$KEYRING" ] || fail "$KEYRING is missing, nothing could be verified: apt-get install debian-archive-keyring"
    mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial
    : >"$apt/status"
    local uri
    # On a line of its own: a failure in the middle of another command would be passed over.
    uri=$(mirror)
    echo "deb [signed-by=$KEYRING] $uri $suite main" >"$apt/sources.list"
    local options=(
        -q -y
        -o "Dir::State=$apt"
        -o "Dir::State::status=$apt/status"
        -o "Dir::State::lists=$apt/lists"
        -o "Dir::Cache=$apt/cache"
        -o "Dir::Etc::sourcelist=$apt/sources.list"
        -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferences=/dev/null
        -o Dir::Etc::preferencesparts=/dev/null
        -o APT::Default-Release=
        -o APT::Install-Recommends=false
        # Mirrors may keep an older sid. Signatures are checked all the same.
        -o Acquire::Check-Valid-Until=false
        -o Acquire::Languages=none
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        # apt's own user could not write here.
        -o APT::Sandbox::User=root
        # What the machine's configuration does after an update or an install is about the machine.
        -o APT::Update::Post-Invoke::=true
        -o DPkg::Post-Invoke::=true
    )
    if ! { apt-get "${options[@]}" update && apt-get "${options[@]}" --download-only install "$@"; } \
        >"$work/log" 2>&1; then
        cat "$work/log" >&2
        fail "apt-get could not fetch $* of Debian $suite"
    fi
}

# Where this machine takes Debian from, else where everybody may.
mirror() {
    local uri
    # shellcheck disable=SC2016 # apt fills these in
    uri=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed -nE 's|^Debian (.*)|\1|p' | head -n 1) || true
    # Without package lists, apt only knows the addresses.
    [ -n "$uri" ] || uri=$(apt-get --print-uris update 2>/dev/null |
        sed -nE "s|^'([^']*/debian)/dists/.*|\1|p" | head -n 1) || true
    [ -n "$uri" ] || fail "apt knows no Debian mirror; name one in its sources, then run \`apt-get update\`"
    echo "$uri"
}

# wrap TREE: the programs that are linked against the tree's libraries make place for scripts that start them with these.
wrap() {
    local tree=$1 loaders loader libraries program name
    loaders=("$tree"/usr/lib/*/ld-linux-*.so.*)
    [ ${#loaders[@]} -eq 1 ] || fail "expected one loader in the packages, found ${#loaders[@]}: ${loaders[*]}"
    loader=${loaders[0]#"$tree/"}
    # Where a package keeps libraries to itself.
    libraries=("$tree/${loader%/*}" "$tree"/usr/lib/*/private)
    libraries=("${libraries[@]/#"$tree"/\$tree}")
    mkdir -p "$tree/usr/libexec"
    for program in "$tree"/usr/sbin/* "$tree"/usr/bin/*; do
        is_elf "$program" || continue
        name=${program##*/}
        mv -T "$program" "$tree/usr/libexec/$name"
        wrapper "$loader" "$(IFS=: && echo "${libraries[*]}")" "$name" >"$program"
        chmod 755 "$program"
    done
}

# Neither a script nor a link; a link leads to a program that is wrapped.
is_elf() {
    [ -f "$1" ] && [ ! -L "$1" ] && [ "$(head -c 4 "$1" | tr -d '\0')" = $'\x7fELF' ]
}

# wrapper LOADER LIBRARIES NAME: the script. It finds its tree wherever that lies, and however it is called.
wrapper() {
    cat <<END
#!/bin/sh
# Runs \`$3\`, which is in ../libexec, with the libraries of this tree instead of the machine's.
self=\$(readlink -f -- "\$0") || exit 127
usr=\${self%/*/*}
tree=\${usr%/*}
exec "\$tree/$1" --library-path "$2" --argv0 "\$self" "\$usr/libexec/$3" "\$@"
END
}

main "$@"
