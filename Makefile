# Two commands: `make run` starts the dashboard, `make test` runs every test. Both set up what is missing.

PYTHON ?= python3.11
VENV   := .venv
PY     := $(VENV)/bin/python
CLI    := $(VENV)/bin/img2tab
STAMP  := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: run test ready bench pictures lint clean

run: $(STAMP)
	$(CLI) serve --ready

test: ready
	$(PY) -m pytest $(ARGS)

# The environment, the weights, the default table. Both checks are cheap when nothing changed, so they run
# every time: a damaged model file or a table of an older population is noticed and made anew.
ready: $(STAMP)
	@$(CLI) weights fetch
	@$(CLI) tables build default --if-missing

$(PY):
	@command -v $(PYTHON) >/dev/null 2>&1 && $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' \
		|| { echo "Img2Tab Studio needs Python 3.11, and '$(PYTHON)' is not it. Install python3.11 (with its venv module)," \
		          "or name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "The virtual environment could not be created. On Debian: apt-get install python3.11-venv"; exit 1; }

# the stamp is written last: an interrupted installation is taken up again
$(STAMP): requirements.txt pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -r requirements.txt
	@touch $@

# timings beside the plain way, in bench-output; DOCS=1 puts the table into docs/measured.md as well
bench: ready
	@mkdir -p bench-output
	env $$($(PY) -c 'from img2tab_core.cli.main import MALLOC; print(*(f"{k}={v}" for k, v in MALLOC.items()))') \
		$(PY) -m pytest tests/benchmarks -q -o python_files='bench_*.py' -o python_functions='bench_*' \
		--benchmark-json=bench-output/raw.json --benchmark-disable-gc $(ARGS)
	$(PY) -m tests.benchmarks.table $(if $(DOCS),--docs)

# the screenshots of README and docs, taken from the running app
pictures: ready
	@$(CLI) tables build worked-example --if-missing
	$(PY) -m tests.pictures

lint: $(STAMP)
	$(PY) -m ruff check img2tab_core dashboard tests

# a visitor's data (.img2tab) and the fetched weights stay
clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache bench-output test-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
