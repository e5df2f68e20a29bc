"""What goes to Lambda, as requirements/ pins it."""

import re
from pathlib import Path

from packaging.markers import Marker

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
ARTEFACTS = {"lambda": "CommonLayer", "distill": "DistillFunction", "promote": "PromoteFunction"}
"""By requirements file: the layer or function that it is built into."""
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)(?: ; ([^\\]+))?", re.M)
_LAMBDA = {
    "python_version": "3.13",
    "python_full_version": "3.13.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "aarch64",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
}


def pinned(name: str) -> dict[str, str]:
    """Return the versions of the distributions that a requirements file pins for Lambda, by normalised name."""
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    return {
        re.sub(r"[-_.]+", "-", distribution).lower(): version
        for distribution, version, marker in _PIN.findall(text)
        if not marker or Marker(marker.strip()).evaluate(_LAMBDA)
    }
