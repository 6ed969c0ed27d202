//go:build scaleout

package scaleout_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"highload.example/analytics/impl/testkit"
)

// types are many enough to be on every node of a cluster.
func types() (names []string) {
	for i := range 12 {
		names = append(names, fmt.Sprint("kind", i))
	}
	return names
}

// Losing Redis, or a part of it, is no outage: no event is refused.

func TestRedisCluster(t *testing.T) { //nolint:tparallel // its parts come one after the other
	t.Parallel()
	// Three masters, and one more node that follows the first of them.
	var nodes []*testkit.Server
	var addresses []string
	for range 4 {
		// The bus is usually the port and 10,000, which may not exist.
		node := testkit.StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(testkit.FreePort(t)),
			"--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
		nodes, addresses = append(nodes, node), append(addresses, fmt.Sprintf("127.0.0.1:%d", node.Port()))
	}
	redisCLI(t, append(append([]string{"--cluster", "create"}, addresses[:3]...), "--cluster-yes")...)
	masters := func() int {
		return strings.Count(redisCLI(t, "-u", nodes[1].URL(), "cluster", "nodes"), "master")
	}
	testkit.Eventually(t, patience, "the cluster to be whole", func() bool {
		return strings.Contains(redisCLI(t, "-u", nodes[2].URL(), "cluster", "info"), "cluster_state:ok") && masters() == 3
	})
	first := strings.TrimSpace(redisCLI(t, "-u", nodes[0].URL(), "cluster", "myid"))
	redisCLI(t, "--cluster", "add-node", addresses[3], addresses[0], "--cluster-slave", "--cluster-master-id", first)
	testkit.Eventually(t, patience, "the fourth node to follow", func() bool {
		return strings.Contains(redisCLI(t, "-u", nodes[3].URL(), "info", "replication"), "master_link_status:up")
	})

	pg := testkit.Postgres(t)
	f := startFleet(t, 3, "PG_URL="+pg, "REDIS_URL=redis://"+strings.Join(addresses[:3], ",")+"?cluster=true")
	tr := f.start(types()...)
	tr.flows()
	t.Run("slots move to another node", func(t *testing.T) {
		second := strings.TrimSpace(redisCLI(t, "-u", nodes[1].URL(), "cluster", "myid"))
		redisCLI(t, "--cluster", "reshard", addresses[0], "--cluster-from", first, "--cluster-to", second, "--cluster-slots", "2000", "--cluster-yes")
	})
	tr.flows()
	t.Run("a master dies and its follower takes over", func(t *testing.T) {
		nodes[0].Kill()
		testkit.Eventually(t, patience, "the follower to be a master", func() bool {
			return strings.Contains(redisCLI(t, "-u", nodes[3].URL(), "role"), "master")
		})
	})
	tr.flows()
	f.says(`"redis":"ok"`)
	t.Run("a master dies that nobody follows, and comes back empty", func(t *testing.T) {
		nodes[2].Kill()
		tr.flows()
		nodes[2].Start()
		testkit.Eventually(t, patience, "it to be one of the cluster again", func() bool {
			return strings.Contains(redisCLI(t, "-u", nodes[2].URL(), "cluster", "info"), "cluster_state:ok")
		})
	})
	tr.flows()
	tr.end(pg)
	tr.only("202")
}

func TestRedisBehindSentinel(t *testing.T) {
	t.Parallel()
	master := testkit.StartRedis(t)
	follower := testkit.StartRedis(t, "--replicaof", "127.0.0.1", strconv.Itoa(master.Port()))
	testkit.Eventually(t, patience, "the follower to follow", func() bool {
		return strings.Contains(redisCLI(t, "-u", follower.URL(), "info", "replication"), "master_link_status:up")
	})
	var sentinels []string
	for range 3 {
		sentinels = append(sentinels, startSentinel(t, master.Port()))
	}
	ask := func(question ...string) string {
		host, port, _ := strings.Cut(sentinels[0], ":")
		return redisCLI(t, append([]string{"-h", host, "-p", port, "sentinel"}, question...)...)
	}
	testkit.Eventually(t, patience, "the sentinels to know one another and the follower", func() bool {
		out, err := exec.Command("redis-cli", "-p", strings.Split(sentinels[0], ":")[1], "sentinel", "ckquorum", "main").CombinedOutput()
		return err == nil && strings.HasPrefix(string(out), "OK 3") && strings.Contains(ask("replicas", "main"), strconv.Itoa(follower.Port()))
	})

	pg := testkit.Postgres(t)
	f := startFleet(t, 3, "PG_URL="+pg, "REDIS_URL=redis://"+strings.Join(sentinels, ",")+"/0?master_name=main")
	tr := f.start(types()...)
	tr.flows()
	master.Kill()
	testkit.Eventually(t, patience, "the sentinels to name another master", func() bool {
		return strings.Contains(ask("get-master-addr-by-name", "main"), strconv.Itoa(follower.Port()))
	})
	tr.flows()
	f.says(`"redis":"ok"`)
	// The old one comes back, and is made a follower.
	master.Start()
	testkit.Eventually(t, patience, "the old master to follow the new one", func() bool {
		return strings.Contains(redisCLI(t, "-u", master.URL(), "info", "replication"), "role:slave")
	})
	tr.flows()
	tr.end(pg)
	tr.only("202")
	if size := redisCLI(t, "-u", follower.URL(), "dbsize"); strings.HasPrefix(size, "0") {
		t.Error("nothing was counted on the new master")
	}
}

// startSentinel starts a sentinel that watches the server on a port as main.
func startSentinel(t *testing.T, port int) string {
	t.Helper()
	own := testkit.FreePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf(`bind 127.0.0.1
port %d
sentinel monitor main 127.0.0.1 %d 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 5000
`, own, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), "redis-server", file, "--sentinel")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Wait() }) // the test's context has ended by then, and with it the process
	return fmt.Sprintf("127.0.0.1:%d", own)
}
