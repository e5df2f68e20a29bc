"""Signalbox: from a dataset dropped into S3 to a small, fast, evaluated query router behind an API."""
