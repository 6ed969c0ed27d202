#!/usr/bin/env bash
# Fails when something that is made from something else is out of date, and says
# how to make it again.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
complain() {
  printf 'verify: %s\n' "$1" >&2
  failed=1
}

# The generators run in a copy, so that a check changes nothing here.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  [ -e "$file" ] && printf '%s\0' "$file"
done | tar --null -T - -cf - | tar -xf - -C "$copy"
# What npm installed needn't be installed again.
make -s -C sdk/typescript node_modules/.package-lock.json
ln -sfn "$PWD/sdk/typescript/node_modules" "$copy/sdk/typescript/node_modules"
make -s -C "$copy" generate >/dev/null
for made in gen sdk/go/internal/client sdk/go/models.gen.go sdk/typescript/src/contract.gen.ts \
  sdk/python/analytics_client/models.py sdk/python/analytics_client/operations.py; do
  if ! diff -r "$made" "$copy/$made" >"$copy/diff"; then
    head -n 20 "$copy/diff" >&2
    complain "$made is out of date (above): run 'make generate' and commit the result"
  fi
done

for module in . load sdk/go torture tools tools/lint tools/oasdiff; do
  if ! (cd "$copy/$module" && go mod tidy -diff >"$copy/diff" 2>&1); then
    head -n 20 "$copy/diff" >&2
    complain "$module/go.mod or go.sum is not tidy (above): run 'go mod tidy' in $module"
  fi
done

exit "$failed"
