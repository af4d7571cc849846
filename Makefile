# All commands of development and CI. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X latchkey/internal/cli.version=$(VERSION)
# Third-party clients and audits that tests run on Node or in a browser.
AUDITS := internal/cli/testdata/newman internal/httpserver/testdata/graphqlhttp internal/httpserver/testdata/oauth internal/panel/testdata/axe \
	internal/scim/testdata/patch internal/webhook/deliver/testdata/verify tools/release/testdata/cyclonedx
# The race detector covers everything except two packages that would take most of the tests' time: the SQLite engine, which is C
# translated to Go and shares data between goroutines only under its own locks, and Argon2id, which has no goroutines.
WITHOUT_RACE := -race=false -d=checkptr=0
RACE := -race $(foreach package,modernc.org/sqlite/lib modernc.org/libc latchkey/internal/secret/password/argon2id,\
	-gcflags='$(package)=$(WITHOUT_RACE)')
# The control panel starts no goroutines and shares nothing between requests. The packages that it calls are tested with the race
# detector. So its own tests, most of which drive a browser, run without the detector, in half the time. The checks of the
# source and the language of SCIM have no goroutines either.
UNRACED := latchkey/internal/panel latchkey/internal/test/arch latchkey/internal/scim
# The slowest packages start first, so that none of them runs by itself at the end.
SLOWEST := ./internal/cli ./tools/bench ./internal/gormdb ./graph/apitest ./internal/signin ./internal/feed \
	./internal/test/promises
# How long `make fuzz` gives each target.
FUZZTIME ?= 20s
# How many rounds `make chaos` runs, how many requests it sends through each load balancer, and how many billing runs it kills.
CHAOSROUNDS ?= 1000
CHAOSREQUESTS ?= 20000
CHAOSKILLS ?= 50
# How many rounds `make bench` runs, how long each measurement takes, a part of the name of the rows to measure,
# and the number of subscriptions of the rows of billing.
ROUNDS ?= 5
EACH ?= 5s
ONLY ?=
SUBSCRIPTIONS ?= 1000000

.PHONY: help
help: ## List the targets
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

# The bundle is in the repository, so that a build needs only Go.
.PHONY: graphiql
graphiql: ## Bundle GraphiQL for the control panel from the npm packages of its lock file
	@tools/need node=nodejs npm=npm
	npm ci --no-audit --no-fund --ignore-scripts --prefix internal/panel/graphiql
	node internal/panel/graphiql/bundle.mjs

.PHONY: fonts
fonts: ## Copy the control panel's typeface from the npm package of its lock file
	@tools/need node=nodejs npm=npm
	npm ci --no-audit --no-fund --ignore-scripts --prefix internal/panel/fonts
	node internal/panel/fonts/fonts.mjs

.PHONY: screenshots
screenshots: ## Take the README's pictures of the control panel, from the demo
	@tools/need chromium=chromium
	LATCHKEY_SCREENSHOTS=$(CURDIR)/docs/screenshots go test ./internal/panel -run '^TestPicturesOfTheREADME$$' -count=1

# Lighthouse's mobile profile, on pages of the demo. The scores are in CONTRIBUTING.md.
.PHONY: lighthouse
lighthouse: build tools/lighthouse/node_modules/.package-lock.json ## Score the panel's speed, accessibility and best practices with Lighthouse
	@tools/need node=nodejs chromium=chromium
	node tools/lighthouse/audit.mjs CONTRIBUTING.md

.PHONY: passwords
passwords: ## Write the list of common passwords from the npm package of its lock file
	@tools/need node=nodejs npm=npm
	npm ci --no-audit --no-fund --ignore-scripts --prefix internal/secret/password/common
	node internal/secret/password/common/common.mjs

# The race detector needs a C compiler, the audits of GraphQL over HTTP need Node, the benchmark's tests need wrk, and the control
# panel's tests need Chromium. They save screenshots of the pages in tmp/screenshots.
# `make lint` vets the code, so that compiling the tests need not. Programs that several packages start are built before, because
# packages that are tested at the same time would each compile them.
.PHONY: test
test: ## Set up and run every test, on SQLite and on PostgreSQL
	@tools/need gcc=gcc,libc6-dev initdb=postgresql node=nodejs npm=npm wrk=wrk pgbouncer=pgbouncer nginx=nginx caddy=caddy haproxy=haproxy \
		curl=curl jq=jq python3=python3 chromium=chromium promtool=prometheus systemd-analyze=systemd mandoc=mandoc
	@$(MAKE) --no-print-directory $(AUDITS:%=%/node_modules/.package-lock.json)
	go build -o bin/ ./internal/test/db/cmd/testcluster ./tools/testsummary
	go build -C tools/deploycheck -o ../../bin/ .
	go build -ldflags='-s -w' -o bin/tested/ ./cmd/latchkey ./examples/webhooks
	LATCHKEY_TEST_PROGRAMS=$(CURDIR)/bin/tested bin/testcluster bin/testsummary -databases sqlite,postgres \
		-beside 'go test -json -vet=off -count=1 -timeout 40m $(UNRACED)' \
		go test -json -vet=off $(RACE) -count=1 -timeout 40m $(SLOWEST) \
		$$(go list ./... | grep -vxF "$$(printf '%s\n' $(UNRACED))")

