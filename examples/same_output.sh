#!/usr/bin/env bash
# Runs a command and compares its output with a file.
#   same_output.sh FILE COMMAND...
set -uo pipefail
expected=$1
shift
output=$("$@")
status=$?
[ $status -eq 0 ] || { echo "$output" && exit $status; }
diff -u "$expected" - <<<"$output"
