#!/usr/bin/env bash
# Proves that the checks can fail: breaks one thing on purpose in a copy of the tree,
# runs the check that should notice, and looks for what it should say.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
spec=api/openapi.yaml

git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  [ -e "$file" ] && printf '%s\0' "$file"
done | tar --null -T - -cf "$work/tree.tar"
make -s lint-spec >/dev/null 2>&1 || { echo "prove-gates: make lint-spec fails on the tree as it is" >&2; exit 1; }

# bites WHAT HINT EDIT CHECK...: after EDIT (bash, in the copy), CHECK fails and
# says HINT.
bites() {
  local what=$1 hint=$2 edit=$3 said
  shift 3
  rm -rf "$work/copy" && mkdir "$work/copy" && tar -xf "$work/tree.tar" -C "$work/copy"
  ln -s "$root/api/lint/node_modules" "$work/copy/api/lint/node_modules"
  if ! (cd "$work/copy" && git init -q && bash -ec "$edit"); then
    echo "NOT PROVED: $what: the edit failed" >&2
    failed=1
    return
  fi
  if said=$(cd "$work/copy" && "$@" 2>&1); then
    echo "NOT PROVED: $what: the check passed" >&2
    failed=1
  elif ! grep -qF -- "$hint" <<<"$said"; then
    printf 'NOT PROVED: %s: the check failed without saying "%s":\n%s\n' "$what" "$hint" "$(tail -n 15 <<<"$said")" >&2
    failed=1
  else
    printf 'ok: %s: %s\n' "$what" "$(grep -m1 -F -- "$hint" <<<"$said" | sed 's/^ *//' | cut -c1-140)"
  fi
}

# replace FILE OLD NEW: the first OLD, which must be there.
replace='replace() { OLD=$2 NEW=$3 perl -0pi -e '"'"'$n = s/\Q$ENV{OLD}\E/$ENV{NEW}/; END { exit !$n }'"'"' "$1"; };'

bites "generated API code out of date" "gen/ is out of date" \
  "$replace replace $spec 'description: Who did it.' 'description: Who it was.'" scripts/verify.sh
bites "generated SQL code out of date" "gen/ is out of date" \
  "$replace replace sql/queries/postgres/installation.sql 'SELECT id' 'SELECT id, created_at'" scripts/verify.sh
bites "go.mod not tidy" "is not tidy" \
  "$replace replace go.mod 'require (' 'require golang.org/x/mod v0.30.0
require ('" scripts/verify.sh
bites "a schema keyword that isn't checked" "multipleOf" \
  "$replace replace $spec '          minimum: 1
          description: Who did it.' '          minimum: 1
          multipleOf: 2
          description: Who did it.'" make -s generate

bites "an operation without an operationId" "operationId" \
  "$replace replace $spec '      operationId: sendEvent
' ''" make -s lint-spec
bites "an operation without a summary" "summary" \
  "$replace replace $spec '      summary: Send one event
' ''" make -s lint-spec
bites "an operation without a description" "description" \
  "$replace replace $spec '      description: Answers \`200\` for as long as the process can answer at all. It asks nobody else.
' ''" make -s lint-spec
bites "an operation without a tag" "tag" \
  "$replace replace $spec '      tags: [stats]
' '      tags: []
'" make -s lint-spec
bites "an answer without an example" "has no example" \
  "$replace replace $spec '              example: {status: received}
' ''" make -s lint-spec
bites "an example that isn't true" "example" \
  "$replace replace $spec '              example: {event_type: login, count: 15}' '              example: {event_type: login, count: many}'" make -s lint-spec
bites "a failure that isn't documented" "doesn't document the answer 413" \
  "$replace replace $spec \"        '413':
          \\\$ref: '#/components/responses/ContentTooLarge'
\" ''" make -s lint-spec
bites "a schema without a description" "has no description" \
  "$replace replace $spec '      description: How many events of a type there are.
' ''" make -s lint-spec
bites "a component that is left over" "is not used" \
  "$replace replace $spec '    EventTypeStats:
' '    LeftOver:
      type: string
      description: Nobody wants it.
      example: x
    EventTypeStats:
'" make -s lint-spec

bites "a path taken away" "breaks clients" \
  "$replace replace $spec '  /stats/{event_type}:' '  /statistics/{event_type}:'" make -s breaking
bites "a field that becomes required" "breaks clients" \
  "$replace replace $spec 'required: [user_id, event_type, timestamp]' 'required: [user_id, event_type, timestamp, event_id]'" make -s breaking
bites "a bound that gets narrower" "breaks clients" \
  "$replace replace $spec 'maxLength: 128' 'maxLength: 64'" make -s breaking
bites "a member taken out of an answer" "breaks clients" \
  "$replace replace $spec 'required: [event_type, count]' 'required: [event_type]'" make -s breaking

bites "a code that no request gets" "ProblemCode: produced" \
  "$replace replace $spec '        - overloaded
        - unavailable
      # What' '        - overloaded
        - unavailable
        - made_up
      # What' && replace $spec '      x-problems:
' '      x-problems:
        made_up: {status: 500, title: Made up, cause: None., remedy: None.}
'" go test ./impl/httpapi -run TestEveryCodeIsProduced
bites "an import in the wrong direction" "see the order of imports" \
  "printf 'package event\n\nimport _ \"highload.example/analytics/impl/config\"\n' > impl/event/wrong.go" \
  go test ./impl -run TestPackagesImportOnlyDownwards
bites "settings that the README doesn't show" "README.md is out of date" \
  "$replace replace README.md '| \`RATE_LIMIT\` |' '| \`RATE\` |'" go test ./impl/config -run TestReadme
bites "an answer that isn't in the contract" "is not in the contract" \
  "$replace replace impl/httpapi/operations.go 'api.HealthStatusOk}}, nil' '\"fine\"}}, nil'" go test ./impl/app -run TestEveryOperationKeepsTheContract

[ "$failed" -eq 0 ] && echo "Every check can fail."
exit "$failed"
