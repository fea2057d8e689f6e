# The two to begin with, both as root: make lab, make test.

# Where Go's own archive puts it, for shells (and sudo) that do not know.
export PATH := $(PATH):/usr/local/go/bin

GO       ?= go
VERSION  ?= devel
BENCH    ?= .
BENCHPKG ?= ./...
FUZZTIME ?= 10s
GOLANGCI ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Packages where goroutines meet; the race detector makes the others slow and
# finds nothing in them. It needs a C compiler.
RACE = ./api/... ./cmd/... ./control/... ./graph/... ./internal/cli ./state

.PHONY: help build lab test race bench results fuzz lint generate clean root

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

build: ## build skeind and skeinctl into bin/
	$(GO) build -trimpath -ldflags '-X github.com/skein-dataplane/skein/internal/version.Version=$(VERSION)' -o bin/ ./cmd/...

lab: root build ## see Skein at work in network namespaces
	bin/skeinctl lab

test: root ## all tests, go vet, gofmt
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	$(GO) vet ./...
	$(GO) test -p 2 -timeout 15m ./...
	@$(MAKE) --no-print-directory race

race: root ## the tests of what runs beside each other, with the race detector
ifeq ($(shell command -v gcc || command -v clang),)
	@echo "race detector: left out, it needs a C compiler (apt install gcc libc6-dev)"
else
	CGO_ENABLED=1 $(GO) test -race -p 2 -timeout 15m $(RACE)
endif

bench: root ## benchmarks; BENCH=regexp, BENCHPKG=./fib/
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 -timeout 60m $(BENCHPKG)

results: root ## measure everything and write bench/RESULTS.md; takes some 20 minutes
	$(GO) run ./bench/all

fuzz: root ## each fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

lint: ## golangci-lint, at a fixed version, with the rules of imports
	$(GOLANGCI) run ./...

generate: ## the API's Go code (protoc and its plugins) and the graph's picture (graphviz)
	$(GO) generate ./api ./docs

clean: ## remove what make build has made
	rm -rf bin

root:
	@test "$$(id -u)" = 0 || { echo "network namespaces need root: sudo make $(MAKECMDGOALS)"; exit 1; }
