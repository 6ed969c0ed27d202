package failpoint_test

import (
	"bytes"
	"os"
	"testing"

	"highload.example/analytics/internal/harness"
)

// build builds a variant of the product and returns the binary's bytes.
func build(t *testing.T, variant harness.Variant) []byte {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	program, err := harness.BuildProduct(t.Context(), root, variant)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(program.Path)
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
	product, tortured := build(t, harness.Release), build(t, harness.Failpoint)
	for _, mark := range marks {
		if !bytes.Contains(tortured, []byte(mark)) {
			t.Errorf("%q isn't in the build with the tag: the test can't see it", mark)
		}
		if bytes.Contains(product, []byte(mark)) {
			t.Errorf("%q is in the product", mark)
		}
	}
}
