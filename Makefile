# The commands for people; `make` alone lists them. Everything is installed into .venv.
#
#   make demo RUN=runs/second ARGS="--set seed=1"    another run folder, another setting
#   make demo RECIPE=laptop RUN=runs/laptop           another recipe: images alone, in half the time
#   make install TORCH=torch==2.11.0                  another torch (pip's own variables work too)
#   make lock                                         newer versions of everything but torch
#
# constraints.txt has the exact versions that are installed, but torch's: which build of torch is
# right depends on the machine. LOCKED_TORCH is the version the tests were last run with.

PYTHON ?= python3
LOCKED_TORCH := torch==2.13.0
RECIPE ?= onellm-laptop
RUN ?= runs/demo
ARGS ?=

BIN := .venv/bin
# Holds TORCH where it was given, so that a later `make test` keeps it.
INSTALLED := .venv/.installed
INSTALLED_TORCH := $(or $(shell cat $(INSTALLED) 2>/dev/null),$(LOCKED_TORCH))
TORCH ?= $(INSTALLED_TORCH)
NEWEST := .venv-newest
WHOLE := .[laptop,dev]
# Tests compute in one thread each; a file's tests stay together, as they share what they set up.
PARALLEL := -n 2 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install lock demo test test-all test-newest lint format clean other-torch

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s%s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## create .venv and install Polysense into it
	@:

# Made anew when the dependencies change, or another TORCH is given; otherwise nothing is done.
$(INSTALLED): pyproject.toml constraints.txt $(if $(filter $(INSTALLED_TORCH),$(TORCH)),,other-torch)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Polysense needs Python 3.11 or newer: make install PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@echo "Installing Polysense and its libraries into .venv (once, some minutes) ..."
	@$(BIN)/python -m pip install -qq -c constraints.txt "$(TORCH)" -e "$(WHOLE)"
	@echo "$(filter-out $(LOCKED_TORCH),$(TORCH))" > $@

other-torch:

# Resolved with the oldest Python that pyproject allows, so that every newer one can install it.
lock: ## write the newest versions that pyproject allows into constraints.txt
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
		$(PYTHON) -m venv "$$scratch/venv" && \
		"$$scratch/venv/bin/python" -m pip install -qq "$(TORCH)" "$(WHOLE)" && \
		"$$scratch/venv/bin/python" -m pip freeze --exclude polysense > "$$scratch/versions" && \
		{ echo "# Made by \`make lock\`: the exact versions that \`make install\` takes."; \
		  grep -Ev '^(torch|triton|nvidia-|cuda-)' "$$scratch/versions"; } > constraints.txt

demo: install ## train SmolLM2 on eight modalities, on this machine, and show what it says
	@$(BIN)/polysense demo $(RECIPE) --run $(RUN) $(ARGS)

test: install ## run the quick tests
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: install ## run every test
	@$(BIN)/python -m pytest $(PARALLEL)

test-newest: ## run the tests with the newest of everything but torch, in .venv-newest
	@$(PYTHON) -m venv --clear $(NEWEST)
	@$(NEWEST)/bin/python -m pip install -qq "$(TORCH)" -e "$(WHOLE)"
	@$(NEWEST)/bin/python -m pytest $(PARALLEL) -m "not slow"

lint: install ## check style, formatting and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || \
		{ echo "Not formatted; run: make format" >&2; $(BIN)/ruff format --check .; exit 1; }
	@$(BIN)/pyright

format: install ## format the code and mend what ruff can
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

clean: ## remove .venv and what tools keep here; runs/ and the fetched data stay
	rm -rf .venv $(NEWEST) .pytest_cache .ruff_cache .hypothesis dist
	find src tests perf -name __pycache__ -type d -prune -exec rm -rf {} +
