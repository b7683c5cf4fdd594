# `make help` lists the targets. PYTHON=/path/to/python chooses the interpreter for .venv; ARGS="..." is handed to the demo.
.DEFAULT_GOAL := help
.PHONY: help venv venv-dev demo test suite lint format results-table tutorials docs clean

export PYTHON
PY := .venv/bin/python
MIN_COVERAGE := 90
# Of the suite; each takes up to 3 GB with the processes that it starts.
TEST_PROCESSES := $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 8 ? n : 8)))

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 24

venv: ## make .venv: the pinned classification stack, no compiler needed
	@tools/dev/make_venv.sh glt

venv-dev: ## make .venv with the packages of tests, lint, docs and detection as well
	@tools/dev/make_venv.sh dev det docs

demo: venv ## train cross-entropy and LPA on a small long-tailed set on the CPU and compare them
	@$(PY) tools/demo.py $(ARGS)

test: venv-dev ## run lint and the whole suite with coverage beside each other
	@$(MAKE) --no-print-directory --jobs 2 lint suite

# One thread a process: tests start processes of their own, and threads that wait for each other on a busy machine are slow.
suite: venv-dev
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses $(TEST_PROCESSES) --dist worksteal \
		--cov --cov-report=term:skip-covered --cov-fail-under=$(MIN_COVERAGE) --durations=15

lint: venv-dev ## run ruff and mypy, compare the generated tables with their sources
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) tools/dev/readme_tables.py --check

format: venv-dev ## format the code, fix what ruff can fix
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

results-table: venv-dev ## write all tables of methods and runs from configs/*/metafile.yml and results/
	$(PY) tools/dev/readme_tables.py

tutorials: venv-dev ## run docs/tutorials (ARGS=PAGE for one), and write their output and pictures into them
	$(PY) tools/dev/tutorials.py $(ARGS)

docs: venv-dev ## build the documentation in docs/_build/html; a warning is an error
	$(PY) -m sphinx -q -W --keep-going -c docs . docs/_build/html
	@echo "docs/_build/html/index.html"

clean: ## remove .venv and caches; trained models in work_dirs/ stay
	rm -rf .venv build dist docs/_build docs/api *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find lt_plugins tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} +
