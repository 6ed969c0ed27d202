package httpapi

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"

	"highload.example/analytics/impl/contract"
)

// responseValidator holds every answer against the contract before it is sent, and
// sends a problem in place of one that isn't in it. It keeps whole answers in
// memory and costs more than everything else together: for development.
type responseValidator struct {
	next     http.Handler
	problems *problems
	logger   *slog.Logger
}

// ServeHTTP serves the request and checks the answer.
func (v *responseValidator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	held := &heldResponse{of: w, header: w.Header().Clone(), status: http.StatusOK}
	v.next.ServeHTTP(held, r)
	if err := contract.Check(r, held.status, held.header, held.body.Bytes()); err != nil {
		v.logger.Error("an answer is not in the contract", "method", r.Method, "path", r.URL.Path, "status", held.status, "error", err)
		v.problems.write(w, r, fmt.Errorf("the answer %d is not in the contract: %w", held.status, err))
		return
	}
	header := w.Header()
	for name, values := range held.header {
		header[name] = values
	}
	w.WriteHeader(held.status)
	// An error here is the client's going away: there is nobody to tell.
	_, _ = w.Write(held.body.Bytes())
}

// heldResponse keeps an answer instead of sending it.
type heldResponse struct {
	of     http.ResponseWriter
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

// Unwrap returns what the answer is held back from.
func (h *heldResponse) Unwrap() http.ResponseWriter { return h.of }

// Header returns the answer's header.
func (h *heldResponse) Header() http.Header { return h.header }

// WriteHeader keeps the first status.
func (h *heldResponse) WriteHeader(status int) {
	if !h.wrote {
		h.status, h.wrote = status, true
	}
}

// Write keeps a part of the body.
func (h *heldResponse) Write(p []byte) (int, error) {
	h.wrote = true
	return h.body.Write(p)
}
