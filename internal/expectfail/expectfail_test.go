package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestEveryLintRuleHasACase: a rule that never fails checks nothing.
func TestEveryLintRuleHasACase(t *testing.T) {
	t.Parallel()
	var config struct{ Rules map[string]string }
	if err := yaml.Unmarshal(read(t, "../../api/lint/redocly.yaml"), &config); err != nil {
		t.Fatal(err)
	}
	if len(config.Rules) < 20 {
		t.Errorf("%d rules, want more", len(config.Rules))
	}
	for rule, level := range config.Rules {
		if level != "off" && !saidBy(lintSpec, rule+": ") {
			t.Errorf("the rule %s has no case in cases.go", rule)
		}
	}
}

// TestEveryLevelHasACase: the same of the changes that tools/oasdiff makes errors of.
func TestEveryLevelHasACase(t *testing.T) {
	t.Parallel()
	for line := range strings.Lines(string(read(t, "../../tools/oasdiff/levels.txt"))) {
		if id, level, _ := strings.Cut(strings.TrimSpace(line), " "); level != "err" || !saidBy(breaking, "["+id+"]") {
			t.Errorf("the change %s has no case in cases.go", id)
		}
	}
}

func saidBy(c *check, text string) bool {
	return slices.ContainsFunc(cases, func(e expectFail) bool {
		return e.check == c && slices.ContainsFunc(e.says, func(said string) bool { return strings.HasPrefix(said, text) })
	})
}

func TestEveryCaseAppliesToTheTree(t *testing.T) {
	t.Parallel()
	tree := &tree{root: "../.."}
	names := map[string]bool{}
	for _, c := range cases {
		if names[c.name] {
			t.Errorf("two cases are called %q", c.name)
		}
		names[c.name] = true
		if v, err := tree.edit(c.edits); err != nil || len(v) == 0 || len(c.says) == 0 {
			t.Errorf("%s: %d files edited, %d texts: %v", c.name, len(v), len(c.says), err)
		}
	}
}

func TestEditsThatDoNotApplyAreErrors(t *testing.T) {
	t.Parallel()
	document := []byte("a:\n  b: [1, 2]\n  c: x\n")
	for _, e := range []edit{
		create("f", "text"), replace("f", "d", "e"), replace("f", ":", "="),
		remove("f", "a.d"), remove("f", "d.b"), remove("f", "a.b.0"), set("f", "a.b.2", "3"), set("f", "d.b", "3"), set("f", "a.c.d", "3"), set("f", "a.d", ": ["),
	} {
		if changed, err := e.apply(document); err == nil {
			t.Errorf("%s: no error, %q", e.what, changed)
		}
	}
	for _, e := range []edit{add("f", "text"), replace("f", "a", "b"), remove("f", "a"), set("f", "a", "1")} {
		if changed, err := e.apply(nil); err == nil {
			t.Errorf("%s of no file: no error, %q", e.what, changed)
		}
	}
	for want, e := range map[string]edit{
		"a:\n  c: x\n":                           remove("f", "a.b"),
		"a:\n  b: [1, 5]\n  c: x\n":              set("f", "a.b.1", "5"),
		"a:\n  b: [1, 2, 5]\n  c: x\n":           set("f", "a.b.+", "5"),
		"a:\n  b: [1, 2]\n  c: x\n  d: {e: 5}\n": set("f", "a.d", "{e: 5}"),
		"a:\n  b: [1, 2]\n  c: y\n":              replace("f", "x", "y"),
	} {
		if changed, err := e.apply(document); err != nil || string(changed) != want {
			t.Errorf("%s: %q, %v, want %q", e.what, changed, err, want)
		}
	}
}

