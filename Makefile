# `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The tools are pinned in modules of their own, so that theirs is not the
# product's module graph. Without cgo sqlc builds four times as fast.
TOOLS := CGO_ENABLED=0 go tool -modfile=tools/go.mod
LINT  := CGO_ENABLED=0 go tool -modfile=tools/lint/go.mod golangci-lint

# Every test run gets its own PostgreSQL and Redis, and may not skip for want of them.
WITH_SERVERS = TESTKIT_REQUIRED=1 go run highload.example/analytics/internal/harness/cmd/with-servers --

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the server with the embedded database, on port 8000
	go run ./cmd/analytics

.PHONY: build
build: ## Build bin/analytics, a static binary
	CGO_ENABLED=0 go build -o bin/analytics ./cmd/analytics

# With the race detector, but for SQLite itself, which is C translated to Go and keeps its
# memory to itself: instrumented, it takes four times the CPU.
RACE := -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false

# Long enough for a machine that is busy with other things; nothing asserts a time.
TIMEOUT ?= 20m

# A program with the race detector sleeps before it ends, by default a second: as many
# seconds as there are packages.
.PHONY: test
test: export GORACE := atexit_sleep_ms=50
test: deps ## Run every test, with the race detector, on real PostgreSQL and Redis
	$(WITH_SERVERS) go test $(RACE) -parallel 4 -timeout $(TIMEOUT) ./...

.PHONY: test-fast
test-fast: deps ## The same without the race detector
	$(WITH_SERVERS) go test -timeout $(TIMEOUT) ./...

.PHONY: nightly
nightly: ## Everything that takes too long for .ci/run, some hours (ONLY="fuzz load", SEED=1)
	@scripts/nightly.sh

.PHONY: deps
deps: ## Make sure that PostgreSQL and Redis are installed
	@scripts/test-deps.sh

.PHONY: topology
topology: ## Test the shipped load balancer's configuration with a real HAProxy, and the compose file (Linux)
	@scripts/test-deps.sh haproxy
	cd test && TESTKIT_REQUIRED=1 go test $(RACE) -parallel 8 -timeout $(TIMEOUT) ./topology

.PHONY: scaleout
scaleout: deps ## Test Redis Cluster and Sentinel, a standby, and eight replicas, while parts of them fail
	cd test && TESTKIT_REQUIRED=1 go test $(RACE) -parallel 8 -timeout $(TIMEOUT) ./scaleout

.PHONY: torture
torture: ## Break a running fleet for ten minutes, and check every promise (TORTURE="--seed 7 --duration 1h --mode soak", --help, --list)
	@scripts/test-deps.sh haproxy
	cd test && go run ./torture $(TORTURE)

.PHONY: torture-test
torture-test: ## Test the checker with servers that are broken on purpose, and inject one fault of each family into a fleet and one process
	@scripts/test-deps.sh haproxy
	go test -tags failpoint ./impl/failpoint
	cd test && TESTKIT_REQUIRED=1 go test -parallel 8 -timeout $(TIMEOUT) ./torture/... ./fleet/... ./progress ./plot
	cd test && go run ./torture --short --seed 1 --out torture/results
	cd test && go run ./torture --mode embedded --short --seed 1 --out torture/results

.PHONY: browser
browser: build ## Test the documentation page in headless Chromium
	@scripts/test-deps.sh chromium
	cd test/browser && npm ci --ignore-scripts --no-audit --no-fund && npm test

.PHONY: bench
bench: deps ## Run the benchmarks
	$(WITH_SERVERS) go test -run '^$$' -bench . -benchmem ./...

.PHONY: load
load: deps ## Measure the product on this machine (LOAD="--quick", "--compare before=FILE"; wants it for itself)
	cd test && go run ./load $(LOAD)

.PHONY: load-test
load-test: deps ## Test the load programs, and see in a minute that they work
	cd test && TESTKIT_REQUIRED=1 go test $(RACE) -timeout $(TIMEOUT) ./load/... && go run ./load --quick && go run ./load/queries --quick
	python3 -c 'compile(open("test/load/locustfile.py").read(), "test/load/locustfile.py", "exec")'

.PHONY: load-queries
load-queries: deps ## Measure queries on 10 million events (LOAD="--data DIR --keep" keeps them; wants the machine for itself)
	cd test && go run ./load/queries $(LOAD)

.PHONY: load-data
load-data: ## Fill the server at ANALYTICS_URL with generated events (DATA="--count 10000000 --seed 1"; start it with RATE_LIMIT=0)
	(cd test && go run ./load/data $(DATA)) | go run ./cmd/analytics import -

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each (default 30s)
	@scripts/fuzz.sh $(or $(FUZZTIME),30s)

