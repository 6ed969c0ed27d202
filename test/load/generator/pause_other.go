//go:build !linux

package generator

import "time"

// pause waits as exactly as Go's timers do.
func pause(d time.Duration) { <-time.After(min(d, 20*time.Millisecond)) }
