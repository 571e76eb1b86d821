"""BatchNorm folded into the convolution before it: the same function, fewer operations."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import fx, nn


def folded(module: nn.Module) -> fx.GraphModule:
    """A traced copy of an eval-mode network without its BatchNorm and dropout layers.

    Equal up to rounding: each convolution's weight is scaled by γ/σ and its bias shifted
    (Jacob et al., 2018, section 3.2).
    """
    from torch import fx, nn

    graph_module = fx.symbolic_trace(copy.deepcopy(module).eval())
    layers = dict(graph_module.named_modules())
    for node in list(graph_module.graph.nodes):
        layer = layers.get(node.target) if node.op == "call_module" else None
        if isinstance(layer, nn.Dropout) or (isinstance(layer, nn.BatchNorm2d) and _fold(node, layers)):
            node.replace_all_uses_with(node.args[0])
            graph_module.graph.erase_node(node)
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()
    return graph_module


def _fold(node: fx.Node, layers: dict[str, nn.Module]) -> bool:
    """Fold one BatchNorm into the convolution that feeds it and nothing else."""
    from torch import fx, nn
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    source = node.args[0]
    if not isinstance(source, fx.Node) or len(source.users) > 1:
        return False
    if sum(other.target == source.target for other in node.graph.nodes) > 1:
        return False  # a convolution used twice
    convolution, norm = layers.get(str(source.target)), layers[str(node.target)]
    if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        return False
    assert norm.running_mean is not None
    assert norm.running_var is not None
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return True
