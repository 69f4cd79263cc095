# make demo   the environment, the default experiment, and where its report is
# make test   the environment and every test that this machine can run
#
# PYTHON       the interpreter that makes the environment (3.11)
# EXTRA_INDEX  one more package index for pip, for example the one with PyTorch's CPU builds, which saves a
#              machine without a GPU several gigabytes of CUDA packages
# CORES        processors for the demo

PYTHON ?= python3.11
CORES ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
PIP := $(BIN)/python -m pip --disable-pip-version-check

ifdef EXTRA_INDEX
export PIP_EXTRA_INDEX_URL := $(strip $(PIP_EXTRA_INDEX_URL) $(EXTRA_INDEX))
endif

.PHONY: env demo test lint lock clean-env

env: $(STAMP)

$(STAMP): envs/cpu.lock pyproject.toml
	@echo "[environment] $(VENV) from envs/cpu.lock: a few minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --requirement envs/cpu.lock
	$(PIP) install --quiet --no-deps --editable .
	$(BIN)/python -m pip check
	@touch $@

demo: $(STAMP)
	$(BIN)/snakemake --cores $(CORES)
	@$(BIN)/python -m bupo.experiment where demo

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

# After a change of envs/cpu.in: resolve it anew in an empty environment and write down what came out.
lock:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --requirement envs/cpu.in
	(echo "# Everything in the environment without a GPU. Made by: make lock"; \
	 $(PIP) freeze --exclude-editable | sed 's/+cpu$$//') > envs/cpu.lock
	$(MAKE) env

clean-env:
	rm -rf $(VENV)
