"""Runtimes, one a file: an artifact in, a session out."""
