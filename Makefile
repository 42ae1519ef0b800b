# Every command of a developer and of one person running it. `make` alone prints this list.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PY := .venv/bin/python
READY := .venv/.ready
# Most tests wait for servers: more of them than processors run side by side. Those that kill
# processes and look at the time run alone.
ASIDE := --numprocesses 3 --dist worksteal
# Servers, processes and decoders run for real, and a machine may stall: what failed is run once
# more, by itself, each test named. What fails twice has failed. pytest ends with 1 when tests
# failed, and with 5 when it found none, as when ARGS chooses one of the other kind.
define tests
	@$(PY) -m pytest -m "$(1)" --cache-clear $(2) $(ARGS) || case $$? in 5) ;; \
	  1) printf '\n%s\n' "These failed once, see above. Once more, one by one; report those that pass now:"; \
	     $(PY) -m pytest -m "$(1)" -v --last-failed --last-failed-no-failures none --maxfail 1 ;; \
	  *) exit 1 ;; esac
endef
RIVALS := .venv-bench/.ready

# A folder that was moved or copied has a .venv that belongs elsewhere: have it made anew.
MOVED := $(shell [ ! -e $(READY) ] || [ "$$(cat .venv/.home 2>/dev/null)" = "$$(pwd -P)" ] || rm -f $(READY))

.PHONY: help
help: ## show what there is
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ See it run
$(READY): requirements.lock pyproject.toml deploy/setup.sh
	@./deploy/setup.sh

.PHONY: demo run simulate
demo: $(READY) ## the main job on a clip made for it, or on VIDEO=path
	@$(PY) -m services demo $(if $(VIDEO),"$(VIDEO)")

run: $(READY) ## all four services in this process, http://127.0.0.1:8080, data in .reelway
	@$(PY) -m services

simulate: $(READY) ## waits of each tier under LOAD=1.1 MIX=80/25/5, ARGS="--guard off"
	@$(PY) -m services simulate $(if $(LOAD),--load $(LOAD)) $(if $(MIX),--mix $(MIX)) $(ARGS)

##@ Work on it
.PHONY: setup format check generated test test-load crash-points soak bench-jobs bench-events bench-drive test-unit browser hooks openapi examples lock wheel clean
setup: $(READY) ## make .venv with everything pinned

format: $(READY) ## format the code, mend what can be mended
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

check: $(READY) ## ruff, mypy strict, generated files up to date
	@$(PY) -m ruff format --check . && $(PY) -m ruff check . && $(PY) -m mypy
	@$(PY) -m pytest -q -r f tests/contract/test_generated.py

test: $(READY) browser ## every test: unit, contract, integration, end to end, recovery, security
	$(call tests,not load and not recovery,$(ASIDE))
	$(call tests,recovery)

test-load: $(READY) ## memory and speed under load, minutes
	@$(PY) -m pytest tests/load -s $(ARGS)

soak: $(READY) ## services, RabbitMQ and Redis killed for SECONDS=600: nothing lost, nothing doubled
	@$(PY) -m tests.recovery.soak $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

crash-points: $(READY) ## a death, a lost reply, a silence, a repetition at every named point
	@$(PY) -m pytest tests/recovery/test_crash_points.py -q $(ARGS)

bench-events: $(READY) ## how old events are when clients of three gateways get them, 500 a second
	@$(PY) -m pytest tests/load/test_event_latency.py -q -s $(ARGS)

bench-jobs: $(READY) $(RIVALS) ## the job engine beside Celery and taskiq, minutes; ARGS=--quick
	@$(PY) -m tests.load.bench_jobs $(ARGS)

bench-drive: $(READY) ## bytes through the gateway beside nginx and bare aiohttp, minutes; ARGS=--quick
	@$(PY) -m tests.load.bench_drive $(ARGS)

# What it is compared with has an environment of its own: nothing of that reaches .venv.
$(RIVALS): requirements-bench.lock
	@rm -rf .venv-bench && $(PY) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements-bench.lock
	@touch $@

test-unit: $(READY) ## only what needs no server, in seconds
	@$(PY) -m pytest tests/unit $(ASIDE) $(ARGS)

browser: $(READY) ## have a Chromium for the tests that drive one
	@./deploy/setup-browser.sh

hooks: $(READY) ## have git run the quick checks before each commit
	@$(PY) -m pre_commit install

generated: openapi examples ## write everything that is generated anew

openapi: $(READY) ## write services/gateway/openapi.json anew
	@$(PY) -m services.gateway.openapi

examples: $(READY) ## write .env.example and the README's table of settings anew
	@$(PY) -m services.settings_example

COMPILE := $(PY) -m uv pip compile --universal --generate-hashes --no-header --upgrade \
  --prerelease if-necessary-or-explicit -q

lock: $(READY) ## choose the newest allowed versions and pin them
	@$(COMPILE) --group dev pyproject.toml -o requirements.lock
	@$(COMPILE) --group pyproject.toml:bench -o requirements-bench.lock

wheel: $(READY) ## build the wheel into dist/
	@$(PY) -m build --wheel --no-isolation --outdir dist .

clean: ## remove what was built; data in .reelway stays
	@rm -rf .venv .venv-bench dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
