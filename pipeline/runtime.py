"""A runtime opens an artifact and answers; a session is one opened file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from pydantic import BeforeValidator, PlainSerializer

from pipeline.artifact import Artifact, Manifest
from pipeline.plugin import Plugin, read
from pipeline.processor import saturates

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Session = Callable[[NDArray[Any]], NDArray[np.float32]]


@runtime_checkable
class SelfTimed(Protocol):
    """A session that times its own calls, as they take a way here that is not the runtime's doing."""

    def timer(self, x_NCHW: NDArray[Any], /) -> Callable[[int], Sequence[float]]:
        """From a number of calls with this input to the milliseconds of each, of the runtime alone."""
        ...


class Kernel(NamedTuple):
    """One operator that a runtime ran.

    Attributes:
        name: of the graph's node it was made from. kernel: what ran, as the runtime calls it.
        ms: the mean of the faster half of several calls, as profiles count whole microseconds.
        integer: it computes with integers, or moves them.
    """

    name: str
    kernel: str
    ms: float
    integer: bool = False


class Port(NamedTuple):
    """One input or output of a file: its sizes, None where any, and its kind of numbers, as numpy calls it."""

    shape: tuple[int | None, ...]
    dtype: str


class Ports(NamedTuple):
    """What a file takes and gives; no outputs where it does not say."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...] = ()


class Runtime(Plugin):
    """Runs artifacts of one format, or of several that hold the same.

    Attributes:
        format: what it opens. formats: others that it opens too.
        package: what it is called in a record, a distribution's name.
        apart: it works in a program of its own beside this process, such as a browser. ``edgewright bench`` measures
            on it where it is named only, and how it starts and what memory it holds is not known from this process.
    """

    role: ClassVar[str] = "runtime"
    format: ClassVar[str]
    formats: ClassVar[tuple[str, ...]] = ()
    package: ClassVar[str]
    apart: ClassVar[bool] = False

    @classmethod
    def releases(cls) -> Mapping[str, str]:
        """Versions that belong in a record, by name; what is not installed is left out."""
        try:
            return {cls.package: version(cls.package)}
        except PackageNotFoundError:
            return {}

    @classmethod
    def opens(cls, format_: str) -> bool:
        """Whether it is for files of that format."""
        return format_ == cls.format or format_ in cls.formats

    def refusal(self, manifest: Manifest) -> str:
        """Why it would not give this file's answers on this processor; "" where it would."""
        return ""

    @abstractmethod
    def open(self, artifact: Artifact, threads: int) -> Session:
        """A function from x_NCHW, as the artifact's input makes it, to logits_NK float32; uses ``threads`` threads.

        Raises:
            UnavailableError: the runtime cannot open the file.
        """

    def ports(self, path: Path) -> Ports | None:
        """What somebody's file takes and gives; None where files of this format do not say.

        Raises:
            UnavailableError: the runtime cannot open the file.
        """
        return None

    def profile(self, artifact: Artifact, x_NCHW: NDArray[np.float32], threads: int) -> tuple[Kernel, ...]:
        """Each operator's time, from the runtime's own profile; nothing where it keeps none."""
        return ()


def _read_runtime(data: Any) -> Any:
    return data if isinstance(data, Runtime) else read("runtime", data, "runtime")


# A field that is a runtime, in YAML by its name.
AnyRuntime = Annotated[Runtime, BeforeValidator(_read_runtime), PlainSerializer(lambda value: value.written())]


def torch_session(module: Callable[[torch.Tensor], torch.Tensor], threads: int) -> Session:
    """A session of a PyTorch module; PyTorch's thread count is the process's, so it is set each call."""
    import torch

    def session(x_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            return module(torch.from_numpy(x_NCHW)).numpy()

    return session


def saturating(manifest: Manifest) -> str:
    """The refusal of a runtime that has no exact kernels for processors without VNNI; "" where it needs none."""
    if not manifest.integer or manifest.portable or not saturates():
        return ""
    return "this processor has no VNNI, and int8 kernels saturate; quantize with `portable: true` to have it here too"
