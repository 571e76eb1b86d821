"""Processes that should end."""

from __future__ import annotations

import time

import psutil


def gone(pid: int, limit_s: float) -> bool:
    """Whether a process ends in so many seconds."""
    end = time.monotonic() + limit_s
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
