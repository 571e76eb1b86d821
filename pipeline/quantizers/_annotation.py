"""What is quantized, and how: the one description that every int8 path shares.

It is exactly what ONNX Runtime's int8 kernels can run: activations uint8, asymmetric, one
scale a tensor; weights int8, symmetric, one scale an output channel; one shared scale where
an operator only moves values; and a fixed one for a hard sigmoid, which lies in [0, 1]. Biases
stay float here; a runtime makes them int32.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import torch
from torchao.quantization.pt2e import MovingAverageMinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.fake_quantize import FakeQuantize
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

if TYPE_CHECKING:
    from torch import fx

    from pipeline.spec import PixelGrid

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


class SwishRange(MovingAverageMinMaxObserver):  # type: ignore[misc]
    """Range of what only a hard swish reads: it gives 0 below −3, so steps spent there are wasted."""

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        scale_and_zero_point: tuple[torch.Tensor, torch.Tensor] = self._calculate_qparams(
            self.min_val.clamp(min=-3.0), self.max_val.clamp(min=0.0)
        )
        return scale_and_zero_point


class PairRange(PerChannelMinMaxObserver):  # type: ignore[misc]
    """Range of an output's weights in which no two of one sign sum to more than 128 steps.

    x86 without VNNI adds products of uint8 and int8 in pairs in 16 bits, which saturate above 32,767;
    255 · 128 is within, whichever the pairs. Seven bits for all would be too, but coarser.
    """

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        magnitudes = torch.stack([weight.clamp(min=0), -weight.clamp(max=0)]).flatten(2)
        pairs = magnitudes.topk(min(2, magnitudes.shape[2]), dim=2).values.sum(2)
        largest = pairs.amax(0) * 127 / 126  # so the pair becomes 126 steps, and 128 if both are rounded up
        self.min_val.resize_(largest.shape).copy_(-largest)
        self.max_val.resize_(largest.shape).copy_(largest)
        return weight


def weight_steps(weight: torch.Tensor, portable: bool) -> torch.Tensor:
    """The scale of each output's weights (K, …) -> (K,); see ``PairRange`` for ``portable``."""
    observer = (PairRange if portable else PerChannelMinMaxObserver)(
        dtype=torch.int8, quant_min=-127, quant_max=127, qscheme=torch.per_channel_symmetric, eps=SMALLEST_SCALE
    )
    observer(weight)
    scale_K: torch.Tensor = observer.calculate_qparams()[0]
    return scale_K


def _weight(observer: type[PerChannelMinMaxObserver]) -> QuantizationSpec:
    fake_quantize = FakeQuantize.with_args(observer=observer, dtype=torch.int8, eps=SMALLEST_SCALE)
    return QuantizationSpec(torch.int8, fake_quantize, -127, 127, torch.per_channel_symmetric, ch_axis=0)


def _activation(observer: type[MovingAverageMinMaxObserver]) -> QuantizationSpec:
    fake_quantize = FakeQuantize.with_args(
        observer=observer, averaging_constant=0.05, dtype=torch.uint8, eps=SMALLEST_SCALE
    )
    return QuantizationSpec(torch.uint8, fake_quantize, 0, 255, torch.per_tensor_affine)


def _fixed(scale: float, zero_point: int) -> FixedQParamsQuantizationSpec:
    return FixedQParamsQuantizationSpec(torch.uint8, scale, zero_point, 0, 255, torch.per_tensor_affine)


ACTIVATION = _activation(MovingAverageMinMaxObserver)
PIXELS = _activation(PixelRange)
BEFORE_SWISH = _activation(SwishRange)
GATE = _fixed(1 / 255, 0)
# What only a hard sigmoid reads has steps of which it makes its own without any arithmetic: q, which
# stands for 6/256 · (q − 128), gives q/256. A gate that is wide open lets through 255/256.
BEFORE_GATE, AFTER_GATE = _fixed(6 / 256, 128), _fixed(1 / 256, 0)
WEIGHT = _weight(PerChannelMinMaxObserver)
PORTABLE_WEIGHT = _weight(PairRange)

WEIGHTED = frozenset({aten.conv2d.default, aten.linear.default})
COMBINING = frozenset({aten.add.Tensor, aten.mul.Tensor})
# Clamping activations vanish into the quantization of the operator before them.
CLAMPING = frozenset({aten.relu.default, aten.hardtanh.default, aten.relu6.default})
HARD_SIGMOID = aten.hardsigmoid.default
# A mean over four integers at its input's scale would end on a tie one time in four, and
# every runtime breaks ties in its own way: so an average has a scale of its own.
RESCALING = frozenset({aten.adaptive_avg_pool2d.default})
# A padding of zeros, which every asymmetric range holds exactly, moves values too.
MOVING = frozenset({aten.max_pool2d.default, aten.flatten.using_ints, aten.pad.default})


