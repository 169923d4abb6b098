# Two commands do all the set-up: `make train` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
SPHINX := $(VENV)/.installed-docs
AUDIT  := $(VENV)/.installed-audit

.DEFAULT_GOAL := help
.PHONY: help setup train test soak lint format typecheck bench docs audit clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv and install segkit with its tools

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

train: $(STAMP) ## train on the built-in street scenes and say where the results are
	$(BIN)/python -m segkit.train experiment=quick

test: $(STAMP) ## run the tests (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

soak: $(STAMP) ## the long proofs: kills, power cuts, fuzzing (under 60 minutes on 2 cores)
	$(BIN)/python -m pytest -m soak -n 2 --dist loadfile -rP tests

lint: $(STAMP) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(STAMP) ## check types
	$(BIN)/mypy

format: $(STAMP) ## mend what lint can mend by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## measure the ratios that the documentation quotes
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

docs: $(SPHINX) ## build the documentation as a site: build/docs/index.html
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs

$(SPHINX): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

audit: $(AUDIT) ## look up known weaknesses of what is installed in .venv (asks pypi.org)
	$(BIN)/python -m pip list --format=freeze --exclude-editable | sed 's/+.*//' > $(AUDIT).txt
	@$(BIN)/python -m pip_audit --strict --disable-pip --no-deps --progress-spinner off -r $(AUDIT).txt \
	  > $(AUDIT).log 2>&1; code=$$?; \
	if grep -qE '^(Name |No known)' $(AUDIT).log; then cat $(AUDIT).log; exit $$code; fi; \
	echo "audit: no answer about every package, so nothing is known ($$(tail -n 1 $(AUDIT).log)); try again where pypi.org can be reached" >&2; exit 1

$(AUDIT): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7'
	touch $@

clean: ## remove everything that can be made again, except runs
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
