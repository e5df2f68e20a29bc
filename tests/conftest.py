"""Settings of every test."""

import os

from hypothesis import settings

# The same examples on every run and machine; no limit on the time of one, since the machine may be busy.
settings.register_profile("reproducible", deadline=None, derandomize=True, database=None)
settings.load_profile("reproducible")

# Powertools reads these when it is imported; template.yaml sets them for every function.
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "Signalbox")
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "tests")