class Int8(Quantizer):  # type: ignore[misc]
    """Annotates a captured graph (torchao's PT2E interface).

    Args:
        floats: names of nodes that shall not be quantized; see ``with_bridges``. portable: see ``PairRange``.
        pixels: how the network's input was normalized; where that ends on a grid, it is the input's.
    """

    def __init__(self, floats: Collection[str] = (), portable: bool = False, pixels: PixelGrid | None = None) -> None:
        super().__init__()
        self.floats = frozenset(floats)
        self.weight = PORTABLE_WEIGHT if portable else WEIGHT
        exact = pixels is not None and pixels.exact
        self.image = _fixed(pixels.scale, pixels.zero_point) if pixels is not None and exact else PIXELS

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        floats = with_bridges(model.graph, self.floats)
        for node in model.graph.nodes:
            if node.op == "call_function" and node.name not in floats:
                annotation = self._annotation(node)
                if annotation is not None:
                    node.meta["quantization_annotation"] = annotation
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing to refuse: what cannot be quantized stays float."""

    def _annotation(self, node: fx.Node) -> QuantizationAnnotation | None:
        inputs = [value for value in node.args if isinstance(value, torch.fx.Node)]
        if node.target in WEIGHTED:
            return _annotate({**self._read(inputs[0]), inputs[1]: self.weight}, _output(node))
        if node.target in COMBINING and len(inputs) == 2:
            return _annotate({**self._read(inputs[0]), **self._read(inputs[1])}, _output(node))
        if node.target in CLAMPING:
            return _annotate({} if _absorbs(inputs[0], node) else self._read(inputs[0]), _seen_by(node))
        if node.target is HARD_SIGMOID:
            read = self._read(inputs[0])
            return _annotate(read, AFTER_GATE if read[inputs[0]] is BEFORE_GATE else GATE)
        if node.target in RESCALING:
            return _annotate(self._read(inputs[0]), ACTIVATION)
        if node.target in MOVING:
            read = self._read(inputs[0])
            # A fixed grid is not shared by reference: what reads the result would observe another.
            fixed = isinstance(read[inputs[0]], FixedQParamsQuantizationSpec)
            return _annotate(read, read[inputs[0]] if fixed else SharedQuantizationSpec((inputs[0], node)))
        return None

    def _read(self, source: fx.Node) -> dict[fx.Node, Any]:
        """As what gave it was quantized; two grids for one tensor would be two quantizations."""
        given = source.meta.get("quantization_annotation")
        if given is not None and isinstance(given.output_qspec, QuantizationSpec | FixedQParamsQuantizationSpec):
            return {source: given.output_qspec}
        return {source: self.image if source.op == "placeholder" else ACTIVATION}


def with_bridges(graph: fx.Graph, floats: Collection[str]) -> frozenset[str]:
    """Float layers, and what only clamps or moves values from some of them to others.

    Quantized, a clamp between two float layers would cut their island in two.

    Args:
        graph: captured, or prepared. floats: names of nodes.
    """
    passing = [node for node in graph.nodes if node.target in CLAMPING | MOVING] if floats else []
    bridges = {node.name for node in passing if all(_is_float(end, floats) for end in [*makers(node), *readers(node)])}
    return frozenset(floats) | bridges


def _is_float(node: fx.Node, floats: Collection[str]) -> bool:
    return node.name in floats or node.op in ("placeholder", "output")


def makers(node: fx.Node) -> list[fx.Node]:
    """What computed the values that a node reads, behind whatever passed them on."""
    return _behind(node, lambda one: [one.args[0]])  # type: ignore[list-item]


def readers(node: fx.Node) -> list[fx.Node]:
    """What computes with the values that a node gives, behind whatever passes them on."""
    return _behind(node, lambda one: list(one.users))


def _behind(node: fx.Node, step: Callable[[fx.Node], list[fx.Node]]) -> list[fx.Node]:
    found: dict[fx.Node, None] = {}
    for near in step(node):
        passes_on = near.op == "call_module" or near.target in CLAMPING | MOVING  # modules are fake quantizers
        found |= dict.fromkeys(_behind(near, step) if passes_on else [near])
    return list(found)


def _annotate(inputs: dict[fx.Node, Any], output: Any) -> QuantizationAnnotation:
    return QuantizationAnnotation(input_qspec_map=inputs, output_qspec=output, _annotated=True)


def _output(node: fx.Node) -> QuantizationSpec | FixedQParamsQuantizationSpec | None:
    """Quantize what the node gives, unless a clamp takes that over or it is the logits."""
    users = list(node.users)
    if any(user.op == "output" for user in users) or (len(users) == 1 and _absorbs(node, users[0])):
        return None
    return _seen_by(node)


def _seen_by(node: fx.Node) -> QuantizationSpec | FixedQParamsQuantizationSpec:
    """The grid of what ``node`` gives, as fine as its readers can tell apart."""
    gates = [user for user in node.users if user.target is HARD_SIGMOID]
    others = set(node.users) - set(gates)
    if not gates:
        return ACTIVATION
    products = {user for gate in gates for user in gate.users if user.target is aten.mul.Tensor}
    return ACTIVATION if others - products else BEFORE_SWISH if others else BEFORE_GATE


def _absorbs(node: fx.Node, user: fx.Node) -> bool:
    """``user`` only clamps what ``node`` computes, and nobody else reads it."""
    return user.target in CLAMPING and len(node.users) == 1 and node.target in WEIGHTED | COMBINING
