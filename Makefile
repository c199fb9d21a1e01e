# Onward. `make test` needs nothing but Go and touches nothing outside this folder.
#
#   make demo    the whole way of a message, on screen
#   make test    the tests: a few minutes
#   make check   format, vet, staticcheck, lint, dead code
#   make peers   tests with real mail programs (installs them: Debian packages and npm)
#   make proof   the long form: kill loops, long fuzzing, many seeds; by hand
#   make bench   how fast, beside Postfix, on this machine
#   make build   bin/onward

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

# SQLite runs as pure Go here: no C compiler is needed. Only the race detector wants one.
export CGO_ENABLED ?= 0

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Length of the long form: seconds for each fuzz target, rounds of killing, seeds of the simulation.
FUZZTIME ?= 120s
# How many fuzz targets run side by side.
FUZZERS  ?= 2
KILLS    ?= 50
SEEDS    ?= 2000

.PHONY: build demo test check format vet staticcheck lint deadcode race fuzz smoke peers peers-install proof bench clean

build:
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/onward ./cmd/onward

demo:
	$(GO) run ./cmd/onward demo

test:
	$(GO) test -timeout 4m ./...

check: format vet staticcheck deadcode lint

format:
	@files=$$(git ls-files -co --exclude-standard -- '*.go' | xargs -r ls -d 2>/dev/null | xargs -r $(TOOL) gofumpt -l); \
	if [ -n "$$files" ]; then \
		echo "not in gofumpt's format; run: $(TOOL) gofumpt -w ." >&2; echo "$$files" >&2; exit 1; \
	fi

vet:
	$(GO) vet ./...
	$(GO) vet -tags peers ./test/...

staticcheck:
	$(TOOL) staticcheck -tags peers ./...

lint:
	$(TOOL) golangci-lint run

# What no program reaches, counting the tests as programs: a function that only exists is a defect.
deadcode:
	@found=$$($(TOOL) deadcode -test -tags peers ./...); \
	if [ -n "$$found" ]; then echo "$$found" >&2; exit 1; fi

# The packages where goroutines meet. A package of the list that is not there is left out.
RACY := dns account backend queue transaction smtpd intake deliver store control web onward smtptest

race:
	CGO_ENABLED=1 $(GO) test -race -short $$(for p in $(RACY); do if compgen -G "internal/$$p/*.go" >/dev/null; then echo ./internal/$$p/...; fi; done)

fuzz:
	scripts/fuzz.sh $(FUZZTIME) $(FUZZERS)

smoke: build
	scripts/smoke.sh bin/onward

peers-install:
	scripts/install-peers.sh

peers: peers-install
	$(GO) test -tags peers -count=1 -timeout 8m ./test/peers/...

proof: peers-install
	$(GO) test -count=1 ./...
	ONWARD_SEEDS=$(SEEDS) $(GO) test -count=1 -timeout 2h -run 'Seed|Simulat|Crash|Fault' ./internal/...
	ONWARD_KILLS=$(KILLS) $(GO) test -tags peers -count=1 -timeout 3h -v -run 'TestKill' ./test/peers/
	scripts/fuzz.sh $(FUZZTIME) $(FUZZERS)

bench: build
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...
	scripts/install-peers.sh
	$(GO) run ./internal/smtptest/receive
	ulimit -n 20000 && $(GO) run ./test/bench/crowd -onward bin/onward
	ulimit -n 20000 && $(GO) run ./test/bench/guessing -onward bin/onward
	$(GO) run ./test/bench -onward bin/onward

clean:
	rm -rf bin
