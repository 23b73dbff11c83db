# Byte for Byte. `make` alone lists what there is to make.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help lab test notebooks book sentences messages clean constraints

# Pages, and the figures on them, are made in English, whatever the language of whoever makes them.
test notebooks book sentences: export LANGUAGE := en

help: ## list what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "  (PYTHON=python3.12 picks another Python for .venv; 3.11 to 3.13 work)"

lab: $(READY) ## lab 02, from its reference solution to the checker's verdict
	@echo "== Lab 02: running the reference solution; what it writes is in build/lab02"
	$(BIN)/python labs/02/solution/run.py --out build/lab02
	@echo "== Lab 02: checking it"
	$(BIN)/python -m checker labs/02 --submission build/lab02

test: $(READY) ## lint, types, tests, notebooks, the book and its pages in a browser
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest
	@echo "== Every notebook's .ipynb in step with its .py"
	@$(BIN)/python -c "$$CHECK_PAIRS" book/*.ipynb
	@echo "== Every notebook, run again: the same outputs as the stored ones"
	$(BIN)/pytest --nbval book/*.ipynb
	@echo "== The sums on the front page"
	$(BIN)/python -m doctest book/intro.md
	$(MAKE) book sentences
	@echo "== Every page of the book: its links, its pictures, and how it behaves in Chromium"
	$(BIN)/pytest -m pages tests/pages

define CHECK_PAIRS
import sys, jupytext
for path in sys.argv[1:]:
    script = path.removesuffix("ipynb") + "py"
    pair = [[(c.cell_type, c.source, c.metadata) for c in jupytext.read(side).cells] for side in (script, path)]
    if pair[0] != pair[1]:
        cell = next((n for n, (a, b) in enumerate(zip(*pair)) if a != b), min(map(len, pair)))
        sys.exit(f"{path} is out of step with {script}, first in cell {cell}. Try: make notebooks")
endef
export CHECK_PAIRS

notebooks: $(READY) ## every .ipynb made again from its .py, and run
	$(BIN)/jupytext --quiet --update --to ipynb book/*.py
	$(BIN)/python -c "$$RUN_NOTEBOOKS" book/*.ipynb

define RUN_NOTEBOOKS
import sys, nbformat, nbclient
for path in sys.argv[1:]:
    print("running", path)
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, record_timing=False, coalesce_streams=True, resources={"metadata": {"path": "book"}}
    ).execute()
    nbformat.write(notebook, path)
endef
export RUN_NOTEBOOKS

# Always fresh: an incremental build exits 0 whatever it warns of. What is kept is the outputs of notebooks
# that did not change; the cache cannot see the code they import, so it goes whenever that code does.
book: $(READY) ## the book, into _build/html; a warning is an error
	@rm -rf _build/html _build/.doctrees
	@mkdir -p _build
	@find src benchmarks/results constraints.txt -type f ! -path '*/__pycache__/*' | LC_ALL=C sort | xargs cksum > _build/code.new
	@cmp -s _build/code.new _build/code || rm -rf _build/.jupyter_cache
	@mv _build/code.new _build/code
	$(BIN)/jupyter-book build . -W -n --keep-going

# What a translation of the book starts from: a .pot a page. Nothing is run for it.
sentences: $(READY) ## every sentence of the book, for translators, into _build/gettext
	@rm -rf _build/gettext
	@mkdir -p _build
	@sed -e 's/execute_notebooks: cache/execute_notebooks: "off"/' -e 's|: book/_ext|: ../book/_ext|' _config.yml > _build/gettext.yml
	$(BIN)/jupyter-book build . --config _build/gettext.yml --path-output _build/gettext \
	    --builder custom --custom-builder gettext -W -n --keep-going

messages: $(READY) ## collect what the checker and the figures say, for their catalogues
	$(BIN)/python -m checker.messages

clean: ## remove what was made, .venv included
	rm -rf .venv _build build .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is older than a changed pyproject.toml or constraints.txt, and then pip looks again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else \
	    "Python 3.11 to 3.13 is needed; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.11" % sys.version_info[:2])'
	@echo "== Installing PyTorch, the course and its tools into .venv: some minutes the first time, seconds later"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[book,test]'
	@touch $@

# Run on Linux with the oldest Python that is supported, or the pins may not suit it.
constraints: ## choose the newest versions again, into constraints.txt
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install -q '.[book,test]' -r requirements.txt
	build/constraints/bin/pip freeze --exclude byte-for-byte > build/constraints/pins
	{ sed -n '/^#/p' constraints.txt; sed -e 's/+cpu$$//' -e '/^nvidia-/d' build/constraints/pins; } > build/constraints/new
	mv build/constraints/new constraints.txt
