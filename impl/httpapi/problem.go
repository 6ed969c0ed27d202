package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
)

// The errors of the edge itself.
type (
	// methodError: the path doesn't take the method.
	methodError struct{ allow string }
	// mediaTypeError: the Content-Type or Content-Encoding isn't taken.
	mediaTypeError struct{ detail string }
	// encodingError: the body isn't what its Content-Encoding says.
	encodingError struct{ err error }
	// framingError: where the body begins and ends can't be told, or it broke off.
	framingError struct{ err error }
	// limitedError: the client has used up its allowance.
	limitedError struct{ retryAfter int }
	// panicError: a handler panicked.
	panicError struct{ value any }
)

func (e *methodError) Error() string    { return "the method is not allowed; use " + e.allow }
func (e *mediaTypeError) Error() string { return e.detail }
func (e *encodingError) Error() string  { return "decompressing the body: " + e.err.Error() }
func (e *encodingError) Unwrap() error  { return e.err }
func (e *framingError) Error() string   { return "reading the body: " + e.err.Error() }
func (e *framingError) Unwrap() error   { return e.err }
func (e *limitedError) Error() string   { return event.ErrLimited.Error() }
func (e *limitedError) Unwrap() error   { return event.ErrLimited }
func (e *panicError) Error() string     { return fmt.Sprintf("panic: %v", e.value) }

// problems answers requests that failed (RFC 9457).
type problems struct {
	logger *slog.Logger
	kinds  []api.ProblemKind          // as the contract explains them
	titles map[api.ProblemCode]string // the same for every problem of a code
}

func newProblems(logger *slog.Logger) (*problems, error) {
	kinds, err := problemKinds()
	if err != nil {
		return nil, err
	}
	p := &problems{logger: logger, kinds: kinds, titles: make(map[api.ProblemCode]string, len(kinds))}
	for _, kind := range kinds {
		p.titles[kind.Code] = kind.Title
	}
	return p, nil
}

// retrySeconds is what clients are asked to wait when we can't know better.
const retrySeconds = 1

// write answers with the problem that err is. It is the only place that turns
// errors into status codes.
func (p *problems) write(w http.ResponseWriter, r *http.Request, err error) {
	problem, retryAfter := p.describe(r, err)
	problem.Type = "/problems/" + string(problem.Code)
	problem.Title = p.titles[problem.Code]
	header := w.Header()
	if retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if problem.Code == api.ProblemCodeRequestTimeout || problem.Code == api.ProblemCodeContentTooLarge {
		// What is left of the body would be taken for the next request.
		header.Set("Connection", "close")
	}
	header.Set("Content-Type", "application/problem+json")
	body, marshalErr := json.Marshal(problem)
	if marshalErr != nil { // strings, numbers and enums: can't happen
		p.logger.Error("a problem could not be written", "error", marshalErr)
	}
	w.WriteHeader(int(problem.Status))
	if _, err := w.Write(body); err != nil {
		p.logger.Debug("the client didn't wait for its answer", "error", err)
	}
}

