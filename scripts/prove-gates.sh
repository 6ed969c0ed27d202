#!/usr/bin/env bash
# Proves that the checks can fail: breaks one thing on purpose in a copy of the tree,
# runs the check that should notice, and looks for what it should say.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
sound='|' # the checks that are known to pass on the tree as it is, between bars
spec=api/openapi.yaml

# Fuzz corpora are most of the tree's files and none of these checks reads them.
git ls-files -z --cached --others --exclude-standard -- ':!*/testdata/fuzz/*' | while IFS= read -r -d '' file; do
  [ -e "$file" ] && printf '%s\0' "$file"
done | tar --null -T - -cf "$work/tree.tar"
make -s -C sdk/typescript node_modules/.package-lock.json || exit 1
make -s lint-spec >/dev/null 2>&1 || { echo "prove-gates: make lint-spec fails on the tree as it is" >&2; exit 1; }

# fresh makes $work/copy the tree as it is.
fresh() {
  rm -rf "$work/copy" && mkdir "$work/copy" && tar -xf "$work/tree.tar" -C "$work/copy" &&
    ln -s "$root/api/lint/node_modules" "$work/copy/api/lint/node_modules" &&
    ln -s "$root/sdk/typescript/node_modules" "$work/copy/sdk/typescript/node_modules" && git -C "$work/copy" init -q
}

# bites WHAT HINTS EDIT CHECK...: CHECK passes in a copy of the tree, and after EDIT
# (bash, in the copy) it fails and says each line of HINTS.
bites() {
  local what=$1 hints=$2 edit=$3 said hint
  shift 3
  # A check that fails anyway proves nothing.
  if [[ $sound != *"|$*|"* ]]; then
    fresh
    if ! said=$(cd "$work/copy" && "$@" 2>&1); then
      printf 'NOT PROVED: %s: the check fails on the tree as it is:\n%s\n' "$what" "$(tail -n 15 <<<"$said")" >&2
      failed=1
      return
    fi
    sound+="$*|"
  fi
  fresh
  if ! (cd "$work/copy" && bash -ec "$edit"); then
    echo "NOT PROVED: $what: the edit failed" >&2
    failed=1
    return
  fi
  if said=$(cd "$work/copy" && "$@" 2>&1); then
    echo "NOT PROVED: $what: the check passed" >&2
    failed=1
    return
  fi
  while IFS= read -r hint; do
    if ! grep -qF -- "$hint" <<<"$said"; then
      printf 'NOT PROVED: %s: the check failed without saying "%s":\n%s\n' "$what" "$hint" "$(tail -n 15 <<<"$said")" >&2
      failed=1
      return
    fi
  done <<<"$hints"
  printf 'ok: %s: %s\n' "$what" "$(grep -m1 -F -- "${hints%%$'\n'*}" <<<"$said" | sed 's/^ *//' | cut -c1-140)"
}

# replace FILE OLD NEW: the first OLD, which must be there.
replace='replace() { OLD=$2 NEW=$3 perl -0pi -e '"'"'$n = s/\Q$ENV{OLD}\E/$ENV{NEW}/; END { exit !$n }'"'"' "$1"; };'

bites "generated API code out of date" "gen is out of date" \
  "$replace replace $spec 'description: Who did it.' 'description: Who it was.'" scripts/verify.sh
bites "generated SQL code out of date" "gen is out of date" \
  "$replace replace sql/queries/postgres/installation.sql 'SELECT id' 'SELECT id, created_at'" scripts/verify.sh
for made in sdk/go/models.gen.go sdk/typescript/src/contract.gen.ts sdk/python/analytics_client/models.py; do
  bites "an SDK out of date" "$made is out of date" "echo >>$made" scripts/verify.sh
done
bites "go.mod not tidy" "is not tidy" \
  "$replace replace go.mod 'require (' 'require golang.org/x/mod v0.30.0
