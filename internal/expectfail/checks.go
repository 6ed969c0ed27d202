package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// check is something that passes on the tree as it is and fails on a broken one.
type check struct {
	command string // as a developer runs it
	// inputs returns the files that decide what the check says of a broken tree: what it
	// guards, its rules, its program and the versions of its tools.
	inputs func(ctx context.Context, t *tree) ([]string, error)
	// judge judges variants, of which the first is the tree as it is. It calls report for
	// every one of them: first for the first, then in any order, from any goroutine.
	judge func(ctx context.Context, t *tree, inputs []string, variants []variant, report func(i int, v verdict))
}

// verdict is what a check said of a variant.
type verdict struct {
	result
	err  error // it couldn't be judged
	took time.Duration
}

// unsound returns why the verdict on the tree as it is makes those on broken ones
// worthless: a check that fails anyway proves nothing.
func (v verdict) unsound() error {
	switch {
	case v.err != nil:
		return v.err
	case !v.passed:
		return errors.New("the check fails on the tree as it is:\n" + tail(v.output, 15))
	}
	return nil
}

// What several checks need.
var (
	goModule    = []string{"Makefile", "go.mod", "go.sum"}
	goTools     = slices.Concat(goModule, []string{"tools/go.mod", "tools/go.sum"})
	oapiCodegen = slices.Concat(goTools, []string{spec, "api/cmd/number-properties"})
)

var (
	lintSpec = &check{"make lint-spec", paths("Makefile", spec, "api/lint"), lint}
	breaking = &check{"make breaking", paths(slices.Concat(goModule, []string{spec, "scripts/breaking.sh", "tools/oasdiff"})...), compare}
	keywords = &check{"make generate", paths(slices.Concat(goModule, []string{spec, "api/cmd/check-keywords", "api/keywords"})...), inSandbox(generate)}

	verifyServer = verify("generate-server", oapiCodegen, "api/server.yaml", "api/server.overlay.yaml", "api/templates", "gen/api")
	verifySQL    = verify("generate-sql", goTools, "sqlc.yaml", "sql", "gen/pgdb", "gen/sqlitedb")
	verifyGo     = verify("generate-go", oapiCodegen, "sdk/go/Makefile",
		"sdk/go/client.yaml", "sdk/go/client.overlay.yaml", "sdk/go/client-with-responses.tmpl", "sdk/go/internal/client",
		"sdk/go/models.yaml", "sdk/go/models.overlay.yaml", "sdk/go/imports.tmpl", "sdk/go/models.gen.go")
	verifyTypeScript = verify("generate-typescript", nil, "Makefile", spec, "sdk/typescript/Makefile",
		"sdk/typescript/package.json", "sdk/typescript/package-lock.json", "sdk/typescript/scripts/generate.js", "sdk/typescript/src/contract.gen.ts")
	verifyPython = verify("generate-python", goModule, spec, "sdk/python/Makefile",
		"sdk/python/generate", "sdk/python/analytics_client/models.py", "sdk/python/analytics_client/operations.py")
	verifyTidy = verify("tidy", nil, "**/*.go", "**/go.mod", "**/go.sum")

	everyCode      = goTest("./impl/httpapi", "TestEveryCodeIsProduced")
	imports        = goTest("./impl", "TestPackagesImportOnlyDownwards")
	everyOperation = goTest("./impl/app", "TestEveryOperationKeepsTheContract/embedded/getLiveness")
	readme         = &check{"go test ./impl/config -run TestReadme", dependencies("./impl/config", "README.md"), each(readsReadme)}
)

// paths are inputs that can be named: see tree.match.
func paths(patterns ...string) func(context.Context, *tree) ([]string, error) {
	return func(_ context.Context, t *tree) ([]string, error) {
		var files []string
		for _, pattern := range patterns {
			found, err := t.match(pattern)
			if err != nil {
				return nil, err
			}
			files = append(files, found...)
		}
		return files, nil
	}
}

// dependencies are the inputs of a package's tests: the files of the module that are
// compiled into them, and others that they read.
func dependencies(pkg string, others ...string) func(context.Context, *tree) ([]string, error) {
	const list = `{{$p := .}}{{if .Module}}{{if .Module.Main}}{{range .GoFiles}}{{$p.Dir}}{{"\t"}}{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$p.Dir}}{{"\t"}}{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	return func(ctx context.Context, t *tree) ([]string, error) {
		files, err := paths(append([]string{"go.mod", "go.sum"}, others...)...)(ctx, t)
		if err != nil {
			return nil, err
		}
		out, err := t.output(ctx, "go", "list", "-deps", "-test", "-f", list, pkg)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			dir, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if filepath.IsAbs(name) { // the generated main of the test
				continue
			}
			file, err := filepath.Rel(t.root, filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			files = append(files, file)
		}
		return files, nil
	}
}

// verify is a part of `make verify`.
func verify(part string, common []string, inputs ...string) *check {
	return &check{
		"scripts/verify.sh " + part,
		paths(slices.Concat(common, inputs, []string{"scripts/verify.sh", ".gitignore"})...),
		inSandbox(func(variant) []string { return []string{"scripts/verify.sh", part} }),
	}
}
