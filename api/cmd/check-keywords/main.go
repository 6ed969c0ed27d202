// Command check-keywords fails when an OpenAPI document says something of a
// request that the generated code wouldn't check. `make generate` runs it first.
package main

import (
	"fmt"
	"io"
	"os"

	"highload.example/analytics/api/keywords"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stderr))
}

// run checks the files named and returns the exit code: 0 when everything in them
// is checked, 1 when not, 2 when they can't be read.
func run(files []string, stderr io.Writer) int {
	if len(files) == 0 {
		fmt.Fprintln(stderr, "usage: check-keywords FILE...")
		return 2
	}
	code := 0
	for _, file := range files {
		document, err := os.ReadFile(file) //nolint:gosec // the file that the developer names is what is asked for
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 2
		}
		problems, err := keywords.Check(document)
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", file, err)
			return 2
		}
		for _, p := range problems {
			fmt.Fprintf(stderr, "%s:%d: %s: %s\n", file, p.Line, p.Place, p.What)
			code = 1
		}
	}
	return code
}
