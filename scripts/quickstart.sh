#!/usr/bin/env bash
# Runs the README's first commands as a newcomer would, and compares the answers
# with those that the README promises.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
server=
# The server is the child of `go run`, which doesn't pass signals on: both are in
# a process group of their own, and the group gets the signal.
cleanup() {
  [ -z "$server" ] || kill -TERM -- "-$server" 2>/dev/null || true
  # The server outlives `go run` by its shutdown delay.
  for _ in $(seq 300); do
    [ -n "$server" ] && kill -0 -- "-$server" 2>/dev/null || break
    read -rt 0.1 <> <(:) || true
  done
  rm -rf "$work"
}
trap cleanup EXIT

if curl -s -o /dev/null http://localhost:8000/; then
  echo "quickstart: something listens on port 8000 already; stop it first" >&2
  exit 1
fi
# What `go run` builds is deleted with the rest: killed, it leaves it behind.
mkdir "$work/tmp"
set -m
GOTMPDIR="$work/tmp" DATA_DIR="$work/data" go run ./cmd/analytics >"$work/out" 2>"$work/err" &
server=$!
set +m

for _ in $(seq 600); do
  curl -sf -o /dev/null http://localhost:8000/readyz && break
  kill -0 "$server" 2>/dev/null || { cat "$work/out" "$work/err" >&2; exit 1; }
  read -rt 0.1 <> <(:) || true
done
cat "$work/out"

# expect COMMAND STATUS BODY: the command is one of the README's, word for word.
expect() {
  local command=$1 status=$2 body=$3 answer
  grep -qF -- "$command" README.md || { printf 'quickstart: the README does not have: %s\n' "$command" >&2; exit 1; }
  printf '$ %s\n' "$command"
  answer=$(eval "$command -s -w ' %{http_code}'")
  printf '%s\n' "$answer"
  [ "$answer" = "$body $status" ] || { printf 'quickstart: expected: %s %s\n' "$body" "$status" >&2; exit 1; }
}
expect "curl -X POST http://localhost:8000/event -H \"Content-Type: application/json\" -d '{\"user_id\": 42, \"event_type\": \"login\", \"timestamp\": 1690000000}'" 202 '{"status":"received"}'
expect "curl http://localhost:8000/stats/login" 200 '{"event_type":"login","count":1}'
expect "curl -X POST http://localhost:8000/events -H \"Content-Type: application/json\" -d '[{\"user_id\": 42, \"event_type\": \"login\", \"timestamp\": 1690000060}, {\"user_id\": 0, \"event_type\": \"login\", \"timestamp\": 1690000060}]'" 202 '{"received":1,"duplicate":0,"rejected":1,"retry":0,"results":[{"index":1,"status":"rejected","errors":[{"pointer":"/user_id","code":"minimum","detail":"must be at least 1"}]}]}'
expect "curl http://localhost:8000/query -H \"Content-Type: application/json\" -d '{\"metric\": \"unique_users\", \"from\": 1690000000, \"to\": 1690003600, \"group_by\": [\"event_type\"]}'" 200 '{"metric":"unique_users","from":1690000000,"to":1690003600,"group_by":["event_type"],"groups":[{"key":["login"],"value":1}]}'
echo "The quickstart works."
