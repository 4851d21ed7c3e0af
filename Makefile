# Two commands on a fresh machine: `make demo` and `make test`. Each makes what it needs, in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first interpreter on the PATH that the package supports.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo "$$p"; break; }; done)
# With an NVIDIA driver, TensorFlow's GPU build.
EXTRAS ?= $(if $(shell nvidia-smi -L 2>/dev/null),dev$(comma)gpu,dev)
comma := ,

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?= demo
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help setup demo test lint bench data clean

help: ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "cloudkeras needs Python 3.11, 3.12 or 3.13 on the PATH (or make PYTHON=/path/to/python)." >&2; exit 2; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) and the extras $(EXTRAS) (once; a few minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $(READY)

setup: $(READY) ## The environment in .venv

test: lint ## Set-up, then style, types and all tests (TensorFlow, then the core again on JAX)
	$(BIN)/python -m pytest
	KERAS_BACKEND=jax XLA_FLAGS=--xla_backend_optimization_level=0 $(BIN)/python -m pytest tests/layers tests/losses tests/metrics tests/tasks

lint: $(READY) ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: $(READY) ## Set-up, then cloud phase and blind zone from data to a scored, exported model
	$(BIN)/python tuning/demo.py --out $(DEMO)

data: $(READY) ## The sample in data/ again
	$(BIN)/cloudkeras simulate --task cloud_phase --out data/cloud_phase --samples 32 --size 64 --seed 7
	$(BIN)/cloudkeras simulate --task blind_zone --out data/blind_zone --samples 32 --size 64 --seed 7

clean: ## Removes the environment and the demo's results
	rm -rf $(VENV) $(DEMO)
