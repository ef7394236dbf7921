# make run: the app on HOST:PORT. make test: everything that must hold, a browser included. Both install what they need, once.

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
export HOST ?= 127.0.0.1
export PORT ?= 7860
BIN = $(VENV)/bin

.PHONY: run test lint types unit browser format recordings clean

run: $(VENV)/.installed
	$(BIN)/python app.py

test: lint types unit browser

# Installed again only when the pins change.
$(VENV)/.installed: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later with its venv module is needed, and none was found. Name one: make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

unit: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n 2 --ignore=tests/browser

browser: $(VENV)/.installed-dev
	CHROMIUM="$$($(BIN)/python tests/browser/chromium.py)" && export CHROMIUM && \
		$(BIN)/python -m pytest -q tests/browser -m timing && \
		$(BIN)/python -m pytest -q tests/browser -m "not timing" -n 2 --dist loadfile

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

recordings: $(VENV)/.installed
	$(BIN)/python -m playground.recordings

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
