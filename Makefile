# Two commands matter: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
export UV_LINK_MODE ?= hardlink

.DEFAULT_GOAL := help

help: ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup ## set up, then the whole pipeline on real speech (base environment, offline)
	@$(BIN)/kedro run

test: setup ## every test, slow and end-to-end ones too
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not idle"

drills: setup ## the fault drills that need an otherwise idle machine
	@$(BIN)/pytest -m idle

test-fast: setup ## unit tests only
	@$(BIN)/pytest -n 2 -m "not slow and not end_to_end and not faults and not idle"

lint: setup ## ruff, type checks, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## format and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

doctor: setup ## what this machine can do, and what is in the way
	@$(BIN)/kedro doctor

dashboard: setup ## the live page at http://127.0.0.1:8787
	@$(BIN)/kedro dashboard

serve: setup ## the Flight server of the base environment
	@$(BIN)/kedro serve

viz: setup ## the pipeline in the browser
	@$(BIN)/kedro viz run

mlflow: setup ## runs, parameters and metrics at http://127.0.0.1:5000
	@$(BIN)/kedro mlflow

docs: setup ## the picture of the pipeline in docs/images, and the documentation site in site/
	@$(BIN)/python scripts/draw_pipeline.py
	@$(BIN)/mkdocs build --strict --quiet

notebook: setup ## explore the data in JupyterLab
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev,notebook]'
	@$(BIN)/kedro jupyter lab docs/notebooks/explore.ipynb

clean: ## delete everything the pipeline made; data/01_raw and copies of other boxes' checkpoints stay
	@find data -mindepth 2 -not -path 'data/01_raw/*' -not -path 'data/06_models/backups/*' -not -name .gitkeep -type f -delete
	@find data -mindepth 2 -not -path 'data/01_raw/*' -type d -empty -delete

setup: $(INSTALLED) ## make .venv and install what constraints.txt pins

$(INSTALLED): pyproject.toml constraints.txt package.json
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  sys.exit(0 if (3, 11) <= v < (3, 14) else f"Nymph needs Python 3.11 to 3.13, got {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m nymph.dashboard install
	@touch $@

.PHONY: help run test drills test-fast lint format doctor dashboard serve viz mlflow docs notebook clean setup
