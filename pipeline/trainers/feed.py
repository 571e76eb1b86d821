"""Batches by step: what a training step sees is a function of the seed and the step's number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.dataset import Samples
from pipeline.errors import DataError, EdgewrightError
from pipeline.images import Held, Images
from pipeline.measure.machine import usable_cores
from pipeline.stage import Context
from pipeline.trainers.augment import LEAST_AREA, LN_RATIO, changed
from pipeline.trainers.mixing import mixed
from pipeline.trainers.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class Batch(NamedTuple):
    """One step's share of this process.

    Attributes:
        x_NCHW: float32, normalized and changed, channels last.
        targets: labels (N,), or probabilities (N, K) where images were mixed.
        chosen_N: numbers of the images, on the CPU.
    """

    x_NCHW: torch.Tensor
    targets: torch.Tensor
    chosen_N: torch.Tensor


class Feed(ABC):
    """Batches for a plan; ``total`` steps in all."""

    def __init__(self, context: Context, plan: Plan) -> None:
        import torch

        self.changes, self.seed, self.ranks, self.device = plan.augment, context.seed, context.ranks, context.device
        self.samples, self.classes = context.data.train, len(context.data.classes)
        batch = min(plan.batch, len(self.samples))
        self.batch = batch - batch % self.ranks.world
        if not self.batch:
            cause = f"{batch} images a step are too few for {self.ranks.world} processes"
            raise DataError(cause, "raise batch, or start fewer processes")
        self.steps_per_epoch = len(self.samples) // self.batch
        self.total = plan.epochs * self.steps_per_epoch
        spec = self.samples.spec
        self.mean, self.std = (torch.tensor(v, device=self.device).view(1, -1, 1, 1) for v in (spec.mean, spec.std))
        self.labels_N = torch.from_numpy(self.samples.labels_N).to(self.device)

    def chosen(self, step: int) -> torch.Tensor:
        """Numbers of this process's images in a step: every image once an epoch."""
        epoch, index = divmod(step, self.steps_per_epoch)
        whole = _order(len(self.samples), self.seed + epoch)[index * self.batch : (index + 1) * self.batch]
        return whole[self.ranks.rank :: self.ranks.world]

    def seed_of(self, step: int) -> int:
        return (self.seed * 1_000_003 + step) * self.ranks.world + self.ranks.rank

    @abstractmethod
    def pixels(self, step: int, chosen_N: torch.Tensor) -> torch.Tensor:
        """uint8 (N, C, H, W) on the device. Steps are asked for in order."""

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        import torch

        chosen_N = self.chosen(step)
        images_NCHW = self.pixels(step, chosen_N)
        torch.manual_seed(self.seed_of(step))
        x_NCHW = changed(images_NCHW.float() / 255, self.changes)
        x_NCHW = ((x_NCHW - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        labels_N = self.labels_N[chosen_N.to(self.device)]
        return Batch(*mixed(x_NCHW, labels_N, self.changes, self.classes), chosen_N)


@lru_cache(maxsize=2)
def _order(count: int, seed: int) -> torch.Tensor:
    """The images' order in one epoch."""
    import torch

    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


class Resident(Feed):
    """Images that live on the device as uint8."""

    def __init__(self, context: Context, plan: Plan) -> None:
        super().__init__(context, plan)
        import torch

        images_NHWC = torch.from_numpy(self.samples.images.fitted_NHWC())
        self.images_NCHW = images_NHWC.permute(0, 3, 1, 2).to(self.device)

    def pixels(self, step: int, chosen_N: torch.Tensor) -> torch.Tensor:
        return self.images_NCHW[chosen_N.to(self.device)]


class Streamed(Feed):
    """Images in files, decoded by workers ahead of the device."""

    AHEAD = 4

    def __init__(self, context: Context, plan: Plan) -> None:
        super().__init__(context, plan)
        self.part_only = "resized_crop" in plan.augment  # done by the workers, before resizing
        self.changes = tuple(change for change in plan.augment if change != "resized_crop")
        self.next = -1
        self.batches: Iterator[Any] = iter(())

    def pixels(self, step: int, chosen_N: torch.Tensor) -> torch.Tensor:
        if step != self.next:
            self.batches = iter(self._loader(step))
        self.next = step + 1
        found = next(self.batches)
        if isinstance(found, EdgewrightError):
            raise found
        images_NCHW: torch.Tensor = found.to(self.device, non_blocking=True)
        return images_NCHW

    def _loader(self, first: int) -> Any:
        from torch.utils.data import DataLoader

        return DataLoader(
            Decoded(self.samples, self.part_only),  # type: ignore[arg-type]
            batch_sampler=[self._numbers(step) for step in range(first, self.total)],
            num_workers=max(1, usable_cores() // self.ranks.world),
            prefetch_factor=self.AHEAD,
            collate_fn=stacked,
            pin_memory=self.device != "cpu",
        )

    def _numbers(self, step: int) -> list[tuple[int, int]]:
        """Image and seed of each sample of a step."""
        return [(int(index), self.seed_of(step) * self.batch + place) for place, index in enumerate(self.chosen(step))]


class Decoded:
    """Images by (number, seed), for a loader's workers.

    Attributes:
        part_only: each is a random part of the photograph, resized, and not its centre.
    """

    def __init__(self, samples: Samples, part_only: bool) -> None:
        self.samples, self.part_only = samples, part_only

    def __getitem__(self, number: tuple[int, int]) -> NDArray[np.uint8] | EdgewrightError:
        index, seed = number
        try:
            image_HWC = self.samples.images.original(index)
        except EdgewrightError as error:
            return error  # raised, it would come back as text
        spec = self.samples.spec
        return spec.stretch(random_part(image_HWC, seed)) if self.part_only else spec.fit(image_HWC)


def random_part(image_HWC: NDArray[np.uint8], seed: int, least: float = LEAST_AREA) -> NDArray[np.uint8]:
    """A part of at least ``least`` of the area, 3:4 to 4:3 wide, where the image allows it."""
    import numpy as np

    rng = np.random.default_rng(seed)
    height, width = image_HWC.shape[:2]
    area, ratio = rng.uniform(least, 1) * height * width, np.exp(rng.uniform(-LN_RATIO, LN_RATIO))
    rows, columns = min(height, round(np.sqrt(area / ratio))), min(width, round(np.sqrt(area * ratio)))
    rows, columns = max(1, rows), max(1, columns)
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    return image_HWC[top : top + rows, left : left + columns]


def stacked(found: list[Any]) -> Any:
    """A batch (N, C, H, W), or the first error among its images."""
    import numpy as np
    import torch

    errors = [item for item in found if isinstance(item, EdgewrightError)]
    return errors[0] if errors else torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)


def feed_of(context: Context, plan: Plan) -> Feed:
    """The feed that suits where the training images are."""
    images: Images = context.data.train.images
    return Resident(context, plan) if isinstance(images, Held) else Streamed(context, plan)
