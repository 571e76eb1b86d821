"""A script for LiteRT's own environment: a .pt2 file into a .tflite file, whose image comes with its channels last.

A third argument says that the file is int8: what the graph quantizes becomes integers, and what computes with them
an integer kernel.
"""

from __future__ import annotations

import sys
from typing import Any


def main(source: str, target: str, integer: str = "") -> None:
    import litert_torch
    import torch
    from litert_torch.quantize import pt2e_quantizer, quant_config
    from torchao.quantization.pt2e import quantize_pt2e  # noqa: F401 (registers the file's operators)

    program = torch.export.load(source)
    example_NCHW = program.example_inputs[0][0]
    module = litert_torch.to_channel_last_io(program.module(), args=[0])
    # Of the quantizer, which would find ranges of its own, the converter asks no more than that there is one.
    known = quant_config.QuantConfig(pt2e_quantizer=static(pt2e_quantizer)) if integer else None
    example_NHWC = example_NCHW.permute(0, 2, 3, 1).contiguous()
    litert_torch.convert(module, (example_NHWC,), quant_config=known).export(target)


def static(quantizers: Any) -> Any:
    """A quantizer of fixed ranges."""
    return quantizers.PT2EQuantizer().set_global(quantizers.get_symmetric_quantization_config(is_per_channel=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
