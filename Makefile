# `make run` and `make test` need Debian with Python >= 3.11 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

CONSOLE := src/thap/web/console/dist/index.html
CONSOLE_SOURCES := $(shell find console -path console/node_modules -prune -o -path console/build -prune -o -type f -not -name schema.d.ts -print)

WEIGHTS := src/thap/detect/vision/weights/efficientdet-lite0.tflite

.PHONY: setup console models run test lint bench lock screenshots clean

setup: $(STAMP) $(CONSOLE) $(WEIGHTS)

console: $(CONSOLE)

$(CONSOLE): $(STAMP) $(CONSOLE_SOURCES)
	$(BIN)/python console/build.py

models: $(WEIGHTS)

# Weights of the detectors that read pictures, by npm with the lock's hashes; after this no network is asked for them.
$(WEIGHTS): $(STAMP) models/package-lock.json models/build.py
	$(BIN)/python models/build.py

$(STAMP): requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tháp needs Python 3.11 or newer (set PYTHON=...)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python venv is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q src
	@touch $(STAMP)

run: setup
	$(BIN)/thap up --demo

# In two processes; one that hangs is ended (see pyproject.toml), twice at most.
TWO := -n 2 --dist loadfile --max-worker-restart 2

test: setup lint
	@sh tests/e2e/need-chromium.sh
	$(BIN)/python console/build.py test
	$(BIN)/pytest $(TWO) --ignore tests/e2e/console
	$(BIN)/pytest $(TWO) tests/e2e/console

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python console/build.py types
	$(BIN)/python console/build.py check

# Of a demo province that it starts itself; with a centre that runs: docs/make_screenshots.py --data DIR.
screenshots: setup
	$(BIN)/python docs/make_screenshots.py

bench: setup
	$(BIN)/python -m bench all

# Locks are hashed and universal; they name no registry.
lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist console/node_modules console/build models/node_modules src/thap/web/console/dist src/thap/detect/vision/weights .mypy_cache .ruff_cache .pytest_cache
