# `make` prints the targets. Everything made lies below .rs/ and goes with `make clean`.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help up down setup test lint format lock clean fetched needs

# The first Python that is new enough; `make up PYTHON=...` names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)
VENV := .rs/venv
BIN := $(VENV)/bin

# Stamps carry the digest of what they were made from, not its time: a fresh clone and a switched branch are judged rightly.
digest = $(shell cat $(1) | cksum | cut -d' ' -f1)
MADE := $(VENV)/.python-$(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
LOCKED := $(VENV)/.locked-$(call digest,requirements.txt pyproject.toml)
DEVELOPED := $(VENV)/.developed-$(call digest,requirements-dev.txt)

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: setup ## set up what is missing, start everything, stop with Ctrl-C; options: make up ARGS="--rate 5"
	@$(BIN)/rs up $(ARGS)

down: ## stop the stack that runs in .rs/data from another terminal
	@$(BIN)/rs down $(ARGS)

setup: needs $(LOCKED) fetched ## only set up: environment, jars, browser assets

# Most tests wait for programs, so two at a time take little more than half as long. A file stays together: its tests share brokers.
test: setup $(DEVELOPED) lint ## set up, then ruff, mypy and pytest; options: make test ARGS="-k bridge", one by one with ARGS="-n 0"
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --durations=15 $(ARGS)

lint: $(LOCKED) $(DEVELOPED) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(LOCKED) $(DEVELOPED) ## let ruff lay out the code
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

lock: $(MADE) ## pin the newest allowed packages, with hashes and without the address of an index
	@$(BIN)/python -m pip install --quiet 'pip-tools>=7.4'
	@$(BIN)/python -m piptools compile $(PIN) --output-file requirements.txt pyproject.toml
	@$(BIN)/python -m piptools compile $(PIN) --extra test --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml
PIN := --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --build-deps-for editable \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

clean: ## remove .rs: environment, jars, assets AND the data of the local stack
	rm -rf .rs

needs:
	@$(PYTHON) pipeline/local/needs.py

fetched: $(LOCKED)
	@$(BIN)/python -m pipeline.local.fetch

$(MADE): | needs
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# The build back-end is in the lock, too: nothing unpinned is fetched to install the project itself.
$(LOCKED): $(MADE)
	@$(BIN)/python pipeline/local/packages.py requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(DEVELOPED): $(LOCKED)
	@$(BIN)/python pipeline/local/packages.py requirements-dev.txt
	@touch $@
