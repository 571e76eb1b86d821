"""What the operations of a network do to its channels, by their names in the traced graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

# Every number by itself; what is silent stays silent, or is silenced with its channel.
POINTWISE = frozenset(
    {"relu", "relu6", "leaky_relu", "elu", "celu", "hardtanh", "hardswish", "hardsigmoid", "silu", "mish", "sigmoid"}
    | {"tanh", "gelu", "clamp", "clip", "abs", "neg", "pow", "sqrt", "identity", "contiguous", "clone", "detach"}
    | {"dropout", "dropout2d", "stochastic_depth"}
)
# Two tensors, place by place.
MERGING = frozenset({"add", "iadd", "sub", "isub", "mul", "imul", "maximum", "minimum"})
PRODUCTS = frozenset({"mul", "imul"})
# Pixels of every channel by itself: other heights and widths, the same channels.
POOLING = frozenset(
    {"adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "max_pool2d", "zeropad2d", "interpolate", "upsample"}
    | {"mean", "sum", "amax"}
)
REDUCING = frozenset({"mean", "sum", "amax"})
# Numbers change places; what such an operation does to numbers it does to labels.
MOVING = frozenset(
    {"flatten", "unflatten", "view", "reshape", "permute", "transpose", "swapaxes", "movedim", "squeeze", "unsqueeze"}
    | {"cat", "concat", "concatenate", "stack", "chunk", "tensor_split", "split", "unbind", "narrow", "getitem"}
    | {"channel_shuffle", "pixel_shuffle", "pixel_unshuffle"}
)
# Moving operations that cut the axis of channels into equal parts, or mix parts of it.
DIVIDING = frozenset({"chunk", "tensor_split", "channel_shuffle", "pixel_shuffle", "pixel_unshuffle"})
RESHAPING = frozenset({"view", "reshape", "unflatten"})
ASKING = frozenset({"size", "dim", "numel", "getattr"})
# Modules by their class's name in lower case.
_MODULES = {
    name.replace("_", ""): name for name in POINTWISE | POOLING | {"flatten", "unflatten"} | DIVIDING - {"chunk"}
}


def module_operation(layer: torch.nn.Module) -> str:
    """The operation that a module without weights does; its class's name where it is not known."""
    name = type(layer).__name__.lower()
    return _MODULES.get(name, name)


def function_operation(target: Any) -> str:
    """The name of a function or method, without the underscores of those that work in place."""
    return str(getattr(target, "__name__", target)).strip("_")


def spares_channels(name: str, rank: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a pooling of a tensor of that rank leaves its channels, on axis 1, as they are."""
    if name not in REDUCING:
        return rank == 4
    axes = kwargs.get("dim", args[1] if len(args) > 1 else None)
    axes = (axes,) if isinstance(axes, int) else axes
    return isinstance(axes, Sequence) and bool(axes) and not {0, 1} & {int(axis) % rank for axis in axes}


def moved(name: str, run: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A moving operation, done to labels. A view of labels need not share their memory."""
    return torch.Tensor.reshape(*args, **kwargs) if name == "view" else run(*args, **kwargs)


def parts(name: str, before: torch.Tensor, after: Any, args: Sequence[Any]) -> int:
    """Into how many parts a moving operation cuts the axis of channels; 1 where it leaves it whole."""
    if before.ndim < 2:
        return 1
    if name in RESHAPING:
        divided = after.ndim > 1 and after.shape[1] < before.shape[1]
        return int(min(after.shape[1], before.shape[1] // after.shape[1])) if divided else 1
    if name in {"chunk", "tensor_split"}:
        return len(after)
    return int(args[1]) if name in DIVIDING and len(args) > 1 and isinstance(args[1], int) else 1
