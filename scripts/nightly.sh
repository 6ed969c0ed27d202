#!/usr/bin/env bash
# What takes too long for .ci/run, each part once: `make nightly`. All parts run, whatever
# fails; the end says what did. ONLY="fuzz load" runs the parts that are named.
# The lines that begin with "# nightly:" are what .ci/run prints as left out.
set -uo pipefail
cd "$(dirname "$0")/.."
export TESTKIT_REQUIRED=1

failed=() ran=()
# part NAME COMMAND...: runs the command unless others are asked for.
part() {
  local name=$1 started=$SECONDS
  shift
  [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $name "* ]] || return 0
  printf '\n=== nightly: %s\n' "$name"
  "$@" || failed+=("$name")
  ran+=("$(printf '%6d s  %s' $((SECONDS - started)) "$name")")
}

# nightly: tests at full length, as 8 databases of the query model (CI: 3) and all generated bodies for the oracle (CI: a quarter), on every installed PostgreSQL and Redis (CI: the newest)
versions() {
  local postgres redis status=0 pairs=0
  local -a redises=() bins=()
  mapfile -t bins < <(ls -d /usr/lib/postgresql/*/bin 2>/dev/null)
  [ ${#bins[@]} -gt 0 ] || bins=("$(dirname "$(command -v postgres)")")
  # REDIS_SERVERS="DIR DIR": directories with further versions of redis-server.
  for redis in $(dirname "$(command -v redis-server)") ${REDIS_SERVERS:-}; do redises+=("$redis"); done
  for postgres in "${bins[@]}"; do
    for redis in "${redises[@]}"; do
      printf '\n--- %s and %s\n' "$("$postgres/postgres" --version)" "$("$redis/redis-server" --version)"
      PATH="$postgres:$redis:$PATH" ANALYTICS_TEST_LONG=1 make test TIMEOUT=60m || status=1
      pairs=$((pairs + 1))
    done
  done
  printf '\n%d of the combinations are installed here, and were tried.\n' "$pairs"
  return "$status"
}

part deps scripts/test-deps.sh haproxy chromium
part versions versions
# nightly: all expect-fail checks (CI: those whose files have changed, and a sample)
part expect-fail make expect-fail-all
# nightly: the tests of test/ at full length: mutants of the checker, a history of 1,000,000 operations (CI: 200,000)
part test-module env ANALYTICS_TEST_LONG=1 make load-test topology scaleout torture-test sdk-test
# nightly: ten minutes of fault injection on a fleet and five on one process, all faults, a new seed (CI: one fault of each family, seed 1)
seed=${SEED:-$(date +%Y%m%d)}
part fleet make torture TORTURE="--duration 10m --seed $seed"
part embedded make torture TORTURE="--mode embedded --duration 5m --seed $seed"
# nightly: overload at 0.5 to 10 times saturation, clients that misbehave, and a soak of 30 minutes
part overload make torture TORTURE="--mode overload --seed $seed"
part clients make torture TORTURE="--mode clients --seed $seed"
part soak make torture TORTURE="--mode soak --duration 30m --seed $seed"
# nightly: the load program and queries on ten million events, in full (CI: --quick)
part load make load
part queries make load-queries
# nightly: two minutes of fuzzing for each target (CI: the inputs in the tree)
part fuzz make fuzz FUZZTIME=2m
# nightly: benchmarks
part bench make bench sdk-bench

printf '\nSeconds by part (seed %s):\n' "$seed"
printf '%s\n' "${ran[@]}"
[ ${#failed[@]} -eq 0 ] || { printf '\nnightly: failed: %s\n' "${failed[*]}" >&2; exit 1; }
[ ${#ran[@]} -gt 0 ] || { printf 'nightly: no part is named %s\n' "${ONLY:-}" >&2; exit 2; }
printf '\nEverything passed in %d s.\n' "$SECONDS"
