# The words of the README. `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test browser notebooks check bench vendor pictures clean

help:            ## list these words
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: $(VENV)/.installed    ## a virtual environment with everything, once

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Flywheel needs Python 3.11 or later; say make PYTHON=python3.x"; exit 1; }
	@echo "Installing into $(VENV) (a minute or two, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,servers,telemetry,report,export,mlflow,wandb,dev]'
	@touch $@

demo: install    ## one turn of the wheel: services, records, two runs, the result on screen
	@$(BIN)/flywheel demo $(ARGS)

test: install browser    ## all tests
	@$(BIN)/python -m pytest $(ARGS)

browser:         ## a Chromium for the tests of pages, where there is none and this user may install one
	@command -v chromium-headless-shell chromium chromium-browser google-chrome >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing chromium for the tests ..." \
	     && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium-headless-shell >/dev/null; } \
	|| echo "no Chromium here: the tests of pages will be skipped"

check: install   ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check src tests benchmarks docs deploy notebooks
	@$(BIN)/ruff format --check src tests benchmarks docs deploy notebooks
	@$(BIN)/mypy
	@$(BIN)/lint-imports

notebooks: install    ## execute every notebook, plots included
	@$(BIN)/python -m pytest tests/notebooks $(ARGS)

bench: install   ## every benchmark, with its table
	@for each in benchmarks/*.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

vendor:          ## bundle anew what the dashboard takes from others (needs Node.js and its registry)
	@cd src/flywheel/dashboard/vendor && npm ci --ignore-scripts && node build.mjs

pictures: install    ## the pictures of the documentation, taken of pages with made-up runs
	@PYTHONPATH=tests $(BIN)/python -m dashboard.pictures docs/pictures

clean:           ## remove what the demo and the tests left; the environment stays
	rm -rf .demo .flywheel build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
