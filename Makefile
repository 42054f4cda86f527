# The commands of the README. `make demo` and `make test` work from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench calibrate serve torture clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Backbench needs Python 3.11 or newer; $(PYTHON) is older. Try make PYTHON=python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (PyTorch is large; this takes some minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(INSTALLED) ## make .venv and install everything into it

demo: $(INSTALLED) ## the whole chain on real digits, to a leaderboard and a champion
	@$(BIN)/backbench demo

test: $(INSTALLED) ## every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(INSTALLED) ## format, lint, types, architecture, docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/docs

format: $(INSTALLED) ## format and mend what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## every benchmark at full size; writes benchmarks/results.md
	@$(BIN)/python benchmarks/run.py

calibrate: $(INSTALLED) ## simulate boards of known truth; writes benchmarks/calibration.json
	@$(BIN)/python benchmarks/calibrate.py

serve: $(INSTALLED) ## PostgreSQL, object store and MLflow on this machine, without Docker
	@$(BIN)/backbench service up

torture: $(INSTALLED) ## 200 kills at random moments; nothing may be lost
	@$(BIN)/python benchmarks/torture.py

clean: ## remove .venv and caches; runs and features stay
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
