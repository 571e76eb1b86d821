"""Measurements of this project itself; run one with ``python -m benchmarks.NAME``."""
