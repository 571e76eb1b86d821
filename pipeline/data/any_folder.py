"""Photographs for a network that exists: labelled by class folders where these fit its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.data._folders import class_names, every_image, list_folder
from pipeline.data.photographs import (
    ALL,
    Fractions,
    Listing,
    PhotographSource,
    at_random,
    in_three,
)
from pipeline.dataset import UNKNOWN, Samples, Splits
from pipeline.errors import DataError
from pipeline.spec import InputSpec

FEW = 5  # images of a class: fewer cannot be divided in three
AGREEMENT = "what is called top-1 is agreement with the reference's own answers"


class AnyFolder(PhotographSource):
    """Photographs for a network that exists already, labelled by class folders where these are its outputs.

    Where they are not, the reference's answers stand in for labels.

    Attributes:
        path: the folder; images may lie at any depth.
        outputs: how many classes the network tells apart; 0 for one to each class folder.
        classes: names of the outputs, in order; folders' names in sorted order unless given.
        labels: "folders", or "none" to use none.
        width: of the network's input in pixels, where it is not square; ``size`` is then its height.
        grey: the network takes one channel; the first of ``mean`` and of ``std`` count.
        fractions: for calibration or training, for validation and for the test; they sum to one.
        notes: what else a reader of the report should know, in sentences.
    """

    kind: ClassVar[str] = "any_folder"
    path: str
    outputs: Annotated[int, Field(ge=0)] = 0
    classes: tuple[str, ...] = ()
    labels: Literal["folders", "none"] = "folders"
    width: Annotated[int, Field(ge=0)] = 0
    grey: bool = False
    fractions: Fractions = (0.2, 0.4, 0.4)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> AnyFolder:
        return cls(path=text)

    @model_validator(mode="after")
    def _fits_together(self) -> AnyFolder:
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions sum to {sum(self.fractions):g}, not to 1")
        if self.classes and self.outputs not in (0, len(self.classes)):
            raise ValueError(f"{len(self.classes)} names of classes are not {self.outputs} outputs")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class is named twice")
        return self

    @property
    def root(self) -> Path:
        return Path(self.path).expanduser()

    def spec(self) -> InputSpec:
        edges, channels = (self.size, self.width or self.size), 1 if self.grey else 3
        return InputSpec(
            size=edges,
            resize=max(self.resize or round(max(edges) * 8 / 7), *edges),
            color="L" if self.grey else "RGB",
            mean=self.mean[:channels],
            std=self.std[:channels],
            interpolation=self.interpolation,
        )

    def listing(self) -> Listing:
        """Which files there are, each with its output's number, or with none."""
        if self.why_unlabelled:
            return self._unlabelled()
        found = list_folder(self.root)
        names = self.classes or found.classes
        number = [names.index(name) for name in found.classes]
        parts = {part: tuple((file, number[label]) for file, label in pairs) for part, pairs in found.parts.items()}
        return Listing(found.root, names, parts, found.passed_by)

    @property
    def why_unlabelled(self) -> str:
        """Why the folders' names are no labels, in words; empty where they are."""
        if self.labels == "none":
            return "labels are not used, as asked"
        folders, outputs = self._folders(), len(self.classes) or self.outputs
        if not folders:
            return f"{self.root.name} has no class folders" if outputs else ""
        if strange := sorted(set(folders) - set(self.classes)) if self.classes else []:
            return f"labels are not used: the class folder {strange[0]} is none of the network's {outputs:,} classes"
        if not self.classes and outputs not in (0, len(folders)):
            return f"labels are not used: {len(folders)} class folders, but the network tells {outputs:,} classes apart"
        return ""

    def _folders(self) -> tuple[str, ...]:
        """Names of the class folders; none where there are no two."""
        train = self.root / "train"
        try:
            return class_names(train if train.is_dir() and (self.root / "test").is_dir() else self.root)
        except (DataError, OSError):
            return ()

    def _unlabelled(self) -> Listing:
        count = self.outputs or len(self._folders())
        names = self.classes or tuple(str(number) for number in range(count))
        return Listing(self.root, names, {ALL: tuple((file, UNKNOWN) for file in every_image(self.root))})

    def divided(self, parts: Mapping[str, Samples], classes: tuple[str, ...]) -> tuple[Splits, Samples]:
        import numpy as np

        _, images = np.unique(parts[ALL].labels_N, return_counts=True) if ALL in parts else (0, np.array([FEW]))
        if images.min() < FEW:
            return at_random(parts[ALL], classes, self.fractions)
        return in_three(parts, classes, self.fractions)

    def source(self, listing: Listing) -> str:
        return f"{len(listing.files):,} photographs below {listing.root.name}/"

    def remarks(self, listing: Listing) -> tuple[str, ...]:
        return (*((f"{self.why_unlabelled}; {AGREEMENT}",) if self.why_unlabelled else ()), *self.notes)
