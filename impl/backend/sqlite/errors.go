package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"highload.example/analytics/impl/event"
)

// failure is a driver's error in our own words. Its text has no SQL and no
// values.
type failure struct {
	doing  string
	reason string
	kinds  []error // what it matches
}

func (f *failure) Error() string   { return "sqlite: " + f.doing + ": " + f.reason }
func (f *failure) Unwrap() []error { return f.kinds }

// translate turns an error of the driver into one that callers can tell apart:
//
//   - event.ErrUnavailable: the file can't be read or written just now.
//   - event.ErrInvalid: a value can't be stored, ever; nothing was.
//   - anything else is a defect, here or in the file.
//
// When ctx is over, the error also matches ctx.Err().
func translate(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	f := &failure{doing: doing}
	f.reason, f.kinds = classify(ctx, err)
	return f
}

func classify(ctx context.Context, err error) (reason string, kinds []error) {
	var known *failure
	if errors.As(err, &known) {
		return known.reason, known.kinds
	}
	unavailable := []error{event.ErrUnavailable}
	invalid := []error{event.ErrInvalid}

	var sqlite *driver.Error
	if !errors.As(err, &sqlite) {
		switch {
		case ctx.Err() != nil:
			return "gave up waiting: " + ctx.Err().Error(), []error{event.ErrUnavailable, ctx.Err()}
		case errors.Is(err, sql.ErrConnDone), err.Error() == "sql: database is closed":
			return "the store is closed", unavailable
		}
		return "unexpected: " + err.Error(), []error{err}
	}

	// The low byte is the kind of error, the rest says more.
	code := sqlite.Code()
	switch code & 0xff {
	case lib.SQLITE_INTERRUPT:
		if ctx.Err() != nil {
			unavailable = append(unavailable, ctx.Err())
		}
		return "interrupted", unavailable
	case lib.SQLITE_FULL:
		return "the disk is full", unavailable
	case lib.SQLITE_IOERR:
		return fmt.Sprintf("the disk failed (code %d)", code), unavailable
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return "another program has locked the database file", unavailable
	case lib.SQLITE_READONLY, lib.SQLITE_PERM, lib.SQLITE_CANTOPEN:
		return "the database file can't be written", unavailable
	case lib.SQLITE_NOMEM:
		return "out of memory", unavailable
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH, lib.SQLITE_RANGE:
		return fmt.Sprintf("a value can't be stored (code %d)", code), invalid
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return fmt.Sprintf("the database file is damaged (code %d)", code), []error{err}
	}
	return fmt.Sprintf("unexpected code %d", code), []error{err}
}
