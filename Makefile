# Two commands do everything, set-up included: `make course` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONUNBUFFERED = 1

.PHONY: course notebooks book demo test retrain lint chromium postgresql clean help

help:
	@echo "make course     build the notebooks and the book, and grade a demo class"
	@echo "make test       lint and run all tests"
	@echo "make notebooks  solutions/ -> notebooks/"
	@echo "make book       the book alone, to build/book/html"
	@echo "make demo       the demo class alone, in build/demo"
	@echo "make retrain    train chapter 7's optimizers anew (half an hour; goes on where it stopped)"
	@echo "make clean      remove build/ (the environment .venv stays)"

course: notebooks book demo
	@printf '\nMade, and where to look:\n'
	@printf '  the book           %s\n' build/book/html/index.html
	@printf '  the notebooks      %s\n' notebooks/
	@printf '  the demo class     %s\n' build/demo/reports/bptt.html
	@printf '  its feedback       %s\n' build/demo/feedback/
	@printf '  formgrader         cd build/demo && ../../%s/jupyter lab, then Nbgrader > Formgrader\n' $(BIN)

notebooks: .venv/installed
	$(BIN)/autograder build

book: .venv/installed
	$(BIN)/python book/build.py

demo: .venv/installed
	$(BIN)/autograder demo

test: .venv/installed chromium postgresql lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

retrain: .venv/installed
	$(BIN)/python book/retrain.py digits paintings mixed

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# The stamp is written last, so that an interrupted installation is done again.
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "this is Python %d.%d; the course wants 3.11 to 3.13: make PYTHON=python3.11 course" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --editable .
	@touch $@

# The built pages are tested in Debian's Chromium.
chromium:
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing chromium"; apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else echo "make test opens the book in Chromium: install it first (sudo apt-get install chromium)"; \
	  exit 1; fi

# Optional: without it, the tests of a gradebook in PostgreSQL are skipped, and say so.
postgresql:
	@if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing postgresql"; apt-get update -qq && apt-get install -y -qq postgresql >/dev/null; \
	else echo "a gradebook in PostgreSQL is not tested: sudo apt-get install postgresql"; fi

clean:
	rm -rf build
