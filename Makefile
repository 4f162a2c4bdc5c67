# `make help` lists what there is.  `make PYTHON=python3.13 test` takes another
# interpreter, with a virtual environment of its own (.venv-3.13).

PYTHON ?= python3
CC     ?= gcc

version = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
TAG    := $(call version,$(PYTHON))
VENV   ?= $(if $(filter $(TAG),$(call version,python3 2>/dev/null)),.venv,.venv-$(TAG))
PY     := $(VENV)/bin/python
SOURCES := $(shell find src -name '*.[ch]' | sort)

.DEFAULT_GOAL := build
.PHONY: help demo build debug test test-sys test-sys-only test-py \
        test-cpython asan leaks lint fmt bench surface clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: build  ## the same program on asyncio and on ouro, side by side
	@$(PY) tools/demo.py

build: $(VENV)/ready  ## build the extension in place
	@$(PY) tools/build.py

debug: $(VENV)/ready  ## build it without optimization, with asserts
	@$(PY) tools/build.py --debug

test: build  ## all tests; the last line is 'N passed, N failed'
	@CC=$(CC) $(PY) tests/run.py

test-sys: test-sys-only  ## the engine's tests in C, plain and sanitized

test-sys-only:
	@CC=$(CC) tests/sys/run build/sys

test-py: build  ## the tests under tests/ alone
	@$(PY) tests/run.py py

test-cpython: build  ## CPython's own tests of asyncio
	@$(PY) tests/run.py cpython vloop

asan: $(VENV)/ready  ## the tests under AddressSanitizer and UBSan
	@$(PY) tools/asan.py

leaks: build  ## reference and memory growth, each public operation
	@$(PY) tests/leaks/run.py

lint: build  ## formatting, warnings, static analysis and the house rules
	clang-format --dry-run -Werror $(SOURCES)
	@CC=$(CC) $(PY) tools/analyze.py
	$(PY) -m ruff check .
	$(PY) -m pytest -q tests/lint

fmt:  ## format the C sources
	clang-format -i $(SOURCES)

bench: build  ## measure against asyncio and uvloop; writes the plots
	$(PY) -m pip install -q -e '.[bench]' --no-build-isolation
	@$(PY) bench/run.py

surface: build  ## bring docs/surface.md up to date
	@$(PY) tools/surface.py

clean:  ## remove what was built
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	rm -f ouro/_ouro*.so
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

$(VENV)/ready: pyproject.toml tools/prepare
	@tools/prepare $(PYTHON) $(VENV)
	@touch $@
