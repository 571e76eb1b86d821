"""How much of each layer's output int8 turned into noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.measure.statistics import sqnr_db
from pipeline.model import Model, load_state
from pipeline.quantizers.quantized import Quantized, observe

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import fx, nn

    Outputs = dict[str, torch.Tensor]

LAYERS = ("conv2d", "linear", "add", "mul", "mean", "adaptive_avg_pool2d")


def layer_noise(model: Model, x_NCHW: NDArray[np.float32]) -> dict[str, float]:
    """Signal to noise in dB of each layer's output, by its name in the graph.

    The network is run in int8 and without any rounding, so the noise of a layer includes what
    came to it from those before.

    Args:
        model: an int8 one.
    """
    import torch

    from pipeline._dynamic_linear import is_dynamic

    both = _dynamic if is_dynamic(model.module) else _static
    exact, rounded = both(model, torch.from_numpy(x_NCHW))
    return {name: _sqnr_db(exact[name], rounded[name]) for name in exact}


def _static(model: Model, x: torch.Tensor) -> list[Outputs]:
    assert isinstance(model.blueprint, Quantized)
    prepared = model.blueprint.skeleton()
    load_state(prepared, model.state)
    found = []
    for quantizing in (False, True):
        observe(prepared, observing=False, quantizing=quantizing)
        found.append(_outputs(prepared, x, lambda node: node.name.rstrip("_0123456789") in LAYERS))
    return found


def _dynamic(model: Model, x: torch.Tensor) -> list[Outputs]:
    from pipeline._dynamic_linear import DynamicLinear, numbered

    exact = model.blueprint.skeleton()
    load_state(exact, model.state)
    layers = {name for name, layer in model.module.named_modules() if isinstance(layer, DynamicLinear)}
    found = [_outputs(network, x, lambda node: node.target in layers) for network in (exact, model.module)]
    return [dict(zip(numbered(len(outputs)), outputs.values(), strict=True)) for outputs in found]


def _outputs(network: nn.Module, x_NCHW: torch.Tensor, wanted: Callable[[fx.Node], bool]) -> Outputs:
    """What the nodes wanted give, by name."""
    import torch
    from torch import fx

    outputs: Outputs = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            result = super().run_node(n)
            if wanted(n) and isinstance(result, torch.Tensor):
                outputs[n.name] = result
            return result

    assert isinstance(network, fx.GraphModule)
    with torch.no_grad():
        Recorder(network).run(x_NCHW)
    return outputs


def _sqnr_db(exact: torch.Tensor, rounded: torch.Tensor) -> float:
    signal, noise = (float(part.double().square().sum()) for part in (exact, exact - rounded))
    return sqnr_db(signal, noise)
