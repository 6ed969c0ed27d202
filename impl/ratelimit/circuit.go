package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// circuit keeps requests from waiting, one after another, for a shared store that
// doesn't answer: once it failed it is left alone for a pause, and then asked by
// one request at a time until it answers. Times are since the limiter's start.
type circuit struct {
	broken atomic.Bool // read without the lock by every request that needs the store

	mu      sync.Mutex
	until   time.Duration
	probing bool
}

// probe says whether this request, of all, may try a broken store. Who gets true
// reports the outcome with failed or answered.
func (c *circuit) probe(now time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probing || now < c.until {
		return false
	}
	c.probing = true
	return true
}

func (c *circuit) failed(now, pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = now + pause
	c.probing = false
	c.broken.Store(true)
}

func (c *circuit) answered() {
	if !c.broken.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probing = false
	c.broken.Store(false)
}
