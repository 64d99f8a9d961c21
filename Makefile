# BACKEND is tensorflow, jax or torch. If unset, `demo` uses TensorFlow and the tests
# use all three.
#   make demo BACKEND=torch
#   make test BACKEND=jax PYTEST_ARGS="-m slow -k gpt"

BACKENDS := tensorflow jax torch
ifneq ($(filter-out $(BACKENDS),$(BACKEND)),)
$(error BACKEND is one of $(BACKENDS), not "$(BACKEND)")
endif
DEMO_BACKEND := $(or $(firstword $(BACKEND)),tensorflow)
TEST_BACKENDS := $(or $(BACKEND),$(BACKENDS))

VENV ?= .venv
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

# The first Python on this machine that runs and is 3.11 or newer.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
PYTHON_GPU ?= python3

# A stamp file in the environment for each extra installed in it.
stamps = $(1:%=$(VENV)/.installed-%)

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-gpu lint bench docs linkcheck clean

help:  ## print this (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "demo, test and test-gpu take BACKEND=tensorflow, jax or torch; without it,"
	@echo "demo runs on tensorflow, test on all three at once, test-gpu on one by one."
	@echo "test and test-gpu take PYTEST_ARGS, bench takes BENCH_ARGS."

ZOO = KERAS_BACKEND=$(DEMO_BACKEND) $(BIN)/zoo

demo: $(call stamps,$(DEMO_BACKEND))  ## use pretrained models, then train a small GPT; takes minutes
	$(ZOO) list
	$(ZOO) generate gpt.shakespeare_char "ROMEO:" --seed 1
	$(ZOO) fill-mask bert_tiny.docs "A [MASK] is a sequence of bytes." --top 3
	$(ZOO) sample vqvae.mnist --count 40 --out runs/demo/digits.png
	$(ZOO) translate cyclegan.digits pretrained/cyclegan.digits/three.png \
		runs/demo/outline.png
	KERAS_BACKEND=$(DEMO_BACKEND) $(BIN)/python -m recipes.gpt_text \
		--variant demo --dataset docs --out runs/demo

# XLA keeps compiled code mapped until its process ends, and Linux allows a process
# 65,530 maps: the whole suite in one process would end in a segmentation fault. So each
# backend's tests run in three consecutive processes, unless PYTEST_ARGS selects some.
MODELS := tests/models tests/planning tests/presets
TRAINING := tests/recipes tests/training $(wildcard tests/test_*.py)
OTHERS := $(filter-out $(MODELS) $(TRAINING) tests/__pycache__, \
	$(patsubst %/,%,$(wildcard tests/*/)))
PARTS := $(if $(PYTEST_ARGS),"","$(OTHERS)" "$(MODELS)" "$(TRAINING)")

# Tests of what no backend changes run once, on the backend that ends first: torch.
HOST_BACKEND = $(lastword $(TEST_BACKENDS))

# $(call pytest,PYTHON,ARGS,END): one process per backend and part; runs them all, then
# fails if any failed. Backends run at the same time if END is &, one after another if
# it is ;
define pytest
	@passed=$$(mktemp -d); for backend in $(TEST_BACKENDS); do \
		host=no; [ $$backend = $(HOST_BACKEND) ] && host=yes; \
		{ good=yes; for part in $(PARTS); do \
			ZOO_HOST_TESTS=$$host KERAS_BACKEND=$$backend \
				$(1) -m pytest $(2) $(PYTEST_ARGS) $$part 2>&1 || good=no; \
		done; [ $$good = no ] || touch $$passed/$$backend; } \
			| sed -u "s/^/$$backend | /" $(3) \
	done; wait; failed=; for backend in $(TEST_BACKENDS); do \
		[ -e $$passed/$$backend ] || failed="$$failed $$backend"; \
	done; rm -r $$passed; \
	if [ -n "$$failed" ]; then echo "tests failed on:$$failed"; exit 1; fi
endef

# XLA's compiler takes most of the tests' time: skip its optimisations, and cache what
# JAX compiles. One thread per backend, so that none spins on a core that another needs.
QUICK := XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true" \
	JAX_COMPILATION_CACHE_DIR=$(abspath $(VENV))/.jax_cache \
	JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 OMP_NUM_THREADS=1

test: $(call stamps,$(TEST_BACKENDS) dev)  ## run the tests, one process per backend
	$(call pytest,$(QUICK) $(BIN)/python,,&)

test-gpu: PARTS := ""
test-gpu:  ## run the GPU checks in an existing Python environment (PYTHON_GPU=python3)
	$(call pytest,$(PYTHON_GPU),-m gpu,;)

lint: $(call stamps,dev)  ## check style, types and the import contract
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache

bench: $(call stamps,$(BACKENDS) dev)  ## compare speed with hand-written loops and peers
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

# Warnings are errors; links within the site, and their anchors, are checked. Nothing is
# fetched. Lectures run on DOCS_BACKEND; what they gave is kept in docs/_build/notebooks.
DOCS_BACKEND := $(or $(firstword $(BACKEND)),torch)
LINKS := docs/_build/linkcheck/output.json
SPHINX = KERAS_BACKEND=$(DOCS_BACKEND) $(BIN)/python -m sphinx -W --keep-going

docs: $(call stamps,$(DOCS_BACKEND) docs)  ## build the documentation: docs/_build/html/index.html
	$(SPHINX) -b html docs docs/_build/html

linkcheck: $(call stamps,$(DOCS_BACKEND) docs)  ## check links to other sites; needs the network
	@rm -f $(LINKS)
	$(BIN)/python -m sphinx -q -D nb_execution_mode=off -b linkcheck docs \
		$(dir $(LINKS)) || true
	@$(BIN)/python docs/link_report.py $(LINKS)

clean:  ## remove the environment and all caches; runs/ stays
	rm -rf $(VENV) build dist docs/_build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c '$(NEW_ENOUGH)'; then \
		found=$$($(or $(PYTHON),python3) --version 2>&1); \
		echo "zoo needs Python 3.11 or newer; found: $$found"; \
		echo "If you have one elsewhere: make PYTHON=/path/to/python3.11 ..."; \
		exit 1; \
	fi
	@echo "making $(VENV) with $(PYTHON) ..."
	@"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing $(if $(filter $*,$(BACKENDS)),the $* backend,the $* tools) ..."
	@$(PIP) -e '.[$*]'
	@touch $@

# PyPI's torch for Linux pulls in gigabytes of CUDA. The CPU build is the version that
# ends in +cpu, from an index configured on this machine or else from PyTorch's own.
ifeq ($(shell uname -s),Linux)
TORCH := torch==$(shell sed -n 's/^torch==//p' constraints.txt)+cpu
TORCH_INDEX := https://download.pytorch.org/whl/cpu

$(VENV)/.installed-torch: $(VENV)/.torch-cpu
$(VENV)/.torch-cpu: constraints.txt | $(BIN)/python
	@echo "installing $(TORCH) ..."
	@$(PIP) --no-deps $(TORCH) 2>/dev/null || \
		$(PIP) --no-deps $(TORCH) --index-url $(TORCH_INDEX)
	@touch $@
endif
