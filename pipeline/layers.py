"""Each operator of a file: its share of the time, from the runtime's profile, and its int8 noise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.artifact import Artifact
from pipeline.aside import Crashed
from pipeline.assess import Answered, Arrays
from pipeline.execute import Workshop
from pipeline.measure.machine import cpu_name
from pipeline.quantizers.noise import layer_noise
from pipeline.results import Layer
from pipeline.runtime import Kernel, Runtime
from pipeline.spec import key_of

NOISE_IMAGES = 4
# What exporters and runtimes add to the name that a layer has in the captured network.
ADDED = re.compile(r"^node_|_token_\d+$")


def layers_of(shop: Workshop, item: Answered, threads: int) -> tuple[Layer, ...]:
    """The operators in the order they ran; none where the runtime keeps no profile."""
    key = key_of([item.key, "operators", threads, cpu_name()])

    def make() -> tuple[Arrays, Mapping[str, Any]]:
        validation = shop.data.splits.validation
        x_1CHW = validation.normalized_as(item.artifact.manifest.input).x_NCHW(0, 1)
        kernels = shop.aside.do(profile, item.runtime, item.artifact, x_1CHW, threads)
        noise = _noise(shop, item) if kernels and item.model_key and item.artifact.manifest.integer else {}
        return Arrays({}), {"layers": [layer.model_dump() for layer in combined(kernels, noise)]}

    try:
        entry = shop.cached(key, f"operators of {item.label}", item.artifact.manifest.recipe, make)
    except Crashed as error:
        shop.warn(f"{error.cause}; the report does without")
        return ()
    return tuple(Layer.model_validate(plain) for plain in entry.facts["layers"])


def _noise(shop: Workshop, item: Answered) -> dict[str, float]:
    """Of each layer of the model that the file was exported from."""
    model = shop.model(item.model_key)
    return layer_noise(model, shop.data.splits.validation.normalized_as(model.spec).x_NCHW(0, NOISE_IMAGES))


def combined(kernels: Sequence[Kernel], noise: Mapping[str, float]) -> list[Layer]:
    """Each kernel with its share, and the noise of the layer it was made from."""
    total = sum(kernel.ms for kernel in kernels) or 1.0  # a profile counts whole microseconds
    return [
        Layer(
            name=(name := ADDED.sub("", kernel.name)),
            kernel=kernel.kernel,
            ms=round(kernel.ms, 5),
            share=round(kernel.ms / total, 5),
            sqnr_db=noise.get(name),
        )
        for kernel in kernels
    ]


def profile(runtime: Runtime, artifact: Artifact, x_1CHW: object, threads: int) -> tuple[Kernel, ...]:
    """In the process aside."""
    return runtime.profile(artifact, x_1CHW, threads)  # type: ignore[arg-type]
