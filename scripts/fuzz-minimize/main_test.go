package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A module with a fuzz target. It is indented, because scripts/fuzz.sh takes lines
// that begin with "func Fuzz" for targets.
var module = map[string]string{
	"go.mod": "module example.com/module\n\ngo 1.26\n",
	"kind/kind.go": `
		package kind

		// Of says what a text is.
		func Of(text string) string {
			for _, c := range text {
				if c == '!' {
					return "loud"
				}
			}
			if text == "" {
				return "empty"
			}
			return "calm"
		}
	`,
	"kind/kind_test.go": `
		package kind

		import "testing"

		func FuzzOf(f *testing.F) {
			f.Add("a")
			f.Fuzz(func(t *testing.T, text string) {
				if Of(text) == "loud" && text[0] == 'x' {
					t.Error("a defect")
				}
			})
		}
	`,
}

func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, module)
	corpus := filepath.Join(root, "kind", "testdata", "fuzz", "FuzzOf")
	add := func(name, text string) {
		t.Helper()
		write(t, corpus, map[string]string{name: fmt.Sprintf("go test fuzz v1\nstring(%q)\n", text)})
	}
	wantFiles := func(want ...string) {
		t.Helper()
		entries, err := os.ReadDir(corpus)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if !slices.Equal(got, want) {
			t.Errorf("the inputs are %q, want %q", got, want)
		}
	}
	call := func(args ...string) (code int, stdout, stderr string) {
		var out, errs strings.Builder
		code = run(root, args, &out, &errs)
		return code, out.String(), errs.String()
	}

	add("0000000000000001", "b")        // like the seed
	add("0000000000000002", "bbb!")     // loud, and 3 to 4 rounds
	add("0000000000000003", "bbbbbbb!") // loud, and 5 to 8 rounds
	add("0000000000000004", "")         // empty, like the one with a name
	add("0000000000000005", "x!")       // fails
	add("an-empty-text", "")
	all := []string{"0000000000000001", "0000000000000002", "0000000000000003", "0000000000000004", "0000000000000005", "an-empty-text"}
	if code, _, stderr := call(); code != 1 || !strings.Contains(stderr, "a defect") {
		t.Errorf("with an input that fails: %d %s", code, stderr)
	}
	wantFiles(all...)

	add("0000000000000005", "bbbb") // 3 to 4 rounds, which the second covers
	want := "FuzzOf in " + filepath.Join(root, "kind") + ": 1 seeds; 6 inputs, 3 kept; blocks covered: 4 by seeds, 6 by all before, 6 after\n"
	if code, stdout, stderr := call("-n", "FuzzO"); code != 0 || stdout != want {
		t.Errorf("-n: %d %s%s", code, stdout, stderr)
	}
	wantFiles(all...)
	if code, stdout, stderr := call("-p", "3"); code != 0 || stdout != want {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	kept := []string{"0000000000000002", "0000000000000003", "an-empty-text"}
	wantFiles(kept...)
	if code, stdout, stderr := call(); code != 0 || !strings.Contains(stdout, " 3 inputs, 3 kept;") {
		t.Errorf("again: %d %s%s", code, stdout, stderr)
	}
	wantFiles(kept...)

	for _, args := range [][]string{{"("}, {"a", "b"}, {"-p", "0"}, {"-x"}} {
		if code, _, stderr := call(args...); code != 2 || !strings.Contains(stderr, "usage:") {
			t.Errorf("%q: %d %s", args, code, stderr)
		}
	}
	if code, _, stderr := call("FuzzNothing"); code != 1 || !strings.Contains(stderr, "no such fuzz target") {
		t.Errorf("no target: %d %s", code, stderr)
	}
	if code, _, stderr := call("-h"); code != 0 || !strings.Contains(stderr, "usage:") {
		t.Errorf("-h: %d %s", code, stderr)
	}
}

func TestCover(t *testing.T) {
	t.Parallel()
	features := rapid.Custom(func(t *rapid.T) map[feature]bool {
		set := map[feature]bool{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 12), 0, 6).Draw(t, "features") {
			set[feature{block: "b", class: n}] = true
		}
		return set
	})
	rapid.Check(t, func(t *rapid.T) {
		var fixed, candidates []input
		for i, set := range rapid.SliceOfN(features, 0, 12).Draw(t, "inputs") {
			in := input{name: fmt.Sprintf("%02d", i), features: set}
			if i%4 == 0 {
				fixed = append(fixed, in)
			} else {
				candidates = append(candidates, in)
			}
		}
		superfluous := cover(fixed, candidates)
		covered := func(without ...string) map[feature]bool {
			set := map[feature]bool{}
			for _, in := range slices.Concat(fixed, candidates) {
				if !slices.Contains(without, in.name) {
					maps.Copy(set, in.features)
				}
			}
			return set
		}
		if !maps.Equal(covered(superfluous...), covered()) {
			t.Fatalf("%v are missing", superfluous)
		}
		for _, in := range candidates {
			if !slices.Contains(superfluous, in.name) && maps.Equal(covered(append(superfluous, in.name)...), covered()) {
				t.Errorf("%s is superfluous, too", in.name)
			}
		}
		slices.Reverse(candidates)
		if again := cover(fixed, candidates); !slices.Equal(again, superfluous) {
			t.Errorf("in another order %v instead of %v", again, superfluous)
		}
	})
}

func TestClass(t *testing.T) {
	t.Parallel()
	for times, want := range map[int]int{1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 8: 3, 9: 4, 16: 4, 17: 5, 1 << 40: 5} {
		if got := class(times); got != want {
			t.Errorf("%d times: class %d, want %d", times, got, want)
		}
	}
}
