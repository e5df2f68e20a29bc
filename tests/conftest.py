"""Settings of every test."""

from hypothesis import settings

# The same examples on every run and machine; no limit on the time of one, since the machine may be busy.
settings.register_profile("reproducible", deadline=None, derandomize=True, database=None)
settings.load_profile("reproducible")
