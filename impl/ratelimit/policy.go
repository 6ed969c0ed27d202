package ratelimit

import (
	"errors"
	"time"
)

// Policy says how much a client may do: Quota tokens per Window, all of them at
// once if it likes; spent tokens come back evenly over the window.
type Policy struct {
	Quota  int           // tokens, at least 1
	Window time.Duration // 1 ms to 30 days
}

// maxWindow keeps all arithmetic exact in a store that knows only 53-bit
// integers, as Redis's Lua does: 30 days are 2.6e15 ns.
const maxWindow = 30 * 24 * time.Hour

// Validate says what is wrong with the policy, if anything. A quota of 0, which
// people write for "no limit", is the caller's to handle and not valid here.
func (p Policy) Validate() error {
	switch {
	case p.Quota < 1:
		return errors.New("rate limit: the quota must be at least 1")
	case p.Window < time.Millisecond || p.Window > maxWindow:
		return errors.New("rate limit: the window must be from 1ms to 720h")
	case int64(p.Quota) > p.Window.Nanoseconds():
		return errors.New("rate limit: the quota must not exceed one token per nanosecond")
	}
	return nil
}

// Interval is the time in which one token comes back, rounded up to the
// nanosecond: rounding never hands out more than the policy says.
func (p Policy) Interval() time.Duration {
	quota := time.Duration(p.Quota)
	return (p.Window + quota - 1) / quota
}

// Grant is a store's answer.
type Grant struct {
	Granted    int           // tokens taken: 0, or from need to want
	Remaining  int           // tokens left in the bucket
	RetryAfter time.Duration // until need tokens are there, when none was granted; else 0
	ResetAfter time.Duration // until the bucket is full again if nothing more is taken
}

// Take is the limit's arithmetic, free of clocks and stores. debt is the time
// until the bucket is full again, 0 for a bucket that is; need and want are as in
// Store. It returns the grant and the debt after it. A store keeps the moment at
// which the debt is paid, and nothing else.
//
// This is the generic cell rate algorithm in its virtual scheduling form (ITU-T
// Recommendation I.371, annex A; for requests: Brandur Leach, "Rate Limiting,
// Cells, and GCRA", 2015): that moment is the theoretical arrival time, and a
// full quota at once is the burst tolerance.
func (p Policy) Take(debt time.Duration, need, want int) (Grant, time.Duration) {
	interval := p.Interval()
	burst := interval * time.Duration(p.Quota)
	need = min(max(need, 1), p.Quota)
	want = min(max(want, need), p.Quota)
	// A larger debt than one burst was made under another policy, or the clock
	// was set back: nobody waits longer than this policy's window for it.
	debt = min(max(debt, 0), burst)

	free := int((burst - debt) / interval)
	if free < need {
		return Grant{
			Remaining:  free,
			RetryAfter: time.Duration(need)*interval - (burst - debt),
			ResetAfter: debt,
		}, debt
	}
	granted := min(free, want)
	debt += time.Duration(granted) * interval
	return Grant{Granted: granted, Remaining: free - granted, ResetAfter: debt}, debt
}
