"""A runtime opens an artifact and answers; a session is one opened file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Artifact
from pipeline.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Session = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Runtime(Plugin):
    """Runs artifacts of one format.

    Attributes:
        format: what it opens.
        package: the distribution whose version belongs in a record.
    """

    role: ClassVar[str] = "runtime"
    format: ClassVar[str]
    package: ClassVar[str]

    @abstractmethod
    def open(self, artifact: Artifact, threads: int) -> Session:
        """A function from x_NCHW float32 to logits_NK float32 that uses ``threads`` threads.

        Raises:
            UnavailableError: the runtime cannot open the file.
        """


def torch_session(module: Callable[[torch.Tensor], torch.Tensor], threads: int) -> Session:
    """A session of a PyTorch module; PyTorch's thread count is the process's, so it is set each call."""
    import torch

    def session(x_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            return module(torch.from_numpy(x_NCHW)).numpy()

    return session
