package ratelimit

import "context"

// Store keeps the clients' buckets.
type Store interface {
	// Take takes as many tokens as there are, at most want, from the bucket of
	// key; none unless there are at least need, so that a request which is
	// refused doesn't pay. Both are brought into 1 to the policy's quota, and
	// want to at least need. It is atomic over everyone who uses the same store.
	// Errors match event.ErrUnavailable when a shared store doesn't answer.
	Take(ctx context.Context, key string, policy Policy, need, want int) (Grant, error)
}

// Observer hears what happened, for metrics. Its methods are called by many
// goroutines and return at once.
type Observer interface {
	LimitDecided(allowed bool)
	// SharedLimitsFailed is called when the shared store didn't answer in time or
	// failed: for about a second each replica then limits on its own.
	SharedLimitsFailed()
}
