# Needs Python 3.11 or newer, make and the package registry; everything else is installed into .venv.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.DEFAULT_GOAL = help

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

.PHONY: setup
setup: .venv/installed ## .venv, with what requirements/development.txt pins

.venv/installed: requirements/development.txt
	@test -n "$(PYTHON)" || { echo "Signalbox needs Python 3.11 or newer: install it, or make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "installing into .venv what $< pins; this takes a minute, once"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: run
run: setup ## the whole story on this machine: dataset in, router out
	@.venv/bin/python -m local run

.PHONY: test
test: setup ## every test
	.venv/bin/python -m pytest --numprocesses auto --dist loadfile \
		tests/faults tests/privileges tests/integration tests/fuzz tests/unit
	.venv/bin/python -m pytest --numprocesses auto --dist loadfile tests/e2e tests/browser

.PHONY: pictures
pictures: setup ## docs/report.png and docs/report-dark.png, of a run of the example dataset; needs Chromium
	PICTURES=docs .venv/bin/python -m pytest tests/browser/test_report.py -k pictures

.PHONY: faults
faults: setup ## every call at AWS fails in every way, events come twice, late or never; takes a while
	FAULTS=all .venv/bin/python -m pytest --numprocesses auto --dist loadgroup tests/faults

.PHONY: fuzz
fuzz: setup ## 10,500 broken datasets; 2,000 requests that schemathesis makes of the API's OpenAPI document
	FUZZ_DATASETS=10500 .venv/bin/python -m pytest -s tests/fuzz
	FUZZ_REQUESTS=2000 .venv/bin/python -m pytest tests/integration/test_openapi.py

.PHONY: bench
bench: setup ## quality, latency, cold start and size, beside their targets and peers; writes bench/results.json
	@.venv/bin/python -m bench

##### Template, artefacts and requirements ######################################################################

# Tools whose pins conflict with those of development live in environments of their own: .venv-sam and the like.
SAM = SAM_CLI_TELEMETRY=0 PYTHON=$(CURDIR)/.venv-sam/bin/python .venv-sam/bin/sam
COMPILE = .venv/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-header --no-emit-index-url --no-emit-find-links

.venv-%/installed: requirements/%.txt
	$(PYTHON) -m venv --clear .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

.PHONY: lint
lint: setup validate checkov ## code, template and requirements
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/cfn-lint
	! grep -nE 'index-url|find-links|trusted-host|://' requirements/*

.PHONY: validate
validate: .venv-sam/installed ## the template, as SAM sees it
	$(SAM) validate --lint

.PHONY: checkov
checkov: .venv-checkov/installed ## the template's security, as checkov sees it
	.venv-checkov/bin/checkov --config-file .checkov.yaml

.PHONY: build
build: .venv-sam/installed ## what `sam deploy` uploads, into .aws-sam/
	$(SAM) build

.PHONY: sizes
sizes: setup ## unzipped size of each built function with its layer
	.venv/bin/python .ci/sizes.py

.PHONY: contents
contents: setup ## whether what is built holds what requirements/ names, and nothing else
	.venv/bin/python .ci/contents.py

##### Supply chain ##############################################################################################

.PHONY: licences
licences: setup ## of what goes to Lambda; fails on one that nobody has agreed to
	.venv/bin/python .ci/licences.py

.PHONY: audit
audit: setup .venv-supply-chain/installed ## known vulnerabilities of what goes to Lambda, where the advisory service answers
	.venv/bin/python .ci/audit.py .venv-supply-chain/bin/pip-audit

.PHONY: sbom
sbom: .venv-supply-chain/installed ## bills of materials (CycloneDX) of what goes to Lambda, into sbom/
	@mkdir -p sbom
	for artefact in lambda distill promote; do .venv-supply-chain/bin/cyclonedx-py requirements \
		--output-reproducible --output-file sbom/$$artefact.json requirements/$$artefact.txt || exit 1; done

.PHONY: requirements
requirements: setup ## pin anew, to the newest versions that go together
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(COMPILE) --upgrade requirements/development.in -o requirements/development.txt
	$(COMPILE) --upgrade requirements/lambda.in -o requirements/lambda.txt
	$(COMPILE) --upgrade --no-emit-package numpy requirements/distill.in -o requirements/distill.txt
	$(COMPILE) --upgrade --no-emit-package numpy --no-emit-package python-dateutil --no-emit-package six \
		requirements/promote.in -o requirements/promote.txt
	for tool in sam checkov supply-chain; do \
		$(COMPILE) --upgrade requirements/$$tool.in -o requirements/$$tool.txt || exit 1; done
