"""Measurements of Signalbox on one machine: `make bench`. Nothing here fails for being slow."""
