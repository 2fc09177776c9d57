# certquake: `make scenario` runs the main job, `make test` passes the tests.
GO ?= go
TOOL := $(GO) tool -modfile=tools.mod
BIN := bin/certquake
BENCHTIME ?= 1s
BENCHCOUNT ?= 6
FUZZTIME ?= 30s
CLUSTERS ?= 2
CASES ?= .
CONTROLLER_GEN := sigs.k8s.io/controller-tools/cmd/controller-gen@v0.23.0
FUZZ := $(GO) test -run '^$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 20x

.DEFAULT_GOAL := help

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

scenario: build ## Run the default scenario on the simulator: the Akka docs' own manifests
	$(BIN) run akka-rotation

scenarios: build ## Run the whole library on the simulator
	$(BIN) run scenarios/library

build: ## Build bin/certquake
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BIN) .

test: ## Run every unit test, without a cluster or network
	$(GO) test ./...

race: ## Run every unit test under the race detector
	$(GO) test -race -timeout 30m ./...

fuzz: ## Fuzz what reads text and files of others, FUZZTIME each
	$(FUZZ) -fuzz FuzzParse ./scenarios
	$(FUZZ) -fuzz FuzzReader ./harness/record
	$(FUZZ) -fuzz FuzzRead ./workloads/credential
	$(FUZZ) -fuzz FuzzRead ./workloads/keyring
	$(FUZZ) -fuzz FuzzObserve ./workloads/rotation
	$(FUZZ) -fuzz FuzzVerify ./workloads/token
	$(FUZZ) -fuzz FuzzParseSet ./workloads/token
	$(FUZZ) -fuzz FuzzOpen ./workloads/sealed
	$(FUZZ) -fuzz FuzzDecodeRow ./workloads/peer

laws: ## Hold the simulator against the closed forms with many seeds
	$(GO) test -count=1 -run 'TestLaw|TestMetamorphic' ./harness/sim -laws

bench: ## Measure; compare two runs with `make benchstat OLD=a NEW=b`
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) ./... > bench.txt; status=$$?; cat bench.txt; exit $$status

benchstat: ## Compare two outputs of make bench
	$(TOOL) benchstat $(OLD) $(NEW)

embedded: workload ## Build the embedded Kubernetes into bin/: minutes at first, seconds later
	cd clusters/embedded/controlplane && $(GO) run ./build -o $(CURDIR)/bin

node-image: ## Build kind's node image and cert-manager's images from source: no registry needed
	cd clusters/embedded/controlplane && $(GO) run ./nodeimage/build

workload: ## Build bin/workload, the one program in the pods
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/workload ./workloads/cmd/workload

image: build workload ## Write the container image of bin/workload to bin/workload-image.tar
	$(BIN) image --program bin/workload --out bin/workload-image.tar

test-embedded: embedded ## Run what needs the embedded Kubernetes, as root; leave out tests like SKIP
	cd clusters/embedded/controlplane && CONTROLPLANE_BIN=$(CURDIR)/bin CGO_ENABLED=0 \
	  $(GO) test -vet=off -trimpath -buildvcs=false -tags embedded -timeout 15m -v ./e2e
	$(GO) test -tags embedded -timeout 50m -parallel 3 -p 1 -v -skip '$(SKIP)' \
	  ./clusters/embedded ./clusters/existing ./clusters/rotator ./clusters/suite/...

test-kind: workload ## Run what needs kind, on CLUSTERS at a time; of the scenarios those like CASES
	$(GO) test -tags e2e -count=1 -timeout 90m -p 1 -v ./clusters/kind -parallel $(CLUSTERS) \
	  -clusters $(CLUSTERS) -feature '$(CASES)'
	$(GO) test -tags e2e -count=1 -timeout 30m -p 1 -v ./clusters/existing ./clusters/suite/...

test-postgres: ## Run what needs PostgreSQL (Debian's package postgresql)
	$(GO) test -count=1 -tags postgres ./workloads/password/...

test-python: ## Have Python read the known answers of workloads/sealed (Debian's python3-cryptography)
	$(GO) test -count=1 -tags python -run InPython ./workloads/sealed

truth: embedded ## Hold the simulator against the embedded Kubernetes and write the README's table
	$(GO) test -tags embedded -count=1 -timeout 40m -parallel 2 -run TestDifferential -v ./clusters/embedded -update

truth-kind: workload ## The same against kind
	$(GO) test -tags e2e -count=1 -timeout 90m -run TestDifferential -v ./clusters/kind \
	  -parallel $(CLUSTERS) -clusters $(CLUSTERS) -feature '$(CASES)' -update

figures: embedded ## Print how fast the embedded Kubernetes is, and how much memory it takes
	cd clusters/embedded/controlplane && CONTROLPLANE_BIN=$(CURDIR)/bin CGO_ENABLED=0 \
	  $(GO) test -vet=off -trimpath -buildvcs=false -tags embedded -count=1 -run TestFigures -v ./e2e

generate: ## Make the copies and the definition of the rotator's types
	$(GO) run $(CONTROLLER_GEN) object paths=./clusters/rotator/api output:object:dir=clusters/rotator/api
	$(GO) run $(CONTROLLER_GEN) crd paths=./clusters/rotator/api output:crd:dir=clusters/rotator/config/crd

golden: ## Rewrite the golden files
	$(GO) test ./scenarios ./reports/... ./harness/... ./workloads/sealed -update

lint: ## Run the linters; those of shell scripts if shellcheck is installed
	$(TOOL) actionlint
	if command -v shellcheck >/dev/null; then shellcheck .ci/run .ci/nightly .ci/docker-up; fi
	$(TOOL) golangci-lint run ./...
	$(TOOL) golangci-lint run --build-tags embedded ./clusters/...
	$(TOOL) golangci-lint run --build-tags e2e ./clusters/...
	$(TOOL) golangci-lint run --build-tags postgres,python ./workloads/password/... ./workloads/sealed

lint-embedded: embedded ## Run the linters on the embedded Kubernetes, a module of its own
	$(GO) build -modfile=tools.mod -o bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	cd clusters/embedded/controlplane && CGO_ENABLED=0 GOFLAGS='-trimpath -buildvcs=false' \
	  $(CURDIR)/bin/golangci-lint run --timeout 30m ./...

fmt: ## Format
	$(TOOL) golangci-lint fmt ./...

cross: ## Build for linux, darwin and windows
	for os in linux darwin windows; do \
	  CGO_ENABLED=0 GOOS=$$os $(GO) build -o /dev/null . && echo "built for $$os" || exit 1; done

clean: ## Remove what the targets above made
	rm -rf bin runs bench.txt

.PHONY: help scenario scenarios build test race embedded node-image workload image test-embedded test-kind test-postgres test-python truth truth-kind figures lint-embedded fuzz laws bench benchstat generate golden lint fmt cross clean
