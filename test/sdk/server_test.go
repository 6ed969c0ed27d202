package sdk_test

import (
	"context"
	"sync"
	"testing"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/internal/harness"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// program is bin/analytics, as the tests of the SDKs in other languages use it.
var program = sync.OnceValues(func() (harness.Program, error) {
	root, err := harness.Root()
	if err != nil {
		return harness.Program{}, err
	}
	return harness.BuildProduct(context.Background(), root, harness.Release)
})

// startServer starts bin/analytics with an embedded database of the test's own, and more
// settings.
func startServer(t testing.TB, settings map[string]string) *harness.Product {
	t.Helper()
	program, err := program()
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"DATA_DIR=" + t.TempDir(), "RATE_LIMIT=0", "LOG_LEVEL=WARN"}
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	return testkit.StartProduct(t, harness.ProductConfig{Program: program, Env: env})
}
