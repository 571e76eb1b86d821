"""The rounded network, mended layer by layer until its layers give what the exact ones do.

Both work on the inputs that a layer really gets, those that the rounded layers before it give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import fx
from torch.nn import functional as F

from pipeline.quantizers.quantized import bias_of, observe, quantized_weight

BLOCK = 128  # columns whose errors are passed on together
DAMPING = 0.01  # of the mean diagonal, so that the inputs' second moments can be inverted
LARGEST = 127
# Of a layer; memory grows with the square. Wider ones, linear layers behind a flattened image, are rounded to nearest.
MOST_INPUTS = 8192
CONVOLUTION = (None, None, None, 1, 0, 1, 1)  # aten.conv2d's arguments where a graph leaves them out


def reconstruct(prepared: fx.GraphModule, x_NCHW: torch.Tensor, rounding: bool, biases: bool) -> None:
    """Choose which weights round up and which down, and shift biases by the mean error left, in place.

    Args:
        x_NCHW: normalized images, all held in memory with one layer's activations.
        rounding: see ``rounded``. biases: see ``Reconstruction``.
    """
    with torch.no_grad():
        observe(prepared, observing=False, quantizing=False)
        exact = Means(prepared)
        exact.run(x_NCHW)
        observe(prepared, observing=False, quantizing=True)
        Reconstruction(prepared, exact.means, rounding, biases).run(x_NCHW)


def reconstruct_apart(prepared: fx.GraphModule, x_NCHW: torch.Tensor, rounding: bool, biases: bool) -> None:
    """As ``reconstruct``, but each layer for itself, on the inputs that the exact network gives it, in place.

    What is found for a layer does then not depend on which others are rounded.
    """
    with torch.no_grad():
        observe(prepared, observing=False, quantizing=False)
        apart = Apart(prepared, rounding, biases)
        apart.run(x_NCHW)
        for name, values in apart.mended.items():
            prepared.get_parameter(name).copy_(values)
        observe(prepared, observing=False, quantizing=True)


class Sliding(NamedTuple):
    """How a convolution's kernel moves over its image: numbers for both axes, or one for each."""

    stride: Any
    padding: Any
    dilation: Any
    groups: int


class Means(fx.Interpreter):
    """Keeps the mean of every weighted layer's outputs, by the node's name."""

    def __init__(self, prepared: fx.GraphModule) -> None:
        super().__init__(prepared)
        self.means: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if quantized_weight(n):
            self.means[n.name] = channel_means(n, result)
        return result


class Reconstruction(fx.Interpreter):
    """Runs the network, and mends each weighted layer before the next one reads what it gives.

    The bias takes up the difference of the layer's mean output from the exact network's, which
    rounding shifts (Nagel et al., 2019, section 4.2, with images in place of assumptions).
    """

    def __init__(
        self, prepared: fx.GraphModule, means: Mapping[str, torch.Tensor], rounding: bool, biases: bool
    ) -> None:
        super().__init__(prepared)
        self.means, self.rounding, self.biases = means, rounding, biases

    def run_node(self, n: fx.Node) -> Any:
        if not quantized_weight(n):
            return super().run_node(n)
        if self.rounding:
            self._round(n)
        result = super().run_node(n)
        bias = bias_of(n)
        if self.biases and bias is not None:
            shift = self.means[n.name] - channel_means(n, result)
            self._parameter(bias).add_(shift)
            result += shift if is_linear(n) else shift.view(-1, 1, 1)
        return result

    def _round(self, node: fx.Node) -> None:
        """Replace the weight by the one it is rounded to, and compute again what the layer reads."""
        quantizer: Any = node.args[1]
        weight = self._parameter(quantizer.args[0])
        if weight[0].numel() > MOST_INPUTS:
            return
        scale = self.fetch_attr(f"{quantizer.target}.scale")
        moments = second_moments(self.env[node.args[0]], weight, sliding_of(node))  # type: ignore[index]
        weight.copy_(rounded(weight, scale, moments))
        self.env[quantizer] = self.fetch_attr(quantizer.target)(weight)

    def _parameter(self, node: Any) -> torch.Tensor:
        parameter: torch.Tensor = self.fetch_attr(str(node.target))
        return parameter


