package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/impl/event"
)

func TestFailed(t *testing.T) {
	t.Parallel()
	c := &Client{secrets: []string{"hunter2"}}
	for name, err := range map[string]error{
		"refused":          &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"closed":           io.EOF,
		"timed out":        os.ErrDeadlineExceeded,
		"caller's timeout": context.DeadlineExceeded,
		"no connection":    goredis.ErrPoolTimeout,
		"client closed":    goredis.ErrClosed,
		"no key":           goredis.Nil,
		"odd reply":        errOddReply,
		"loading":          errors.New("LOADING Redis is loading the dataset in memory"),
		"read-only":        errors.New("READONLY You can't write against a read only replica."),
		"full":             errors.New("OOM command not allowed when used memory > 'maxmemory'."),
		"cluster down":     errors.New("CLUSTERDOWN The cluster is down"),
		"moved":            errors.New("MOVED 3999 127.0.0.1:6381"),
		"password":         errors.New("ERR unknown command 'AUTH', with args beginning with: 'hunter2'"),
	} {
		got := c.failed("testing", fmt.Errorf("wrapped: %w", err))
		if !errors.Is(got, event.ErrUnavailable) {
			t.Errorf("%s: %v isn't event.ErrUnavailable", name, got)
		}
		if name != "password" && !errors.Is(got, err) {
			t.Errorf("%s: %v hides its cause", name, got)
		}
		if strings.Contains(got.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password", name)
		}
	}
	got := c.failed("testing", fmt.Errorf("wrapped: %w", context.Canceled))
	if !errors.Is(got, context.Canceled) || errors.Is(got, event.ErrUnavailable) {
		t.Errorf("the caller left: %v", got)
	}
}
