# Two commands do everything, set-up included: `make course` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONUNBUFFERED = 1

.PHONY: help course notebooks book pdf demo check test lint spell links coverage mutants wheel audit \
  chromium postgresql retrain clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

course: notebooks book demo ## build the notebooks and the book, and grade a demo class
	@printf '\nMade, and where to look:\n'
	@printf '  the book           %s\n' build/book/html/index.html
	@printf '  the notebooks      %s\n' notebooks/
	@printf '  the demo class     %s\n' build/demo/reports/bptt.html
	@printf '  its feedback       %s\n' build/demo/feedback/
	@printf '  formgrader         cd build/demo && ../../%s/jupyter lab, then Nbgrader > Formgrader\n' $(BIN)

notebooks: .venv/installed ## solutions/ -> notebooks/
	$(BIN)/autograder build

book: .venv/installed ## the book alone, to build/book/html
	$(BIN)/python book/build.py

pdf: .venv/installed chromium ## the book as one PDF, to build/book/book.pdf
	$(BIN)/python book/printed.py

demo: .venv/installed ## the demo class alone, in build/demo
	$(BIN)/autograder demo

# Who imports whom; every answer, stub and slip on its rung; what students read.  What takes longer
# for what it finds (building notebooks, grading, the book) waits for `make test`.  One file has most
# of the work, and its tests share nothing: here they are dealt out one by one.
QUICK = $(addprefix tests/test_,$(addsuffix .py,house exercises checks ladder compare calls report \
  execute repair frames links))

check: lint ## while writing, in under a minute: lint, types, and a few tests
	$(BIN)/python -m pytest -n 2 --dist worksteal $(QUICK)

test: .venv/installed chromium postgresql lint ## lint, types, all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

retrain: .venv/installed ## train chapter 7's optimizers anew; goes on where it stopped
	$(BIN)/python book/retrain.py digits paintings mixed

lint: .venv/installed ## ruff, and mypy over course, autograder and benchmarks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

spell: .venv/installed ## spelling of pages, hints, docstrings and comments
	@if command -v hunspell >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing hunspell"; apt-get update -qq && \
	  apt-get install -y -qq hunspell hunspell-en-gb >/dev/null; \
	else echo "install hunspell first (sudo apt-get install hunspell hunspell-en-gb)"; exit 1; fi
	$(BIN)/python tests/spelling.py

links: .venv/installed ## whether the addresses in the book answer; needs a network
	$(BIN)/python book/links.py

# `make coverage TESTS=tests/test_checks.py` looks at a part.  What runs in the jail is not seen:
# nothing may leave it.
coverage: .venv/installed ## which lines the tests reach; 95 % at least; to build/coverage/index.html
	@rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile $(TESTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage html --quiet
	@$(BIN)/coverage report > build/coverage/report.txt; cat build/coverage/report.txt
	@test -n "$(TESTS)" || $(BIN)/coverage report --fail-under=95 --format=total

# mutmut has an environment of its own, which sees what the project's has installed.
MUTMUT = mutmut==3.8.1

# `make mutants MODULES=course/ladder.py` tries one out.
mutants: .venv/installed ## whether the tests notice small changes of the scoring, to build/mutants
	@mkdir -p build/mutants
	@test -x build/mutants/env/bin/mutmut || { $(PYTHON) -m venv build/mutants/env && \
	  $(BIN)/python -c 'import site; print(site.getsitepackages()[0])' \
	    > "$$(echo build/mutants/env/lib/python3*/site-packages)/project.pth" && \
	  build/mutants/env/bin/pip install --quiet $(MUTMUT); }
	@build/mutants/env/bin/python tests/mutants.py $(MODULES)

# Built from a copy: setuptools leaves folders behind, and would pack what it finds in them again.
wheel: .venv/installed ## the student's toolkit as one file, to build/dist
	@rm -rf build/dist build/wheel && mkdir -p build/wheel
	@cp -R course LICENSE build/wheel
	@mv build/wheel/LICENSE build/wheel/course
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir build/dist build/wheel/course
	@ls build/dist

# pip-audit has an environment of its own: no other command needs it or what it brings along.
PIP_AUDIT = pip-audit==2.10.1

audit: .venv/installed ## known flaws in what is installed; needs PyPI itself, not a mirror
	@mkdir -p build/audit
	@test -x build/audit/env/bin/pip-audit || { $(PYTHON) -m venv build/audit/env && \
	  build/audit/env/bin/pip install --quiet $(PIP_AUDIT); }
	@$(BIN)/pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > build/audit/installed.txt
	@build/audit/env/bin/pip-audit --requirement build/audit/installed.txt --no-deps --disable-pip \
	  > build/audit/found.txt 2>&1; said=$$?; cat build/audit/found.txt; \
	all=$$(grep -c . build/audit/installed.txt); \
	unknown=$$(grep -c 'could not be audited' build/audit/found.txt); \
	if grep -q 'ConnectionError\|ServiceError' build/audit/found.txt; then unknown=$$all; fi; \
	if [ "$$unknown" -gt 0 ]; then \
	  echo "NOT AUDITED: $$unknown of $$all packages. Their advisories are at"; \
	  echo "https://pypi.org/pypi/NAME/VERSION/json, and can't be read from here (mirrors often"; \
	  echo "lack them): run make audit on another network."; exit 2; fi; exit $$said

# The stamp is written last, so that an interrupted installation is done again.
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "this is Python %d.%d; the course wants 3.11 to 3.13: make PYTHON=python3.11 course" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --editable .
	@touch $@

# The built pages are tested in Debian's Chromium, and printed by it.
chromium: ## Chromium, for the tests of the book and its PDF, where it may be installed
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing chromium"; apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else echo "this opens the book in Chromium: install it first (sudo apt-get install chromium)"; \
	  exit 1; fi

# Optional: without it, the tests of a gradebook in PostgreSQL are skipped, and say so.
postgresql: ## PostgreSQL, likewise, for the tests of a gradebook in it
	@if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing postgresql"; apt-get update -qq && apt-get install -y -qq postgresql >/dev/null; \
	else echo "a gradebook in PostgreSQL is not tested: sudo apt-get install postgresql"; fi

clean: ## remove build/ (the environment .venv stays)
	rm -rf build
