# Every target creates .venv from the lock first. `make help` explains them.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: demo test up lint types format bench bench-pii chaos soak connectors-check clean help lock setup

$(READY): requirements/lock.txt requirements/bootstrap.txt setup.cfg pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Atlas needs Python 3.11: install it, or say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements/lock.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(READY) ## create .venv from the lock file

demo: $(READY) ## sync a real source through every stage on this machine, and print what came of it
	@$(BIN)/atlas demo

# Hundreds of processes start in a run. On virtual machines that give freed memory back to their
# host a page's first touch costs many times the usual; pages of 2 MB are touched once.
test: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
test: export PYTHONMALLOC ?= malloc
test: $(READY) ## run the whole test suite, in three processes
	@$(BIN)/python -m pytest $(or $(ARGS),--numprocesses 3 --dist loadfile --no-loadscope-reorder)

up: $(READY) ## run the whole stack in the foreground; Ctrl-C stops it
	@$(BIN)/atlas up

lint: $(READY) ## check style (ruff) and that imports only run downwards (import-linter)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(READY) ## check types (mypy, strict)
	@$(BIN)/mypy

format: $(READY) ## rewrite the sources in the one style
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: $(READY) ## measure Atlas against its peers; prints tables of ratios
	@$(BIN)/python -m bench $(ARGS)

bench-pii: $(READY) ## measure the scanner for personal data against Presidio's; ARGS="--half dev --part leak --details"
	@$(BIN)/python -m bench.pii $(ARGS)

chaos: $(READY) ## break running stacks at random moments: TRIALS=50 JOBS=3 SEED=n CELL=fault:stage
	@$(BIN)/python -m tests.chaos --trials $(or $(TRIALS),50) --jobs $(or $(JOBS),3) $(if $(SEED),--seed $(SEED)) $(if $(CELL),--cell $(CELL)) $(ARGS)

soak: $(READY) ## keep a stack at work for long, broken now and then: MINUTES=60 WORKERS=1 SEED=n
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),60) --workers $(or $(WORKERS),1) $(if $(SEED),--seed $(SEED)) $(ARGS)

connectors-check: $(READY) ## install connectors of the catalog and ask them; NAMES="source-x …", ARGS=--again
	@$(BIN)/python -m tools.connectors_check $(NAMES) $(ARGS)

lock: $(READY) ## resolve setup.cfg anew into requirements/lock.txt
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header setup.cfg --extra dev -o requirements/lock.txt

clean: ## remove the environment and all that tools left behind (not the data in .atlas)
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
