#!/usr/bin/env bash
# Runs every fuzz target of every module, one after the other, for the time given
# (default 30s).
#
# Go keeps inputs that cover something new in its cache, $(go env GOCACHE)/fuzz, and
# sets out from them the next time: they are nothing to commit. An input that fails
# is written to the package's testdata/fuzz, where `go test` runs it from then on:
# commit it with the fix, under a name that says what it found, so that
# `make fuzz-minimize` keeps it.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-30s}
found=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# fuzz runs a target in its package's directory, which may be in a module of its
# own. Without a bound on minimizing, Go spends up to a minute on each interesting
# input, and tries nothing else meanwhile.
fuzz() {
  local target=$1 dir=$2
  (cd "$dir" && go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x .) 2>&1 | tee "$output" && return
  # Before version 1.27 Go may call it a failure that the time is over, most of all
  # on a busy machine (https://go.dev/issue/75804). For one of the target it names
  # the input.
  grep -A1 -E "^--- FAIL: $target " "$output" | grep -qx ' *context deadline exceeded' &&
    ! grep -qE 'Failing input written|seed corpus entry' "$output" &&
    echo "fuzz: the time is over; no input failed"
}

while IFS=: read -r file _ function; do
  dir=$(dirname "$file")
  target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$function")
  printf '=== %s in %s for %s\n' "$target" "$dir" "$time"
  fuzz "$target" "$dir"
  found=$((found + 1))
done < <(git grep -n '^func Fuzz' -- '*_test.go')
[ "$found" -gt 0 ] || { echo "fuzz: there are no targets" >&2; exit 1; }
