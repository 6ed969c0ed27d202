package failpoint_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// build builds the product and returns the binary's bytes.
func build(t *testing.T, flags ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "analytics")
	args := append([]string{"build", "-o", path}, flags...)
	command := exec.Command("go", append(args, "highload.example/analytics/cmd/analytics")...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command.Args, err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// The product that people get has none of it: no function, no name of a place, no
// address, no setting. The build with the tag shows that the test would see it.
func TestTheProductHasNoneOfIt(t *testing.T) {
	t.Parallel()
	marks := []string{"impl/failpoint.", "/failpoint/{place}", "before-insert", "FAILPOINT_CLOCK_SHIFT"}
	product, tortured := build(t), build(t, "-tags", "failpoint")
	for _, mark := range marks {
		if !bytes.Contains(tortured, []byte(mark)) {
			t.Errorf("%q isn't in the build with the tag: the test can't see it", mark)
		}
		if bytes.Contains(product, []byte(mark)) {
			t.Errorf("%q is in the product", mark)
		}
	}
}
