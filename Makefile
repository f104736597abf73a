# Every target sets up what it needs in .venv; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
DEMO ?= demo
JOBS ?= 0
BIN := .venv/bin

.PHONY: help demo test test-slow lint bench bench-cost bench-crops bench-presets ablate table1 clean
.DEFAULT_GOAL := help

help:  ## show this help
	@echo "MoCrop: labelled videos in, motion-cropped frame shards and a trained model out"
	@echo
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-13s %s\n", $$1, $$2}'

.venv/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Python 3.11 or newer is needed, this is %d.%d; try make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.train: .venv/.python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train]'
	@touch $@

.venv/.dev: .venv/.train
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train,dev]'
	@touch $@

demo: .venv/.train  ## make a small data set, crop it, train on it, compare, and show the preview (about 9 minutes)
	@BIN=$(BIN) DEMO=$(DEMO) JOBS=$(JOBS) sh tests/demo.sh

test: .venv/.dev  ## run the tests (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest

.venv/.slow: .venv/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train,dev,fuzz,dask,ray,spark]'
	@touch $@

test-slow: .venv/.slow  ## run the long tests as well
	$(BIN)/python -m pytest -m 'slow or not slow'

lint: .venv/.dev  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.dev  ## measure speed against bare codec loops; writes demo/bench.json
	$(BIN)/python -m tests.benchmarks.bench --out $(DEMO)/bench.json

bench-cost: .venv/.dev  ## measure the price of a prediction, from the video to the scores; writes demo/bench-cost.md
	$(BIN)/python -m tests.benchmarks.bench_cost --out $(DEMO)/bench-cost.md

bench-crops: .venv/.dev  ## measure what crops keep and what they are worth; writes demo/bench-crops.json
	$(BIN)/python -m tests.benchmarks.bench_crops --demo $(DEMO) --work $(DEMO)/bench-crops --jobs $(JOBS) \
		--json $(DEMO)/bench-crops.json

bench-presets: .venv/.dev  ## measure x264 settings: their speed, and what vectors and pictures are worth
	$(BIN)/python -m tests.benchmarks.bench_presets --demo $(DEMO) --work $(DEMO)/bench-presets --jobs $(JOBS) \
		--json $(DEMO)/bench-presets.json

ablate: .venv/.dev  ## measure what each part of the methods is worth and costs; writes demo/ablate.json
	$(BIN)/python -m tests.benchmarks.ablate --demo $(DEMO) --work $(DEMO)/bench-crops --jobs $(JOBS) \
		--json $(DEMO)/ablate.json

table1: .venv/.dev  ## train and test backbones on every crop at two sizes; writes demo/table1/table1.md, .csv, .png
	$(BIN)/python -m tests.benchmarks.table1 --demo $(DEMO) --work $(DEMO)/table1 --jobs $(JOBS)

clean:  ## remove the environment, caches and the demo
	rm -rf .venv $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
