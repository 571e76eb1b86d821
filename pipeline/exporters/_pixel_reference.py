"""What an int8 file that takes pixels has to answer: the reference network, reading pixels in its first layer.

The reference of other files rounds a float image to int8 first. Here the first convolutions compute with pixels, and
with the constants that the rewrite ``uint8_image`` gives them; in float, as the rest of a reference does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from pipeline.exporters._integer_torch import DEQUANTIZE, QUANTIZE, arguments
from pipeline.model import Model
from pipeline.rewrites.uint8_image import Layer, folded
from pipeline.spec import PixelGrid

aten: Any = torch.ops.aten
DEQUANTIZE_WEIGHT = torch.ops.quantized_decomposed.dequantize_per_channel.default
PASSING = (QUANTIZE, DEQUANTIZE, aten.pad.default)
GROUPS = 6  # among the arguments of aten.conv2d


def pixel_reference(model: Model) -> Model:
    """The int8 model on uint8 images; itself where something else than dense convolutions reads the image."""
    module = copy.deepcopy(model.module)
    if not isinstance(module, fx.GraphModule):
        return model
    [image] = module.graph.find_nodes(op="placeholder")
    readers = list(_readers(image))
    if not all(map(_dense, readers)):
        return model
    for node in readers:
        _fold(module, node, model.spec.pixel_grid)
    for node in [node for node in module.graph.nodes if node.target is DEQUANTIZE and _is_image(node)]:
        node.replace_all_uses_with(arguments(arguments(node)[0])[0])
    _read_pixels(module, image, model.spec.pixel_grid.zero_point)
    module.graph.eliminate_dead_code()
    module.recompile()
    return replace(model, module=module, spec=model.spec.model_copy(update={"dtype": "uint8"}))


def _readers(value: fx.Node) -> Iterator[fx.Node]:
    """What computes with a value, behind quantization and padding."""
    for user in value.users:
        if user.target in PASSING:
            yield from _readers(user)
        else:
            yield user


def _is_image(node: fx.Node) -> bool:
    """Quantized or padded, but nothing else."""
    return node.op == "placeholder" or (node.target in PASSING and _is_image(arguments(node)[0]))


def _dense(node: fx.Node) -> bool:
    """A convolution of one group with an int8 weight."""
    weighted: bool = node.target is aten.conv2d.default and arguments(node)[1].target is DEQUANTIZE_WEIGHT
    return weighted and (len(node.args) <= GROUPS or arguments(node)[GROUPS] == 1)


def _read_pixels(module: fx.GraphModule, image: fx.Node, zero_point: int) -> None:
    """Put between the image and its readers: steps from the zero point, and a plane of pixels that are 0."""
    readers = list(image.users)
    with module.graph.inserting_after(image):
        steps = module.graph.call_function(torch.sub, (image, float(zero_point)))
    with module.graph.inserting_after(steps):
        plane = module.graph.call_function(torch.full_like, (steps, -float(zero_point)))
    with module.graph.inserting_after(plane):
        both = module.graph.call_function(torch.cat, ((steps, plane), 1))
    for node in readers:
        node.replace_input_with(image, both)


def _fold(module: fx.GraphModule, node: fx.Node, pixels: PixelGrid) -> None:
    """Give a convolution the constants that read pixels: float ones, of the image's channels twice."""
    _, weight, *rest = arguments(node)
    integers, scale = (module.get_buffer(str(value.target)) for value in weight.args[:2])
    bias = module.get_parameter(str(rest[0].target)) if rest and rest[0] is not None else torch.zeros(len(scale))
    plane = integers.shape[2] * integers.shape[3] > 1  # as four_channels brings one
    wide = torch.cat([integers, torch.zeros_like(integers)], 1) if plane else integers
    made = folded(Layer(*(tensor.detach().numpy() for tensor in (wide, scale, bias))), pixels)
    step = torch.from_numpy(made.scale).view(-1, 1, 1, 1) * pixels.scale
    constants = {"weight": torch.from_numpy(made.weight) * step, "bias": torch.from_numpy(made.bias)}
    if not plane:
        constants["weight"] = torch.cat([constants["weight"], torch.zeros_like(constants["weight"])], 1)
    for index, (kind, tensor) in enumerate(constants.items(), start=1):
        module.register_buffer(f"{node.name}_pixel_{kind}", tensor)
        with node.graph.inserting_before(node):
            value = node.graph.get_attr(f"{node.name}_pixel_{kind}")
        node.args = (*node.args[:index], value, *node.args[index + 1 :])
