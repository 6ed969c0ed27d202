package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"highload.example/analytics/impl/event"
)

// ErrLogin says that the server refuses the user, the password or the
// database's name. Such an error also matches event.ErrUnavailable, as rights
// may be given back, but waiting for it at start is of little use.
var ErrLogin = errors.New("login refused")

// failure is a driver's error in our own words. Its text has no SQL, no values
// and no password.
type failure struct {
	doing  string
	reason string
	kinds  []error // what it matches
}

func (f *failure) Error() string   { return "postgres: " + f.doing + ": " + f.reason }
func (f *failure) Unwrap() []error { return f.kinds }

// translate turns an error of the driver into one that callers can tell apart:
//
//   - event.ErrUnavailable: the database didn't answer, refused, or its answer was
//     lost. Whether the statement was committed is unknown.
//   - event.ErrInvalid: a value can't be stored, ever; nothing was.
//   - anything else is a defect, here or in the database.
//
// When ctx is over, the error also matches ctx.Err().
func translate(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	reason, kinds := classify(ctx, err)
	return &failure{doing: doing, reason: reason, kinds: kinds}
}

func classify(ctx context.Context, err error) (reason string, kinds []error) {
	unavailable := []error{event.ErrUnavailable}

	var pg *pgconn.PgError
	isPg := errors.As(err, &pg)
	var connect *pgconn.ConnectError
	isConnect := errors.As(err, &connect)

	switch {
	case ctx.Err() != nil && (!isPg || pg.Code == codeQueryCanceled):
		return "gave up waiting for an answer: " + ctx.Err().Error(), []error{event.ErrUnavailable, ctx.Err()}

	case isPg && refusesLogin(pg.Code):
		// The message names the user or the database, not the password.
		return fmt.Sprintf("the server refuses the login: %s (%s)", pg.Message, pg.Code),
			[]error{event.ErrUnavailable, ErrLogin}

	case isConnect:
		return fmt.Sprintf("can't connect to %s: %s", hosts(connect.Config), cause(err)), unavailable

	case isPg:
		reason, kind := classifyCode(pg)
		if kind == nil {
			return reason, []error{err}
		}
		return reason, []error{kind}

	case lost(err):
		return "the connection failed: " + cause(err), unavailable

	default:
		// The driver's own errors about arguments quote them.
		if text := err.Error(); !strings.Contains(text, "encode") {
			return "unexpected: " + text, []error{err}
		}
		return fmt.Sprintf("unexpected %T", err), []error{err}
	}
}

// SQLSTATE values, from appendix A of PostgreSQL's manual.
const (
	codeReadOnly      = "25006"
	codeCheck         = "23514" // also what a missing partition gets
	codeUnique        = "23505"
	codeQueryCanceled = "57014"
)

// classifyCode returns a short reason and what an error of the server means to
// the caller; nil is a defect.
func classifyCode(pg *pgconn.PgError) (reason string, kind error) {
	const class = 2
	describe := func(text string) string { return text + " (" + pg.Code + ")" }

	switch pg.Code {
	case "40001", "40P01":
		return describe("the transaction lost to another one"), event.ErrUnavailable
	case "55P03":
		return describe("a lock was not to be had in time"), event.ErrUnavailable
	case codeQueryCanceled:
		return describe("the statement took too long"), event.ErrUnavailable
	case codeReadOnly:
		return describe("the server is read-only"), event.ErrUnavailable
	case "25P03", "25P04":
		return describe("the session was idle for too long"), event.ErrUnavailable
	case "53100":
		return describe("the server's disk is full"), event.ErrUnavailable
	case "53200":
		return describe("the server is out of memory"), event.ErrUnavailable
	case "53300":
		return describe("the server has too many connections"), event.ErrUnavailable
	case "57P01", "57P02", "57P03":
		return describe("the server is starting, stopping or recovering"), event.ErrUnavailable
	case "26000":
		// A pooler gave us another session than the one that prepared.
		return describe("the session changed"), event.ErrUnavailable
	case "0A000":
		// The driver forgets the plan with this error; the next try makes one.
		if strings.HasPrefix(pg.Message, "cached plan must not change") {
			return describe("the tables changed"), event.ErrUnavailable
		}
	}
	if len(pg.Code) < class {
		return "unexpected: " + pg.Message, nil
	}
	switch pg.Code[:class] {
	case "08":
		return describe("the connection failed"), event.ErrUnavailable
	case "53":
		return describe("the server lacks resources"), event.ErrUnavailable
	case "57":
		return describe("an operator intervened"), event.ErrUnavailable
	case "58":
		return describe("the server's system failed"), event.ErrUnavailable
	case "22", "23", "54":
		// Their messages may contain values.
		return describe("a value can't be stored"), event.ErrInvalid
	case "42", "0A", "55", "XX":
		// Their messages name tables, columns and functions.
		return describe("unexpected: " + pg.Message), nil
	}
	return describe("unexpected"), nil
}

func refusesLogin(code string) bool { return strings.HasPrefix(code, "28") || code == "3D000" }

// lost reports whether err says that there was no connection, or that
// it broke. pgconn.SafeToRetry narrows nothing here: false doesn't mean that
// the statement was committed, and writing a batch twice is harmless.
func lost(err error) bool {
	var netErr net.Error
	var errno syscall.Errno
	return pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.As(err, &netErr) || errors.As(err, &errno) || errors.Is(err, puddle.ErrClosedPool)
}

// cause returns the shortest text that still tells a person what broke.
func cause(err error) string {
	var pg *pgconn.PgError
	var dns *net.DNSError
	var errno syscall.Errno
	var netErr net.Error
	switch {
	case errors.As(err, &pg):
		reason, _ := classifyCode(pg)
		return reason
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server hung up"
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	// With several hosts there is no single innermost error.
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		if all := several.Unwrap(); len(all) > 0 {
			return cause(all[len(all)-1])
		}
	}
	return err.Error()
}

// hosts lists the servers of a configuration, each once.
func hosts(c *pgconn.Config) string {
	list := []string{fmt.Sprintf("%s:%d", c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		h := fmt.Sprintf("%s:%d", f.Host, f.Port)
		if h != list[len(list)-1] {
			list = append(list, h)
		}
	}
	return strings.Join(list, ", ")
}

func isReadOnly(err error) bool { return hasCode(err, codeReadOnly) }
func isUnique(err error) bool   { return hasCode(err, codeUnique) }

// isMissingPartition reports whether a row found no partition. A violated CHECK
// has the same code and the constraint's name.
func isMissingPartition(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeCheck && pg.ConstraintName == ""
}

func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}
