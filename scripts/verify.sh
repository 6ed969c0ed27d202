#!/usr/bin/env bash
# Fails when something that is made from something else is out of date, and says
# how to make it again. Prints how long each part took.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
complain() {
  printf 'verify: %s\n' "$1" >&2
  failed=1
}

# timed NAME COMMAND... runs a command and prints how long it took.
timed() {
  local name=$1 started=$SECONDS
  shift
  "$@"
  printf '%s: %d s\n' "$name" $((SECONDS - started))
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy=$work/copy

# copy_tree makes $copy a repository whose index is the tree as it is. Nothing is
# generated from fuzz inputs; node_modules may be a link, which git doesn't ignore.
copy_tree() {
  mkdir "$copy"
  git ls-files -z --cached --others --exclude-standard -- ':!*/testdata/fuzz/*' ':(exclude,glob)**/node_modules' | while IFS= read -r -d '' file; do
    [ -e "$file" ] && printf '%s\0' "$file"
  done | tar --null -T - -cf - | tar -xf - -C "$copy"
  git init -q "$copy"
  git -C "$copy" add --all
}

# generate runs the generators in the copy, so that a check changes nothing here.
# Generated Go files are deleted first: one that doesn't come back is left over.
generate() {
  # What npm installed needn't be installed again.
  make -s -C sdk/typescript node_modules/.package-lock.json
  echo /sdk/typescript/node_modules >>"$copy/.git/info/exclude"
  ln -sfn "$PWD/sdk/typescript/node_modules" "$copy/sdk/typescript/node_modules"
  git -C "$copy" grep -lz '^// Code generated .* DO NOT EDIT\.$' -- '*.go' | (cd "$copy" && xargs -0 rm --)
  make -s -C "$copy" generate
}

# compare complains of what the generators made otherwise than it is in the tree.
# gen holds nothing else, and is one thing.
compare() {
  local file
  git -C "$copy" add --intent-to-add --ignore-removal .
  git -C "$copy" diff --name-status --no-renames >"$work/differences"
  while IFS= read -r file; do
    git -C "$copy" diff --diff-filter=d -- "$file" | sed -n 1,20p >&2
    complain "$file is out of date (above): run 'make generate' and commit the result"
  done < <(grep -v '^D' "$work/differences" | cut -f 2- | sed 's#^gen/.*#gen#' | uniq)
  while IFS= read -r file; do
    complain "$file says that it is generated, but no generator writes it: delete it"
  done < <(grep '^D' "$work/differences" | cut -f 2-)
}

# tidy complains of modules that 'go mod tidy' would change.
tidy() {
  local file module
  while IFS= read -r file; do
    module=$(dirname "$file")
    if ! (cd "$copy/$module" && go mod tidy -diff) >"$work/tidy" 2>&1; then
      sed -n 1,20p "$work/tidy" >&2
      complain "$module/go.mod or go.sum is not tidy (above): run 'go mod tidy' in $module"
    fi
  done < <(git -C "$copy" ls-files -- ':(glob)**/go.mod' ':(exclude,glob)**/testdata/**')
}

timed "copying the tree" copy_tree
timed "generating" generate
compare
timed "go mod tidy -diff" tidy
exit "$failed"
