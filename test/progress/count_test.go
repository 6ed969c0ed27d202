package progress

import (
	"strings"
	"testing"
	"time"
)

func TestLineSaysRateAndTimeLeft(t *testing.T) {
	t.Parallel()
	if got := line(250, 1000, 10*time.Second); got != "250 of 1000, 25/s, 30 s left" {
		t.Error(got)
	}
	if got := line(0, 1000, time.Second); got != "0 of 1000, 0/s" {
		t.Error(got)
	}
}

func TestLinesWhereThereIsNoTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := New(&out, 1)
	c := p.Count("loading", 10)
	c.Set(5)
	if out.Len() > 0 {
		t.Errorf("too soon: %s", out.String())
	}
	c.next = time.Time{}
	c.Set(6)
	c.End()
	if got := out.String(); !strings.Contains(got, "loading: 6 of 10, ") || !strings.Contains(got, "loading: 10 in ") {
		t.Error(got)
	}
}
