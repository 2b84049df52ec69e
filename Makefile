# Everything stays inside this folder: the environment in .venv, caches and temporary files in .cache.
PYTHON ?= python3
BIN := .venv/bin
export TMPDIR := $(CURDIR)/.cache/tmp
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start hundreds of processes; without this each would compile all modules again.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache
unexport PYTHONDONTWRITEBYTECODE

PYTEST := $(BIN)/python -m pytest --basetemp=$(TMPDIR)/pytest -n 2
# Those that take long come first, so that the processes end at about the same time.
BROKER := tests/faults tests/deploy tests/integration tests/security
FAST := tests/unit tests/property tests/contract tests/senders $(wildcard tests/golden) tests/supply examples

.PHONY: help demo install test test-full test-fast test-kafka test-embedded test-faults test-deploy cluster kill-loops mutants fuzz fuzz-senders unproven golden coverage \
	lint format bench bench-reviews bench-senders schemas sbom licences audit site lock clean
.DEFAULT_GOAL := help

## help: this list
help:
	@awk '/^## [a-z-]+: / { name = substr($$2, 1, length($$2) - 1); sub(/^## [a-z-]+: /, ""); printf "  make %-13s %s\n", name, $$0 }' Makefile

## demo: leads rated and routed over Kafka on this machine; Ctrl-C ends it
demo: install
	@$(BIN)/scorer demo

## install: the environment in .venv, with .venv/bin/scorer in it
install: .venv/installed

# The build tools come first and from the lock too, so that packages built from source use pinned ones.
.venv/installed: requirements.lock pyproject.toml
	@mkdir -p $(TMPDIR)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the pinned dependencies into .venv (about a minute) …"
	@$(BIN)/pip install -q --require-hashes -r requirements-build.lock
	@$(BIN)/pip install -q --require-hashes --no-build-isolation -r requirements.lock
	@$(BIN)/pip install -q --no-deps --no-build-isolation --no-index -e .
	@touch $@

## test: all tests; those with a broker on Apache Kafka 4.3.1, some on the embedded one too; long ones in a small size
# Those with a broker wait a third of their time, so three at a time fill two cores. Without Java or Maven those
# on Apache Kafka are skipped, without Go those of the Helm chart; the summary counts them with the reason.
test: install
	@$(PYTEST) $(FAST) tests/browser
	@$(PYTEST) -n 3 -rs --dist loadfile --no-loadscope-reorder $(BROKER) tests/performance

## test-full: those with a broker on both brokers and in a larger size, and what `make test` leaves out (an hour)
FULL := SCORER_TEST_EMBEDDED=all SCORER_TEST_DEPLOY=full SCORER_FAULT_CLUSTER=full SCORER_FAULT_POINTS=all \
	SCORER_FAULT_EVENTS=3000 SCORER_FAULT_ROUNDS=9 SCORER_FAULT_STORM_SECONDS=20 SCORER_FAULT_CUT_SECONDS=8 \
	SCORER_FAULT_FUZZ_EVENTS=20000 SCORER_FAULT_OPEN_SECONDS=4 SCORER_FAULT_PROMISE_LEADS=150 \
	SCORER_FAULT_PROMISE_PERIODS=12 SCORER_TEST_SCHEMA_EXAMPLES=100 SCORER_TEST_FULL=yes SCORER_SOAK=250000
test-full: install
	@$(FULL) $(PYTEST) -n 3 -rs --dist loadfile --no-loadscope-reorder $(BROKER) tests/performance

## test-fast: the tests that need no broker: unit, property, contract, golden, supply, examples
test-fast: install
	@$(PYTEST) $(FAST)

## test-kafka: those on Apache Kafka 4.3.1 alone; SCORER_TEST_KAFKA=3.9.2 for the oldest supported version
test-kafka: install
	@$(PYTEST) -rs --dist loadfile -m apache $(BROKER)

## test-embedded: on the embedded broker what the other targets run only on Apache Kafka where that can run
test-embedded: install
	@SCORER_TEST_EMBEDDED=all $(PYTEST) -rs --dist loadfile -m embedded $(BROKER)

## test-faults: workers killed, partitions moved, brokers lost; docs/guarantees.md has the full size
test-faults: install
	@$(PYTEST) -rs --dist loadfile tests/faults

## test-deploy: those of deploy/ in full: first starts, minutes of Prometheus, a bad night (25 minutes)
test-deploy: install
	@SCORER_TEST_DEPLOY=full SCORER_FAULT_CLUSTER=full SCORER_TEST_MONITORING_SECONDS=300 $(PYTEST) -rsP --dist loadfile \
		tests/deploy tests/faults/test_rolling_restart.py

