# One command list for people and for CI. Every target sets up what it needs; `make` alone prints this list.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := requirements/lock.txt
# Tests of one file stay together: they share their servers.
PYTEST_JOBS ?= -n logical --maxprocesses 4 --dist loadfile

.PHONY: help setup demo dev test lint bench torture lock clean

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is older than the lock only when something has to be installed again.
$(STAMP): $(LOCK) pyproject.toml requirements/install.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" LOCK="$(LOCK)" bash requirements/install.sh
	@touch $(STAMP)

setup: $(STAMP) ## virtual environment with the pinned dependencies (uv when present, pip otherwise)

demo: $(STAMP) ## the main job on embedded defaults: sample warehouse -> masked -> store -> Redis -> reader
	@$(BIN)/python -m reverse_etl.embedded.demo

dev: $(STAMP) ## the Dagster UI with its local Redis; Ctrl-C stops both
	@$(BIN)/python -m reverse_etl.embedded.dev $(DEV_ARGS)

test: $(STAMP) ## every test, then lint and types
	@$(BIN)/python -m pytest $(PYTEST_JOBS) $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory lint

lint: $(STAMP) ## ruff, formatting, strict types, Dagster's own checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@# One sync at a time: dg 1.13.27 checks only the last of several documents of one component type.
	@for sync in reverse_etl/defs/*/; do VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/dg check yaml $$sync >/dev/null || \
	  { VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/dg check yaml $$sync; exit 1; }; done
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/dg check toml >/dev/null && echo "dg check: passed"

bench: $(STAMP) ## speed and peak memory of each step, beside named alternatives
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

torture: $(STAMP) ## writers killed, Redis taken away, loads spoilt: readers check every answer (minutes)
	@$(BIN)/python -m reverse_etl_tests.torture $(TORTURE_ARGS)

lock: $(STAMP) ## resolve pyproject.toml again into requirements/lock.txt
	@PYTHON="$(PYTHON)" bash requirements/resolve.sh "$(LOCK)"

clean: ## remove what was made here (environment, local data, caches)
	rm -rf $(VENV) .local .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
