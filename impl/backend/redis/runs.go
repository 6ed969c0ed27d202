package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// runs are the servers that were connected to, by the id that each has from its start to
// its end. One that is new may hold what another, or it itself, held some time ago: after
// a restart, or a failover to a copy that lagged behind.
type runs struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

// generation grows with every server that is new.
func (r *runs) generation() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return uint64(len(r.seen))
}

// note asks a connection, before it is used, who is at the other end. A server that
// doesn't say is not known to be another one.
func (r *runs) note(ctx context.Context, conn *goredis.Conn) error {
	info, err := conn.Info(ctx, "server").Result()
	var refused goredis.Error
	if errors.As(err, &refused) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("asking which server it is: %w", err)
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "run_id:"); ok {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.seen == nil {
				r.seen = map[string]struct{}{}
			}
			r.seen[strings.TrimSpace(id)] = struct{}{}
			return nil
		}
	}
	return nil
}
