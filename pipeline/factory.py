"""A network that somebody's own code makes: found by its name, called once, and written as ONNX."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UnavailableError, UsageError
from pipeline.files import write_files
from pipeline.models.architecture import Architecture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
FORM = "give package.module:function, of a function that needs no arguments and returns a torch.nn.Module"
CHECKED = 4  # inputs on which the file has to answer as the network


def is_factory(text: str) -> bool:
    """
    >>> is_factory("package.module:function"), is_factory("net.onnx"), is_factory("c:/net.onnx")
    (True, False, False)
    """
    return NAME.fullmatch(text) is not None


def called(text: str, seed: int = 0) -> nn.Module | Architecture:
    """What the function gives: a network, or a family of ours with its fields.

    Raises:
        UsageError: it cannot be found, raises, or gives something else.
    """
    import torch
    from torch import nn

    function = _found(text)
    torch.manual_seed(seed)
    try:
        made = function()
    except Exception as error:  # somebody else's code
        raise UsageError(f"{text} raised {_told(error)}", FORM) from error
    if isinstance(made, Architecture):
        return made
    if not isinstance(made, nn.Module):
        raise UsageError(f"{text} gives a {type(made).__name__}, no network", FORM)
    return made.eval().cpu().float()


def _found(text: str) -> Callable[[], Any]:
    module, _, name = text.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` would
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise UsageError(f"{module} cannot be imported: {error}", f"run where it can be; {FORM}") from error
    except AttributeError:
        raise UsageError(f"{module} has no {name}", FORM) from None
    except Exception as error:  # somebody else's code
        raise UsageError(f"importing {module} raised {_told(error)}", FORM) from error
    if not callable(found):
        raise UsageError(f"{text} is a {type(found).__name__}, no function", FORM)
    function: Callable[[], Any] = found
    return function


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0][:200]}"


def write_network(module: nn.Module, shape: tuple[int, int, int], path: Path, text: str) -> None:
    """Write the network as ONNX, and check that the file answers as it does.

    Args:
        shape: (C, H, W) of one image. text: how it was asked for, for messages.

    Raises:
        UsageError: it does not take such an image, or gives no row of numbers.
        UnavailableError: it cannot be exported.
        ParityMiss: the file gives other answers.
    """
    import tempfile

    import numpy as np

    from pipeline.exporters.onnx import write_module
    from pipeline.measure.parity import check_parity, compare_logits
    from pipeline.quantizers.onnx_file import as_written
    from pipeline.quantizers.onnx_read import read_float

    x_NCHW = np.random.default_rng(0).standard_normal((CHECKED, *shape), dtype=np.float32)
    wanted_NK = _answers(module, x_NCHW, text)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        try:
            write_module(module, shape, draft)
        except Exception as error:  # whatever the network holds that cannot be captured
            cause = f"{text} cannot be exported to ONNX: {_told(error)}"
            raise UnavailableError(cause, "export it yourself, and give the file") from error
        check_parity(compare_logits(wanted_NK, as_written(read_float(draft), x_NCHW)), False, f"exporting {text}")
        write_files(path.parent, {path.name: draft.read_bytes()})


def _answers(module: nn.Module, x_NCHW: NDArray[np.float32], text: str) -> NDArray[np.float32]:
    import torch

    size = "×".join(map(str, (1, *x_NCHW.shape[1:])))
    try:
        with torch.no_grad():
            found = [module(one) for one in torch.from_numpy(x_NCHW).split(1)]
    except Exception as error:  # somebody else's code
        raise UsageError(f"{text} does not take {size}: {_told(error)}", "say the size with --input CxHxW") from error
    if not all(isinstance(one, torch.Tensor) and one.ndim == 2 and len(one) == 1 for one in found):
        what = f"a tensor of {tuple(found[0].shape)}" if isinstance(found[0], torch.Tensor) else type(found[0]).__name__
        raise UsageError(f"{text} gives {what} for {size}; a classifier gives 1×K, K numbers", FORM)
    answers_NK: NDArray[np.float32] = torch.cat(found).numpy()
    return answers_NK
