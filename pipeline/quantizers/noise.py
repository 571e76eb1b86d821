"""How much of each layer's output int8 turned into noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.model import Model, load_state
from pipeline.quantizers.quantized import Quantized, observe

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import fx

LAYERS = ("conv2d", "linear", "add", "mul", "mean", "adaptive_avg_pool2d")


def layer_noise(model: Model, x_NCHW: NDArray[np.float32]) -> dict[str, float]:
    """Signal to noise in dB of each layer's output, by its name in the graph.

    The network is run as it is and with all its quantizers turned off, so the noise of a layer
    includes what came to it from those before.

    Args:
        model: an int8 one.
    """
    import torch

    assert isinstance(model.blueprint, Quantized)
    prepared = model.blueprint.skeleton()
    load_state(prepared, model.state)
    x, found = torch.from_numpy(x_NCHW), []
    for quantizing in (False, True):
        observe(prepared, observing=False, quantizing=quantizing)
        found.append(_outputs(prepared, x))
    exact, rounded = found
    return {name: _sqnr_db(exact[name], rounded[name]) for name in exact}


def _outputs(prepared: fx.GraphModule, x_NCHW: torch.Tensor) -> dict[str, torch.Tensor]:
    """What every layer gives, by name."""
    import torch
    from torch import fx

    outputs: dict[str, torch.Tensor] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            result = super().run_node(n)
            if n.name.rstrip("_0123456789") in LAYERS and isinstance(result, torch.Tensor):
                outputs[n.name] = result
            return result

    with torch.no_grad():
        Recorder(prepared).run(x_NCHW)
    return outputs


def _sqnr_db(exact: torch.Tensor, rounded: torch.Tensor) -> float:
    signal, noise = (float(part.double().square().sum()) for part in (exact, exact - rounded))
    return round(10 * math.log10(max(signal, 1e-30) / max(noise, signal * 1e-15, 1e-30)), 1)
