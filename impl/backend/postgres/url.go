package postgres

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"highload.example/analytics/impl/event"
)

// parseURL reads a database's address and sets what every session of ours has
// in common. Its errors match event.ErrInvalid.
func parseURL(address string) (*pgxpool.Config, error) {
	if address == "" {
		// The driver would fall back to the environment and the local socket.
		return nil, badURL("it is empty")
	}
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, badURL(parseReason(address, err))
	}
	c := cfg.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = defaultConnectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "analytics"
	}
	// Months and minutes are cut in UTC.
	c.RuntimeParams["timezone"] = "UTC"

	// After a failover the old primary may still answer: with a choice of hosts,
	// a connection to one that doesn't accept writes is useless.
	if severalHosts(&c.Config) && c.ValidateConnect == nil && !mentions(address, "target_session_attrs") {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return cfg, nil
}

func badURL(reason string) error {
	return &failure{doing: "read the database URL", reason: reason, kinds: []error{event.ErrInvalid}}
}

// mentions reports whether the address sets the named parameter itself.
func mentions(address, parameter string) bool { return strings.Contains(address, parameter+"=") }

// severalHosts reports whether c names more than one server. One server may
// be listed twice, with and without TLS.
func severalHosts(c *pgconn.Config) bool {
	for _, f := range c.Fallbacks {
		if f.Host != c.Host || f.Port != c.Port {
			return true
		}
	}
	return false
}

// parseReason says what is wrong with an address without quoting from it: in
// one that can't be taken apart, anything may be a piece of the password.
func parseReason(address string, err error) string {
	const hint = "expected postgres://user:password@host:5432/database, with special characters of the password percent-encoded"
	var parse *pgconn.ParseConfigError
	if !errors.As(err, &parse) || !strings.HasPrefix(address, "postgres") {
		return hint
	}
	u, uerr := url.Parse(address)
	if uerr != nil {
		return hint
	}
	// The driver's text is "cannot parse `address`: reason".
	_, reason, found := strings.Cut(parse.Error(), "`: ")
	password, _ := u.User.Password()
	if password == "" {
		password = u.Query().Get("password")
	}
	if !found || (password != "" && strings.Contains(reason, password)) {
		return hint
	}
	return reason
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
