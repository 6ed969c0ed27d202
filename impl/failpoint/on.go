//go:build failpoint

package failpoint

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// Enabled says whether this build can be made to fail.
const Enabled = true

// points is what was armed, and what came of it.
type points struct {
	mu    sync.Mutex
	armed map[string]string // the action at a place; it happens once
	fired map[string]int    // how often a place was hit while armed
}

// all are the process's: a place is named from anywhere in it.
var all = points{armed: map[string]string{}, fired: map[string]int{}}

// Hit does what a place was armed with, once.
func Hit(place string) {
	all.mu.Lock()
	action := all.armed[place]
	delete(all.armed, place)
	if action != "" {
		all.fired[place]++
	}
	all.mu.Unlock()
	switch action {
	case Panic:
		panic("failpoint: " + place)
	case Exit:
		os.Exit(ExitCode)
	}
}

// Armed says whether something will happen at a place.
func Armed(place string) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.armed[place] != ""
}

// shift is how far off the clock is, for the process's whole life: Go measures
// durations by a clock that doesn't jump, which can't be imitated from outside.
var shift = func() time.Duration {
	text := os.Getenv(EnvClockShift)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", EnvClockShift, err))
	}
	return d
}()

// Now returns the time by the process's clock.
func Now() time.Time { return time.Now().Add(shift) }

// Handler arms places over HTTP: PUT /failpoint/{place}?action=panic does,
// DELETE undoes it, and GET /failpoint/ lists how often each was hit while armed. It
// is for an address that nobody else reaches.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /failpoint/{place}", func(w http.ResponseWriter, r *http.Request) {
		place, action := r.PathValue("place"), r.URL.Query().Get("action")
		if !known(place) || action != Panic && action != Exit {
			http.Error(w, fmt.Sprintf("no place %q, or no action %q", place, action), http.StatusBadRequest)
			return
		}
		all.mu.Lock()
		defer all.mu.Unlock()
		all.armed[place] = action
	})
	mux.HandleFunc("DELETE /failpoint/{place}", func(_ http.ResponseWriter, r *http.Request) {
		all.mu.Lock()
		defer all.mu.Unlock()
		delete(all.armed, r.PathValue("place"))
	})
	mux.HandleFunc("GET /failpoint/{$}", func(w http.ResponseWriter, _ *http.Request) {
		all.mu.Lock()
		defer all.mu.Unlock()
		_ = json.NewEncoder(w).Encode(all.fired) // to whoever asked; it may have left
	})
	return mux
}

func known(place string) bool {
	switch place {
	case BeforeSubmit, BeforeInsert, BeforeCommit, AfterCommit, BeforeAnswer, AfterSubmit:
		return true
	}
	return false
}
