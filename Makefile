# Everything a person or CI does to Latchkey. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X latchkey/internal/cli.version=$(VERSION)
# Clients and audits of others, that tests run on Node or in a browser.
STRANGERS := internal/httpserver/testdata/graphqlhttp internal/httpserver/testdata/oauth internal/panel/testdata/axe
# The race detector watches all but the SQLite engine, which is C turned into Go, shares nothing between goroutines but
# under its own locks, and Argon2id, which has no goroutines: they would take most of the time of the tests.
UNWATCHED := -race=false -d=checkptr=0
RACE := -race $(foreach package,modernc.org/sqlite/lib modernc.org/libc latchkey/internal/password/argon2id,\
	-gcflags='$(package)=$(UNWATCHED)')
# The control panel starts no goroutines and shares nothing between requests, and what it calls is watched in the tests
# of those packages: its own tests, most of which drive a browser, run without the detector, in half the time.
SINGLE := latchkey/internal/panel
# What takes longest is started first, so that the rest runs beside it and not before.
LONGEST := ./internal/cli
# How long `make fuzz` gives each target.
FUZZTIME ?= 20s
# How many rounds `make chaos` runs, and how many requests it sends through each load balancer.
CHAOSROUNDS ?= 1000
CHAOSREQUESTS ?= 20000
# How many rounds `make bench` runs, for how long it measures in each, and a part of the name of the work to measure.
ROUNDS ?= 5
EACH ?= 5s
ONLY ?=

.PHONY: help
help: ## List what make can do
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: run
run: build ## Serve a demo on SQLite; prints the address, a token and a curl to try
	@mkdir -p tmp
	bin/latchkey serve --demo --database sqlite:tmp/demo.db

.PHONY: build
build: ## Build bin/latchkey, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/latchkey ./cmd/latchkey

.PHONY: generate
generate: ## Regenerate the GraphQL layer from the schema
	go generate ./...

# What it makes is in the repository, so that a build needs Go alone.
.PHONY: graphiql
graphiql: ## Bundle GraphiQL for the control panel, from the npm packages of its lock file
	@tools/need node=nodejs npm=npm
	npm ci --no-audit --no-fund --ignore-scripts --prefix internal/panel/graphiql
	node internal/panel/graphiql/bundle.mjs

.PHONY: passwords
passwords: ## Write the list of common passwords, from the npm package of its lock file
	@tools/need node=nodejs npm=npm
	npm ci --no-audit --no-fund --ignore-scripts --prefix internal/password/common
	node internal/password/common/common.mjs

# The race detector needs a C compiler, the audits of GraphQL over HTTP need Node, the benchmark's own tests wrk, the
# control panel's Chromium. Pictures of its pages are in tmp/screenshots afterwards.
.PHONY: test
test: ## Set up and run every test, on SQLite and on PostgreSQL
	@tools/need gcc=gcc,libc6-dev initdb=postgresql node=nodejs npm=npm wrk=wrk pgbouncer=pgbouncer nginx=nginx caddy=caddy haproxy=haproxy \
		curl=curl jq=jq python3=python3 chromium=chromium
	@$(MAKE) --no-print-directory $(STRANGERS:%=%/node_modules/.package-lock.json)
	go build -o bin/ ./internal/dbtest/cmd/testcluster ./tools/testsummary
	bin/testcluster bin/testsummary -databases sqlite,postgres -beside 'go test -json -count=1 -timeout 25m $(SINGLE)' \
		go test -json $(RACE) -count=1 -timeout 25m $(LONGEST) $$(go list ./... | grep -vx '$(SINGLE)')

%/node_modules/.package-lock.json: %/package-lock.json
	npm ci --no-audit --no-fund --prefix $*

.PHONY: lint
lint: bin/golangci-lint ## Check formatting, vet and the linters of .golangci.yml
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt'd: $$unformatted"; exit 1; fi
	go vet ./...
	bin/golangci-lint run ./...

# Built from the versions in tools/lint.mod, a file of its own so that the linter's two hundred dependencies are not ours.
bin/golangci-lint: tools/lint.mod tools/lint.sum
	go build -modfile=tools/lint.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: verify
verify: ## Check that generated files, go.mod and go.sum are what their sources make
	go mod tidy -diff
	go mod verify
	$(MAKE) --no-print-directory generate graphiql passwords
	@git diff --exit-code && test -z "$$(git status --porcelain)" \
		|| { git status --short; echo "The tree differs from the last commit: commit what 'make generate graphiql passwords' makes of its sources."; exit 1; }

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (20s)
	tools/fuzz $(FUZZTIME)

# Actors write while their rights end, on three servers of one database: nothing may be left behind. Rolling
# restarts behind load balancers that do not retry: no request may fail.
.PHONY: chaos
chaos: ## End rights beside writes CHAOSROUNDS (1000) times, and restart servers under CHAOSREQUESTS (20000) requests
	@tools/need initdb=postgresql nginx=nginx haproxy=haproxy
	LATCHKEY_CHAOS_REQUESTS=$(CHAOSREQUESTS) go test ./internal/cli -run '^TestRollingRestartFailsNoRequest$$' -count=1 -v -timeout 1h
	LATCHKEY_CHAOS_ROUNDS=$(CHAOSROUNDS) go test ./internal/promise -run '^(TestWritesBesideTheEnd|TestIssuingBesideTheRemoval)$$' -count=1 -v -timeout 2h

.PHONY: bench
bench: build ## Measure Latchkey against its yardsticks (ROUNDS=5, EACH=5s, ONLY=revoke)
	@tools/need initdb=postgresql pgbench=postgresql wrk=wrk
	go run ./internal/bench -rounds $(ROUNDS) -each $(EACH) -only '$(ONLY)'

.PHONY: bench-record
bench-record: build ## The same, written to docs/benchmarks.md
	@tools/need initdb=postgresql pgbench=postgresql wrk=wrk
	go run ./internal/bench -rounds $(ROUNDS) -each $(EACH) -record docs/benchmarks.md
