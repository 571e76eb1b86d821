"""What is quantized, and how: the one description that every int8 path shares.

It is exactly what ONNX Runtime's int8 kernels can run: activations uint8, asymmetric, one
scale a tensor; weights int8, symmetric, one scale an output channel; and one shared scale
where an operator only moves values. Biases stay float here; a runtime makes them int32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torchao.quantization.pt2e import MovingAverageMinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.fake_quantize import FakeQuantize
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

if TYPE_CHECKING:
    from torch import fx

aten: Any = torch.ops.aten

# The least scale: below it a constant tensor would quantize to infinity.
SMALLEST_SCALE = 2.0**-16


class PixelRange(MovingAverageMinMaxObserver):  # type: ignore[misc]
    """Range of the network's input, one per cent wider than what was seen.

    Pixels are whole numbers, so over their exact range they fall on the int8 grid or, for
    many usual means (0.5 · 255 = 127.5), exactly between two steps: every pixel a tie, which
    runtimes break differently. A slightly wider range has no such resonance.
    """

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        margin = (self.max_val - self.min_val) * 0.005
        scale_and_zero_point: tuple[torch.Tensor, torch.Tensor] = self._calculate_qparams(
            self.min_val - margin, self.max_val + margin
        )
        return scale_and_zero_point


def _activation(observer: type[MovingAverageMinMaxObserver]) -> QuantizationSpec:
    fake_quantize = FakeQuantize.with_args(
        observer=observer, averaging_constant=0.05, dtype=torch.uint8, eps=SMALLEST_SCALE
    )
    return QuantizationSpec(torch.uint8, fake_quantize, 0, 255, torch.per_tensor_affine)


ACTIVATION = _activation(MovingAverageMinMaxObserver)
PIXELS = _activation(PixelRange)
WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(
        observer=PerChannelMinMaxObserver, dtype=torch.int8, eps=SMALLEST_SCALE
    ),
)

WEIGHTED = frozenset({aten.conv2d.default, aten.linear.default})
COMBINING = frozenset({aten.add.Tensor, aten.mul.Tensor})
# Clamping activations vanish into the quantization of the operator before them.
CLAMPING = frozenset({aten.relu.default, aten.hardtanh.default, aten.relu6.default})
# A mean over four integers at its input's scale would end on a tie one time in four, and
# every runtime breaks ties in its own way: so an average has a scale of its own.
RESCALING = frozenset({aten.hardswish.default, aten.hardsigmoid.default, aten.adaptive_avg_pool2d.default})
# A padding of zeros, which every asymmetric range holds exactly, moves values too.
MOVING = frozenset({aten.max_pool2d.default, aten.flatten.using_ints, aten.pad.default})


class Int8(Quantizer):  # type: ignore[misc]
    """Annotates a captured graph (torchao's PT2E interface)."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        for node in model.graph.nodes:
            annotation = _annotation(node) if node.op == "call_function" else None
            if annotation is not None:
                node.meta["quantization_annotation"] = annotation
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing to refuse: what cannot be quantized stays float."""


def _annotation(node: fx.Node) -> QuantizationAnnotation | None:
    inputs = [value for value in node.args if isinstance(value, torch.fx.Node)]
    if node.target in WEIGHTED:
        return _annotate({**_read(inputs[0]), inputs[1]: WEIGHT}, _output(node))
    if node.target in COMBINING and len(inputs) == 2:
        return _annotate({**_read(inputs[0]), **_read(inputs[1])}, _output(node))
    if node.target in CLAMPING:
        return _annotate({} if _absorbs(inputs[0], node) else _read(inputs[0]), ACTIVATION)
    if node.target in RESCALING:
        return _annotate(_read(inputs[0]), ACTIVATION)
    if node.target in MOVING:
        return _annotate(_read(inputs[0]), SharedQuantizationSpec((inputs[0], node)))
    return None


def _read(source: fx.Node) -> dict[fx.Node, QuantizationSpec]:
    return {source: PIXELS if source.op == "placeholder" else ACTIVATION}


def _annotate(inputs: dict[fx.Node, Any], output: Any) -> QuantizationAnnotation:
    return QuantizationAnnotation(input_qspec_map=inputs, output_qspec=output, _annotated=True)


def _output(node: fx.Node) -> QuantizationSpec | None:
    """Quantize what the node gives, unless a clamp takes that over or it is the logits."""
    users = list(node.users)
    if any(user.op == "output" for user in users) or (len(users) == 1 and _absorbs(node, users[0])):
        return None
    return ACTIVATION


def _absorbs(node: fx.Node, user: fx.Node) -> bool:
    """``user`` only clamps what ``node`` computes, and nobody else reads it."""
    return user.target in CLAMPING and len(node.users) == 1 and node.target in WEIGHTED | COMBINING
