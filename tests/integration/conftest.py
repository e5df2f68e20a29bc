"""An account for each test, and one trained student for all of them."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from signalbox.dataset import examine
from signalbox.training import train
from tests.builders import labelled, task
from tests.integration.cloud import Cloud


@pytest.fixture(scope="session")
def student() -> bytes:
    """The artefact of an embedded student for the tests' task for weights."""
    records = examine([labelled()], task()).train
    examples = [(record.query, record.answer) for record in records if record.answer]
    trained = train(examples, task().output, task="clip-search", run_id="clip-search-000000000000")
    return trained.student.to_bytes()


@pytest.fixture
def cloud(student: bytes) -> Iterator[Cloud]:
    """The app, deployed and empty. In the end no handler may have crashed that the test does not know of."""
    with mock_aws(), Cloud(student).connected() as deployed:
        yield deployed
        assert deployed.crashes == []
