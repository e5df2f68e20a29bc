"""Settings of every test."""

import os

import pytest
from hypothesis import settings

from signalbox.dataset import examine
from signalbox.training import train
from tests.builders import labelled, task

# The same examples on every run and machine; no limit on the time of one, since the machine may be busy.
settings.register_profile("reproducible", deadline=None, derandomize=True, database=None)
settings.load_profile("reproducible")

# Powertools reads these when it is imported; template.yaml sets them for every function.
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "Signalbox")
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "tests")


@pytest.fixture(scope="session")
def student() -> bytes:
    """The artefact of an embedded student for the tests' task for weights."""
    records = examine([labelled()], task()).train
    examples = [(record.query, record.answer) for record in records if record.answer]
    trained = train(examples, task().output, task="clip-search", run_id="clip-search-000000000000")
    return trained.student.to_bytes()
