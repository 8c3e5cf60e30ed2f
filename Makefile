# Python 3.11+, pip and make are all that `make demo` and `make test` need: each does its own set-up.
# PYTHON=/path/to/python picks the interpreter; otherwise the first python3 that is new enough.

BIN := .venv/bin
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
UV := uv==0.13.9
COMPILE = .venv/lock/bin/uv pip compile pyproject.toml - --quiet --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-emit-index-url --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-system faults coverage check format lock clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup:  ## create or update .venv from the hashed lock (the others call this)
	@.ci/setup

demo: setup  ## everything in one: make demo ARGS="--seconds 60"
# In the foreground of a terminal Ctrl-C shall reach the demo and not make, which would call it an
# error: `set -m` gives the demo a process group of its own.
	@read -r _ _ _ _ group _ _ front _ 2>/dev/null </proc/$$$$/stat && [ "$$group" = "$$front" ] && set -m; \
	$(BIN)/candlecast demo $(ARGS)

test: setup  ## tests that need nothing but Python, but for long ones: make test ARGS="-k candle"
	@$(BIN)/pytest --numprocesses 4 --dist worksteal $(ARGS)

test-system: setup  ## tests with Debian's Redis, Chromium and Prometheus, which it installs
	@missing=; for one in redis-server chromium prometheus; do command -v $$one >/dev/null || missing="$$missing $$one"; done; \
	test -z "$$missing" || { $(AS_ROOT) apt-get update -q && $(AS_ROOT) apt-get install -qy --no-install-recommends $$missing; }
	@$(BIN)/pytest -m system $(ARGS)

faults: setup  ## the long tests; faults at length, then a table: make faults ARGS="-k redis"
	@FAULTS=long $(BIN)/pytest -m at_length $(ARGS)

coverage: setup  ## which lines `make test` runs, in all processes: make coverage ARGS=tests/unit
	@$(BIN)/coverage erase && $(BIN)/coverage run -m pytest --numprocesses 4 --dist worksteal --timeout 240 $(ARGS); \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report

check: setup  ## lint, format, types, import rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup  ## let ruff mend what it can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: setup  ## pin again after a change in pyproject.toml; make lock ARGS=--upgrade for new versions
	@test -x .venv/lock/bin/uv || { $(BIN)/python -m venv .venv/lock && .venv/lock/bin/pip install -q $(UV); }
# setuptools is there to install this project itself without a network.
	echo 'setuptools>=80' | $(COMPILE) --extra all --extra dev --extra peers $(ARGS) -o requirements.txt
	echo 'setuptools>=80' | $(COMPILE) -c requirements.txt -o requirements-core.txt

clean:  ## remove the virtual environment, builds and caches (never .candlecast, the demo's data)
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
