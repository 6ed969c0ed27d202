package topology_test

import (
	"context"
	"go/version"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"

	"highload.example/analytics/impl/config"
)

// load reads docker-compose.yml with the given environment and nothing of ours.
func load(env map[string]string) (*types.Project, error) {
	var pairs []string
	for name, value := range env {
		pairs = append(pairs, name+"="+value)
	}
	options, err := cli.NewProjectOptions([]string{"../../docker-compose.yml"}, cli.WithEnv(pairs), cli.WithWorkingDirectory("../.."))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

// example returns a copy of the settings in .env.example.
func example(t *testing.T) map[string]string {
	t.Helper()
	env, err := dotenv.Read("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// project returns what docker-compose.yml says with .env.example. Tests only read it.
func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var shipped = sync.OnceValues(func() (*types.Project, error) {
	env, err := dotenv.Read("../../.env.example")
	if err != nil {
		return nil, err
	}
	return load(env)
})

func service(t *testing.T, name string) types.ServiceConfig {
	t.Helper()
	s, err := project(t).GetService(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestComposePublishedPorts(t *testing.T) {
	t.Parallel()
	for name, s := range project(t).Services {
		if name != "balancer" && len(s.Ports) > 0 {
			t.Errorf("%s publishes %v", name, s.Ports)
		}
	}
	ports := service(t, "balancer").Ports
	if len(ports) != 1 || ports[0].Published != "8000" || ports[0].Target != 8000 {
		t.Errorf("the balancer publishes %v", ports)
	}
}

func TestComposeHealthChecks(t *testing.T) {
	t.Parallel()
	for name, s := range project(t).Services {
		if s.Restart != "unless-stopped" {
			t.Errorf("%s restarts %q", name, s.Restart)
		}
		if name != "api" && (s.HealthCheck == nil || len(s.HealthCheck.Test) == 0) {
			t.Errorf("%s has no health check", name)
		}
	}
	// The temporary server of a first start listens on no TCP port.
	if check := strings.Join(service(t, "postgres").HealthCheck.Test, " "); !strings.Contains(check, "pg_isready") || !strings.Contains(check, "-h 127.0.0.1") {
		t.Errorf("PostgreSQL's health check is %s", check)
	}
	// The api's is the image's.
	if check := regexp.MustCompile(`(?m)^HEALTHCHECK .*CMD \["/analytics", "healthcheck"\]$`); !check.MatchString(text(t, "../../Dockerfile")) {
		t.Error("the image has no health check by analytics healthcheck")
	}
	for name, needs := range map[string][]string{"api": {"postgres", "redis"}, "balancer": {"api"}} {
		for _, other := range needs {
			if d := service(t, name).DependsOn[other]; d.Condition != types.ServiceConditionHealthy {
				t.Errorf("%s doesn't wait until %s is healthy", name, other)
			}
		}
	}
}

func TestComposeVolumes(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, target := range map[string]string{"postgres": "/var/lib/postgresql/data", "redis": "/data"} {
		kept := slices.ContainsFunc(service(t, name).Volumes, func(v types.ServiceVolumeConfig) bool {
			_, named := p.Volumes[v.Source]
			return v.Type == types.VolumeTypeVolume && v.Target == target && named
		})
		if !kept {
			t.Errorf("%s keeps its data in no named volume", name)
		}
	}
	if command := strings.Join(service(t, "redis").Command, " "); !strings.Contains(command, "--appendonly yes") {
		t.Errorf("Redis has no append-only file: %s", command)
	}
}

func TestComposeBalancerConfiguration(t *testing.T) {
	t.Parallel()
	balancer := service(t, "balancer")
	here, err := filepath.Abs("../../deploy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	mounted := slices.ContainsFunc(balancer.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Source == here && v.Target == "/usr/local/etc/haproxy/haproxy.cfg" && v.ReadOnly
	})
	if !mounted {
		t.Errorf("haproxy.cfg isn't mounted read-only: %v", balancer.Volumes)
	}
	used := regexp.MustCompile(`\$\{([A-Z_]+)\}`).FindAllStringSubmatch(text(t, "../../deploy/haproxy.cfg"), -1)
	if len(used) == 0 {
		t.Error("haproxy.cfg uses no variables")
	}
	for _, variable := range used {
		if value := balancer.Environment[variable[1]]; value == nil || *value == "" {
			t.Errorf("haproxy.cfg uses %s, which the balancer doesn't get", variable[1])
		}
	}
	for name, want := range map[string]string{
		"API_HOST": "api", "LISTEN": ":8000",
		"API_PORT":   "8000",          // the image's ADDR
		"DNS_SERVER": "127.0.0.11:53", // Docker's, in every container
	} {
		if value := balancer.Environment[name]; value == nil || *value != want {
			t.Errorf("%s isn't %s", name, want)
		}
	}
	if !regexp.MustCompile(`(?m)^ENV .*\bADDR=:8000\b`).MatchString(text(t, "../../Dockerfile")) {
		t.Error("the image doesn't listen on port 8000")
	}
}

// TestComposeNetworks checks who can talk to whom: the balancer to the replicas,
// they to the databases, and nobody else to those.
func TestComposeNetworks(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, want := range map[string][]string{
		"postgres": {"backend"}, "redis": {"backend"}, "api": {"backend", "edge"}, "balancer": {"edge"},
	} {
		if got := slices.Sorted(maps.Keys(service(t, name).Networks)); !slices.Equal(got, want) {
			t.Errorf("%s is in the networks %v, want %v", name, got, want)
		}
	}
	// Docker publishes no port of a container that has internal networks alone.
	if !p.Networks["backend"].Internal || p.Networks["edge"].Internal {
		t.Error("backend, and backend alone, is internal")
	}
	for setting, want := range map[string]string{"PG_URL": "@postgres:5432/", "REDIS_URL": "@redis:6379/"} {
		if url := service(t, "api").Environment[setting]; url == nil || !strings.Contains(*url, want) {
			t.Errorf("%s doesn't lead to %s", setting, want)
		}
	}
}

func TestComposeSecrets(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"POSTGRES_PASSWORD", "REDIS_PASSWORD"} {
		env := example(t)
		value := env[secret]
		delete(env, secret)
		if _, err := load(env); err == nil || !strings.Contains(err.Error(), secret) {
			t.Errorf("without %s: %v", secret, err)
		}
		if strings.Contains(text(t, "../../docker-compose.yml"), value) {
			t.Errorf("the value of %s is in the compose file", secret)
		}
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`[^$]\$\{([A-Z_]+)[:}?-]`).FindAllStringSubmatch(text(t, "../../docker-compose.yml"), -1) {
		used[m[1]] = true
	}
	if documented := slices.Sorted(maps.Keys(example(t))); !slices.Equal(slices.Sorted(maps.Keys(used)), documented) {
		t.Errorf("the compose file uses %v, .env.example has %v", slices.Sorted(maps.Keys(used)), documented)
	}
}

func TestContainerPrivileges(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"api", "balancer"} {
		s := service(t, name)
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: read only %t, drops %v, %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
	}
	dockerfile := text(t, "../../Dockerfile")
	stages := regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(dockerfile, -1)
	if len(stages) < 2 || stages[len(stages)-1] != "FROM scratch" {
		t.Errorf("the stages are %q", stages)
	}
	if !regexp.MustCompile(`(?m)^USER [1-9][0-9]+:[1-9][0-9]+$`).MatchString(dockerfile) || !strings.Contains(dockerfile, "CGO_ENABLED=0 go build") {
		t.Error("the image's user isn't a number other than 0, or the binary isn't static")
	}
	// The image's tag names a language version, and brings its last release.
	built := regexp.MustCompile(`FROM golang:(\d+\.\d+)-`).FindStringSubmatch(dockerfile)
	wanted := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(text(t, "../../go.mod"))
	if built == nil || wanted == nil || version.Compare("go"+built[1], version.Lang("go"+wanted[1])) < 0 {
		t.Errorf("the image builds with Go %v, go.mod wants %v", built, wanted)
	}
}

// setting returns a setting of the api, or its default.
func setting(t *testing.T, name string) string {
	t.Helper()
	if value := service(t, "api").Environment[name]; value != nil {
		return *value
	}
	for line := range strings.SplitSeq(config.Markdown(), "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.Trim(cells[1], " `") == name {
			return strings.Trim(cells[3], " `")
		}
	}
	t.Fatalf("there is no setting %s", name)
	return ""
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDeploymentLimits(t *testing.T) {
	t.Parallel()
	// PostgreSQL has room for every replica that the balancer has a place for.
	connections, err := strconv.Atoi(setting(t, "PG_MAX_CONNS"))
	if err != nil {
		t.Fatal(err)
	}
	// Queries have connections of their own: see PG_MAX_CONNS in the README.
	queries, err := strconv.Atoi(setting(t, "QUERY_CONCURRENCY"))
	if err != nil {
		t.Fatal(err)
	}
	if queries == 0 {
		queries = 2
	}
	connections += queries + 4
	places := regexp.MustCompile(`server-template api (\d+)`).FindStringSubmatch(text(t, "../../deploy/haproxy.cfg"))
	room := regexp.MustCompile(`max_connections=(\d+)`).FindStringSubmatch(strings.Join(service(t, "postgres").Command, " "))
	if places == nil || room == nil {
		t.Fatal("no server-template, or no max_connections")
	}
	replicas, _ := strconv.Atoi(places[1])
	available, _ := strconv.Atoi(room[1])
	if replicas*connections > available-10 {
		t.Errorf("%d replicas with %d connections each are more than PostgreSQL's %d", replicas, connections, available)
	}
	// A replica that stops serves until the balancer has noticed, and is given the
	// time to finish.
	check := regexp.MustCompile(`check inter (\d+ms) fastinter \d+ms downinter \d+ms fall (\d+)`).FindStringSubmatch(text(t, "../../deploy/haproxy.cfg"))
	if check == nil {
		t.Fatal("no health check in haproxy.cfg")
	}
	fall, _ := strconv.Atoi(check[2])
	delay := duration(t, setting(t, "SHUTDOWN_DELAY"))
	if noticed := duration(t, check[1]) * time.Duration(fall+1); delay < noticed {
		t.Errorf("SHUTDOWN_DELAY is %s, the balancer needs %s to notice", delay, noticed)
	}
	// The balancer gives up later than any replica that answers at all.
	silence := regexp.MustCompile(`(?m)^    timeout server (\S+)$`).FindStringSubmatch(text(t, "../../deploy/haproxy.cfg"))
	if silence == nil {
		t.Fatal("no timeout server in haproxy.cfg")
	}
	if slowest := duration(t, setting(t, "BODY_TIMEOUT")) + duration(t, setting(t, "REQUEST_TIMEOUT")); duration(t, silence[1]) <= slowest {
		t.Errorf("the balancer waits %s, a replica may take %s", silence[1], slowest)
	}
	grace := service(t, "api").StopGracePeriod
	if grace == nil || time.Duration(*grace) <= delay+duration(t, setting(t, "SHUTDOWN_TIMEOUT")) {
		t.Errorf("stop_grace_period %v is shorter than SHUTDOWN_DELAY and SHUTDOWN_TIMEOUT together", grace)
	}
	// Only the balancer's network is believed.
	edge := project(t).Networks["edge"].Ipam.Config
	if len(edge) != 1 || edge[0].Subnet != setting(t, "TRUSTED_PROXIES") {
		t.Errorf("TRUSTED_PROXIES is %s, the edge is %v", setting(t, "TRUSTED_PROXIES"), edge)
	}
}

// TestDockerignore compares what .dockerignore lets through with what the
// program is built from.
func TestDockerignore(t *testing.T) {
	t.Parallel()
	var patterns []string
	for line := range strings.Lines(text(t, "../../.dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, line)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	const files = `{{if .Module}}{{if .Module.Main}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	command := exec.Command("go", "list", "-deps", "-f", files, "./cmd/analytics")
	command.Dir = root
	command.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0") // as the image builds it
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	sources := []string{"go.mod", "go.sum"}
	for line := range strings.Lines(string(out)) {
		if source, below := strings.CutPrefix(strings.TrimSpace(line), root+"/"); below {
			sources = append(sources, source)
		}
	}
	if len(sources) < 20 {
		t.Fatalf("the program is built from %v?", sources)
	}
	for _, source := range sources {
		if ignored(t, patterns, source) {
			t.Errorf(".dockerignore keeps %s out of the image's build", source)
		}
	}
	// What changes nothing in the image mustn't change what the build's cache is
	// keyed by, and secrets have no business there.
	for _, other := range []string{".env", ".git/config", "README.md", "data/analytics.db", "deploy/haproxy.cfg", "test/go.mod", "impl/app/process_test.go", "api/testdata/a.yaml"} {
		if !ignored(t, patterns, other) {
			t.Errorf(".dockerignore lets %s into the image's build", other)
		}
	}
}

// ignored is what Docker does with a .dockerignore as simple as ours: the last
// pattern decides that matches the path or a directory above it. A pattern is a
// path, relative to the root, or **/ and a name.
func ignored(t *testing.T, patterns []string, name string) bool {
	t.Helper()
	result := false
	for _, pattern := range patterns {
		pattern, except := strings.CutPrefix(pattern, "!")
		base, anywhere := strings.CutPrefix(pattern, "**/")
		if strings.Contains(base, "**") || (anywhere && strings.Contains(base, "/")) {
			t.Fatalf("this test doesn't understand the pattern %s", pattern)
		}
		for part := name; part != "."; part = path.Dir(part) {
			candidate := part
			if anywhere {
				candidate = path.Base(part)
			}
			matches, err := path.Match(base, candidate)
			if err != nil {
				t.Fatalf("%s: %v", pattern, err)
			}
			if matches {
				result = !except
				break
			}
		}
	}
	return result
}
