"""What a network gives for every image of a split, computed once on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.dataset import Samples
from pipeline.stage import Context

if TYPE_CHECKING:
    import torch

IMAGES = 64


def outputs(
    network: Callable[[torch.Tensor], torch.Tensor],
    samples: Samples,
    context: Context,
    what: str = "answers to every image",
) -> torch.Tensor:
    """(N, …) on the context's device, without gradients; the same images in the same order.

    Args:
        what: is told as progress.

    Raises:
        Interrupted, Terminated: told to stop.
    """
    import torch

    parts = []
    for start in range(0, len(samples), IMAGES):
        x_NCHW = torch.from_numpy(samples.x_NCHW(start, start + IMAGES)).to(context.device)
        with torch.inference_mode():
            parts.append(network(x_NCHW.contiguous(memory_format=torch.channels_last)).clone())
        context.progress(min(start + IMAGES, len(samples)), len(samples), what)
        context.stop.check()
    with torch.no_grad():
        return torch.cat(parts)
