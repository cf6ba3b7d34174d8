# All development tasks of a checkout. Needs only Python 3.11 or newer (with venv) and make.

PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# This version writes the lock files; others may order or mark the lines differently.
UV := uv==0.13.9
UV_COMPILE := build/uv/bin/uv pip compile pyproject.toml - --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet

# With that variable set, each of the many processes started by tests would compile the program again.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test test-busy faults check lint types imports docs docs-check screenshots house bench bench-planning dist lock clean

help: ## show this list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1#\2/p' $(MAKEFILE_LIST) | while IFS='#' read -r name text; do \
		printf '  %-14s %s\n' "$$name" "$$text"; done

venv: $(STAMP) ## create .venv with everything needed to run, test and develop

$(STAMP): pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "wrapd needs Python 3.11 or newer, and '$(PYTHON)' is not: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Use another one: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## run simulator and daemon together; e.g. make demo ARGS="--jobs 30 --exit-when-done"
	@$(BIN)/wrapd demo $(ARGS)

test: $(STAMP) ## run the quick tests (a few minutes)
	@$(PYTEST) -m "not long" -n auto $(PYTEST_ARGS)

test-busy: $(STAMP) ## run them three times in a row, alongside four busy processes
	@$(BIN)/python -m tests.support.busy 4 3 $(MAKE) --no-print-directory test

faults: $(STAMP) ## inject every kind of failure everywhere in the daemon's code, and run all other long fault tests
	@EVERY_FAULT=1 $(PYTEST) -m long -n auto --timeout 3600 tests/faults $(PYTEST_ARGS)

check: lint types imports docs-check ## run everything: linters, types, imports, docs, all tests
	@$(PYTEST) $(PYTEST_ARGS)

lint: $(STAMP) ## check rules and format with ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## check types with mypy --strict
	@$(BIN)/mypy

imports: $(STAMP) ## check the import contract
	@$(BIN)/lint-imports --no-logo

docs: $(STAMP) ## write the generated pages of docs/
	@$(BIN)/python docs/generate.py

docs-check: $(STAMP) ## check that the generated pages of docs/ are up to date
	@$(BIN)/python docs/generate.py --check

screenshots: $(STAMP) ## take the pictures of the pages for README, docs/images/ (needs Chromium)
	@$(BIN)/python -m docs.screenshots

house: $(STAMP) ## measure how the modules of daemon/ depend on each other; ARGS=--wire follows an answer
	@$(BIN)/python docs/house.py $(ARGS)

RIVALS := pydantic==2.14.3

build/rivals:
	$(PIP) install --quiet --target $@ $(RIVALS)

bench: $(STAMP) build/rivals ## run all benchmarks and write docs/performance.md; ARGS="poll lists" runs only these
	@$(BIN)/python bench/_report.py $(ARGS)

bench-planning: $(STAMP) ## measure the planning of single queries, and update the figures of docs/polling.md
	@$(BIN)/python bench/planning.py --write $(ARGS)

dist: $(STAMP) ## build the sdist and the wheel into dist/
	@$(BIN)/python -m build --no-isolation

lock: ## update the lock files after a change of pyproject.toml; ARGS=--upgrade upgrades all packages
	@test -x build/uv/bin/uv || $(PYTHON) -m venv build/uv
	@build/uv/bin/python -m pip --disable-pip-version-check install --quiet $(UV)
	@echo "hatchling>=1.27" | $(UV_COMPILE) $(ARGS) --output-file requirements.lock
	@echo "hatchling>=1.27" | $(UV_COMPILE) $(ARGS) --extra dev --output-file requirements-dev.lock

clean: ## remove .venv and everything built or cached
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
