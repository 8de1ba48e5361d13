#!/usr/bin/env bash
# What `meson install` puts down: the command, its manual and completion, and a library that a program can be
# built with.
#   install_test.sh BUILD-FOLDER SOURCE-FOLDER COMPILER...
set -euo pipefail
build=$1 source=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

DESTDIR=$folder meson install -C "$build" --no-rebuild --quiet
prefix=$folder$(meson introspect "$build" --buildoptions |
    python3 -c 'import json, sys; print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')

"$prefix/bin/tamis" --version | grep -q '^tamis '
mandoc -Tlint -Wwarning "$prefix/share/man/man1/tamis.1" "$prefix/share/man/man7/tamis-filter.7"
bash -c 'source "$0" && complete -p tamis' "$prefix/share/bash-completion/completions/tamis" >/dev/null

PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name tamis.pc)")
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR=$folder
make() { # SOURCE PROGRAM COMPILER...
    local from=$1 to=$2
    shift 2
    # shellcheck disable=SC2046
    "$@" -std=c++20 "$from" -o "$to" $(pkg-config --cflags tamis) $(pkg-config --libs --static tamis)
}
make "$source/examples/match-capture/match_capture.cpp" "$folder/match_capture" "$@"
"$folder/match_capture" "$source/examples/capture.pcap" 'udp port 53' |
    diff - "$source/examples/match-capture/expected.txt"
make "$source/examples/tracex1/main.cpp" "$folder/tracex1" "$@"
! "$folder/tracex1" /nonexistent.o 2>"$folder/said"
grep -q "cannot read object '/nonexistent.o': No such file or directory" "$folder/said"
echo "installed, and programs built with it"
