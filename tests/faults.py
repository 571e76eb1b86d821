"""Disks that fill up and bits that flip."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


def full(*_args: Any, **_kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def failing_at(name: str, index: int) -> Iterator[mock.Mock]:
    """``os.<name>`` works until its call number ``index``, which finds the disk full."""
    real: Callable[..., Any] = getattr(os, name)

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        return full() if double.call_count == index + 1 else real(*args, **kwargs)

    with mock.patch.object(os, name, side_effect=sometimes) as double:
        yield double


def flip_bit(path: Path, position: int) -> None:
    """Flip one bit of a file; ``position`` may be any number."""
    content = bytearray(path.read_bytes())
    byte, bit = divmod(position % (8 * len(content)), 8)
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` by its relative name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
