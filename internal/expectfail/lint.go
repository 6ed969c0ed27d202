package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lintReport is what Redocly writes for a document with --format=json.
type lintReport struct {
	Totals struct {
		Errors int `json:"errors"`
	} `json:"totals"`
	Problems []struct {
		Rule     string `json:"ruleId"`
		Severity string `json:"severity"`
		Message  string `json:"message"`
		Location []struct {
			Source struct {
				Ref string `json:"ref"`
			} `json:"source"`
			Start struct {
				Line int `json:"line"`
				Col  int `json:"col"`
			} `json:"start"`
		} `json:"location"`
	} `json:"problems"`
}

// lint lints the contracts of all variants in one process, which takes a second to
// start.
func lint(ctx context.Context, t *tree, _ []string, variants []variant, report func(int, verdict)) {
	t.slots <- struct{}{}
	defer func() { <-t.slots }()
	verdicts, err := lintAll(ctx, t, variants)
	if err == nil {
		err = verdicts[0].unsound()
	}
	for i := range variants {
		if err != nil {
			report(i, verdict{err: err})
		} else {
			report(i, verdicts[i])
		}
	}
}

func lintAll(ctx context.Context, t *tree, variants []variant) ([]verdict, error) {
	if _, err := t.output(ctx, "make", "-s", "api/lint/node_modules/.package-lock.json"); err != nil {
		return nil, err
	}
	dir, err := t.dir()
	if err != nil {
		return nil, err
	}
	var names []string
	for i, v := range variants {
		content, err := t.read(v, spec)
		if err != nil {
			return nil, err
		}
		name := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	command := t.command(ctx, t.root, nil, "make", "-s", "lint-spec", "LINT_FORMAT=json", "LINT_SPECS="+strings.Join(names, " "))
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	verdicts, failed, err := readReports(stdout, names)
	_, _ = io.Copy(io.Discard, stdout) // it can't end before its output is read
	ended := command.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("what the linter prints can't be read: %w\n%s", err, stderr.String())
	case failed && ended == nil:
		return nil, errors.New("the linter found errors, and exited with 0")
	case !failed && ended != nil:
		return nil, fmt.Errorf("the linter found no error: %w\n%s", ended, stderr.String())
	}
	return verdicts, nil
}

// readReports reads a report for each of the files, in their order. failed says whether
// there is an error in any of them.
func readReports(stdout io.Reader, names []string) (verdicts []verdict, failed bool, err error) {
	started := time.Now()
	decoder := json.NewDecoder(stdout)
	for _, name := range names {
		var r lintReport
		if err := decoder.Decode(&r); err != nil {
			return nil, false, err
		}
		var text strings.Builder
		for _, p := range r.Problems {
			for _, l := range p.Location {
				if filepath.Base(l.Source.Ref) != filepath.Base(name) {
					return nil, false, fmt.Errorf("a report on %s where that on %s belongs", l.Source.Ref, name)
				}
				fmt.Fprintf(&text, "%s:%d:%d: %s: %s: %s\n", spec, l.Start.Line, l.Start.Col, p.Severity, p.Rule, p.Message)
			}
		}
		failed = failed || r.Totals.Errors > 0
		verdicts = append(verdicts, verdict{result: result{passed: r.Totals.Errors == 0, output: text.String()}, took: time.Since(started)})
		started = time.Now()
	}
	if decoder.More() {
		return nil, false, fmt.Errorf("there is more than the reports on %d files", len(names))
	}
	return verdicts, failed, nil
}
