"""What handlers called beside what their roles allow, both ways."""

from collections.abc import Mapping, Sequence

from tests.privileges.accesses import Access, accesses_of_keys, accesses_of_service
from tests.privileges.grants import Grant, grants
from tests.unit.template.stack import Stack

Accesses = Mapping[str, Sequence[Access]]


def of_services(stack: Stack, called: Accesses) -> dict[str, list[Access]]:
    """Return what was asked of IAM by function: by the code, by Lambda, and by the services that encrypt."""
    asked = {
        function: [*own, *accesses_of_service(stack, f"{function.capitalize()}Function")]
        for function, own in called.items()
    }
    return {
        function: [*those, *(key for each in those for key in accesses_of_keys(stack, each))]
        for function, those in asked.items()
    }


def not_allowed(stack: Stack, asked: Accesses) -> list[str]:
    """Return each access that no policy of its function's role covers."""
    return [
        f"{function}: {access}"
        for function, those in asked.items()
        for access in those
        if not any(grant.allows(access) for grant in _of(stack, function))
    ]


def never_called(stack: Stack, asked: Accesses) -> dict[tuple[str, str], Grant]:
    """Return each grant, one action on one named resource, that no access made use of: by function and action."""
    return {
        (function, grant.action): grant
        for function, those in asked.items()
        for grant in _of(stack, function)
        if not any(grant.allows(access) for access in those)
    }


def _of(stack: Stack, function: str) -> list[Grant]:
    return list(grants(stack, f"{function.capitalize()}Role"))