require ('" scripts/verify.sh
bites "a batch of what isn't checked" 'x-batch-of names "Evnt", which is none of components.schemas' \
  "$replace replace $spec 'x-batch-of: Event' 'x-batch-of: Evnt'" make -s generate
bites "a schema keyword that isn't checked" 'keyword "multipleOf" is not handled' \
  "$replace replace $spec '          minimum: 1
          description: Who did it.' '          minimum: 1
          multipleOf: 2
          description: Who did it.'" make -s generate

bites "an operation without an operationId" "operation-operationId " \
  "$replace replace $spec '      operationId: sendEvent
' ''" make -s lint-spec
bites "an operation without a summary" "operation-summary " \
  "$replace replace $spec '      summary: Send one event
' ''" make -s lint-spec
bites "an operation without a description" "operation-description " \
  "$replace replace $spec '      description: Answers \`200\` for as long as the process can answer at all. It asks nobody else.
' ''" make -s lint-spec
bites "an operation without a tag" "has not exactly one tag" \
  "$replace replace $spec '      tags: [stats]
' '      tags: []
'" make -s lint-spec
bites "an answer without an example" "the response application/json has no example" \
  "$replace replace $spec '              example: {status: received}
' ''" make -s lint-spec
bites "an example that isn't true" "no-invalid-media-type-examples " \
  "$replace replace $spec '              example: {event_type: login, count: 15}' '              example: {event_type: login, count: many}'" make -s lint-spec
bites "a failure that isn't documented" "doesn't document the answer 413" \
  "$replace replace $spec \"        '413':
          \\\$ref: '#/components/responses/ContentTooLarge'
\" ''" make -s lint-spec
bites "a schema without a description" "the schema EventTypeStats has no description" \
  "$replace replace $spec '      description: How many events of a type there are.
' ''" make -s lint-spec
bites "an operation whose name is no method name" "operationId send_event isn't camelCase" \
  "$replace replace $spec 'operationId: sendEvent' 'operationId: send_event'" make -s lint-spec
bites "an operation in a group that there isn't" "operation-tag-defined " \
  "$replace replace $spec 'tags: [stats]' 'tags: [statistics]'" make -s lint-spec
bites "a parameter without a description" "parameter-description " \
  "$replace replace $spec '          description: The type to count; upper and lower case differ.
' ''" make -s lint-spec
bites "a property without a description" "the property user_id has no description" \
  "$replace replace $spec '          description: Who did it.
' ''" make -s lint-spec
bites "a schema's example that isn't true" "no-invalid-schema-examples " \
  "$replace replace $spec '          description: Who did it.
          example: 123' '          description: Who did it.
          example: 0'" make -s lint-spec
bites "a failure that isn't a problem" "the answer 500 of getLiveness isn't application/problem+json and nothing else" \
  "$replace replace $spec '    Internal:
      description: A defect of ours.
      content:
' '    Internal:
      description: A defect of ours.
      content:
        text/plain:
          schema: {type: string}
          example: Oh.
'" make -s lint-spec
bites "an enum of numbers" "contract/enums" \
  "$replace replace $spec '          description: Who did it.' '          description: Who did it.
          enum: [123, 42]'" make -s lint-spec
bites "a document that is slow to check against" "openapi is 3.1.0: stay with 3.0" \
  "$replace replace $spec 'openapi: 3.0.3' 'openapi: 3.1.0'" make -s lint-spec
bites "a server that only some can reach" "the server https://example.com: only / is true for everyone" \
  "$replace replace $spec '  - url: /' '  - url: https://example.com'" make -s lint-spec
bites "a component that is left over" "#/components/schemas/LeftOver is not used" \
  "$replace replace $spec '    EventTypeStats:
' '    LeftOver:
      type: string
      description: Nobody wants it.
      example: x
    EventTypeStats:
'" make -s lint-spec

breaks="add instead of changing, or release a new major version"
bites "a path taken away" "api-path-removed-without-deprecation
$breaks" \
  "$replace replace $spec '  /stats/{event_type}:' '  /statistics/{event_type}:'" make -s breaking
bites "a field that becomes required" "request-property-became-required
$breaks" \
  "$replace replace $spec 'required: [user_id, event_type, timestamp]' 'required: [user_id, event_type, timestamp, event_id]'" make -s breaking
bites "a bound that gets narrower" "request-property-max-length-decreased
$breaks" \
  "$replace replace $spec '    EventType:
      type: string
      minLength: 1
      maxLength: 128' '    EventType:
      type: string
      minLength: 1
      maxLength: 64'" make -s breaking
bites "a member that an answer may lack" "response-property-became-optional
$breaks" \
  "$replace replace $spec 'required: [event_type, count]' 'required: [event_type]'" make -s breaking
# oasdiff itself would let these pass: see tools/oasdiff/levels.txt.
bites "a field that is no longer taken" "request-property-removed
$breaks" \
  "$replace replace $spec '        event_id:
          \$ref: '\''#/components/schemas/EventId'\''
' ''" make -s breaking
bites "an optional member taken out of an answer" "response-optional-property-removed
$breaks" \
  "$replace replace $spec '        detail:
          type: string
          description: What went wrong this time, and what to do about it.
          example: 1 value breaks the contract; see errors.
' ''" make -s breaking
bites "a header taken out of an answer" "optional-response-header-removed
$breaks" \
  "$replace replace $spec '            RateLimit:
              \$ref: '\''#/components/headers/RateLimit'\''
' ''" make -s breaking
bites "an operation with another name" "api-operation-id-removed
$breaks" \
  "$replace replace $spec 'operationId: sendEvent' 'operationId: postEvent'" make -s breaking
bites "a contract that can't be compared" "breaking: the contracts can't be compared" \
  "echo ': [' >> $spec" make -s breaking

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
bites "a question that knows its database" "impl/stats imports highload.example/analytics/gen/pgdb: see the order of imports" \
  "printf 'package stats\n\nimport _ \"highload.example/analytics/gen/pgdb\"\n' > impl/stats/wrong.go" \
  go test ./impl -run TestPackagesImportOnlyDownwards
bites "settings that the README doesn't show" "README.md is out of date" \
  "$replace replace README.md '| \`RATE_LIMIT\` |' '| \`RATE\` |'" go test ./impl/config -run TestReadme
bites "an answer that isn't in the contract" "is not in the contract" \
  "$replace replace impl/httpapi/operations.go 'api.HealthStatusOk}}, nil' '\"fine\"}}, nil'" go test ./impl/app -run TestEveryOperationKeepsTheContract

[ "$failed" -eq 0 ] && echo "Every check can fail."
exit "$failed"