class Apart(fx.Interpreter):
    """Runs the exact network and finds, by name, the parameters that each layer should have when rounded."""

    def __init__(self, prepared: fx.GraphModule, rounding: bool, biases: bool) -> None:
        super().__init__(prepared)
        self.rounding, self.biases = rounding, biases
        self.mended: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if quantized_weight(n):
            self._mend(n, result)
        return result

    def _mend(self, node: Any, exact: torch.Tensor) -> None:
        x, quantizer, bias = self.env[node.args[0]], node.args[1], bias_of(node)
        weight, scale = self.env[quantizer], self.fetch_attr(f"{quantizer.target}.scale")
        chosen = (
            rounded(weight, scale, second_moments(x, weight, sliding_of(node)))
            if self.rounding
            else nearest(weight, scale)
        )
        if self.rounding:
            self.mended[str(quantizer.args[0].target)] = chosen
        if self.biases and bias is not None:
            found = node.target(x, chosen, self.env[bias], *node.args[3:])
            shift = channel_means(node, exact) - channel_means(node, found)
            self.mended[str(bias.target)] = self.env[bias] + shift


def nearest(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Each weight on the step that is nearest to it."""
    steps = weight / scale.view(-1, *[1] * (weight.ndim - 1))
    return steps.round().clamp(-LARGEST, LARGEST) * scale.view(-1, *[1] * (weight.ndim - 1))


def is_linear(node: fx.Node) -> bool:
    return node.target is torch.ops.aten.linear.default


def channel_means(node: fx.Node, y: torch.Tensor) -> torch.Tensor:
    """Mean over images and places of a layer's outputs: (N, …, K) of a linear layer, else (N, K, H, W) -> (K,)."""
    return y.mean([*range(y.ndim - 1)] if is_linear(node) else [0, 2, 3])


def sliding_of(node: fx.Node) -> Sliding | None:
    """Of a convolution's node; None of a linear layer's."""
    arguments: Any = [*node.args, *CONVOLUTION[len(node.args) :]]
    return None if is_linear(node) else Sliding(*arguments[3:7])


def second_moments(x: torch.Tensor, weight: torch.Tensor, sliding: Sliding | None) -> torch.Tensor:
    """Sums of products of the inputs that each output multiplies: (groups, inputs, inputs).

    Image by image, as a convolution's inputs are many times its image.
    """
    if sliding is None:
        rows = x.flatten(0, -2)
        return (rows.T @ rows)[None]
    stride, padding, dilation, groups = sliding
    inputs = weight[0].numel()
    moments = torch.zeros(groups, inputs, inputs)
    for image in x.split(1):
        patches = F.unfold(image, weight.shape[2:], dilation, padding, stride).view(groups, inputs, -1)
        moments += patches @ patches.transpose(1, 2)
    return moments


def rounded(weight: torch.Tensor, scale: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """Each weight rounded up or down so that the outputs, not the weights, change least.

    Column by column: what rounding one weight does to the output, the columns after it make up
    for as far as their inputs go with its (Frantar et al., 2022, and its choice between two
    neighbours is Nagel et al.'s, 2020).

    Args:
        weight: (outputs, …). scale: (outputs,). moments: (groups, inputs, inputs).
    """
    groups, inputs, _ = moments.shape
    steps = (weight.reshape(len(weight), -1) / scale[:, None]).view(groups, -1, inputs)
    low, high = steps.floor().clamp(-LARGEST, LARGEST), steps.ceil().clamp(-LARGEST, LARGEST)
    passing, left = _passing_on(moments), steps.clone()
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        errors = torch.zeros_like(left[:, :, start:stop])
        for column in range(start, stop):
            now = left[:, :, column]
            chosen = torch.maximum(torch.minimum(now.round(), high[:, :, column]), low[:, :, column])
            error = (now - chosen) / passing[:, column, column, None]
            left[:, :, column:stop] -= error[:, :, None] * passing[:, None, column, column:stop]
            left[:, :, column] = chosen
            errors[:, :, column - start] = error
        left[:, :, stop:] -= errors @ passing[:, start:stop, stop:]
    return (left.reshape(weight.shape[0], -1) * scale[:, None]).view_as(weight)


def _passing_on(moments: torch.Tensor) -> torch.Tensor:
    """Upper Cholesky factor of the inverse moments: how an error in one column spreads to those after it."""
    diagonal = moments.diagonal(dim1=1, dim2=2).mean(1)
    damping = DAMPING * diagonal + (diagonal == 0)
    damped = (moments + damping[:, None, None] * torch.eye(moments.shape[1])).double()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor.to(moments.dtype)
