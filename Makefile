# make help lists what there is.  make PYTHON=python3.13 ... takes another
# interpreter, with a virtual environment of its own.

PYTHON ?= python3

TAG  := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
DEFAULT := $(shell python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifeq ($(TAG),$(DEFAULT))
VENV ?= .venv
else
VENV ?= .venv-$(TAG)
endif
PY := $(VENV)/bin/python

.PHONY: help
help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: $(VENV)/ready  ## build the extension for this Python
	$(PY) setup.py -q build_ext --inplace

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check 'setuptools>=68' -e '.[test,demo]' --no-build-isolation
	touch $@
