// Command analytics takes events over HTTP and counts them. See the README, or
// run it with --help.
package main

import (
	"os"
	"runtime/debug"

	"highload.example/analytics/impl/app"
)

// version is set by the release build: -ldflags "-X main.version=1.2.3".
var version = ""

func main() {
	os.Exit(app.Main(buildVersion(), os.Args[1:], os.Stdout, os.Stderr))
}

// buildVersion names the build: the release's version, or the commit that the Go
// command recorded.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+changes"
		}
	}
	if revision == "" {
		return "dev"
	}
	return "dev-" + revision + modified
}
