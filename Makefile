# Every task of the project; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help setup train test lint format typecheck tensorboard benchmark lock audit clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv from requirements.lock, once

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11 …")'
	@echo "Making $(VENV) with the locked packages: about 6 GB and some minutes, this once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

train: $(READY) ## train the default; ARGS="trainer.max_epochs=3" passes overrides
	$(BIN)/python src/train.py $(ARGS)

test: $(READY) ## run the tests; ARGS="-m slow" for the long ones
	$(BIN)/python -m pytest --numprocesses auto $(ARGS)

lint: $(READY) ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(READY) ## check types
	$(BIN)/mypy

tensorboard: $(READY) ## serve logs/ on http://localhost:6006; ARGS="--port 6007" passes options
	$(BIN)/tensorboard --logdir logs $(ARGS)

benchmark: $(READY) ## compare speed with the bare loop and the plain recipe
	$(BIN)/python benchmarks/speed.py $(ARGS)

lock: $(READY) ## resolve pyproject.toml into requirements.lock; ARGS=--upgrade for the newest versions
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--extra dev --output-file requirements.lock $(ARGS) pyproject.toml

audit: $(READY) ## look for security advisories about the locked packages
	$(BIN)/python .ci/audit.py

clean: ## delete .venv and caches; logs/ and data/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .coverage build src/*.egg-info
	find src tests benchmarks -name __pycache__ -type d -exec rm -rf {} +
