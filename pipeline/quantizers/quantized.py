"""The int8 network: folded, captured, with quantizers in it, rebuilt from data."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.folding import folded
from pipeline.hush import hushed
from pipeline.model import AnyBlueprint, Blueprint, Model, load_state
from pipeline.plugin import did_you_mean
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    import torch
    from torch import fx, nn


class Quantized(Blueprint):
    """Another blueprint's network in int8.

    ``state`` is that of the prepared network: folded float weights, and the scales and zero
    points of every quantizer. Conversion is a function of it.

    Attributes:
        of: the blueprint of the float network.
        input: its input's description; the graph is captured with that shape.
        floats: names of layers in the captured graph that stay float.
    """

    of: AnyBlueprint
    input: InputSpec
    floats: tuple[str, ...] = ()

    def skeleton(self) -> fx.GraphModule:
        return prepare(folded(self.of.skeleton()), self.input, self.floats)

    def build(self, state: Mapping[str, torch.Tensor]) -> nn.Module:
        prepared = self.skeleton()
        load_state(prepared, state)
        return convert(prepared)

    def unquantized(self) -> Blueprint:
        return self.of.unquantized()


def prepare(
    module: fx.GraphModule, spec: InputSpec, floats: Collection[str] = (), portable: bool = False
) -> fx.GraphModule:
    """Capture a folded network's graph for any batch size, and insert fake quantizers.

    Args:
        floats: names of nodes that shall stay float. portable: weights that no x86 saturates on.

    Raises:
        UsageError: there is no node of one of those names.
    """
    import torch

    with hushed():
        from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

        from pipeline.quantizers._annotation import Int8

        batch = torch.export.Dim("batch", min=1, max=65536)
        example = (torch.zeros(2, *spec.shape),)
        captured = torch.export.export(module, example, dynamic_shapes=({0: batch},))
        graph_module = spell_out_hard_swish(captured.module(check_guards=False))
        _check_names(graph_module, floats)
        prepared: fx.GraphModule = prepare_qat_pt2e(graph_module, Int8(floats, portable, spec.pixel_grid))
    return prepared


def _check_names(module: fx.GraphModule, floats: Collection[str]) -> None:
    known = [node.name for node in module.graph.nodes if node.op == "call_function"]
    for name in floats:
        if name not in known:
            raise UsageError(f"floats: no layer is called {name!r}{did_you_mean(name, known)}")


def spell_out_hard_swish(module: fx.GraphModule) -> fx.GraphModule:
    """Write hard-swish(x) as x · hard-sigmoid(x), in place: integer kernels exist for the two, not for the one."""
    import torch

    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.hardswish.default):
        with module.graph.inserting_before(node):
            gate = module.graph.call_function(torch.ops.aten.hardsigmoid.default, (node.args[0],))
            product = module.graph.call_function(torch.ops.aten.mul.Tensor, (node.args[0], gate))
        for new in (gate, product):
            new.meta = dict(node.meta)
        node.replace_all_uses_with(product)
        module.graph.erase_node(node)
    module.recompile()
    return module


def convert(prepared: fx.GraphModule) -> fx.GraphModule:
    """The reference int8 network: int8 weights, with quantize and dequantize around each operator."""
    import torch

    with hushed(), torch.no_grad():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

        converted: fx.GraphModule = convert_pt2e(copy.deepcopy(prepared))
    return without_unused(converted)


def without_unused(module: fx.GraphModule) -> fx.GraphModule:
    """Drop the float parameters that their int8 constants replaced, in place."""
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in [*module.named_parameters(), *module.named_buffers()]]:
        if name not in used:
            parent, _, attribute = name.rpartition(".")
            delattr(module.get_submodule(parent), attribute)
    return module


def observe(prepared: fx.GraphModule, observing: bool, quantizing: bool) -> None:
    """Turn watching of value ranges, and rounding to int8, on or off."""
    from torchao.quantization.pt2e.fake_quantize import FakeQuantize

    for layer in prepared.modules():
        if isinstance(layer, FakeQuantize):
            layer.enable_observer(observing)
            layer.enable_fake_quant(quantizing)


def round_biases(prepared: fx.GraphModule) -> None:
    """Put every bias on its kernel's int32 grid, of step (input scale) × (weight scale), in place.

    Runtimes do this when they load the file; done here, the reference has it too, and the
    two agree bit for bit instead of to one step in a hundred.
    """
    import torch

    for node in prepared.graph.nodes:
        bias_node = bias_of(node) if quantized_weight(node) else None
        if bias_node is None:
            continue
        x_scale, weight_scale = (prepared.get_buffer(f"{quantizer.target}.scale") for quantizer in node.args[:2])
        bias, step = prepared.get_parameter(str(bias_node.target)), x_scale * weight_scale
        with torch.no_grad():
            bias.copy_(torch.round(bias / step) * step)


def quantized_weight(node: fx.Node) -> bool:
    """A convolution or linear layer of a prepared graph that is not float."""
    weighted = str(node.target) in ("aten.conv2d.default", "aten.linear.default")
    return weighted and node.args[1].op == "call_module"  # type: ignore[union-attr]


def bias_of(node: fx.Node) -> fx.Node | None:
    """The bias of a convolution or linear layer, which may be left out, or None in its place."""
    return node.args[2] if len(node.args) > 2 else None  # type: ignore[return-value]


def quantized(value: Model, prepared: fx.GraphModule, floats: Collection[str] = ()) -> Model:
    """The int8 model of a prepared network whose ranges are known."""
    round_biases(prepared)
    blueprint = Quantized(of=value.blueprint, input=value.spec, floats=tuple(floats))
    state = prepared.state_dict()
    return replace(value, module=convert(prepared), blueprint=blueprint, state=state, integer=True)
