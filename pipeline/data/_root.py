"""Where data sets and what is remembered about them lie; how a missing one is fetched."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from tarfile import TarError

from pipeline.errors import DataError

DATA, CACHE = "EDGEWRIGHT_DATA", "EDGEWRIGHT_CACHE"
HOME = Path("~/.cache/edgewright")
PATIENCE_S = 30.0


def data_root() -> Path:
    """The folder that holds one folder a data set: ``$EDGEWRIGHT_DATA``, or one in the home folder."""
    return Path(os.environ.get(DATA) or HOME / "data").expanduser()


def cache_root() -> Path:
    """Where what was found out is kept, of images and of this machine: ``$EDGEWRIGHT_CACHE``, or the home folder's."""
    return Path(os.environ.get(CACHE) or HOME).expanduser()


def fetch(name: str, download: Callable[[], object], fix: str) -> None:
    """Download a data set that is not there.

    Args:
        fix: what to put where by hand, for the message.

    Raises:
        DataError: it cannot be downloaded, or not be written.
    """
    try:
        with _patience():
            download()
    except (OSError, RuntimeError, EOFError, HTTPException, TarError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise DataError(f"{name} is not there and cannot be downloaded: {why}", fix) from None


@contextmanager
def _patience() -> Iterator[None]:
    """A server that is silent for half a minute counts as absent; urllib would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
