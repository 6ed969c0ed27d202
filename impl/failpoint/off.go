//go:build !failpoint

package failpoint

import (
	"net/http"
	"time"
)

// Enabled says whether this build can be made to fail.
const Enabled = false

// Hit does nothing.
func Hit(string) {}

// Armed says that nothing will happen at a place.
func Armed(string) bool { return false }

// Now is time.Now.
func Now() time.Time { return time.Now() }

// Handler returns nil.
func Handler() http.Handler { return nil }
