package progress

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a time that only tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

// atClock has a run take its time from a clock.
func atClock(p *Progress) *clock {
	c := &clock{at: time.Unix(1_700_000_000, 0)}
	p.now, p.started = c.now, c.at
	return c
}

func TestSteps(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := New(&out, 2)
	clock := atClock(p)
	p.Begin("first") // for bars alone
	p.Note("%d servers", 2)
	clock.pass(3 * time.Second)
	p.Finish("first: %d%%", 50)
	clock.pass(2 * time.Minute)
	p.Finish("second")
	p.End()
	p.End()
	p.Note("after the end")
	want := "     0 s  2 servers\n     3 s  [1/2] first: 50%\n   123 s  [2/2] second\n   123 s  after the end\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nnot\n%s", out.String(), want)
	}
}

func TestTimed(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := NewTimed(&out, time.Minute)
	p.At(2 * time.Minute)
	p.Note("a step")
	p.End()
	if out.String() != "     0 s  a step\n" {
		t.Error(out.String())
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := New(&out, 1)
	clock := atClock(p)
	c := p.Count("loading", 1000)
	clock.pass(5 * time.Second)
	c.Set(100)
	if out.Len() > 0 {
		t.Errorf("too soon: %s", out.String())
	}
	clock.pass(6 * time.Second)
	c.Set(220)
	c.Set(221)
	clock.pass(39 * time.Second)
	c.End()
	want := "    11 s  loading: 220 of 1000, 20/s, 39 s left\n    50 s  loading: 1000 in 50 s\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nnot\n%s", out.String(), want)
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	if got := line(250, 1000, 10*time.Second); got != "250 of 1000, 25/s, 30 s left" {
		t.Error(got)
	}
	if got := line(0, 1000, time.Second); got != "0 of 1000, 0/s" {
		t.Error(got)
	}
}

// TestBar draws on what is said to be a terminal: lines stay whole between the bars.
func TestBar(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := begin(&out, 2)
	p.terminal = true
	p.draw()
	p.Begin("working")
	p.Finish("one")
	c := p.Count("loading", 10)
	c.Set(5)
	p.Note("meanwhile")
	c.End()
	p.Finish("two")
	p.End()
	for _, want := range []string{"working", "0 s  one\n", "loading", "0 s  meanwhile\n", "0 s  loading: 10 in 0 s\n", "0 s  two\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q isn't in %q", want, out.String())
		}
	}
}

// TestConcurrent is for the race detector, and wants every line whole.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := New(&out, 100)
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			c := p.Count("counting", 10)
			for n := range 10 {
				p.Finish("%s", fmt.Sprint("step-", i, "-", n))
				p.At(time.Second)
				p.Begin("next")
				c.Set(int64(n))
			}
			c.End()
		})
	}
	all.Wait()
	p.End()
	if lines := strings.Count(out.String(), "\n"); lines != 110 || !strings.Contains(out.String(), "[100/100] step-") {
		t.Errorf("%d lines:\n%s", lines, out.String())
	}
}
