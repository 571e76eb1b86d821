"""What int8 costs in each layer: in noise of the logits, and in accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipeline.dataset import Samples
from pipeline.measure.statistics import paired_difference, sqnr_db
from pipeline.progress import Progress, silent
from pipeline.results import Difference
from pipeline.spec import Value

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.quantizers._mixed import Floats, Mixed


class Sensitivity(Value):
    """What int8 in one layer does to the logits.

    Attributes:
        layer: its name in the captured graph, as profiles and ``PostTraining.floats`` have it.
        alone_db: signal to noise of the logits where this layer alone is int8; low is bad.
        spared_db: where all layers but this one are; high says that this one does the harm.
    """

    layer: str
    alone_db: float
    spared_db: float


class Worth(Value):
    """What keeping layers float gives back.

    Attributes:
        layers: that are float while all others are int8.
        gained: top-1 against that of int8 everywhere, on the same images.
        agreement: share of images with the float network's answer.
    """

    layers: tuple[str, ...]
    gained: Difference
    agreement: float


class Noise(NamedTuple):
    """Sums of squares over all logits: of the float network's, and of the difference of each choice from them."""

    signal: float
    powers: tuple[float, ...]

    def db(self) -> tuple[float, ...]:
        return tuple(sqnr_db(self.signal, power) for power in self.powers)


def sensitivities(network: Mixed, x_NCHW: NDArray[np.float32], progress: Progress = silent) -> tuple[Sensitivity, ...]:
    """Of every quantized layer, in the order they run, by signal to noise on a few images."""
    layers = network.layers
    spared = noise(network, x_NCHW, (), [(layer,) for layer in layers], progress)
    alone = noise(network, x_NCHW, layers, [network.ordered(set(layers) - {layer}) for layer in layers], progress)
    rows = zip(layers, alone.db(), spared.db(), strict=True)
    return tuple(Sensitivity(layer=layer, alone_db=one, spared_db=rest) for layer, one, rest in rows)


def noise(
    network: Mixed,
    x_NCHW: NDArray[np.float32],
    base: Floats,
    choices: Sequence[Floats],
    progress: Progress = silent,
) -> Noise:
    """The noise of every choice of float layers.

    Activations that a choice shares with ``base`` are not computed again, so a choice should be near it.
    """
    import torch

    signal, powers = 0.0, [0.0] * len(choices)
    for index in range(len(x_NCHW)):  # one by one, as the values of all layers are held
        x_1CHW = torch.from_numpy(x_NCHW[index : index + 1])
        exact_1K = network.run(x_1CHW, network.layers)[network.logits_node]
        signal += _power(exact_1K)
        before = network.run(x_1CHW, base)
        for choice, floats in enumerate(choices):
            powers[choice] += _power(network.again(before, base, floats) - exact_1K)
            progress(index * len(choices) + choice + 1, len(x_NCHW) * len(choices), "signal to noise")
    return Noise(signal, tuple(powers))


def _power(values: torch.Tensor) -> float:
    return float(values.double().square().sum())


def worths(
    network: Mixed, samples: Samples, choices: Sequence[Floats], progress: Progress = silent
) -> tuple[Worth, ...]:
    """What each choice of float layers gives back, on more images than ``noise`` needs.

    Args:
        samples: labelled, normalized for the network.
    """
    import numpy as np
    import torch

    answers = np.empty((len(choices) + 2, len(samples)), np.int64)  # of float, of int8, and of each choice
    for index in range(len(samples)):
        x_1CHW = torch.from_numpy(samples.x_NCHW(index, index + 1))
        before = network.run(x_1CHW, ())
        exact_1K = network.run(x_1CHW, network.layers)[network.logits_node]
        logits = [exact_1K, before[network.logits_node], *(network.again(before, (), floats) for floats in choices)]
        answers[:, index] = [int(logits_1K.argmax()) for logits_1K in logits]
        progress(index + 1, len(samples), "accuracy")
    exact_N, int8_N, *chosen = answers
    return tuple(
        Worth(
            layers=floats,
            gained=paired_difference(int8_N == samples.labels_N, answer_N == samples.labels_N),
            agreement=float((answer_N == exact_N).mean()),
        )
        for floats, answer_N in zip(choices, chosen, strict=True)
    )
