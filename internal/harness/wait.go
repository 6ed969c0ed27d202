package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollEvery is short beside what is waited for: the start of a server.
const pollEvery = 10 * time.Millisecond

// Poll calls ready every 10 ms until it returns no error. When the time is over it
// returns ready's last error. A permanent error (see Permanent) ends it at once.
func Poll(ctx context.Context, timeout time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		var permanent *permanentError
		if err == nil {
			return nil
		} else if errors.As(err, &permanent) {
			return permanent.error
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", timeout, err)
		case <-ticker.C:
		}
	}
}

type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// Permanent marks an error that waiting doesn't cure.
func Permanent(err error) error { return &permanentError{err} }

// PollUntil is Poll for a condition. It reports whether the condition came true in time.
func PollUntil(timeout time.Duration, condition func() bool) bool {
	return Poll(context.Background(), timeout, func(context.Context) error {
		if condition() {
			return nil
		}
		return errConditionFalse
	}) == nil
}

var errConditionFalse = errors.New("the condition is false")
