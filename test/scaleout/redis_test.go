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
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/fleet"
	"highload.example/analytics/test/fleet/fleettest"
)

// movedType is one whose hash slot, 41, is among the first, which are those that move. A
// type's key in Redis has the type as its hash tag.
const movedType = "moved477"

// types are many enough to be on every node of a cluster.
func types() (names []string) {
	names = append(names, movedType)
	for i := range 12 {
		names = append(names, fmt.Sprint("kind", i))
	}
	return names
}

// Losing Redis, or a part of it, is no outage: no event is refused.

func TestRedisClusterFailover(t *testing.T) { //nolint:tparallel // its parts come one after the other
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
	testkit.Eventually(t, hangTimeout, "the cluster to be complete", func() bool {
		return strings.Contains(redisCLI(t, "-u", nodes[2].URL(), "cluster", "info"), "cluster_state:ok") && masters() == 3
	})
	first := strings.TrimSpace(redisCLI(t, "-u", nodes[0].URL(), "cluster", "myid"))
	redisCLI(t, "--cluster", "add-node", addresses[3], addresses[0], "--cluster-slave", "--cluster-master-id", first)
	testkit.Eventually(t, hangTimeout, "the fourth node to follow", func() bool {
		return strings.Contains(redisCLI(t, "-u", nodes[3].URL(), "info", "replication"), "master_link_status:up")
	})

	database := testkit.Postgres(t)
	f := fleettest.Open(t, fleet.Config{Env: []string{"PG_URL=" + database, "REDIS_URL=redis://" + strings.Join(addresses[:3], ",") + "?cluster=true"}})
	traffic := startTraffic(t, f, types()...)
	traffic.Await()
	t.Run("slots move to another node", func(t *testing.T) {
		second := strings.TrimSpace(redisCLI(t, "-u", nodes[1].URL(), "cluster", "myid"))
		redisCLI(t, "--cluster", "reshard", addresses[0], "--cluster-from", first, "--cluster-to", second, "--cluster-slots", "100", "--cluster-yes")
		slot := strings.TrimSpace(redisCLI(t, "-u", nodes[1].URL(), "cluster", "keyslot", movedType))
		testkit.Eventually(t, hangTimeout, "the moved type to be counted on the other node", func() bool {
			return strings.TrimSpace(redisCLI(t, "-u", nodes[1].URL(), "cluster", "countkeysinslot", slot)) == "1"
		})
	})
	traffic.Await()
	t.Run("a master is killed and its follower takes over", func(t *testing.T) {
		nodes[0].Kill()
		testkit.Eventually(t, hangTimeout, "the follower to be a master", func() bool {
			return strings.Contains(redisCLI(t, "-u", nodes[3].URL(), "role"), "master")
		})
	})
	traffic.Await()
	awaitReadyz(t, f, `"redis":"ok"`)
	t.Run("a master without a follower is killed, and comes back empty", func(t *testing.T) {
		nodes[2].Kill()
		traffic.Await()
		nodes[2].Start()
		testkit.Eventually(t, hangTimeout, "it to be part of the cluster again", func() bool {
			return strings.Contains(redisCLI(t, "-u", nodes[2].URL(), "cluster", "info"), "cluster_state:ok")
		})
	})
	traffic.Await()
	traffic.Check(database)
	traffic.ExpectResponses()
}

func TestRedisSentinelFailover(t *testing.T) {
	t.Parallel()
	master := testkit.StartRedis(t)
	follower := testkit.StartRedis(t, "--replicaof", "127.0.0.1", strconv.Itoa(master.Port()))
	testkit.Eventually(t, hangTimeout, "the follower to follow", func() bool {
		return strings.Contains(redisCLI(t, "-u", follower.URL(), "info", "replication"), "master_link_status:up")
	})
	var sentinels []string
	for range 3 {
		sentinels = append(sentinels, startSentinel(t, master.Port()))
	}
	sentinel := func(args ...string) string {
		host, port, _ := strings.Cut(sentinels[0], ":")
		return redisCLI(t, append([]string{"-h", host, "-p", port, "sentinel"}, args...)...)
	}
	testkit.Eventually(t, hangTimeout, "the sentinels to know one another and the follower", func() bool {
		out, err := exec.CommandContext(t.Context(), "redis-cli", "-p", strings.Split(sentinels[0], ":")[1], "sentinel", "ckquorum", "main").CombinedOutput()
		return err == nil && strings.HasPrefix(string(out), "OK 3") && strings.Contains(sentinel("replicas", "main"), strconv.Itoa(follower.Port()))
	})

	database := testkit.Postgres(t)
	f := fleettest.Open(t, fleet.Config{Env: []string{"PG_URL=" + database, "REDIS_URL=redis://" + strings.Join(sentinels, ",") + "/0?master_name=main"}})
	traffic := startTraffic(t, f, types()...)
	traffic.Await()
	master.Kill()
	testkit.Eventually(t, hangTimeout, "the sentinels to name another master", func() bool {
		return strings.Contains(sentinel("get-master-addr-by-name", "main"), strconv.Itoa(follower.Port()))
	})
	traffic.Await()
	awaitReadyz(t, f, `"redis":"ok"`)
	// The old one comes back, and is made a follower.
	master.Start()
	testkit.Eventually(t, hangTimeout, "the old master to follow the new one", func() bool {
		return strings.Contains(redisCLI(t, "-u", master.URL(), "info", "replication"), "role:slave")
	})
	traffic.Await()
	traffic.Check(database)
	traffic.ExpectResponses()
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
	fleettest.Must(t, os.WriteFile(file, []byte(text), 0o600))
	process, err := harness.StartProcess(harness.ProcessConfig{Name: "Sentinel", Program: lookPath(t, "redis-server"), Args: []string{file, "--sentinel"}})
	fleettest.Must(t, err)
	t.Cleanup(func() { fleettest.Must(t, process.Kill()) })
	return fmt.Sprintf("127.0.0.1:%d", own)
}
