package observe

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// LogConfig says how to log.
type LogConfig struct {
	Level      slog.Level
	JSON       bool
	Output     io.Writer
	Clock      func() time.Time
	Suppressed func() // called for each line that is left out; may be nil
}

// NewLogger returns a logger whose warnings and errors are limited: of lines with
// the same message at most one in a second is written, with the number of those
// left out since. An outage under load would else write one per request.
func NewLogger(config LogConfig) *slog.Logger {
	options := &slog.HandlerOptions{Level: config.Level}
	var handler slog.Handler = slog.NewTextHandler(config.Output, options)
	if config.JSON {
		handler = slog.NewJSONHandler(config.Output, options)
	}
	return slog.New(&limitedHandler{Handler: handler, state: &limitState{
		clock: config.Clock, suppressed: config.Suppressed, lines: map[string]*line{},
	}})
}

// logPeriod is the time between two lines with the same message.
const logPeriod = time.Second

// maxMessages bounds the memory of messages seen. Messages are constants, so
// there are fewer in practice; a message beyond the bound is never suppressed.
const maxMessages = 1000

type limitState struct {
	clock      func() time.Time
	suppressed func()

	mu    sync.Mutex
	lines map[string]*line
}

type line struct {
	next time.Time // when the message may be written again
	left int       // lines left out since it was written
}

type limitedHandler struct {
	slog.Handler
	state *limitState
}

// Handle writes the record unless its message was written a moment ago.
func (h *limitedHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		left, ok := h.state.admit(r.Message)
		if !ok {
			return nil
		}
		if left > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("suppressed", left))
		}
	}
	return h.Handler.Handle(ctx, r)
}

// admit decides on a line, and returns how many like it were left out before.
func (s *limitState) admit(message string) (left int, ok bool) {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[message]
	if l == nil {
		if len(s.lines) < maxMessages {
			s.lines[message] = &line{next: now.Add(logPeriod)}
		}
		return 0, true
	}
	if now.Before(l.next) {
		l.left++
		if s.suppressed != nil {
			s.suppressed()
		}
		return 0, false
	}
	left = l.left
	*l = line{next: now.Add(logPeriod)}
	return left, true
}

// WithAttrs keeps the limit on derived loggers.
func (h *limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limitedHandler{Handler: h.Handler.WithAttrs(attrs), state: h.state}
}

// WithGroup keeps the limit on derived loggers.
func (h *limitedHandler) WithGroup(name string) slog.Handler {
	return &limitedHandler{Handler: h.Handler.WithGroup(name), state: h.state}
}
