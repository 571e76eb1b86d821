"""Silence for libraries that talk about their own insides."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

# PyTorch's exporters, what torchao says of PyTorch when it is imported, and ONNX Runtime's quantizer, which
# talks to the root.
_LOGGERS = ("root", "torch.onnx", "torch.utils._pytree", "torchao", "onnxscript")


STDERR = 2


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Nothing on stderr, from Python or from below it, where native runtimes tell what processor they found."""
    kept = os.dup(STDERR)
    try:
        with Path(os.devnull).open("wb") as nowhere, contextlib.redirect_stderr(io.StringIO()):
            os.dup2(nowhere.fileno(), STDERR)
            yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """No warnings, log lines or prints from PyTorch and ONNX Runtime's tools inside the block.

    They concern the libraries' own deprecations and progress; errors still raise. A library that configures
    everybody's logging when it is imported does not find it unconfigured.
    """
    configured = logging.NullHandler()
    logging.root.addHandler(configured)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.removeHandler(configured)
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
