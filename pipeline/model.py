"""A model: a network in eval mode that knows how it was built and how its input is made."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, PlainSerializer

from pipeline.errors import CorruptFile, StageFailed, UsageError
from pipeline.plugin import Plugin, read
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

STRUCTURE = "model.json"
WEIGHTS = "weights.safetensors"


class Blueprint(Plugin):
    """How a network is rebuilt from data. Nothing is pickled."""

    role: ClassVar[str] = "blueprint"

    @abstractmethod
    def skeleton(self) -> nn.Module:
        """The float network with its final shapes and meaningless weights, in eval mode."""

    def build(self, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """The network that ``state`` belongs to, in eval mode."""
        module = self.skeleton()
        load_state(module, state)
        return module.eval()

    def unquantized(self) -> Blueprint:
        """The blueprint of the same network in float."""
        return self


def load_state(module: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Load tensors that a module of the same classes gave.

    They are marked with those classes' versions: unmarked ones count as ancient, and torchao's
    observers would replace the least scale among them by their own.
    """
    marked = OrderedDict(state)
    marked._metadata = module.state_dict()._metadata  # type: ignore[attr-defined]
    module.load_state_dict(marked)


def last_linear(module: nn.Module) -> tuple[str, nn.Linear]:
    """Name and layer that give the logits.

    Raises:
        StageFailed: there is no linear layer.
    """
    from torch import nn

    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise StageFailed("the network has no linear layer to train anew")
    return layers[-1]


def read_blueprint(data: Any) -> Blueprint:
    """A blueprint from its written form; the inverse of ``Blueprint.written``."""
    blueprint = data if isinstance(data, Blueprint) else read("blueprint", data, "blueprint")
    assert isinstance(blueprint, Blueprint)
    return blueprint


AnyBlueprint = Annotated[Blueprint, BeforeValidator(read_blueprint), PlainSerializer(lambda value: value.written())]


@dataclass(frozen=True)
class Model:
    """Weights never travel without their preprocessing.

    Attributes:
        module: in eval mode, on the CPU; maps x_NCHW, float32 unless ``spec`` says uint8, to logits_NK.
        blueprint: rebuilds ``module`` from ``state``.
        state: the tensors that are saved.
        spec: how an image becomes x_NCHW.
        classes: their order is the order of the logits.
        integer: int8 arithmetic is simulated exactly, in float.
    """

    module: nn.Module
    blueprint: Blueprint
    state: Mapping[str, torch.Tensor]
    spec: InputSpec
    classes: tuple[str, ...]
    integer: bool = False

    def logits_NK(self, x_NCHW: NDArray[np.float32], batch: int = 256) -> NDArray[np.float32]:
        """Answers of the module, computed in batches without gradients."""
        import numpy as np
        import torch

        with torch.inference_mode():
            parts = [self.module(part).numpy() for part in torch.from_numpy(x_NCHW).split(batch)]
        return np.concatenate(parts)

    def save(self, folder: Path) -> None:
        """Write the structure as JSON and the tensors as safetensors."""
        from safetensors.torch import save

        structure = {
            "blueprint": self.blueprint.written(),
            "spec": self.spec.model_dump(mode="json"),
            "classes": self.classes,
            "integer": self.integer,
        }
        (folder / STRUCTURE).write_text(json.dumps(structure, indent=1))
        # A copy of each tensor: safetensors refuses those that share memory. Written here and not
        # by safetensors, whose own error would hide that the disk is full.
        owned = {name: tensor.detach().clone().contiguous() for name, tensor in self.state.items()}
        (folder / WEIGHTS).write_bytes(save(owned))

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Rebuild what ``save`` wrote.

        Raises:
            CorruptFile: a file is missing or damaged, or the two do not belong together.
        """
        structure = _read_structure(folder / STRUCTURE)
        state = _read_state(folder / WEIGHTS)
        try:
            module = structure["blueprint"].build(state)
        except (RuntimeError, AttributeError) as error:
            raise CorruptFile(f"{folder / WEIGHTS} does not fit {STRUCTURE}: {str(error).splitlines()[0]}") from error
        return cls(module, state=state, **structure)


def _read_structure(path: Path) -> dict[str, Any]:
    """Every field of a model but the module and its state."""
    try:
        data = json.loads(path.read_text())
        return {
            "blueprint": read_blueprint(data["blueprint"]),
            "spec": InputSpec.model_validate(data["spec"]),
            "classes": tuple(data["classes"]),
            "integer": bool(data["integer"]),
        }
    except (OSError, ValueError, KeyError, TypeError, UsageError) as error:
        raise CorruptFile(f"{path} is missing or damaged: {str(error).splitlines()[0]}") from None


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CorruptFile(f"{path} is missing or damaged: {error}") from None
