# `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The tools are pinned in modules of their own, so that theirs is not the
# product's module graph. Without cgo sqlc builds four times as fast.
TOOLS := CGO_ENABLED=0 go tool -modfile=tools/go.mod
LINT  := CGO_ENABLED=0 go tool -modfile=tools/lint/go.mod golangci-lint
OASDIFF := CGO_ENABLED=0 go tool -modfile=tools/oasdiff/go.mod oasdiff

# Every test run gets its own PostgreSQL and Redis, and may not skip for want of them.
WITH_SERVERS := TESTKIT_REQUIRED=1 go run ./impl/testkit/cmd/with-servers --

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the server with the embedded database, on port 8000
	go run ./cmd/analytics

.PHONY: build
build: ## Build bin/analytics, a static binary
	CGO_ENABLED=0 go build -o bin/analytics ./cmd/analytics

.PHONY: test
test: deps ## Run every test, with the race detector, on real PostgreSQL and Redis
	$(WITH_SERVERS) go test -race -timeout 9m ./...

.PHONY: test-fast
test-fast: deps ## The same without the race detector
	$(WITH_SERVERS) go test -timeout 9m ./...

.PHONY: deps
deps: ## Make sure that PostgreSQL and Redis are installed
	@scripts/test-deps.sh

.PHONY: topology
topology: ## Test the shipped load balancer's configuration with a real HAProxy (Linux)
	@scripts/test-deps.sh haproxy
	$(WITH_SERVERS) go test -race -tags topology -run Topology ./deploy

.PHONY: torture
torture: ## Break a running fleet for ten minutes, and check every promise (TORTURE="-seed 7 -duration 1h -mode soak", -help, -list)
	@scripts/test-deps.sh haproxy
	cd torture && go run . $(TORTURE)

.PHONY: torture-test
torture-test: ## Test the checker with servers that are broken on purpose, and torture a fleet and one process for two minutes
	@scripts/test-deps.sh haproxy
	go test -tags failpoint ./impl/failpoint
	cd torture && TESTKIT_REQUIRED=1 go test -timeout 15m ./... && go run . -duration 90s -seed 1 && go run . -mode embedded -duration 30s -seed 1

.PHONY: scaleout
scaleout: deps ## Test Redis Cluster and Sentinel, a standby, and eight replicas, while parts of them fail
	cd torture && TESTKIT_REQUIRED=1 go test -race -tags scaleout -timeout 15m ./scaleout

.PHONY: browser
browser: ## Test the documentation page in headless Chromium
	@scripts/test-deps.sh chromium
	cd web/browser && npm ci --ignore-scripts --no-audit --no-fund && npm test

.PHONY: bench
bench: deps ## Run the benchmarks
	$(WITH_SERVERS) go test -run '^$$' -bench . -benchmem ./...

.PHONY: load
load: deps ## Measure the product on this machine (LOAD="-quick", "-compare before=FILE"; wants it for itself)
	cd load && go run . $(LOAD)

.PHONY: load-test
load-test: deps ## Test the load programs, and see in some minutes that they work
	cd load && go test -race ./... && go run . -quick && go run ./questions -quick
	python3 -c 'compile(open("load/locustfile.py").read(), "load/locustfile.py", "exec")'

.PHONY: load-questions
load-questions: deps ## Measure questions on 10 million events (LOAD="-data DIR -keep" keeps them; wants the machine for itself)
	cd load && go run ./questions $(LOAD)

.PHONY: load-data
load-data: ## Fill the server at ANALYTICS_URL with made-up events (DATA="-count 10000000 -seed 1"; start it with RATE_LIMIT=0)
	cd load && go run ./data $(DATA) | (cd .. && go run ./cmd/analytics import -)

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each (default 30s)
	@scripts/fuzz.sh $(or $(FUZZTIME),30s)

.PHONY: fuzz-minimize
fuzz-minimize: ## Delete fuzz inputs in testdata/fuzz that cover nothing new (MINIMIZE="-n FuzzBatch", -help)
	go run ./scripts/fuzz-minimize $(MINIMIZE)

.PHONY: generate
generate: ## Generate code from api/openapi.yaml and sql/, the SDKs' too
	go run ./api/cmd/check-keywords api/openapi.yaml
	$(TOOLS) oapi-codegen -config api/server.yaml api/openapi.yaml
	$(TOOLS) oapi-codegen -config api/client.yaml api/openapi.yaml
	$(TOOLS) sqlc generate
	@for sdk in $(SDKS); do $(MAKE) -s -C sdk/$$sdk generate; done

SDKS := go typescript python

.PHONY: sdk-lint
sdk-lint: ## Run the linters of the SDKs
	@for sdk in $(SDKS); do $(MAKE) -C sdk/$$sdk lint; done

.PHONY: sdk-test
sdk-test: ## Test the SDKs, each by itself and all in the same scenarios of faults
	@scripts/test-deps.sh chromium
	@for sdk in $(SDKS); do $(MAKE) -C sdk/$$sdk driver test; done
	go test -tags sdk -parallel 8 -timeout 20m ./sdk/scenario

.PHONY: sdk-quickstart
sdk-quickstart: ## Do what the SDKs' getting-started pages say
	@for sdk in $(SDKS); do $(MAKE) -C sdk/$$sdk quickstart; done

.PHONY: sdk-bench
sdk-bench: ## Measure what the SDKs cost
	@for sdk in $(SDKS); do $(MAKE) -C sdk/$$sdk bench; done

.PHONY: verify
verify: ## Check that generated code, go.mod and the README are up to date
	@scripts/verify.sh

.PHONY: lint
lint: ## Run the linters
	$(LINT) run ./...
	cd load && CGO_ENABLED=0 go tool -modfile=../tools/lint/go.mod golangci-lint run ./...
	cd torture && CGO_ENABLED=0 go tool -modfile=../tools/lint/go.mod golangci-lint run --build-tags scaleout ./...

.PHONY: lint-spec
lint-spec: ## Lint the contract
	@cd api/lint && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; }
	cd api/lint && REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true node_modules/.bin/redocly lint --config redocly.yaml ../openapi.yaml --format=stylish

# Errors only: warnings are changes that a careful client survives, and are shown.
# tools/oasdiff/levels.txt makes errors of what oasdiff takes for less and our
# clients don't survive: the server refuses a field that it no longer knows, and
# the members, headers and operation names of generated clients are used by name.
# oasdiff exits with 1 for a break and with more when it can't compare.
.PHONY: breaking
breaking: ## Check that the contract doesn't break clients of the released one
	@code=0; $(OASDIFF) breaking --fail-on ERR --severity-levels tools/oasdiff/levels.txt api/released/openapi.yaml api/openapi.yaml || code=$$?; \
	case $$code in \
	  0) ;; \
	  1) echo "breaking: api/openapi.yaml breaks clients of api/released/openapi.yaml (above): add instead of changing, or release a new major version" >&2; exit 1;; \
	  *) echo "breaking: the contracts can't be compared (above): correct what can't be read" >&2; exit 1;; \
	esac

.PHONY: prove-gates
prove-gates: ## Break one thing after the other and see each check fail
	@scripts/prove-gates.sh

.PHONY: fmt
fmt: ## Format the code
	$(TOOLS) gofumpt -w api cmd impl load scripts sdk sql torture

.PHONY: clean
clean: ## Delete what was built; the embedded database in ./data stays
	rm -rf bin load/results torture/results api/lint/node_modules web/browser/node_modules web/browser/.out
