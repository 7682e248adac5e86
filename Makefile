# All that a person types on a machine with Python 3.11 or later and make. `make` lists it.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/stamps
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A file whose hash is not in the lock is refused, and so is a package that is not in it. What builds a package is
# installed beforehand, because pip would fetch it without looking at hashes.
INSTALL_LOCKED := $(INSTALL) --require-hashes --no-build-isolation
# The tools of `make audit` ask for other versions of what we use.
AUDIT := .venv/audit
SBOM ?= var/sbom.json
# On all cores; the tests of a file stay together, because they share what is slow to make. Real processes come first, as
# they take longest: the quick files fill up what is left.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
# Resolves the pins, in `make lock` only.
UV := uv==0.13.8
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header
# For the extras' files: what requirements.txt has stays there; torch has a file of its own.
BESIDE = $$(sed -n 's/^\([a-z0-9.-]*\)==.*/--no-emit-package \1/p' requirements.txt)

.DEFAULT_GOAL := help
.PHONY: help run demo test check audit sbom chaos models bench lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMPS)/serve ## start everything on this machine and stay up until Ctrl-C
	@exec $(BIN)/python run.py

demo: $(STAMPS)/serve ## the same on free ports with temporary data; ends after one sample job
	@exec $(BIN)/python run.py --once

test: $(STAMPS)/dev $(STAMPS)/audit ## run every test, with a real broker, real workers and a real PostgreSQL
	$(PYTEST)

check: $(STAMPS)/dev ## check format, lint, types and import contracts, and run the unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) --hypothesis-profile=check tests/unit

audit: $(STAMPS)/dev $(STAMPS)/audit ## check code and packages: bandit, semgrep, advisories, licences; AUDIT_OFFLINE=1 where no advisories can be had
	$(BIN)/python -m tests.audit

sbom: $(STAMPS)/serve $(STAMPS)/audit ## write what production installs, and the models, as CycloneDX; SBOM=file, by default var/sbom.json
	$(BIN)/python -m tests.audit.sbom $(SBOM)

chaos: $(STAMPS)/dev ## run 10,000 jobs while processes, broker, database and disk fail; 15 minutes, CHAOS="--seed 7" repeats one
	$(BIN)/python -m tests.chaos $(CHAOS)

models: $(STAMPS)/train ## train the models again, into models_artifacts/
	$(BIN)/python -m backend.domains.blood.train

bench: $(STAMPS)/dev $(STAMPS)/bench ## measure the README's performance table
	$(BIN)/python -m benchmarks

lock: $(STAMPS)/venv ## pin what pyproject.toml asks for; pins that still fit stay, delete a file to renew its pins
	$(INSTALL) $(UV)
	$(COMPILE) --generate-hashes --annotation-style line -o requirements.txt pyproject.toml
	for extra in dev train bench s3 mlflow xgboost lleaves; do \
		file=requirements-$$extra.txt; \
		$(COMPILE) --generate-hashes --no-annotate --extra $$extra -c requirements.txt $(BESIDE) --no-emit-package torch \
			-o $$file pyproject.toml || exit 1; \
		{ echo "-r requirements.txt"; sed '/^#/d' $$file; } > $$file.new; \
		mv $$file.new $$file; \
	done
	$(COMPILE) --no-annotate --extra torch -c requirements-dev.txt $(BESIDE) -o requirements-torch.txt pyproject.toml
	{ echo "$$TORCH"; sed '/^#/d' requirements-torch.txt; } > requirements-torch.txt.new
	mv requirements-torch.txt.new requirements-torch.txt
	$(COMPILE) --generate-hashes --no-annotate --group build -c requirements-dev.txt -o requirements-build.txt
	$(COMPILE) --generate-hashes --no-strip-extras --no-annotate --group audit -o requirements-audit.txt

define TORCH
# Pinned, without hashes: torch may come from PyPI or be the build without CUDA of https://download.pytorch.org/whl/cpu,
# other files with other hashes, and what the one of PyPI asks for in CUDA is not pinned. Production does not install it.
endef
export TORCH

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

$(STAMPS)/build: requirements-build.txt $(STAMPS)/venv
	@$(INSTALL_LOCKED) -r $<
	@touch $@

$(STAMPS)/serve: requirements.txt $(STAMPS)/build
	@echo "installing requirements.txt …"
	@$(INSTALL_LOCKED) -r requirements.txt
	@touch $@

$(STAMPS)/train $(STAMPS)/bench: $(STAMPS)/%: requirements-%.txt requirements.txt $(STAMPS)/build
	@echo "installing $< …"
	@$(INSTALL_LOCKED) -r $<
	@touch $(STAMPS)/serve $@

$(STAMPS)/dev: requirements-dev.txt requirements-torch.txt requirements.txt $(STAMPS)/build
	@echo "installing $< …"
	@$(INSTALL_LOCKED) -r $<
	@$(INSTALL) -r requirements-torch.txt
	@touch $(STAMPS)/serve $@

$(STAMPS)/audit: requirements-audit.txt $(STAMPS)/venv
	@echo "installing $< …"
	@$(BIN)/python -m venv --clear $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	@touch $@