## cluster: nodes of Kafka killed, stopped, restarted; takeovers, upgrade, logins: all cases (40 minutes); CLUSTER="-k stop"
cluster: install
	@SCORER_FAULT_CLUSTER=full $(BIN)/python -m pytest --basetemp=$(TMPDIR)/pytest -vv -rP tests/faults/test_cluster.py \
		tests/faults/test_takeover.py tests/faults/test_upgrade.py \
		tests/integration/test_access.py tests/integration/test_logins.py $(CLUSTER)

## kill-loops: 25 times 12,000 activities on three nodes that are bounced; KILL_LOOPS="--first-loop 5 --loops 5"
kill-loops: install
	@$(BIN)/python -m tests.faults.kill_loops $(KILL_LOOPS)

## mutants: break the exactly-once code on purpose, one patch at a time; the tests must notice each
mutants: install
	@$(BIN)/python -m tests.mutants

## fuzz: 1,000,000 random events, many of them broken, through the service; FUZZ="--events 50000 --seeds 1" for fewer
fuzz: install
	@$(BIN)/python -m tests.fuzz.run $(FUZZ)

## fuzz-senders: 100,000 changed samples of all platforms through their sources; SENDERS="--inputs 1000000 --seed 2"
fuzz-senders: install
	@$(BIN)/python -m tests.senders.fuzz $(SENDERS)

## unproven: each part of the delivered mappings taken away in turn; names those that no sample needs (ten seconds)
unproven: install
	@$(BIN)/python -m tests.senders.unproven $(SENDERS)

## golden: 200,000 activities; every output byte must equal the recorded one
golden: install
	@$(BIN)/python -m tests.golden.run --check

## coverage: lines and branches that the fast tests reach; .cache/coverage/html has the pages
coverage: install
	@mkdir -p .cache/coverage
	@$(PYTEST) --cov --cov-report=term --cov-report=html $(FAST)

## lint: types, style, format, import directions
lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

## format: sort imports, fix what can be fixed, and format
format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

## bench: the benchmarks (an hour at most; see benchmarks/README.md); BENCH="--broker kafka": on Apache Kafka (Java, Maven)
bench: install .venv/bench .cache/bench-streams/installed
	@$(BIN)/python -m benchmarks $(BENCH)

## bench-reviews: 1,000,000 leads at midnight, also on Apache Kafka (45 minutes); BENCH="--leads 20000 --seconds 20"
bench-reviews: install .venv/bench
	@$(BIN)/python -m benchmarks.reviews --leads 1000000 --broker kafka $(BENCH)

## bench-senders: 1,000,000 events of Segment and HubSpot on Apache Kafka (an hour); BENCH="--events 20000 --leads 5000"
bench-senders: install .venv/bench
	@$(BIN)/python -m benchmarks.senders --events 1000000 --leads 50000 $(BENCH)

.venv/bench: requirements-bench.lock .venv/installed
	@$(BIN)/pip install -q --require-hashes -r requirements-bench.lock
	@touch $@

# Quix Streams and Faust ask for other versions of our own dependencies.
.cache/bench-streams/installed: requirements-bench-streams.lock
	@mkdir -p $(TMPDIR)
	@test -x .cache/bench-streams/bin/python || $(PYTHON) -m venv .cache/bench-streams
	@.cache/bench-streams/bin/pip install -q --require-hashes -r requirements-bench-streams.lock
	@touch $@

## schemas: write schemas/ from the models
schemas: install
	@$(BIN)/python -m schemas.generate

## sbom: write deploy/sbom.cdx.json, what the image has beside its base (CycloneDX)
sbom: install
	@$(BIN)/python -m tests.supply.sbom

## licences: check the licences of all dependencies and write docs/licences.md
licences: install
	@$(BIN)/python -m tests.supply.licences

## audit: known vulnerabilities of all dependencies, if the advisories can be reached
audit: install
	@$(BIN)/python -m tests.supply.audit

## site: the documentation as a website in .cache/site
site: install
	@$(BIN)/mkdocs build --strict --quiet

## lock: pin the dependencies of pyproject.toml (needs uv)
lock:
	uv pip compile pyproject.toml --extra demo --group dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade -o requirements.lock
	uv pip compile pyproject.toml -c requirements.lock --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements-run.lock
	uv pip compile --group bench -c requirements.lock --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements-bench.lock
	uv pip compile --group bench-streams --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements-bench-streams.lock
	printf 'setuptools\nwheel\n' | uv pip compile - -c requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements-build.lock

## clean: remove what was installed and cached
clean:
	rm -rf .venv .cache .scorer-demo build *.egg-info .mypy_cache .ruff_cache .hypothesis
