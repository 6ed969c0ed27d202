// Command generate writes the part of the Python SDK that follows from the contract:
// the types of what is sent and answered, and a method for each operation. It
// refuses a contract with anything that its templates don't know.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stderr))
}

// run returns the exit code: 0 when the files are written, 1 when the contract has
// something that isn't known, 2 when a file can't be read or written.
func run(args []string, stderr io.Writer) int {
	if len(args) != 2 {
		fmt.Fprintln(stderr, "usage: generate OPENAPI.yaml PACKAGE-FOLDER")
		return 2
	}
	document, err := os.ReadFile(args[0])
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	c, problems, err := read(document)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
		return 2
	}
	for _, p := range problems {
		fmt.Fprintf(stderr, "%s:%d: %s: %s\n", args[0], p.line, p.place, p.what)
	}
	if len(problems) > 0 {
		return 1
	}
	files, err := render(c)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
		return 2
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(args[1], name), content, 0o644); err != nil { //nolint:gosec // source code is for everyone to read
			fmt.Fprintln(stderr, err)
			return 2
		}
	}
	return 0
}
