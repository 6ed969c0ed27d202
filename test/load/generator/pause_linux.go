package generator

import (
	"syscall"
	"time"
)

// shortestPause bounds how often the pacer wakes up: requests that become due
// within it are sent together.
const shortestPause = 150 * time.Microsecond

// longestPause bounds how late it notices that all has ended.
const longestPause = 20 * time.Millisecond

// pause waits by a system call, because Go's timers are up to a millisecond late
// and that would count as the server's latency.
func pause(d time.Duration) {
	t := syscall.NsecToTimespec(int64(min(max(d, shortestPause), longestPause)))
	_ = syscall.Nanosleep(&t, nil) // woken early, the pacer pauses again
}
