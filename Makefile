# Two commands work on a new machine without preparation: `make demo` and `make test`.
# The other targets are for developers; `make` lists them.

VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
BENCH  := $(VENV)/.ready-bench
MEMBERS ?= 2
ARGS   ?=
UV     := uv==0.13.9
# For all platforms, and Python 3.11 and later: each package with the hashes of all its files.
COMPILE = build/lock/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup lock components demo up down exec status image chart release test test-unit test-integration test-e2e test-long mutants bench bench-quick check fmt lint types imports links docs site clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create the Python environment

# Only what the locks name, as wheels: what builds a source distribution would come unlocked.
INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement

$(READY): pyproject.toml requirements/dev.txt
	@echo "creating the Python environment in $(VENV) ..."
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version)'
	@python3 -m venv $(VENV)
	@$(PY) $(INSTALL) requirements/dev.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

components: $(READY) ## find or build the Kubernetes components (once, takes minutes)
	@$(PY) -m tools resolve

demo: $(READY) ## run the official walkthrough on real API servers, step by step
	@$(PY) -m testbed.demo $(ARGS)

up: $(READY) ## start the same test bed and leave it running: make up [MEMBERS=5]
	@$(PY) -m testbed up --members $(MEMBERS) $(ARGS)

down: $(READY) ## stop and remove the test bed
	@$(PY) -m testbed down $(ARGS)

exec: $(READY) ## run a command in a Pod: make exec MEMBER=member2 POD=curl CMD="curl http://nginx.default"
	@$(PY) -m testbed exec $(ARGS) $(MEMBER) $(POD) -- $(CMD)

status: $(READY) ## show the running test beds
	@$(PY) -m testbed status $(ARGS)

image: $(READY) ## make the OCI image, without a daemon: build/image (docs/image.md)
	@$(PY) -m tools.image $(ARGS)

chart: $(READY) ## make the Helm chart from manifests/: build/chart
	@$(PY) -m tools.chart $(ARGS)

release: $(READY) ## make everything that a version is given out as: dist/VERSION (docs/release.md)
	@$(PY) -m tools.release $(ARGS)

test: $(READY) ## run all tests that this machine supports, and list the others
	@$(PY) -m tests.tiers $(ARGS)

test-unit: $(READY) ## unit tests: no sockets, no sleeping
	@$(PY) -m pytest tests/unit $(ARGS)

test-integration: components ## tests with real etcd and kube-apiserver
	@$(PY) -m pytest tests/integration $(ARGS)

test-e2e: components ## end-to-end tests with a data plane (root, nftables)
	@$(PY) -m pytest tests/e2e $(ARGS)

test-long: components ## upgrades and rotations under traffic, hostile members, ten minutes of random outages, what is marked as long, and the random tests for hours: TEST_SCALE times what `make test` tries
	@$(PY) -m tools.previous
	@TEST_SCALE=$${TEST_SCALE:-40} $(PY) -m pytest --timeout=7200 tests/upgrade tests/hostile tests/model tests/unit/workqueue/test_queue_machine.py tests/unit/informers/test_model.py tests/unit/informers/test_adversarial_json.py tests/unit/domain/test_adversarial_json.py tests/integration/informers/test_soak.py tests/integration/informers/test_soak_apiserver.py $(ARGS)
	@TEST_SCALE=$${TEST_SCALE:-40} $(PY) -m pytest --timeout=7200 -m long tests/integration tests/e2e $(ARGS)

mutants: $(READY) ## mutation tests: apply known mistakes, a test must fail each time (minutes)
	@$(PY) -m tools.mutants $(ARGS)

bench: components $(BENCH) ## run all benchmarks and write docs/performance.md (about 20 minutes)
	@$(PY) -m benchmarks $(ARGS)

bench-quick: components $(BENCH) ## the same with small sizes, written to build/ (5 minutes)
	@$(PY) -m benchmarks --quick $(ARGS)

$(BENCH): $(READY) requirements/bench.txt
	@$(PY) $(INSTALL) requirements/bench.txt
	@touch $@

lock: ## renew requirements/ for pyproject.toml: make lock [ARGS=--upgrade]
	@python3 -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: "$(UV)"
	@$(COMPILE) --output-file requirements/dev.txt --extra otel --group dev
	@$(COMPILE) --output-file requirements/runtime.txt --constraint requirements/dev.txt
	@$(COMPILE) --output-file requirements/otel.txt --extra otel --constraint requirements/dev.txt
	@$(COMPILE) --output-file requirements/bench.txt --constraint requirements/dev.txt --group bench
	@echo "now: make setup docs test-unit"

check: lint types imports links ## all static checks, required before a merge

fmt: $(READY) ## format, and apply automatic fixes
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

lint: $(READY) ## ruff, formatting, spelling, replaced names
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/codespell
	@$(PY) -m tools.reference --check
	@git grep -nwFf tools/replaced-names.txt -- '*.py' '*.md' ':!CHANGELOG.md'; test $$? -eq 1 || { echo 'names that have others now (git log -S<name>), or no git checkout'; exit 1; }

types: $(READY) ## mypy --strict
	@$(VENV)/bin/mypy

links: $(READY) ## links and anchors of the documentation
	@$(PY) -m tools.site --check

imports: $(READY) ## the layers of docs/architecture.md
	@$(VENV)/bin/lint-imports

docs: $(READY) ## generate docs/reference from the code
	@$(PY) -m tools.reference

site: $(READY) ## make the documentation's site in build/site/html
	@$(PY) -m tools.site

clean: down ## remove all generated files, except the components' cache
	@rm -rf $(VENV) .bed build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