// describe finds out which problem err is, and after how many seconds to retry.
func (p *problems) describe(r *http.Request, err error) (problem api.Problem, retryAfter int) {
	var (
		method     *methodError
		mediaType  *mediaTypeError
		encoding   *encodingError
		framing    *framingError
		limited    *limitedError
		syntax     *binding.SyntaxError
		validation *binding.ValidationError
		invalid    *event.InvalidError
		tooLarge   *http.MaxBytesError
		tooMany    *binding.TooManyError
		batch      *batchRejectedError
	)
	is := func(status int32, code api.ProblemCode, detail string) api.Problem {
		problem := api.Problem{Status: status, Code: code}
		if detail != "" {
			problem.Detail = &detail
		}
		return problem
	}
	const again = "Nothing is known to be stored: send it again."
	switch {
	case errors.As(err, &method):
		return is(http.StatusMethodNotAllowed, api.ProblemCodeMethodNotAllowed, "Use "+method.allow+"."), 0
	case errors.Is(err, event.ErrNotFound):
		return is(http.StatusNotFound, api.ProblemCodeNotFound, "See / for what is here."), 0
	case errors.As(err, &mediaType):
		return is(http.StatusUnsupportedMediaType, api.ProblemCodeUnsupportedMediaType, mediaType.detail), 0
	case errors.As(err, &tooLarge):
		return is(http.StatusRequestEntityTooLarge, api.ProblemCodeContentTooLarge, fmt.Sprintf("The body is over %d bytes.", tooLarge.Limit)), 0
	case errors.As(err, &tooMany):
		return is(http.StatusRequestEntityTooLarge, api.ProblemCodeContentTooLarge, fmt.Sprintf("The batch has more than %d events.", tooMany.Limit)), 0
	case errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, event.ErrUnavailable):
		return is(http.StatusRequestTimeout, api.ProblemCodeRequestTimeout, "The request didn't arrive in time; send it faster, or in smaller parts."), 0
	case errors.As(err, &encoding):
		return is(http.StatusBadRequest, api.ProblemCodeInvalidEncoding, "The body is not one gzip member from its start to its end."), 0
	case errors.As(err, &framing):
		return is(http.StatusBadRequest, api.ProblemCodeInvalidJSON, "The body can't be read: its chunks are malformed, or it broke off."), 0
	case errors.As(err, &syntax):
		return is(http.StatusBadRequest, api.ProblemCodeInvalidJSON, fmt.Sprintf("The body is not JSON: %s at byte %d.", syntax.Reason, syntax.Offset)), 0
	case errors.As(err, &validation):
		return invalidProblem(validation.Violations), 0
	case errors.As(err, &invalid):
		return invalidProblem(toBindingViolations(invalid.Violations)), 0
	case errors.Is(err, query.ErrTooExpensive):
		return is(http.StatusUnprocessableEntity, api.ProblemCodeQueryTooExpensive, sentence(err)), 0
	case errors.As(err, &batch):
		problem := invalidProblem(batch.listed)
		*problem.Detail = fmt.Sprintf("%d of %d events break the contract and none was stored; see errors.", batch.rejected, batch.sent)
		return problem, 0
	case errors.As(err, &limited):
		unit := "seconds"
		if limited.retryAfter == 1 {
			unit = "second"
		}
		return is(http.StatusTooManyRequests, api.ProblemCodeRateLimited, fmt.Sprintf("Try again in %d %s.", limited.retryAfter, unit)), limited.retryAfter
	case errors.Is(err, event.ErrBusy):
		return is(http.StatusServiceUnavailable, api.ProblemCodeOverloaded, "More requests or events are in the works than the service takes on. "+again), retrySeconds
	case errors.Is(err, event.ErrUnavailable):
		return is(http.StatusServiceUnavailable, api.ProblemCodeUnavailable, "The database doesn't answer. "+again), retrySeconds
	case errors.Is(err, context.Canceled), r.Context().Err() != nil:
		// The client has gone; nobody reads this, but metrics see a status.
		return is(http.StatusServiceUnavailable, api.ProblemCodeUnavailable, "The request was given up. "+again), retrySeconds
	}
	p.logger.Error("a request failed by a defect", "method", r.Method, "route", r.Pattern, "error", err)
	return is(http.StatusInternalServerError, api.ProblemCodeInternal, "This is a defect of the service; its log says more."), 0
}

// sentence makes one of the text of a query.ErrTooExpensive, which is meant for who asked.
func sentence(err error) string {
	return "The question is " + err.Error() + "."
}

func invalidProblem(violations []binding.Violation) api.Problem {
	detail := fmt.Sprintf("%d values break the contract; see errors.", len(violations))
	if len(violations) == 1 {
		detail = "1 value breaks the contract; see errors."
	}
	return api.Problem{
		Status: http.StatusUnprocessableEntity, Code: api.ProblemCodeValidationFailed, Detail: &detail, Errors: listed(violations),
	}
}
