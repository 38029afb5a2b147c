# Three commands: `make run` starts the dashboard, `make test` runs the tests, `make check` is done in two minutes.
# Each sets up what is missing.

PYTHON ?=  # the first 3.11, 3.12 or 3.13 that works, see .ci/python; or name one
VENV   := .venv
PY     := $(VENV)/bin/python
CLI    := $(VENV)/bin/img2tab
STAMP  := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# packages are installed as they come (STAMP): Python must keep what it compiles, or every start compiles all anew
export PYTHONDONTWRITEBYTECODE =

.PHONY: run test long check style types fast audit lock docs ready python bench pictures commands job film clean

run: python
	$(CLI) serve --ready

# the program's own settings of the allocator: without them a sixth of the time goes into pages given back and asked for
MALLOC = $$($(PY) -c 'from img2tab_core.cli.main import MALLOC; print(*(f"{k}={v}" for k, v in MALLOC.items()))')

# the files of tests shared out among two processes of one thread each, which is what two cores do best; about 4 GB each
JOBS ?= 2
PYTEST = env OMP_NUM_THREADS=1 $(MALLOC) $(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -p no:benchmark \
	--tb=short
test: ready
	$(PYTEST) -m "not long" $(ARGS)

# what takes half a minute of a core and more each, with something smaller of it among the tests above: before a release
long: ready
	$(PYTEST) -m long $(ARGS)

# half a minute of one core together; contenders, comparison, paired and remedies take as long each
FAST := audit_charts bench_table charts classifiers distances docs doctor fairness files interpreter intervention jobs \
	labels layers marks model_card once photos power proxies proxy_charts quick runs scoring spreadsheets supply_chain \
	tables weights

# style, format, types, known vulnerabilities, and the tests of FAST: no weights, no tables, no browser, nothing slow
check: style types audit fast

style: python
	$(PY) -m ruff check img2tab_core dashboard tests docs .ci/audit
	$(PY) -m ruff format --check img2tab_core dashboard tests docs .ci/audit

types: python
	$(PY) -m mypy

fast: python
	$(PY) -m pytest -q -m "not slow and not browser" $(FAST:%=tests/test_%.py)

# what is locked against what is known to be vulnerable; where the service cannot be asked, a line says so
audit: python
	@$(PY) .ci/audit

# all dependencies with a sha256 for each of their files, and those of them that a server needs; versions that still fit
# stay, UPGRADE=--upgrade takes the newest
LOCK = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-package img2tab-studio --custom-compile-command "make lock" $(UPGRADE)
lock: python
	$(PY) -m pip install --quiet uv==0.13.9
	$(LOCK) requirements.txt -o requirements.lock
	$(LOCK) pyproject.toml --extra compare --extra postgres --extra sign --extra auth --extra c2pa -c requirements.lock --no-annotate \
		-o docs/deploy/requirements.lock

# the documentation as a site, build/docs/site: needs no network; a link that leads nowhere stops it
docs: python
	$(PY) -m docs.make.site

# The environment, the weights, the default table. Both checks are cheap when nothing changed, so they run
# every time: a damaged model file or a table of an older population is noticed and made anew.
ready: python
	@$(CLI) weights fetch
	@$(CLI) tables build default --if-missing

# the environment, and which Python it has; an environment of another one than is asked for is not used silently
python: $(STAMP)
	@$(PY) -c 'import platform, sys; print(f"Python {platform.python_version()} ({sys._base_executable})")'
	@test -z "$(strip $(PYTHON))" || test "$$($(PYTHON) -V)" = "$$($(PY) -V)" || { \
		echo "$(VENV) was made with $$($(PY) -V), and PYTHON names another. Run 'make clean' first."; exit 1; }

$(PY):
	@python=$$(.ci/python "$(strip $(PYTHON))") && { "$$python" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "The virtual environment could not be created with $$python."; exit 1; }; }

# the stamp is written last: an interrupted installation is taken up again; what pip would compile ahead, two thirds of its
# time, Python compiles as it is imported, and most of it never is
$(STAMP): requirements.txt pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --no-compile -r requirements.txt
	@touch $@

# timings beside the plain way, in bench-output; DOCS=1 puts the table into docs/measured.md as well
bench: ready
	@mkdir -p bench-output
	env $(MALLOC) $(PY) -m pytest tests/benchmarks -q -o python_files='bench_*.py' -o python_functions='bench_*' \
		--benchmark-json=bench-output/raw.json --benchmark-disable-gc $(ARGS)
	$(PY) -m tests.benchmarks.table $(if $(DOCS),--docs)

# the screenshots of README and docs, taken from the running app
pictures: ready
	@$(CLI) tables build worked-example --if-missing
	$(PY) -m tests.pictures
	$(PY) -m docs.make.concept_pictures
	$(PY) -m docs.make.tutorial_pictures

# every command of the documents, also those that take long, typed on a small table; most of an hour
commands: ready
	IMG2TAB_LONG_COMMANDS=1 $(PY) -m pytest -q tests/test_docs_commands.py $(ARGS)

# the main job, from the open page to the report on disk: clicks and seconds; and the film of it for the README
job: ready
	$(PY) -m tests.main_job
film: ready
	$(PY) -m pip install --quiet '.[film]'
	$(PY) -m tests.main_job --film

# a visitor's data (.img2tab) and the fetched weights stay
clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache bench-output test-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
