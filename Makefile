# Needs Python 3.11 or newer and make. An environment elsewhere: make test VENV=/path/to/venv
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
PINS := pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test

help:
	@echo "make demo   install into $(VENV) and run the quickstart study"
	@echo "make test   install with the test tools and run scripts/check; ARGS goes to pytest"

demo: $(VENV)/.installed
	$(BIN)/edgewright run quickstart

test: $(VENV)/.installed-test
	PYTHON_BIN=$(BIN)/python scripts/check $(ARGS)

# A stamp is newer than the pins it was made from, or everything is installed again.
$(VENV)/.installed: $(PINS) | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-test: $(PINS) | $(BIN)/python
	$(INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1)" >&2; \
	  echo "  fix: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@# A half-made environment must not pass for one.
	$(PYTHON) -m venv $(VENV) || { rm -f $@; exit 1; }
