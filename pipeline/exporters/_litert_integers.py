"""Int8 networks as LiteRT's converter recognizes them; the numbers stay what they are.

Activations are signed, and a weight is a float constant that the graph quantizes: the converter folds it to the very
integers it was made from.
"""

from __future__ import annotations

import copy

from torch import fx, nn

from pipeline.exporters._integer_torch import arguments
from pipeline.exporters._xnnpack import PER_CHANNEL, PER_TENSOR, decomposed, lower


def recognizable(module: nn.Module) -> fx.GraphModule:
    """A copy of an int8 module in which everything is quantized before it is dequantized."""
    assert isinstance(module, fx.GraphModule)
    made = copy.deepcopy(module)
    for node in list(made.graph.nodes):
        if node.target in PER_TENSOR:
            lower(node)
        elif node.target is PER_CHANNEL:
            _quantize_weight(made, node)
    made.graph.eliminate_dead_code()
    made.recompile()
    return made


def _quantize_weight(module: fx.GraphModule, node: fx.Node) -> None:
    """Put the floats that its integers stand for, and their quantization, before a weight's ``dequantize``."""
    integers, scale, *rest = arguments(node)
    weight, scale_K = (module.get_buffer(str(value.target)) for value in (integers, scale))
    name = f"{node.name}_floats"
    module.register_buffer(name, weight.float() * scale_K.view(-1, *[1] * (weight.ndim - 1)))
    with module.graph.inserting_before(node):
        floats = module.graph.get_attr(name)
        quantize = decomposed.quantize_per_channel.default
        quantized = module.graph.call_function(quantize, (floats, scale, *rest))
    node.args = (quantized, scale, *rest)
