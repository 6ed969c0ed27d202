package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/impl/event"
)

// failed says that Redis gave no usable answer while doing something. All that can
// be wrong with it means the same to who asks: unreachable, timed out, LOADING,
// READONLY after a failover, OOM, CLUSTERDOWN, redirections without end, a reply
// nobody expected. Only the caller's own leaving is not Redis's fault: then the
// error is context.Canceled.
func (c *Client) failed(doing string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("redis: %s: %w", doing, context.Canceled)
	}
	return fmt.Errorf("%w: redis: %s: %w", event.ErrUnavailable, doing, c.withoutSecrets(err))
}

var errWithheld = errors.New("the reason is withheld, for it holds the password")

// withoutSecrets is the last barrier: no message of the driver or of a server is
// known to repeat a password, and none ever gets the chance.
func (c *Client) withoutSecrets(err error) error {
	text := err.Error()
	for _, secret := range c.secrets {
		if strings.Contains(text, secret) {
			return errWithheld
		}
	}
	return err
}

// errOddReply is for replies of a shape that the command can't give.
var errOddReply = errors.New("unexpected reply")

// isWrongType says that a key holds another type than ours: someone else wrote it.
func isWrongType(err error) bool { return goredis.HasErrorPrefix(err, "WRONGTYPE") }

func isNoScript(err error) bool { return goredis.HasErrorPrefix(err, "NOSCRIPT") }
