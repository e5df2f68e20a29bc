"""The stack as it is by default, and as it is with a key of one's own."""

import pytest

from tests.unit.template.stack import KMS_KEY_ARN, Stack


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The stack with every parameter at its default."""
    return Stack()


@pytest.fixture(scope="session")
def stack_with_key() -> Stack:
    """The stack with a KMS key of the account's own."""
    return Stack(KmsKeyArn=KMS_KEY_ARN)
