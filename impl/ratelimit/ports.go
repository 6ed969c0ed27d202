package ratelimit

import (
	"context"
	"time"
)

// Policy says how much a client may do: Quota tokens per Window, all of them at
// once if it likes; spent tokens come back evenly over the window.
type Policy struct {
	Quota  int           // tokens, at least 1
	Window time.Duration // at least 1 ms
}

// Grant is a store's answer.
type Grant struct {
	Granted    int           // tokens taken, 0 to what was wanted
	Remaining  int           // tokens left in the bucket
	RetryAfter time.Duration // until one token is there, when none was granted; else 0
	ResetAfter time.Duration // until the bucket is full again if nothing more is taken
}

// Store keeps the clients' buckets.
type Store interface {
	// Take takes as many tokens as there are, at most want (at least 1), from
	// the bucket of key. It is atomic over everyone who uses the same store.
	// Errors match event.ErrUnavailable when a shared store doesn't answer.
	Take(ctx context.Context, key string, policy Policy, want int) (Grant, error)
}
