#!/usr/bin/env bash
# Makes sure that the programs which the tests run are installed: PostgreSQL and
# Redis, and those named as arguments (haproxy, chromium, python3-wheel). Installs the Debian
# packages that are missing if it may, and else says what to install.
set -euo pipefail

# The places where the harness looks too: see internal/harness/find.go.

has_postgres() {
  local bin version
  for bin in "$(dirname "$(command -v postgres || echo /nowhere/postgres)")" \
    "$(pg_config --bindir 2>/dev/null || echo /nowhere)" \
    /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin; do
    [ -x "$bin/postgres" ] && [ -x "$bin/initdb" ] || continue
    version=$("$bin/postgres" --version | sed -nE 's/.*\) ([0-9]+).*/\1/p')
    [ "${version:-0}" -ge 15 ] && return 0
  done
  return 1
}

has_redis() {
  local program version
  for program in "$(command -v redis-server || true)" /opt/homebrew/bin/redis-server /usr/local/bin/redis-server; do
    [ -x "$program" ] || continue
    version=$("$program" --version | sed -nE 's/.*v=([0-9]+).*/\1/p')
    [ "${version:-0}" -ge 7 ] && return 0
  done
  return 1
}

# has_module says whether the system's Python can import what a Debian package brings.
has_module() {
  local module=$1
  [ "$module" != venv ] || module=ensurepip # the package is about this one
  /usr/bin/python3 -c "import $module" 2>/dev/null
}

# look lists in missing the packages whose programs aren't there.
look() {
  local program
  missing=()
  has_postgres || missing+=(postgresql)
  has_redis || missing+=(redis-server)
  for program in "$@"; do
    case $program in
      python3-*) has_module "${program#python3-}" || missing+=("$program") ;;
      *) command -v "$program" >/dev/null || missing+=("$program") ;;
    esac
  done
}

look "$@"
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=(env)
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
  echo "Installing ${missing[*]} ..." >&2
  # The packages would start servers on the standard ports, which nobody wants:
  # this says no to whoever asks to start a service.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
  fi
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || true
  # An older release's packages may be too old, so what counts is what is there now.
  look "$@"
  [ ${#missing[@]} -gt 0 ] || exit 0
fi

brew=()
for package in "${missing[@]}"; do
  case $package in
    postgresql) brew+=(postgresql@17) ;;
    redis-server) brew+=(redis) ;;
    *) brew+=("$package") ;;
  esac
done
cat >&2 <<MESSAGE
These programs are missing, or too old, and can't be installed from here: ${missing[*]}
PostgreSQL must be 15 or newer, Redis 7 or newer. Install them and try again:
  Debian, Ubuntu:  sudo apt-get install ${missing[*]}
                   (older releases: from https://apt.postgresql.org and https://packages.redis.io)
  macOS:           brew install ${brew[*]}
The tests start servers of their own; no running service is needed or used.
MESSAGE
exit 1