%/node_modules/.package-lock.json: %/package-lock.json
	npm ci --no-audit --no-fund --prefix $*

.PHONY: lint
lint: bin/golangci-lint ## Check formatting, vet, the linters of .golangci.yml and plain English
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt'd: $$unformatted"; exit 1; fi
	go vet ./...
	go -C tools/deploycheck vet ./...
	bin/golangci-lint run ./...
	git ls-files | go run ./tools/prose

# Built from the versions in tools/lint.mod. It is separate from go.mod, because the linter has two hundred dependencies.
bin/golangci-lint: tools/lint.mod tools/lint.sum
	go build -modfile=tools/lint.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: verify
verify: ## Check that generated files, go.mod and go.sum are current
	go mod tidy -diff
	go -C tools/deploycheck mod tidy -diff
	go mod verify
	$(MAKE) --no-print-directory generate graphiql fonts passwords
	@git diff --exit-code && test -z "$$(git status --porcelain)" \
		|| { git status --short; echo "The tree differs from the last commit: run 'make generate graphiql fonts passwords' and commit the result."; exit 1; }

# Built from a clone of the last commit, so that the same commit and version of Go give the same bytes everywhere.
.PHONY: release
release: ## Build the archives of a release for all platforms, checksums and an SBOM in dist/
	go run ./tools/release -o dist

# Two builds of this machine's platform in clones in different folders. They share the build cache, so that this takes little time.
.PHONY: release-check
release-check: ## Build a release for this machine twice and compare the bytes, checksums and SBOM
	go run ./tools/release -platforms host -o tmp/release
	go run ./tools/release -platforms host -verify tmp/release

.PHONY: release-repeat
release-repeat: ## Check dist/, compile everything once more, in an empty build cache, and compare the bytes
	go run ./tools/release -verify dist -fresh

# New commits are the ones after the commit that added this check.
.PHONY: commits
commits: ## Check the subjects of new commits
	@git log --no-merges --format='%h %s' "$$(git log --diff-filter=A --format=%H -- tools/commits/main.go | tail -n 1)..HEAD" | go run ./tools/commits

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (20s)
	tools/fuzz $(FUZZTIME)

# Actors lose their rights while their writes are in progress on three servers of one database: nothing may be written afterwards.
# Servers restart one by one behind load balancers that do not retry: no request may fail. Servers are killed while they send
# webhooks: each event must arrive, in order. Billing runs are killed: every charge and invoice must exist once in the end.
# An identity provider deactivates users while others use the API: no request may fail or wait.
.PHONY: chaos
chaos: ## Revoke rights and kill servers CHAOSROUNDS (1000) times, restart them during CHAOSREQUESTS (20000) requests, kill CHAOSKILLS (50) billing runs
	@tools/need initdb=postgresql nginx=nginx haproxy=haproxy
	LATCHKEY_CHAOS_REQUESTS=$(CHAOSREQUESTS) go test ./internal/cli -run '^TestRollingRestartFailsNoRequest$$' -count=1 -v -timeout 1h
	LATCHKEY_CHAOS_CONNECTIONS=12000 go test ./internal/cli -run '^TestHalfSentHeaders$$' -count=1 -v -timeout 1h
	LATCHKEY_CHAOS_ROUNDS=$(CHAOSROUNDS) go test ./internal/cli -run '^TestWebhooksOfKilledServers$$' -count=1 -v -timeout 2h
	LATCHKEY_CHAOS_KILLS=$(CHAOSKILLS) go test ./internal/cli -run '^TestBillingKilled$$' -count=1 -v -timeout 1h
	LATCHKEY_CHAOS_ROUNDS=$(CHAOSROUNDS) go test ./internal/test/promises -run '^(TestWritesDuringARevocation|TestIssuingDuringARemoval)$$' -count=1 -v -timeout 2h
	LATCHKEY_CHAOS_ROUNDS=$(CHAOSROUNDS) go test ./internal/test/promises -run '^TestManyDeactivations$$' -count=1 -v -timeout 1h
	LATCHKEY_CHAOS_ROUNDS=$(CHAOSROUNDS) go test ./internal/billing -run '^TestLivesOnDatabases$$' -count=1 -v -timeout 2h

.PHONY: bench
bench: build ## Measure Latchkey against its yardsticks (ROUNDS=5, EACH=5s, ONLY=revoke, SUBSCRIPTIONS=50000)
	@tools/need initdb=postgresql pgbench=postgresql wrk=wrk
	go run ./tools/bench -rounds $(ROUNDS) -each $(EACH) -only '$(ONLY)' -subscriptions $(SUBSCRIPTIONS)

.PHONY: bench-record
bench-record: build ## Run bench and write the results to docs/benchmarks.md
	@tools/need initdb=postgresql pgbench=postgresql wrk=wrk
	go run ./tools/bench -rounds $(ROUNDS) -each $(EACH) -record docs/benchmarks.md