.PHONY: fuzz-minimize
fuzz-minimize: ## Delete fuzz inputs in testdata/fuzz that cover nothing new (MINIMIZE="-n FuzzBatch", -help)
	go run ./scripts/fuzz-minimize $(MINIMIZE)

SDKS := go typescript python
GENERATORS := generate-sql generate-server $(SDKS:%=generate-%)
# Each generator says how long it took.
timed = @TIMEFORMAT='$@: %1R s'; time

.PHONY: generate $(GENERATORS)
generate: check-keywords ## Generate code from api/openapi.yaml and sql/, the SDKs' too
	@$(MAKE) -s -j2 $(GENERATORS)

.PHONY: check-keywords
check-keywords:
	go run ./api/cmd/check-keywords api/openapi.yaml

generate-sql:
	$(timed) $(TOOLS) sqlc generate

# What both need is made once, before they run at the same time.
generate-server generate-go: oapi-codegen bin/openapi.yaml

.PHONY: oapi-codegen
oapi-codegen:
	@$(TOOLS) -n oapi-codegen >/dev/null

generate-server:
	$(timed) $(TOOLS) oapi-codegen -config api/server.yaml bin/openapi.yaml

$(SDKS:%=generate-%): generate-%:
	$(timed) $(MAKE) -s -C sdk/$* generate

# The contract as oapi-codegen reads it: the members of Go types in the order of
# the document.
bin/openapi.yaml: api/openapi.yaml $(wildcard api/cmd/number-properties/*.go)
	@mkdir -p bin
	go run ./api/cmd/number-properties api/openapi.yaml >$@

.PHONY: sdk-lint
sdk-lint: ## Run the linters of the SDKs
	@$(MAKE) --no-print-directory -j3 --output-sync=target $(SDKS:%=sdk-lint-%)

sdk-lint-%:
	@$(MAKE) -s -C sdk/$* lint

.PHONY: sdk-test
sdk-test: build ## Test the SDKs, each by itself and all in the same scenarios of faults
	@scripts/test-deps.sh chromium
	@for sdk in $(SDKS); do $(MAKE) -s -C sdk/$$sdk driver; done # first: the TypeScript suite needs the same dist/
	@ANALYTICS_BIN=$(CURDIR)/bin/analytics $(MAKE) --no-print-directory -j4 --output-sync=target $(SDKS:%=sdk-suite-%) sdk-scenarios

sdk-suite-%:
	@$(MAKE) -s -C sdk/$* test

sdk-scenarios:
	@cd test && TESTKIT_REQUIRED=1 go test -parallel 8 -timeout $(TIMEOUT) ./sdk

.PHONY: sdk-quickstart
sdk-quickstart: build ## Do what the SDKs' getting-started pages say
	@ANALYTICS_BIN=$(CURDIR)/bin/analytics $(MAKE) --no-print-directory -j3 --output-sync=target $(SDKS:%=sdk-start-%)

sdk-start-%:
	@$(MAKE) -s -C sdk/$* quickstart

.PHONY: sdk-bench
sdk-bench: ## Measure what the SDKs cost
	@for sdk in $(SDKS); do $(MAKE) -C sdk/$$sdk bench; done

.PHONY: verify
verify: ## Check that generated code, go.mod and the README are up to date
	@scripts/verify.sh

.PHONY: lint
lint: ## Run the linters
	$(LINT) run ./...
	cd test && CGO_ENABLED=0 go tool -modfile=../tools/lint/go.mod golangci-lint run ./...

# Paths are absolute or relative to api/lint.
LINT_SPECS  := ../openapi.yaml
LINT_FORMAT := stylish

.PHONY: lint-spec
lint-spec: api/lint/node_modules/.package-lock.json ## Lint the contract
	cd api/lint && REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true node_modules/.bin/redocly lint --config redocly.yaml $(LINT_SPECS) --format=$(LINT_FORMAT)

# npm's own record of what is installed.
api/lint/node_modules/.package-lock.json: api/lint/package.json api/lint/package-lock.json
	cd api/lint && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Not from the environment, where it may mean something else.
BASE :=

.PHONY: breaking
breaking: ## Check that the contract doesn't break clients of the newest release (or BASE=FILE, of that contract)
	@scripts/breaking.sh $(BASE)

.PHONY: expect-fail
expect-fail: ## Break what the checks guard and expect them to fail: what changed, and a sample (SEED=n)
	@go run ./internal/expectfail $(if $(SEED),--seed=$(SEED))

.PHONY: expect-fail-all
expect-fail-all: ## The same with every case
	@go run ./internal/expectfail --all

.PHONY: fmt
fmt: ## Format the code
	$(TOOLS) gofumpt -w api cmd impl internal scripts sdk sql test

.PHONY: clean
clean: ## Delete what was built; the embedded database in ./data stays
	rm -rf bin test/results api/lint/node_modules test/browser/node_modules test/browser/.out
