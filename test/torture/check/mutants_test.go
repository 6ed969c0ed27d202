package check_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutants are one-line mistakes in the checker, each of which a test of this package must
// notice: a checker that overlooks something proves nothing.
var mutants = []struct{ name, file, right, wrong string }{
	{"lost events are overlooked", "ledger.go", "case known && !there:", "case false:"},
	{"only what was accepted can be lost, not a duplicate", "ledger.go", "\tcase history.Duplicate:\n\t\tf.sure = min(f.sure, o.End)\n", "\tcase history.Duplicate:\n"},
	{"a second row is overlooked", "ledger.go", "if !f.is(storedAgain) {", "if false {"},
	{"another type is overlooked", "ledger.go", "\tcase row.Type != sent:\n\t\tl.find(", "\tcase false:\n\t\tl.find("},
	{"payloads aren't compared", "ledger.go", "case content != f.content:", "case content == noPayload && f.content != content:"},
	{"numbers are compared as floats", "payload.go", "decoder.UseNumber()\n", ""},
	{"rows that were never sent are overlooked", "ledger.go", "l.find(NeverSent, func()", "_ = (func()"},
	{"an accepted invalid event is overlooked", "ledger.go", "case !f.is(valid) && known:", "case false:"},
	{"a stored rejected event is overlooked", "ledger.go", "case there && !known && !f.is(open):", "case false:"},
	{"two first acceptances are overlooked", "ledger.go", "if f.is(acceptedAgain) {", "if false {"},
	{"half an atomic batch is overlooked", "ledger.go", "if len(there) > 0 && len(missing) > 0 {", "if false {"},
	{"events that are never accepted are overlooked", "ledger.go", "f.marks |= settling", "f.marks |= 0"},
	{"a read sees what is accepted while it lasts", "counts.go", "before := r.start\n", "before := r.end\n"},
	{"staleness is allowed always", "counts.go", "if r.end >= w.From && r.start <= w.To+staleness {", "if true {"},
	{"a range has its end in it", "tally.go", "i, _ := slices.BinarySearch(t.at, at)\n\tif at == math.MaxInt64", "i, _ := slices.BinarySearch(t.at, at+1)\n\tif at == math.MaxInt64"},
	{"counts at rest aren't compared", "counts.go", "; count != want {", "; false {"},
	{"a 504 is allowed", "ledger.go", "o.Status >= 500 && o.Status != 503", "o.Status >= 500 && o.Status < 503"},
	{"a count before the acceptance is wrong", "counts.go", "if r.counts[i] < least {", "if r.counts[i] <= least {"},
}

// TestMutantsAreCaught makes each mistake in a copy of the checker and runs the other tests
// with it.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(text), m.right) != 1 {
				t.Fatalf("%q isn't in %s once", m.right, m.file)
			}
			if os.Getenv(envLong) == "" {
				return // that the mistakes can be made is all there is time for
			}
			dir := t.TempDir()
			mutant, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
			original, err := filepath.Abs(m.file)
			if err != nil {
				t.Fatal(err)
			}
			replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(mutant, []byte(strings.Replace(string(text), m.right, m.wrong, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(overlay, replace, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-overlay", overlay,
				"-run", "TestRules|TestTheSmallestPartIsShown|TestBoundsOfReads|TestFingerprint", ".").CombinedOutput()
			switch {
			case err == nil:
				t.Errorf("no test noticed it")
			case !strings.Contains(string(out), "--- FAIL: "):
				t.Errorf("it wasn't tested: %v\n%s", err, out)
			}
		})
	}
}
