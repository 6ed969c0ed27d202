#!/usr/bin/env bash
# Checks that api/openapi.yaml doesn't break clients that were generated from an
# older contract: the file named, else the contract of the newest release (tag v*)
# that HEAD descends from.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${1:-}
name=$base
if [ -z "$base" ]; then
  # v1.0.0-rc.1 comes before v1.0.0.
  name=$(git -c versionsort.suffix=- for-each-ref --count=1 --merged HEAD --sort=-version:refname --format='%(refname:short)' 'refs/tags/v[0-9]*')
  # The changelog says whether there should be one: a clone may lack the tags.
  if [ -z "$name" ] && grep -qE '^## \[?v?[0-9]' CHANGELOG.md; then
    echo "breaking: CHANGELOG.md names a release, and this clone has no release tag (v*): run 'git fetch --tags' (and --unshallow), or name a contract with BASE=file" >&2
    exit 1
  fi
  if [ -z "$name" ]; then
    echo "breaking: there is no release yet, neither a tag (v*) nor in CHANGELOG.md: there are no clients that api/openapi.yaml could break"
    exit 0
  fi
  base=$(mktemp)
  trap 'rm -f "$base"' EXIT
  git show "$name:api/openapi.yaml" >"$base"
fi

# Errors only: warnings are changes that a careful client survives, and are shown.
# levels.txt makes errors of what oasdiff takes for less and our clients don't
# survive: the server refuses a field that it no longer knows, and the members,
# headers and operation names of generated clients are used by name.
# oasdiff exits with 1 for a break and with more when it can't compare.
oasdiff=${OASDIFF:-$(CGO_ENABLED=0 go tool -n -modfile=tools/oasdiff/go.mod oasdiff)}
code=0
"$oasdiff" breaking --fail-on ERR --severity-levels tools/oasdiff/levels.txt "$base" api/openapi.yaml || code=$?
case $code in
  0) ;;
  1) echo "breaking: api/openapi.yaml breaks clients of $name (above): add instead of changing, or release a new major version" >&2; exit 1 ;;
  *) echo "breaking: the contracts can't be compared (above): correct what can't be read" >&2; exit 1 ;;
esac
