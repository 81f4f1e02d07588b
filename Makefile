# `make compare` and `make test` need Python 3.11+ and nothing else; everything lives in .venv.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= logical
BIN := $(VENV)/bin
# one worker per core, one thread per worker: two pools of threads on the same cores wait for each other
PYTEST := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal
OUT ?= compare
MIRROR ?=
# options of `make bench`: --only ridge, --brian2 PYTHON, --tensortools PYTHON, --sparsify PYTHON
BENCH ?=
# options of `make power`: --sets 10
POWER ?=
REAL := physionet-eegmmidb:S001R03 haxby2001 dag2023:2022-07-26-38 ibl2019 fernandes2023

.PHONY: compare test verify lint docs study power bench wheel clean

compare: $(BIN)/.installed
	$(BIN)/neurointerp compare $(if $(MIRROR),$(REAL) --mirror $(MIRROR)) --out $(OUT)
	@echo "open $(OUT)/report.html"

test: $(BIN)/.dev
	$(PYTEST)

verify: $(BIN)/.dev
	$(PYTEST) -m ""

lint: $(BIN)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(BIN)/.dev
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

study: $(BIN)/.dev
	$(BIN)/python docs/make_study.py $(if $(MIRROR),--mirror $(MIRROR))

power: $(BIN)/.dev
	$(BIN)/python docs/make_power.py $(POWER)

bench: $(BIN)/.dev
	$(BIN)/python benchmarks/run.py $(BENCH)

wheel: $(BIN)/.dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) dist build *.egg-info docs/_build docs/gallery docs/tutorials docs/systems docs/api/generated

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[all]"
	touch $@

$(BIN)/.dev: $(BIN)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt --group test --group lint --group docs
	$(BIN)/python -m pip install -q --no-deps --group wiring
	touch $@
