package impl_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "highload.example/analytics"

// listed is what `go list` says of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// packages lists every package of the module.
func packages(t *testing.T) []listed {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	command.Dir = ".."
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// rule says what the packages under a path never import. A path that ends in
// ... means everything below, itself included.
type rule struct {
	of    string
	never []string
	but   []string
}

var rules = []rule{
	{of: "impl/event", never: []string{module + "/..."}},
	{of: "impl/ingest", never: []string{module + "/gen/...", module + "/impl/backend/...", module + "/impl/httpapi/...", "github.com/jackc/...", "github.com/redis/...", "net/http"}},
	{of: "impl/stats", never: []string{module + "/gen/...", module + "/impl/backend/...", module + "/impl/httpapi/...", "github.com/jackc/...", "github.com/redis/...", "net/http"}},
	{of: "impl/query", never: []string{module + "/gen/...", module + "/impl/backend/...", module + "/impl/httpapi/...", "github.com/jackc/...", "github.com/redis/...", "net/http"}},
	{of: "impl/cli", never: []string{module + "/..."}}, // it knows the contract alone
	{of: "impl/failpoint", never: []string{module + "/..."}},
	{of: "impl/daycounts", never: []string{module + "/..."}},
	{of: "impl/upkeep", never: []string{module + "/gen/...", module + "/impl/...", "github.com/jackc/...", "github.com/redis/...", "net/http"}},
	{of: "impl/ratelimit", never: []string{module + "/gen/...", module + "/impl/backend/...", module + "/impl/httpapi/...", "github.com/jackc/...", "github.com/redis/...", "net/http"}},
	{of: "impl/httpapi", never: []string{module + "/impl/backend/...", module + "/gen/pgdb", module + "/gen/sqlitedb", module + "/impl/app"}},
	{of: "impl/backend/postgres", never: []string{module + "/gen/api", module + "/impl/backend/...", module + "/impl/httpapi/...", module + "/impl/app"}},
	{of: "impl/backend/sqlite", never: []string{module + "/gen/api", module + "/impl/backend/...", module + "/impl/httpapi/...", module + "/impl/app"}},
	{of: "impl/backend/redis", never: []string{module + "/gen/...", module + "/impl/backend/...", module + "/impl/httpapi/...", module + "/impl/app"}},
	{of: "impl/backend/memory", never: []string{module + "/gen/...", module + "/impl/backend/...", module + "/impl/httpapi/...", module + "/impl/app"}},
	{of: "impl/observe", never: []string{module + "/gen/...", module + "/impl/backend/...", module + "/impl/httpapi/...", module + "/impl/app"}},
	{of: "impl/contract", never: []string{module + "/impl/...", module + "/gen/..."}},
	{of: "impl/config", never: []string{module + "/..."}},
	{of: "gen/...", never: []string{module + "/impl/..."}},
	{of: "api/...", never: []string{module + "/impl/...", module + "/gen/..."}},
	{of: "impl/testkit", never: []string{module + "/impl/..."}, but: []string{module + "/impl/testkit/..."}},
	{of: "internal/harness", never: []string{module + "/impl/...", module + "/gen/...", module + "/api/...", "testing"}},
	// What only tests need stays out of the product.
	{of: "cmd/analytics", never: []string{module + "/gen/...", module + "/impl/backend/...", module + "/impl/httpapi"}},
}

func TestPackagesImportOnlyDownwards(t *testing.T) {
	t.Parallel()
	all := packages(t)
	checked := map[string]bool{}
	for _, p := range all {
		for _, r := range rules {
			if !covers(module+"/"+r.of, p.ImportPath) {
				continue
			}
			checked[r.of] = true
			for _, imported := range p.Imports {
				if coversAny(r.never, imported) && !coversAny(r.but, imported) {
					t.Errorf("%s imports %s: see the order of imports in impl/doc.go", p.ImportPath, imported)
				}
			}
		}
		product := strings.HasPrefix(p.ImportPath, module+"/impl/") || strings.HasPrefix(p.ImportPath, module+"/cmd/")
		kit := strings.HasPrefix(p.ImportPath, module+"/impl/testkit") || strings.HasSuffix(p.ImportPath, "/backendtest")
		for _, imported := range p.Imports {
			if product && !kit && (imported == "testing" || strings.HasPrefix(imported, module+"/impl/testkit") || strings.HasPrefix(imported, module+"/internal/harness")) {
				t.Errorf("%s imports %s: the product doesn't depend on what tests need", p.ImportPath, imported)
			}
		}
	}
	for _, r := range rules {
		if !checked[r.of] {
			t.Errorf("no package under %s: the rule checks nothing", r.of)
		}
	}
}

func covers(pattern, path string) bool {
	if prefix, below := strings.CutSuffix(pattern, "/..."); below {
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	}
	return path == pattern
}

func coversAny(patterns []string, path string) bool {
	for _, p := range patterns {
		if covers(p, path) {
			return true
		}
	}
	return false
}

func TestPackagesAreDocumentedOnce(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, module+"/gen/") {
			continue
		}
		documented := 0
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				documented++
			}
		}
		if documented != 1 && len(p.GoFiles) > 0 {
			t.Errorf("%s has %d package comments, want 1", p.ImportPath, documented)
		}
	}
}
