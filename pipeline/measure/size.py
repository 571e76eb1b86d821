"""How big a network is: learned numbers, multiply-accumulates, and its file when sent."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.model import Blueprint
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    from torch import nn


def float_network(blueprint: Blueprint) -> nn.Module:
    """The float network below a blueprint; quantization changes neither count."""
    return blueprint.unquantized().skeleton()


def count_params(blueprint: Blueprint) -> int:
    """Learned numbers of the network."""
    return sum(parameter.numel() for parameter in float_network(blueprint).parameters())


def count_macs(blueprint: Blueprint, spec: InputSpec) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image."""
    return sum(macs_by_operator(blueprint, spec).values())


def convolution_share(blueprint: Blueprint, spec: InputSpec) -> float:
    """Of the multiply-accumulates, those of convolutions."""
    macs = macs_by_operator(blueprint, spec)
    return macs.get("aten.convolution", 0) / max(1, sum(macs.values()))


def macs_by_operator(blueprint: Blueprint, spec: InputSpec) -> dict[str, int]:
    """Multiply-accumulates for one image of each kind of PyTorch's operators."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module = float_network(blueprint)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, *spec.shape))
    return {str(operator): flops // 2 for operator, flops in counter.get_flop_counts()["Global"].items()}


def compressed_bytes(path: Path) -> int:
    """Size of a file packed by DEFLATE, as app packages are."""
    packer, total = zlib.compressobj(level=6), 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            total += len(packer.compress(block))
    return total + len(packer.flush())
