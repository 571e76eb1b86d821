"""Every quantizer's range, from real images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from pipeline.dataset import Samples
from pipeline.errors import DataError, StageFailed
from pipeline.hush import hushed
from pipeline.quantizers._ranges import METHODS, Bounds, Method
from pipeline.quantizers.quantized import observe
from pipeline.spec import InputSpec

with hushed():
    from torchao.quantization.pt2e.fake_quantize import FakeQuantize, FixedQParamsFakeQuantize

BATCH = 16


class Calibrated(NamedTuple):
    """A float network, and all that images tell of it.

    Attributes:
        module: folded. ranges: see ``ranges_of``. few_NCHW: images for rounding and biases.
    """

    module: fx.GraphModule
    spec: InputSpec
    ranges: Mapping[str, Bounds]
    few_NCHW: torch.Tensor


def calibrate(prepared: fx.GraphModule, batches_NCHW: Iterable[torch.Tensor], method: Method) -> None:
    """Find the ranges of the weights, and those of activations with no rounding yet, in place.

    Raises:
        DataError: there is no image.
        StageFailed: a value is NaN or infinite.
    """
    adopt(prepared, ranges_of(prepared, batches_NCHW, method))


def ranges_of(prepared: fx.GraphModule, batches_NCHW: Iterable[torch.Tensor], method: Method) -> Mapping[str, Bounds]:
    """The range of each tensor that may be quantized, by the name of the node that gives it; see ``calibrate``."""
    refuse_infinite(prepared)
    quantizers = activation_quantizers(prepared)
    # A layer that quantizes several tensors is named after the first.
    sources = {layer: name for name, layer in reversed(quantizers.items())}
    watched = {layer: METHODS[method]() for layer in sources}
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: watched[layer].watch(inputs[0], sources[layer]))
        for layer in watched
    ]
    observe(prepared, observing=False, quantizing=False)
    images = 0
    try:
        with torch.no_grad():
            for batch_NCHW in batches_NCHW:
                prepared(batch_NCHW)
                images += len(batch_NCHW)
    finally:
        for hook in hooks:
            hook.remove()
    if not images:
        raise DataError("there are no calibration images", "give the data set training images")
    return {name: watched[layer].bounds() for name, layer in quantizers.items()}


def adopt(prepared: fx.GraphModule, ranges: Mapping[str, Bounds]) -> None:
    """Set all ranges, those of the weights too, and begin to round, in place.

    Args:
        ranges: of this network, or of the same one with fewer layers that are float.
    """
    for name, layer in activation_quantizers(prepared).items():
        if not isinstance(layer, FixedQParamsFakeQuantize):
            set_range(layer, ranges[name])
    measure_weights(prepared)
    observe(prepared, observing=False, quantizing=True)


def batches(samples: Samples, most: int | None = None) -> Iterator[torch.Tensor]:
    """The first ``most`` images, or all, in batches (N, C, H, W) that are not kept."""
    images = min(len(samples), most or len(samples))
    for start in range(0, images, BATCH):
        yield torch.from_numpy(samples.x_NCHW(start, min(start + BATCH, images)))


def activation_quantizers(prepared: fx.GraphModule) -> dict[str, FakeQuantize]:
    """By the name of what each quantizes; those of fixed range too, as beside float layers another one is used."""
    return {source.name: layer for source, layer in _quantizers(prepared) if not layer.is_per_channel}


def _quantizers(prepared: fx.GraphModule) -> Iterator[tuple[Any, FakeQuantize]]:
    """Each with the node that it quantizes."""
    for node in prepared.graph.nodes:
        layer = prepared.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, FakeQuantize):
            yield node.args[0], layer


def set_range(layer: FakeQuantize, bounds: Bounds) -> None:
    """Make the quantizer cover a range, as its observer would if it had seen it."""
    observer = layer.activation_post_process
    for buffer, bound in zip((observer.min_val, observer.max_val), bounds, strict=True):
        buffer.resize_(()).fill_(bound)
    _adopt(layer)


def measure_weights(prepared: fx.GraphModule) -> None:
    """Set the scales of all weights from what they are now, in place."""
    for source, layer in _quantizers(prepared):
        if layer.is_per_channel:
            layer.activation_post_process(prepared.get_parameter(str(source.target)).detach())
            _adopt(layer)


def refuse_infinite(network: nn.Module) -> None:
    """Rounding would make numbers of what is none.

    Raises:
        StageFailed: a weight or bias is NaN or infinite.
    """
    for name, parameter in network.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise StageFailed(f"{name} has values that are NaN or infinite", "train again, or load other weights")


def _adopt(layer: FakeQuantize) -> None:
    for buffer, value in zip((layer.scale, layer.zero_point), layer.calculate_qparams(), strict=True):
        buffer.resize_(value.shape).copy_(value)
