"""The environment of a function, read when a value is first needed and never at import."""

import os


class SettingsError(RuntimeError):
    """A function lacks an environment variable that template.yaml should have given it."""


def setting(name: str) -> str:
    """Return an environment variable.

    Raises
    ------
    SettingsError
        If template.yaml does not set it for this function.
    """
    try:
        return os.environ[name]
    except KeyError:
        raise SettingsError(
            f"the environment variable {name} is not set; template.yaml should set it"
        ) from None
