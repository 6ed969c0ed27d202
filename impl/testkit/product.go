package testkit

import (
	"context"
	"os"
	"testing"

	"highload.example/analytics/internal/harness"
)

// asProgram makes a test binary be the product's program, so that tests start, signal and
// kill real processes, race detector included, without another build.
const asProgram = "ANALYTICS_TEST_AS_PROGRAM"

// MainAsProgram is Main for a package whose tests start the product: the test binary is
// the product when Self says so. main is the product's.
func MainAsProgram(m *testing.M, main func() int) {
	if os.Getenv(asProgram) != "" {
		os.Exit(main())
	}
	Main(m)
}

// Self is the product as a program: this test binary. A race ends it, and it doesn't
// sleep a second before it ends, as programs with the race detector do.
func Self() harness.Program {
	return harness.Program{Path: os.Args[0], Env: []string{asProgram + "=1", "GORACE=halt_on_error=1 atexit_sleep_ms=0"}}
}

// StartProduct starts the product and waits until it is ready. It ends with the test, in
// order, and its log is shown if the test fails. Without a program it is Self.
func StartProduct(t testing.TB, c harness.ProductConfig) *harness.Product {
	t.Helper()
	p := LaunchProduct(t, c)
	if err := p.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// LaunchProduct is StartProduct without waiting for more than the product's address.
func LaunchProduct(t testing.TB, c harness.ProductConfig) *harness.Product {
	t.Helper()
	if c.Program.Path == "" {
		c.Program = Self()
	}
	p, err := harness.NewProduct(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.Process() == nil {
			return // it never started
		}
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s printed and logged:\n%s%s", p.Name, p.Process().Stdout(), p.Process().Stderr())
		}
	})
	if err := p.Launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}
