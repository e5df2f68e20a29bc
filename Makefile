##### Template, artefacts and requirements ######################################################################

# AWS SAM CLI: its pins conflict with those of development, so it lives in an environment of its own.
SAM_VENV = .venv-sam
SAM = SAM_CLI_TELEMETRY=0 PYTHON=$(CURDIR)/$(SAM_VENV)/bin/python $(SAM_VENV)/bin/sam
COMPILE = .venv/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-header --no-emit-index-url --no-emit-find-links

$(SAM_VENV)/installed: requirements/sam.txt
	python3 -m venv --clear $(SAM_VENV)
	$(SAM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sam.txt
	touch $@

.PHONY: lint
lint: setup validate ## code, template and requirements
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/cfn-lint
	! grep -nE 'index-url|find-links|trusted-host|://' requirements/*

.PHONY: validate
validate: $(SAM_VENV)/installed ## the template, as SAM sees it
	$(SAM) validate --lint

.PHONY: build
build: $(SAM_VENV)/installed ## what `sam deploy` uploads, into .aws-sam/
	$(SAM) build

.PHONY: sizes
sizes: setup ## unzipped size of each built function with its layer
	.venv/bin/python .ci/sizes.py

.PHONY: requirements
requirements: setup ## pin anew, to the newest versions that go together
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(COMPILE) --upgrade requirements/development.in -o requirements/development.txt
	$(COMPILE) --upgrade requirements/lambda.in -o requirements/lambda.txt
	$(COMPILE) --upgrade --no-emit-package numpy requirements/distill.in -o requirements/distill.txt
	$(COMPILE) --upgrade requirements/sam.in -o requirements/sam.txt
