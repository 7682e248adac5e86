# All that a person types on a machine with Python 3.11 or later and make. `make` lists it.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/stamps
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# On all cores; the tests of a file stay together, because they share what is slow to make.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile
# Resolves the pins, in `make lock` only.
UV := uv==0.13.8
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header

.DEFAULT_GOAL := help
.PHONY: help run demo test check chaos models bench lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMPS)/serve ## start everything on this machine and stay up until Ctrl-C
	@exec $(BIN)/python run.py

demo: $(STAMPS)/serve ## the same on free ports with temporary data; ends after one sample job
	@exec $(BIN)/python run.py --once

test: $(STAMPS)/dev ## run every test, with a real broker, real workers and a real PostgreSQL
	$(PYTEST)

check: $(STAMPS)/dev ## check format, lint, types and import contracts, and run the unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) --hypothesis-profile=check tests/unit

chaos: $(STAMPS)/dev ## run 10,000 jobs while processes, broker, database and disk fail; 15 minutes, CHAOS="--seed 7" repeats one
	$(BIN)/python -m tests.chaos $(CHAOS)

models: $(STAMPS)/train ## train the models again, into models_artifacts/
	$(BIN)/python -m backend.domains.blood.train

bench: $(STAMPS)/dev $(STAMPS)/bench ## measure the README's performance table
	$(BIN)/python -m benchmarks

lock: $(STAMPS)/venv ## pin what pyproject.toml asks for; pins that still fit stay, delete a file to renew its pins
	$(INSTALL) $(UV)
	$(COMPILE) --annotation-style line -o requirements.txt pyproject.toml
	for extra in dev train bench s3 mlflow xgboost lleaves; do \
		file=requirements-$$extra.txt; \
		$(COMPILE) --no-annotate --extra $$extra -c requirements.txt -o $$file pyproject.toml || exit 1; \
		{ echo "-r requirements.txt"; sed 's/ *#.*//' requirements.txt | grep -vxFf - $$file; } > $$file.new; \
		mv $$file.new $$file; \
	done

clean: ## remove .venv and caches; data in var/ and trained models stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find backend workers migrations tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# One stamp for each set of packages: pip runs only when the pins have changed.
$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Sanguine needs Python 3.11 or later, and $(PYTHON) is not; use another: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "creating .venv …"
	@$(PYTHON) -m venv .venv
	@mkdir -p $(@D) && touch $@

$(STAMPS)/serve: requirements.txt $(STAMPS)/venv
	@echo "installing requirements.txt …"
	@$(INSTALL) -r requirements.txt
	@touch $@

$(STAMPS)/dev $(STAMPS)/train $(STAMPS)/bench: $(STAMPS)/%: requirements-%.txt requirements.txt $(STAMPS)/venv
	@echo "installing $< …"
	@$(INSTALL) -r $<
	@touch $(STAMPS)/serve $@
