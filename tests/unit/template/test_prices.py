"""What a query is priced by is what template.yaml deploys."""

from signalbox.cost import ROUTE_MEMORY_MB
from tests.unit.template.stack import Stack


def test_the_route_function_has_the_memory_that_queries_are_priced_by(stack: Stack) -> None:
    route = stack["RouteFunction"]
    assert route["MemorySize"] == ROUTE_MEMORY_MB
    assert route["Architectures"] == ["arm64"]
