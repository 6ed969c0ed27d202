#!/usr/bin/env bash
# Makes sure that the programs which the tests run are installed: PostgreSQL and
# Redis, and those named as arguments (haproxy, chromium). Installs the Debian
# packages that are missing if it may, and else says what to install.
set -euo pipefail

has_postgres() {
  local bin
  for bin in $(command -v postgres || true) "$(pg_config --bindir 2>/dev/null || true)/postgres" \
    /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres \
    /opt/homebrew/opt/postgresql*/bin/postgres /usr/local/opt/postgresql*/bin/postgres \
    /Applications/Postgres.app/Contents/Versions/*/bin/postgres; do
    [ -x "$bin" ] && [ "$("$bin" --version | sed -E 's/.*\) ([0-9]+).*/\1/')" -ge 15 ] && return 0
  done
  return 1
}

has_redis() {
  command -v redis-server >/dev/null && [ "$(redis-server --version | sed -E 's/.*v=([0-9]+).*/\1/')" -ge 7 ]
}

packages=()
has_postgres || packages+=(postgresql)
has_redis || packages+=(redis-server)
for program in "$@"; do
  command -v "$program" >/dev/null || packages+=("$program")
done
[ ${#packages[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo -n)
fi
if command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; then
  echo "Installing ${packages[*]} ..." >&2
  # The packages would start servers on the standard ports, which nobody wants:
  # this says no to whoever asks to start a service.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  exit 0
fi
cat >&2 <<MESSAGE
These programs are missing, or too old, and can't be installed from here: ${packages[*]}
Install them and try again:
  Debian, Ubuntu:  sudo apt-get install ${packages[*]}
  macOS:           brew install postgresql@17 redis haproxy
The tests start servers of their own; no running service is needed or used.
MESSAGE
exit 1
