"""An account for each test."""

from collections.abc import Iterator

import pytest

from tests.integration.cloud import Cloud
from tests.quick_moto import quick_aws


@pytest.fixture
def cloud(student: bytes) -> Iterator[Cloud]:
    """The app, deployed and empty. In the end no handler may have crashed that the test does not know of."""
    with quick_aws(), Cloud(student).connected() as deployed:
        yield deployed
        assert deployed.crashes == []
