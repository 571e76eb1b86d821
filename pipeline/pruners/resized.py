"""A network with fewer channels, and the surgery that makes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import StageFailed
from pipeline.model import AnyBlueprint, Blueprint, Model
from pipeline.pruners.groups import Groups
from pipeline.spec import Positive

if TYPE_CHECKING:
    import torch
    from torch import nn

    Kept = Mapping[int, torch.Tensor]  # space -> numbers of its channels

PER_CHANNEL = ("weight", "bias", "running_mean", "running_var")


class Resized(Blueprint):
    """Another blueprint's network with other widths.

    Attributes:
        of: the blueprint of the network before pruning.
        widths: (outputs, inputs) of every layer that differs, by its name.
    """

    of: AnyBlueprint
    widths: Mapping[str, tuple[Positive, Positive]]

    def skeleton(self) -> nn.Module:
        module = self.of.skeleton()
        for name, (outputs, inputs) in self.widths.items():
            resize(module.get_submodule(name), outputs, inputs)
        return module.eval()


def resized(blueprint: Blueprint, widths: Mapping[str, tuple[int, int]]) -> Resized:
    """The blueprint of a network with these widths; one that is resized already gets others."""
    if isinstance(blueprint, Resized):
        return Resized(of=blueprint.of, widths={**blueprint.widths, **widths})
    return Resized(of=blueprint, widths=widths)


def resize(layer: nn.Module, outputs: int, inputs: int) -> None:
    """Give one layer other widths, in place; its weights lose their meaning."""
    from torch import nn

    def fresh(tensor: torch.Tensor | None, *shape: int) -> nn.Parameter | None:
        return None if tensor is None else nn.Parameter(tensor.new_zeros(shape))

    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        layer.__init__(outputs, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)  # type: ignore[misc]
    elif isinstance(layer, nn.Conv2d):
        if layer.groups == layer.in_channels:  # depthwise
            layer.groups = inputs
        layer.out_channels, layer.in_channels = outputs, inputs
        weight = fresh(layer.weight, outputs, inputs // layer.groups, *layer.kernel_size)
        layer.weight, layer.bias = weight, fresh(layer.bias, outputs)  # type: ignore[assignment]
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = outputs, inputs
        layer.weight = fresh(layer.weight, outputs, inputs)  # type: ignore[assignment]
        layer.bias = fresh(layer.bias, outputs)  # type: ignore[assignment]
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters, layer.weight = outputs, fresh(layer.weight, outputs)  # type: ignore[assignment]


def pruned(value: Model, groups: Groups, kept: Kept) -> Model:
    """The model with only these channels of the spaces named; itself where they are all."""
    state, widths = operate(value.state, groups, kept)
    if not widths:
        return value
    blueprint = resized(value.blueprint, widths)
    return replace(value, module=blueprint.build(state), blueprint=blueprint, state=state)


def operate(
    state: Mapping[str, torch.Tensor], groups: Groups, kept: Kept
) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, int]]]:
    """Cut a network's tensors down to the kept channels.

    Args:
        kept: the channels to keep of each pruned space, as ``ranking.choose`` finds them; other spaces stay whole.

    Returns:
        the new state, and (outputs, inputs) of every layer whose shape changed.

    Raises:
        StageFailed: with these channels the network's shuffles and groups do not work out.
    """
    from pipeline.pruners._flow import Misfit
    from pipeline.pruners._slots import origins, sources

    try:
        flow, origin = origins(groups, kept)
    except Misfit as misfit:
        raise StageFailed(f"these channels of {misfit} cannot be kept without the others") from None
    whole, smaller, widths = groups.flow({}).uses, dict(state), {}
    for name, use in flow.uses.items():
        before = whole[name]
        out = sources(before.makes, origin[use.makes])
        into = None if use.reads is None or before.reads is None else sources(before.reads, origin[use.reads])
        for tensor in (f"{name}.{suffix}" for suffix in PER_CHANNEL if f"{name}.{suffix}" in state):
            smaller[tensor] = _cut(state[tensor], out, into, use.groups)
        if (len(out), use.inputs) != (len(before.makes), before.inputs):
            widths[name] = (len(out), use.inputs)
    return smaller, widths


def _cut(tensor: torch.Tensor, out: torch.Tensor, into: torch.Tensor | None, groups: int) -> torch.Tensor:
    """The kept rows, and of a weight the kept columns, which each group of rows has of its own."""
    import torch

    cut = tensor[out]
    if into is None or tensor.ndim < 2:
        return cut
    return torch.cat(
        [
            rows[:, columns % tensor.shape[1]]
            for rows, columns in zip(cut.chunk(groups), into.chunk(groups), strict=True)
        ]
    )
