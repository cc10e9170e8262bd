# Two commands for a fresh machine; each makes .venv by itself when it is missing.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PIP := $(VENV)/bin/python -m pip install -c constraints.txt

.PHONY: demo test lint docs clean

demo: $(VENV)/.core
	$(VENV)/bin/spikeneuro demo

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.dev
	$(VENV)/bin/python -m sphinx -W --keep-going -b html docs docs/_build/html

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The demo needs the core alone; tests, style checks and documentation need the rest.
$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) docs/_build docs/auto_tutorials .mypy_cache .ruff_cache .pytest_cache
