"""Int8 weights, and activations that are quantized when they come: for networks of linear layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import UsageError
from pipeline.model import AnyBlueprint, Blueprint, Model, load_state
from pipeline.plugin import did_you_mean
from pipeline.stage import INT8, Context, Stage

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

MOST_CONVOLUTIONS = 0.5  # of the MACs
LARGEST = 127


class Dynamic(Stage):
    """Dynamic int8: weights stored as int8, activations quantized at run time; for networks of linear layers.

    Needs no images: every image's activations have the range that they happen to have.

    Attributes:
        portable: weights on which no processor saturates: x86 without VNNI answers the same.
        floats: names of linear layers that stay float.
    """

    gives: ClassVar[str] = INT8
    portable: bool = False
    floats: tuple[str, ...] = ()

    def __call__(self, value: Model, context: Context) -> Model:
        from pipeline.folding import folded
        from pipeline.quantizers._calibration import refuse_infinite

        refuse_convolutions(value)
        network = folded(value.module)
        refuse_infinite(network)
        refuse_unknown(self.floats, linear_layers(network))
        blueprint = Dynamically(of=value.blueprint, floats=self.floats, portable=self.portable)
        state = network.state_dict()
        return replace(value, module=blueprint.build(state), blueprint=blueprint, state=state, integer=True)


class Dynamically(Blueprint):
    """Another blueprint's network with linear layers of int8.

    ``state`` is that of the folded float network; its weights are rounded when it is built.

    Attributes:
        of: the blueprint of the float network.
        floats: names of linear layers that stay float.
        portable: see ``Dynamic``.
    """

    of: AnyBlueprint
    floats: tuple[str, ...] = ()
    portable: bool = False

    def skeleton(self) -> fx.GraphModule:
        from pipeline.folding import folded

        return folded(self.of.skeleton())

    def build(self, state: Mapping[str, torch.Tensor]) -> nn.Module:
        network = self.skeleton()
        load_state(network, state)
        for name, layer in linear_layers(network).items():
            if name not in self.floats:
                network.set_submodule(name, rounded(layer, self.portable))
        return network.eval()

    def unquantized(self) -> Blueprint:
        return self.of.unquantized()


def refuse_convolutions(value: Model) -> None:
    """Int8 that leaves most of the work float would disappoint.

    Raises:
        UsageError: most multiply-accumulates are those of convolutions.
    """
    from pipeline.measure.size import convolution_share

    share = convolution_share(value.blueprint, value.spec)
    if share > MOST_CONVOLUTIONS:
        raise UsageError(
            f"Dynamic quantizes linear layers, but {100 * share:.1f} % of this network's MACs are convolutions, "
            "which would stay float",
            "use PostTraining, which quantizes both",
        )


def linear_layers(network: nn.Module) -> dict[str, nn.Linear]:
    """Those that int8 takes, by name."""
    from torch import nn

    return {name: layer for name, layer in network.named_modules() if type(layer) is nn.Linear}


def refuse_unknown(floats: Collection[str], layers: Collection[str]) -> None:
    """Nothing would be left to quantize, or a name is none.

    Raises:
        UsageError: one of these.
    """
    for name in floats:
        if name not in layers:
            cause = f"Dynamic.floats: there is no linear layer {name!r}{did_you_mean(name, layers)}"
            raise UsageError(cause, f"one of: {', '.join(layers)}")
    if len(layers) == len(floats):
        raise UsageError("Dynamic would quantize nothing: every linear layer stays float", "leave names out of floats")


def rounded(layer: nn.Linear, portable: bool) -> nn.Module:
    """The layer in int8, each output's weights on a symmetric grid of their own."""
    import torch

    from pipeline._dynamic_linear import DynamicLinear
    from pipeline.quantizers._annotation import weight_steps

    with torch.no_grad():
        scale_K = weight_steps(layer.weight, portable)
        weight_KF = torch.round(layer.weight / scale_K[:, None]).clamp(-LARGEST, LARGEST).to(torch.int8)
        bias_K = torch.zeros_like(scale_K) if layer.bias is None else layer.bias.clone()
    return DynamicLinear(weight_KF, scale_K, bias_K)
