"""Cross-layer equalization: the same function with weights and activations of more equal ranges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import fx, nn
from torch.nn import functional as F

SWEEPS = 40  # a change of one pair moves its neighbours; to a per cent in the longest chains
NEGLIGIBLE = 1e-4  # of the largest: a filter of zeros has no range to share, only a bias that would grow
MOST = 100.0  # a channel is scaled by at most this, and at least its inverse, in a sweep


class Pair(NamedTuple):
    """Two convolutions, of which only the second reads the first."""

    first: nn.Conv2d
    second: nn.Conv2d


def equalized(module: fx.GraphModule) -> fx.GraphModule:
    """Scale channels between neighbouring convolutions until both use their ranges alike, in place.

    ReLU(s·x) = s·ReLU(x) for s > 0, so what the first layer divides, the second multiplies
    (Nagel et al., 2019, section 4.1). Only where nothing or a ReLU stands between the two: ReLU6 and
    hard-swish do not commute with a scale.

    Args:
        module: traced, with BatchNorm folded; each layer is called once.
    """
    pairs = list(_pairs(module))
    with torch.no_grad():
        for _ in range(SWEEPS):
            for pair in pairs:
                _equalize(pair)
    return module


def _pairs(module: fx.GraphModule) -> Iterator[Pair]:
    layers = dict(module.named_modules())
    called = [node.target for node in module.graph.nodes if node.op == "call_module"]
    for node in module.graph.nodes:
        source = _behind_relu(node, layers)
        first, second = _convolution(source, layers), _convolution(node, layers)
        if first and second and source is not None and called.count(source.target) == called.count(node.target) == 1:
            yield Pair(first, second)


def _behind_relu(node: fx.Node, layers: dict[str, nn.Module]) -> fx.Node | None:
    """What a layer reads, or what the ReLU reads that it reads; None where others read it too."""
    source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
    while source is not None and len(source.users) == 1 and _is_relu(source, layers):
        source = source.args[0] if isinstance(source.args[0], fx.Node) else None
    return source if source is not None and len(source.users) == 1 else None


def _is_relu(node: fx.Node, layers: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return type(layers[str(node.target)]) is nn.ReLU
    return node.target in (F.relu, torch.relu, "relu")


def _convolution(node: fx.Node | None, layers: dict[str, nn.Module]) -> nn.Conv2d | None:
    """A convolution that is dense or depthwise."""
    layer = layers.get(str(node.target)) if node is not None and node.op == "call_module" else None
    known = isinstance(layer, nn.Conv2d) and layer.groups in (1, layer.in_channels, layer.out_channels)
    return layer if isinstance(layer, nn.Conv2d) and known else None


def _equalize(pair: Pair) -> None:
    first, second = pair
    depthwise = second.groups > 1
    weight = second.weight if depthwise else second.weight.transpose(0, 1)
    if depthwise and second.out_channels != first.out_channels:
        return
    made, read = (part.abs().amax((1, 2, 3)) for part in (first.weight, weight))
    used = (made > NEGLIGIBLE * made.max()) & (read > NEGLIGIBLE * read.max())
    scale = torch.where(used, (made / read).sqrt(), 1.0).clamp(1 / MOST, MOST)
    first.weight /= scale.view(-1, 1, 1, 1)
    if first.bias is not None:
        first.bias /= scale
    weight *= scale.view(-1, 1, 1, 1)
