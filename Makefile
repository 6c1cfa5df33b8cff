# The words of the README. `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench clean

help:            ## list these words
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: $(VENV)/.installed    ## a virtual environment with everything, once

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Flywheel needs Python 3.11 or later; say make PYTHON=python3.x"; exit 1; }
	@echo "Installing into $(VENV) (a minute or two, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,servers,telemetry,report,dev]'
	@touch $@

demo: install    ## one turn of the wheel: services, records, two runs, the result on screen
	@$(BIN)/flywheel demo $(ARGS)

test: install    ## all tests
	@$(BIN)/python -m pytest $(ARGS)

check: install   ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check src tests benchmarks docs deploy
	@$(BIN)/ruff format --check src tests benchmarks docs deploy
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: install   ## every benchmark, with its table
	@for each in benchmarks/*.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

clean:           ## remove what the demo and the tests left; the environment stays
	rm -rf .demo .flywheel build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
