# Installs pinned wheels for Lambda (arm64, Python 3.13), whatever machine and Python this is.
PYTHON ?= python3
REQUIREMENTS = ../../requirements
INSTALL = $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-warn-conflicts \
	--platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 \
	--implementation cp --python-version 3.13 --only-binary=:all: --no-deps --no-compile --require-hashes

# Tests, type stubs, command-line scripts and their manuals of a folder of packages: no function imports them.
define trim
	rm -rf "$(1)/bin" "$(1)/share"
	find "$(1)" -type d -name tests -prune -exec rm -rf {} +
	find "$(1)" -type f \( -name '*.pyi' -o -name conftest.py -o -name 'test_*.py' \) -delete
	find "$(1)" -type d -name __pycache__ -prune -exec rm -rf {} +
endef

# A function that brings packages of its own, pinned under its name.
define package
	$(INSTALL) --target "$(ARTIFACTS_DIR)" -r $(REQUIREMENTS)/$(1).txt
	cp app.py "$(ARTIFACTS_DIR)/"
	$(call trim,$(ARTIFACTS_DIR))
endef

# Lambda cannot keep the bytecode that it makes, so what comes without it is compiled at every cold start. Only the
# Python that will run it can make it; where there is none, the build goes on without.
PYTHON_OF_LAMBDA ?= python3.13
define compile
	@if $(PYTHON_OF_LAMBDA) -c '' 2>/dev/null; \
	then $(PYTHON_OF_LAMBDA) -m compileall -q --invalidation-mode unchecked-hash "$(1)"; \
	else echo "no $(PYTHON_OF_LAMBDA) here: the functions start slower, since each cold start compiles its modules" >&2; fi
endef
