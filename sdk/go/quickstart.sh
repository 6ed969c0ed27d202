#!/usr/bin/env bash
# Does what GETTING_STARTED.md says, in an empty folder with a fresh server, and compares what is printed. `go get`
# gets the module from a proxy made of this folder, so that it is seen to work without the repository around it.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD

work=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then
    kill -INT "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

# block LANGUAGE N prints the page's N-th block of a language.
block() {
  awk -v fence="\`\`\`$1" -v want="$2" '
    $0 == fence { n++; inside = n == want; next }
    /^```$/     { inside = 0 }
    inside      { print }' GETTING_STARTED.md
}

# 1. The server, on a port that is free. The page starts it as the README does, which
# scripts/quickstart.sh tries.
[ "$(block sh 1)" = "go run ./cmd/analytics" ] || { echo "quickstart: the page starts the server in another way" >&2; exit 1; }
ADDR=127.0.0.1:0 DATA_DIR=$work/data "${ANALYTICS_BIN:-../../bin/analytics}" >"$work/out" 2>&1 &
server=$!
for _ in $(seq 900); do
  ANALYTICS_URL=$(sed -n 's/^ *API *\(http.*\)$/\1/p' "$work/out")
  [ -n "$ANALYTICS_URL" ] && curl -sf -o /dev/null "$ANALYTICS_URL/readyz" && break
  kill -0 "$server" 2>/dev/null || { cat "$work/out" >&2; exit 1; }
  read -rt 0.1 <> <(:) || true
done
export ANALYTICS_URL

# 2. A module proxy with what git knows of this folder.
module=highload.example/analytics/sdk/go
version=v$(sed -n 's/^const Version = "\(.*\)"$/\1/p' options.go)
proxy=$work/proxy/$module/@v
mkdir -p "$proxy"
printf '{"Version":"%s"}' "$version" >"$proxy/$version.info"
cp go.mod "$proxy/$version.mod"
git ls-files -z --cached --others --exclude-standard | python3 -c '
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    for name in sys.stdin.read().split("\0"):
        if os.path.isfile(name):
            z.write(name, sys.argv[2] + name)' "$proxy/$version.zip" "$module@$version/"
# A module cache of its own: the usual one would keep this version for ever. What that one has is not fetched again.
export GOPROXY="file://$work/proxy,file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)"
export GOMODCACHE=$work/modules GOFLAGS=-modcacherw GONOSUMDB=$module
grep -qF "go get $module@$version" GETTING_STARTED.md || { echo "quickstart: the page doesn't get version $version" >&2; exit 1; }

# 3. The page's commands, word for word.
printf '$ %s\n' "$(block sh 2)"
mkdir "$work/app"
cd "$work/app"
make_module=$(cd "$here" && block sh 2)
eval "$make_module"
(cd "$here" && block go 1) >main.go
command=$(cd "$here" && block sh 3)
printf '$ %s\n' "$command"
eval "$command" | tee "$work/printed"

# 4. What it prints.
(cd "$here" && block text 1) >"$work/promised"
diff "$work/promised" "$work/printed" || { echo "quickstart: the page promises something else (above, <)" >&2; exit 1; }
echo "The quickstart of the Go SDK works."
