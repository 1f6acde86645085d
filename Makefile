# The commands for people; `make` alone lists them. Everything is installed into .venv.
#
#   make demo RUN=runs/second ARGS="--set seed=1"    another run folder, another setting
#   make demo RECIPE=laptop RUN=runs/laptop           another recipe: pictures alone, in half the time
#   make install TORCH=torch==2.11.0                  another torch (pip's own variables work too)

PYTHON ?= python3
TORCH ?= torch>=2.11,<2.14
RECIPE ?= onellm-laptop
RUN ?= runs/demo
ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed
# Tests compute in one thread each; a file's tests stay together, as they share what they set up.
PARALLEL := -n 2 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint format clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s%s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## create .venv and install Polysense into it
	@:

# Made anew when the dependencies change; otherwise nothing is done.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Polysense needs Python 3.11 or newer: make install PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@echo "Installing Polysense and its libraries into .venv (once, some minutes) ..."
	@$(BIN)/python -m pip install -qq "$(TORCH)" -e ".[laptop,dev]"
	@touch $@

demo: install ## teach SmolLM2 eight senses, on this machine, and show what it says
	@$(BIN)/polysense train $(RECIPE) --run $(RUN) $(ARGS)

test: install ## run the tests, without the minutes-long ones
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: install ## run every test
	@$(BIN)/python -m pytest $(PARALLEL)

lint: install ## check style, formatting and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || \
		{ echo "Not formatted; run: make format" >&2; $(BIN)/ruff format --check .; exit 1; }
	@$(BIN)/pyright

format: install ## format the code and mend what ruff can
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

clean: ## remove caches and .venv; data/ and runs/ stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis dist
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
