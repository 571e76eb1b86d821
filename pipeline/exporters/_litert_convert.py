"""A script for LiteRT's own environment: a .pt2 file into a .tflite file, whose image comes with its channels last."""

from __future__ import annotations

import sys


def main(source: str, target: str) -> None:
    import litert_torch
    import torch

    program = torch.export.load(source)
    example_NCHW = program.example_inputs[0][0]
    module = litert_torch.to_channel_last_io(program.module(), args=[0])
    litert_torch.convert(module, (example_NCHW.permute(0, 2, 3, 1).contiguous(),)).export(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
