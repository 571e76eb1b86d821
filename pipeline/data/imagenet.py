"""Labelled ImageNet validation images, to measure networks that were trained on ImageNet."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from pipeline.data._root import DATA, data_root
from pipeline.data.photographs import ALL, Fractions, Listing, PhotographSource, at_random
from pipeline.dataset import Samples, Splits
from pipeline.errors import DataError
from pipeline.spec import Interpolation, Positive

FOLDER = "imagenet_val"


class ImageNet(PhotographSource):
    """ImageNet validation images of 1,000 classes, to measure networks that are trained already.

    Train holds images to calibrate with; none of them is a test image.

    Attributes:
        resize: shorter edge before the centre crop, in pixels; 8/7 of ``size`` when 0.
        fractions: of the images for calibration, validation and test; they sum to one.
    """

    kind: ClassVar[str] = "imagenet"
    size: Positive = 224
    resize: int = Field(default=256, ge=0)
    interpolation: Interpolation = "bicubic"
    fractions: Fractions = (0.2, 0.2, 0.6)

    @model_validator(mode="after")
    def _whole(self) -> ImageNet:
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions sum to {sum(self.fractions):g}, not to 1")
        return self

    def listing(self) -> Listing:
        root = data_root() / FOLDER
        table = _table(root)
        classes = _classes(root / "classes.tsv")
        images = table.with_suffix("")
        pairs = tuple((images / row["file"], int(row["label"])) for row in _rows(table, ("file", "label"), ","))
        if wrong := next((label for _, label in pairs if not 0 <= label < len(classes)), None):
            raise DataError(f"{table}: label {wrong} is not one of {len(classes)} classes", "count them from 0")
        if missing := next((file for file, _ in pairs if not file.is_file()), None):
            raise DataError(f"{missing} is missing, but {table.name} lists it", "add the file, or remove its line")
        return Listing(root, classes, {ALL: pairs})

    def source(self, listing: Listing) -> str:
        return f"{len(listing.files):,} labelled ImageNet validation images"

    def divided(self, parts: Mapping[str, Samples], classes: tuple[str, ...]) -> tuple[Splits, Samples]:
        """At random: most classes have one image or two."""
        return at_random(parts[ALL], classes, self.fractions)


def _table(root: Path) -> Path:
    """The one label table that has a folder of images of its own name."""
    fix = f"put val*.csv (file,label,wnid), a folder of the same name, and classes.tsv into {root} (${DATA})"
    tables = [file for file in sorted(root.glob("val*.csv")) if file.with_suffix("").is_dir()]
    if len(tables) != 1:
        names = f"{len(tables)} label tables: {', '.join(file.name for file in tables)}" if tables else "no label table"
        raise DataError(f"{root} has {names}", fix)
    return tables[0]


def _classes(file: Path) -> tuple[str, ...]:
    """Class names by index; where two classes share one, their WordNet numbers tell them apart."""
    rows = list(_rows(file, ("index", "wnid", "name"), "\t"))
    if [row["index"] for row in rows] != [str(index) for index in range(len(rows))]:
        raise DataError(f"{file}: index does not count 0, 1, 2, …", "list every class once, in order")
    times = Counter(row["name"] for row in rows)
    return tuple(row["name"] if times[row["name"]] == 1 else f"{row['name']} ({row['wnid']})" for row in rows)


def _rows(file: Path, columns: tuple[str, ...], separator: str) -> list[dict[str, str]]:
    """A table's rows by column.

    Raises:
        DataError: it is missing, or a column is, or a label is no number.
    """
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened, delimiter=separator, quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read: {error}", f"it needs the columns {', '.join(columns)}") from None
    for number, row in enumerate(rows, 2):
        if any(not row.get(column) for column in columns) or not row.get("label", "0").isdecimal():
            raise DataError(f"{file}, line {number}: cannot be used", f"it needs the columns {', '.join(columns)}")
    if not rows:
        raise DataError(f"{file} has no rows", f"it needs the columns {', '.join(columns)}")
    return rows
