# certquake: `make scenario` runs the main job, `make test` passes the tests.
SHELL := /bin/bash
GO ?= go
TOOL := $(GO) tool -modfile=tools.mod
BIN := bin/certquake
BENCHTIME ?= 1s
BENCHCOUNT ?= 6
FUZZTIME ?= 30s

.DEFAULT_GOAL := help

help: ## Print this help
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1@\2/p' $(MAKEFILE_LIST) | column -t -s @

scenario: build ## Run the default scenario on the simulator: the Akka docs' own manifests
	$(BIN) run akka-rotation

scenarios: build ## Run the whole library on the simulator
	$(BIN) run scenarios/library

build: ## Build bin/certquake
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) .

test: ## Run every unit test, without a cluster or network
	$(GO) test ./...

race: ## Run every unit test under the race detector
	$(GO) test -race ./...

fuzz: ## Fuzz the scenario parser, the record codec and the volume reader, FUZZTIME each
	$(GO) test -run '^$$' -fuzz FuzzParse -fuzztime $(FUZZTIME) ./scenarios
	$(GO) test -run '^$$' -fuzz FuzzReader -fuzztime $(FUZZTIME) ./harness/record
	$(GO) test -run '^$$' -fuzz FuzzRead -fuzztime $(FUZZTIME) ./workloads/credential

laws: ## Hold the simulator against the closed forms with many seeds
	$(GO) test -count=1 -run 'TestLaw|TestMetamorphic' ./harness/sim -laws

bench: ## Measure; compare two runs with `make benchstat OLD=a NEW=b`
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) ./... | tee bench.txt

benchstat: ## Compare two outputs of make bench
	$(TOOL) benchstat $(OLD) $(NEW)

golden: ## Rewrite the golden files
	$(GO) test ./scenarios ./reports/... ./harness/... -update

lint: ## Run the linters
	$(TOOL) golangci-lint run ./...

fmt: ## Format
	$(TOOL) golangci-lint fmt ./...

cross: ## Build for linux, darwin and windows
	for os in linux darwin windows; do CGO_ENABLED=0 GOOS=$$os $(GO) build -o /dev/null . && echo "built for $$os"; done

clean: ## Remove what the targets above made
	rm -rf bin runs bench.txt

.PHONY: help scenario scenarios build test race fuzz laws bench benchstat golden lint fmt cross clean
