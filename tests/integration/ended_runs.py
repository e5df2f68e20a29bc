"""Runs that went through the app to their ends."""

from signalbox.run import Run, State
from tests.builders import labelled, truth, weights_text
from tests.integration.cloud import Cloud

WRONG = weights_text(0.1, 0.1, 0.8)
"""An answer that is far from the truth about most queries."""


def promoted(cloud: Cloud) -> Run:
    """Bring a run to its end, live."""
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.PROMOTED
    return run


def held(cloud: Cloud) -> Run:
    """Bring a run to its end, held for its answers."""
    cloud.bedrock.says = lambda model, prompt, query: WRONG if "deployment/" in model else truth(query)
    run = cloud.finish(cloud.drop(labelled()))
    cloud.bedrock.says = lambda model, prompt, query: truth(query)
    assert run.state is State.HELD
    return run
