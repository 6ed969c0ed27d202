package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"

	"highload.example/analytics/gen/sqlitedb"
	"highload.example/analytics/impl/failpoint"
)

// session is the one connection that writes, with its statements prepared.
// Nothing that it runs has a context that can end: the driver would start a
// goroutine for every statement and could interrupt a COMMIT. A statement on a
// local file is short, so a batch looks at its context between them.
type session struct {
	conn    *sql.Conn
	queries *sqlitedb.Queries
}

func newSession(ctx context.Context, db *sql.DB) (*session, error) {
	ctx = context.WithoutCancel(ctx)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	queries, err := sqlitedb.Prepare(ctx, conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &session{conn: conn, queries: queries}, nil
}

func (s *session) exec(ctx context.Context, statement string) error {
	_, err := s.conn.ExecContext(context.WithoutCancel(ctx), statement)
	return err
}

// transaction runs f and commits, or undoes everything when f fails. usable
// is false when the connection may still have a transaction open and must not be
// used again.
func (s *session) transaction(ctx context.Context, f func() error) (usable bool, err error) {
	if err := s.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return !s.inTransaction(ctx), err
	}
	err = f()
	if failpoint.Enabled {
		failpoint.Hit(failpoint.BeforeCommit)
	}
	if err == nil {
		// A COMMIT that fails leaves the transaction open.
		err = s.exec(ctx, "COMMIT")
	}
	if err == nil {
		return true, nil
	}
	// Some errors, a full disk for one, have rolled back already; then this
	// fails, which says nothing.
	_ = s.exec(ctx, "ROLLBACK")
	return !s.inTransaction(ctx), err
}

// inTransaction reports whether a transaction is open: only then can't another
// one be begun.
func (s *session) inTransaction(ctx context.Context) bool {
	if s.exec(ctx, "BEGIN") != nil {
		return true
	}
	return s.exec(ctx, "ROLLBACK") != nil
}

func (s *session) close() error {
	return errors.Join(s.queries.Close(), s.conn.Close())
}

// discard closes the connection for good instead of giving it back to the pool,
// which ends whatever transaction it has open.
func (s *session) discard() {
	_ = s.queries.Close()
	_ = s.conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	_ = s.conn.Close()
}
