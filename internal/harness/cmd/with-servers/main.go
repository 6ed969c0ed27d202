// Command with-servers runs a command with a PostgreSQL and a Redis server of its
// own: with-servers -- go test ./...
package main

import (
	"fmt"
	"os"

	"highload.example/analytics/internal/harness"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: with-servers -- command [argument ...]")
		os.Exit(2)
	}
	os.Exit(harness.RunWithServers(os.Stderr, args))
}
