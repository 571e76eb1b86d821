"""What every family promises, and the blueprint they share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BeforeValidator, PlainSerializer

from pipeline.model import Blueprint, Model
from pipeline.spec import Positive
from pipeline.stage import NOTHING, Context, Stage, read_stage

if TYPE_CHECKING:
    from torch import nn


class Architecture(Stage):
    """First stage of a recipe: an untrained network for the study's images and classes."""

    takes: ClassVar[tuple[str, ...]] = (NOTHING,)

    @abstractmethod
    def network(self, channels: int, classes: int) -> nn.Module:
        """A freshly initialized network of x_NCHW, C = ``channels``, giving ``classes`` logits."""

    def __call__(self, value: None, context: Context) -> Model:
        import torch

        torch.manual_seed(context.seed)
        spec, classes = context.data.spec, context.data.classes
        blueprint = Network(family=self, channels=spec.channels, classes=len(classes))
        module = blueprint.skeleton()
        return Model(module, blueprint, module.state_dict(), spec, classes)


AnyArchitecture = Annotated[
    Architecture,
    BeforeValidator(lambda data: data if isinstance(data, Architecture) else read_stage(data, "family")),
    PlainSerializer(lambda value: value.written()),
]


class Network(Blueprint):
    """A family's network for so many input channels and classes.

    Attributes:
        family: the model family with its fields.
        channels: of the input image.
        classes: how many logits.
    """

    family: AnyArchitecture
    channels: Positive
    classes: Positive

    def skeleton(self) -> nn.Module:
        return prepared(self.family.network(self.channels, self.classes)).eval()


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
