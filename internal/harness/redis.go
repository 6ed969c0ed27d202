package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// RedisDatabases is how many logical databases a server has.
const RedisDatabases = 512

// StartRedis starts a server, with more arguments for redis-server if need be. Its URL
// names database 0. The caller calls Remove.
func StartRedis(args ...string) (*Server, error) {
	program, version, err := findRedis()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "analytics-redis-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	s := &Server{dir: dir, version: version, kind: kind{
		name: "Redis", stopSignal: "TERM",
		command: func(dir string, port int) []string {
			return append([]string{
				program, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
				"--save", "", "--appendonly", "no", "--databases", strconv.Itoa(RedisDatabases),
			}, args...)
		},
		ready: func(_ string, port, pid int) error { return redisReady(port, pid, password(args)) },
	}}
	if err := s.launch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.url = fmt.Sprintf("redis://127.0.0.1:%d/0", s.port)
	return s, nil
}

// redisReady says whether the server on a port answers, and is ours.
func redisReady(port, pid int, password string) (err error) {
	client := goredis.NewClient(&goredis.Options{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), Password: password, MaxRetries: -1, DialTimeout: time.Second,
	})
	defer func() { err = errors.Join(err, client.Close()) }()
	info, err := client.Info(context.Background(), "server").Result()
	if err != nil {
		return fmt.Errorf("asking Redis: %w", err)
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", pid)) {
		return errors.New("another server has the port")
	}
	return nil
}

// password returns the one that a server's arguments set, if any.
func password(args []string) string {
	if i := slices.Index(args, "--requirepass"); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}
