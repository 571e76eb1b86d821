"""Ours: channels of least magnitude removed to half the MACs, in ONNX Runtime."""

from __future__ import annotations

from benchmarks.peers.ours import ENVIRONMENT as ENVIRONMENT
from benchmarks.peers.ours import PACKAGES as PACKAGES
from benchmarks.peers.ours import make as make
from benchmarks.peers.ours import open as open
from benchmarks.peers.peer import PRUNED

TITLE = "edgewright pruned, ONNX Runtime"
PRECISIONS = (PRUNED,)
