package main

import (
	"strings"
	"testing"

	"highload.example/analytics/test/torture/nemesis"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		exit int
		says string // on standard error
	}{
		{"", -1, ""},
		{"--mode embedded --seed 7 --duration 30s --short --faults redis --rate 10 --out x", -1, ""},
		{"--help", 0, ""},
		{"--mode polite", exitUsage, "polite"},
		{"--duration 0s", exitUsage, "--duration"},
		{"--rate -1", exitUsage, "--rate"},
		{"--mode soak --short", exitUsage, "--short"},
		{"--seed x", exitUsage, "--seed"},
		{"something", exitUsage, "something"},
		{"--binary missing", exitUsage, "missing"},
	} {
		var out, errs strings.Builder
		o, exit := parseOptions(strings.Fields(c.args), &out, &errs)
		if exit != c.exit || !strings.Contains(errs.String(), c.says) || (c.says == "") != (errs.Len() == 0) {
			t.Errorf("%q: exit code %d, not %d; %s", c.args, exit, c.exit, errs.String())
		}
		if c.exit == 0 && !strings.Contains(out.String(), "--duration") {
			t.Errorf("the help is %s", out.String())
		}
		if o.Mode == modeEmbedded && (o.Seed != 7 || o.Rate != 10 || !o.Short || !strings.HasPrefix(o.Out, "/")) {
			t.Errorf("%+v", o)
		}
	}
}

// TestList counts the faults: they must not get fewer unnoticed.
func TestList(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]int{modeFleet: 50, modeEmbedded: 18} {
		var out strings.Builder
		if code := command(t.Context(), []string{"--list", "--mode", mode}, &out, &out); code != 0 {
			t.Fatalf("exit code %d: %s", code, out.String())
		}
		if got, all := strings.Count(out.String(), "\n"), len(nemesis.Faults(mode == modeEmbedded, true)); all != want || got > all || got < all-1 {
			t.Errorf("%s: %d faults are listed, there are %d, and were %d", mode, got, all, want)
		}
	}
}
