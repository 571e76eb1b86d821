"""What every family promises, and the blueprint they share."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from pipeline.errors import DataError, UsageError
from pipeline.model import Blueprint, Model, last_linear
from pipeline.models.pretrained import PUBLISHED, Published, digest_of, put_into, read_state
from pipeline.spec import InputSpec, Positive
from pipeline.stage import NOTHING, Context, Stage, read_stage

if TYPE_CHECKING:
    from torch import nn

    from pipeline.models.pretrained import State

Shape = tuple[Positive, Positive, Positive]
Width = Annotated[float, Field(ge=0.1, le=2.0)]


class Architecture(Stage):
    """First stage of a recipe: a network for the study's images and classes.

    Attributes:
        weights: "" starts from random ones, "imagenet" from the family's published ones; anything
            else is a file: .safetensors, or a state dict that torch saved, perhaps as .xz. The last
            layer starts anew where its classes are other in number; the rest must fit exactly.
        mean: of the input's channels, as the weights were trained with; () is the family's published
            one with weights and colour images, else the data's.
        std: the same for the standard deviation.
    """

    takes: ClassVar[tuple[str, ...]] = (NOTHING,)
    normalization: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = ((), ())
    published_form: ClassVar[str] = ""
    weights: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Field(gt=0)], ...] = ()

    @abstractmethod
    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        """A freshly initialized network of x_NCHW of that shape, giving ``classes`` logits."""

    def published(self) -> Published | None:
        """Where the published weights for these fields are; None where there are none.

        ``published_form`` says for which fields there are, and ``normalization`` is theirs.
        """
        return None

    def adapted(self, state: State, own: State) -> State:
        """Weights under this family's names, where well-known files have others; ``own`` are its tensors."""
        return state

    @model_validator(mode="after")
    def _weights_are_known(self) -> Architecture:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std go together, one value a channel each")
        if self.weights == PUBLISHED and self.published() is None:
            only = f" but for {self.published_form}" if self.published_form else ""
            raise ValueError(f"no weights of {self.kind} are published{only}; give a file")
        return self

    def describe(self) -> dict[str, Any]:
        """A weights file counts by its content: the folder it is in matters not.

        Raises:
            UsageError: the file cannot be read.
        """
        described = super().describe()
        if self._file:
            digest = digest_of(self._file)
            described[self.kind] |= {"weights": self._file.name, "weights_sha256": digest}
        return described

    def __call__(self, value: None, context: Context) -> Model:
        import torch

        torch.manual_seed(context.seed)
        spec, classes = self.input(context.data.spec), context.data.classes
        # How a network is built does not depend on where its first weights came from.
        family = self.model_copy(update={"weights": "", "mean": (), "std": ()})
        blueprint = Network(family=family, shape=spec.shape, classes=len(classes))
        module = blueprint.skeleton()
        if self.weights:
            state = self.adapted(self._state(spec), module.state_dict())
            put_into(module, state, str(self._file or self.weights), self.kind)
        return Model(module, blueprint, module.state_dict(), spec, classes)

    def input(self, spec: InputSpec) -> InputSpec:
        """The data's pixels, normalized as the weights need it.

        Raises:
            UsageError: mean and std are not for these images.
        """
        mean, std = self.mean, self.std
        if self.weights and not mean and len(self.normalization[0]) == spec.channels:
            mean, std = self.normalization
        if not mean:
            return spec
        if len(mean) != spec.channels:
            count = f"{len(mean)} value{'s' * (len(mean) > 1)}"
            raise UsageError(f"{self.kind}: mean and std have {count}, but the images are {spec.color}")
        return InputSpec.model_validate({**spec.model_dump(), "mean": mean, "std": std})

    def outputs(self, spec: InputSpec) -> int:
        """How many classes its weights tell apart; 0 where it has none, or they do not say.

        Raises:
            UnavailableError: the weights cannot be had.
        """
        if not self.weights:
            return 0
        module = Network(family=self.model_copy(update={"weights": ""}), shape=spec.shape, classes=2).skeleton()
        head = f"{last_linear(module)[0]}.weight"
        return len(self.adapted(self._state(spec), module.state_dict()).get(head, ()))

    @property
    def _file(self) -> Path | None:
        return Path(os.path.expandvars(self.weights)).expanduser() if self.weights not in ("", PUBLISHED) else None

    def _state(self, spec: InputSpec) -> State:
        published = self.published()
        if self._file or published is None:
            return read_state(self._file or Path(self.weights))
        if spec.color != "RGB":
            cause = f"{self.kind}: the published weights are for colour images, but the data's are grey"
            raise DataError(cause, "use colour images, or train from random weights")
        return published.state()


AnyArchitecture = Annotated[
    Architecture,
    BeforeValidator(lambda data: data if isinstance(data, Architecture) else read_stage(data, "family")),
    PlainSerializer(lambda value: value.written()),
]


class Network(Blueprint):
    """A family's network for one shape of input and so many classes.

    Attributes:
        family: the model family with its fields.
        shape: (C, H, W) of the input image.
        classes: how many logits.
    """

    family: AnyArchitecture
    shape: Shape
    classes: Positive

    def skeleton(self) -> nn.Module:
        return prepared(self.family.network(self.shape, self.classes)).eval()


def prepared(module: nn.Module) -> nn.Module:
    """Make a network fit for short training and for graph capture, in place.

    BatchNorm momentum becomes 0.1 (torchvision's MobileNetV3 has 0.01, whose running
    statistics are still wrong after a few hundred steps), and activations stop working in
    place, which the captured graph would have to undo.
    """
    from torch import nn

    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.1
        if hasattr(layer, "inplace"):
            layer.inplace = False  # type: ignore[assignment]
    return module


def scaled(channels: int, width: float, step: int = 8) -> int:
    """Channels times a width multiplier, as a multiple of ``step`` that loses less than a tenth.

    The rule of MobileNetV2 (Sandler et al., 2018).

    >>> scaled(32, 1.0), scaled(24, 0.5), scaled(16, 0.1), scaled(32, 0.35)
    (32, 16, 8, 16)
    """
    wanted = channels * width
    nearest = max(step, int(wanted + step / 2) // step * step)
    return nearest if nearest >= 0.9 * wanted else nearest + step
