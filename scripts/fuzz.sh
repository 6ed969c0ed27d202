#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for the time given
# (default 30s).
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-30s}
found=0
while IFS=: read -r file _ function; do
  target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$function")
  printf '=== %s in %s for %s\n' "$target" "$(dirname "$file")" "$time"
  # Without a bound on minimizing, Go spends up to a minute on each interesting
  # input, and tries nothing else meanwhile.
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "./$(dirname "$file")"
  found=$((found + 1))
done < <(git grep -n '^func Fuzz' -- '*_test.go')
[ "$found" -gt 0 ] || { echo "fuzz: there are no targets" >&2; exit 1; }
