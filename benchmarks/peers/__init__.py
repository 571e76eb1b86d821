"""The same work done by what a user would pick instead, measured beside ours in one run.

Each peer is one file, runs in an environment of its own (``requirements/``), and is spoken to
through ``server.py``; ``python -m benchmarks.peers`` does it all.
"""