// repository is a small tree with a check that fails when the file "guarded" says "bad",
// for the reason in the file "reason".
type repository struct {
	runner

	said bytes.Buffer
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{runner: runner{dir: t.TempDir(), cacheDir: filepath.Join(t.TempDir(), "cache"), versions: []string{"1"}}}
	r.out = &r.said
	if out, err := exec.Command("git", "init", "-q", r.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.write(t, "guarded", "good\n")
	r.write(t, "reason", "it is bad\n")
	r.write(t, "other", "\n")
	guard := &check{"guard", paths("guarded", "reason"), each(func(_ context.Context, tree *tree, _ []string, v variant) (result, error) {
		guarded, err := tree.read(v, "guarded")
		if err != nil || !bytes.Contains(guarded, []byte("bad")) {
			return result{passed: err == nil}, err
		}
		reason, err := tree.read(v, "reason")
		return result{output: string(reason)}, err
	})}
	for i := range 10 {
		r.cases = append(r.cases, expectFail{fmt.Sprint("case ", i), guard, []edit{replace("guarded", "good", fmt.Sprint("bad ", i))}, []string{"it is bad"}})
	}
	return r
}

func (r *repository) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// expect runs the cases and looks for an exit code and texts.
func (r *repository) expect(t *testing.T, o options, code int, texts ...string) string {
	t.Helper()
	r.said.Reset()
	if got := r.run(t.Context(), o); got != code {
		t.Errorf("exit code %d, want %d:\n%s", got, code, &r.said)
	}
	for _, text := range texts {
		if !strings.Contains(r.said.String(), text) {
			t.Errorf("%q isn't in:\n%s", text, &r.said)
		}
	}
	return r.said.String()
}

func TestCasesRunWhenWhatDecidesThemHasChanged(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.expect(t, options{Sample: 3}, 0, "10 cases ran: 10 changed or new\n", "guard: case 7: it is bad")
	first := r.expect(t, options{Sample: 3, Seed: 7}, 0, "3 cases ran: 0 changed or new, 3 as a sample (SEED=7); 7 are left")
	if sample := strings.SplitN(first, "\n", 2)[0]; !strings.HasPrefix(r.expect(t, options{Sample: 3, Seed: 7}, 0), sample+"\n") {
		t.Errorf("another sample for the same seed, not %q:\n%s", sample, &r.said)
	}
	r.write(t, "other", "changed\n")
	r.expect(t, options{}, 0, "0 cases ran: 0 changed or new", "; 10 are left to `make nightly`")
	r.expect(t, options{All: true}, 0, "10 cases ran: 0 changed or new, 10 unchanged\n")
	r.expect(t, options{Run: "case [12]"}, 0, "2 cases ran: 0 changed or new, 2 unchanged\n")
	r.expect(t, options{Run: "none"}, exitError, "there is no such case")

	r.cases[4].says = append(r.cases[4].says, "bad")
	r.expect(t, options{}, 0, "1 cases ran: 1 changed or new", "guard: case 4")
	r.cases[5].edits = []edit{replace("guarded", "good", "also bad")}
	r.expect(t, options{}, 0, "1 cases ran: 1 changed or new", "guard: case 5")
	r.write(t, "reason", "still it is bad\n")
	r.expect(t, options{}, 0, "10 cases ran: 10 changed or new\n")
	r.write(t, "reason", "it is bad\n")
	r.expect(t, options{}, 0, "0 cases ran")
	r.versions = []string{"2"}
	r.expect(t, options{}, 0, "10 cases ran: 10 changed or new\n")
}

func TestCasesThatDoNotFailAsExpectedFail(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(t *testing.T, r *repository)
		want  string
	}{
		"the check passes":                   {func(t *testing.T, r *repository) { r.cases[2].edits[0] = replace("guarded", "good", "fine") }, "case 2: the check passed"},
		"the check says something else":      {func(t *testing.T, r *repository) { r.cases[2].says = []string{"worse"} }, `case 2: the check failed without saying "worse":` + "\nit is bad"},
		"the edit does not apply":            {func(t *testing.T, r *repository) { r.cases[2].edits[0] = replace("guarded", "none", "bad") }, `case 2: it could not be judged: the edit of guarded does not apply: "none" occurs 0 times`},
		"the edit changes nothing":           {func(t *testing.T, r *repository) { r.cases[2].edits[0] = replace("guarded", "good", "good") }, "case 2: it could not be judged: the edit of guarded changes nothing"},
		"the check fails on the tree itself": {func(t *testing.T, r *repository) { r.cases[2].check = r.alwaysFails() }, "case 2: it could not be judged: the check fails on the tree as it is:\nit is bad"},
		"the check can't be run": {func(t *testing.T, r *repository) {
			r.cases[2].check = &check{"none", paths("guarded"), inSandbox(func(variant) []string { return []string{"./none"} })}
		}, "case 2: it could not be judged: ./none: "},
		"the check gives no verdict": {func(t *testing.T, r *repository) {
			r.cases[2].check = &check{"silent", paths("guarded"), func(context.Context, *tree, []string, []variant, func(int, verdict)) {}}
		}, "case 2: it could not be judged: the check gave no verdict"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			test.spoil(t, r)
			for range 2 { // what failed is tried again
				r.expect(t, options{}, exitFailed, test.want, "1 cases failed: case 2\n")
			}
		})
	}
}

func (r *repository) alwaysFails() *check {
	return &check{"always", paths("guarded", "reason"), inSandbox(func(variant) []string { return []string{"sh", "-c", "cat reason; exit 1"} })}
}

func TestNothingRunsOnWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(t *testing.T, r *repository)
		want  string
	}{
		"an input that isn't there": {func(t *testing.T, r *repository) { os.Remove(filepath.Join(r.dir, "reason")) }, "there is no file at reason"},
		"an entry of the cache that isn't ours": {func(t *testing.T, r *repository) {
			entries, err := os.ReadDir(r.cacheDir)
			if err != nil || len(entries) != len(r.cases) {
				t.Fatalf("%d entries, %v", len(entries), err)
			}
			if err := os.WriteFile(filepath.Join(r.cacheDir, entries[0].Name()), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "the cache of what has passed: "},
		"a cache that is a file": {func(t *testing.T, r *repository) { r.cacheDir = filepath.Join(r.dir, "other") }, "the cache of what has passed: "},
		"no repository":          {func(t *testing.T, r *repository) { r.dir = filepath.Join(t.TempDir(), "none") }, "git rev-parse"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			r.expect(t, options{}, 0)
			test.spoil(t, r)
			if said := r.expect(t, options{}, exitError, test.want); strings.Contains(said, "ok ") {
				t.Errorf("something ran:\n%s", said)
			}
		})
	}
}

func TestReportsOfTheLinterAreReadInOrder(t *testing.T) {
	t.Parallel()
	const (
		sound  = `{"totals": {"errors": 0}, "problems": []}`
		broken = `{"totals": {"errors": 1}, "problems": [{"ruleId": "struct", "severity": "error", "message": "No.", "location": [{"source": {"ref": "../1.yaml"}, "start": {"line": 2, "col": 3}}]}]}`
	)
	names := []string{"/x/0.yaml", "/x/1.yaml"}
	verdicts, failed, err := readReports(strings.NewReader(sound+broken), names)
	if err != nil || !failed || !verdicts[0].passed || verdicts[1].passed || verdicts[1].output != "api/openapi.yaml:2:3: error: struct: No.\n" {
		t.Errorf("%v, %t, %v", verdicts, failed, err)
	}
	for _, text := range []string{"", sound, broken + sound, sound + broken + sound, sound + "{"} {
		if _, _, err := readReports(strings.NewReader(text), names); err == nil {
			t.Errorf("no error for %s", text)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
