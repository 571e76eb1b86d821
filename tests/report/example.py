"""A synthetic run: numbers that look measured, the same ones every time."""

from __future__ import annotations

import random
from typing import Any

from pipeline.results import (
    Difference,
    Interval,
    Latency,
    Parity,
    Recommendation,
    Results,
    StageRecord,
    Variant,
)
from pipeline.spec import Budget

RUNTIMES = (("onnx", "onnxruntime"), ("onnx", "openvino"), ("torchscript", "torchscript"), ("pt2", "eager"))
RECIPES = ("float", "pruned-30", "distilled", "int8-static", "int8-aware", "pruned-int8")
IMAGES = 720
REFERENCE_TOP1, REFERENCE_MS = 0.9708, 3.41


def around(value: float, half: float) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def lineage_of(recipe: str, seed: int) -> tuple[dict[str, Any], ...]:
    return (
        {"MobileNetV3": {"size": "small", "classes": 10}},
        {"Train": {"epochs": 30, "learning_rate": 0.02, "label_smoothing": 0.1}},
        {"Prune": {"ratio": 0.3, "round_to": 8}} if "pruned" in recipe else {"Identity": {}},
        {"ExportOnnx": {"opset": 20}},
        {"data": "5f0c9a1e", "seed": seed},
    )


def _latency(p50: float, generator: random.Random, is_reference: bool) -> Latency:
    ratio = REFERENCE_MS / p50
    verdict = "faster" if ratio > 1.04 else "slower" if ratio < 0.96 else "no difference shown"
    return Latency(
        p50_ms=around(p50, p50 * generator.uniform(0.01, 0.03)),
        p90_ms=p50 * generator.uniform(1.05, 1.2),
        ratio=around(ratio, 0.03 * ratio),
        verdict="reference" if is_reference else verdict,
        rounds_ms=tuple(p50 * generator.uniform(0.97, 1.03) for _ in range(40)),
    )


def _variant(index: int, generator: random.Random) -> Variant:
    recipe = RECIPES[index // len(RUNTIMES) % len(RECIPES)]
    generation = index // (len(RUNTIMES) * len(RECIPES))
    format_, runtime = RUNTIMES[index % len(RUNTIMES)]
    integer, is_reference = "int8" in recipe, index == 0
    name = recipe if generation == 0 else f"{recipe}-{generation}"
    drop = 0.0 if is_reference else generator.uniform(0, 0.004) + 0.009 * integer + 0.008 * ("pruned" in recipe)
    speed = (1.9 if integer else 1.0) * (1.35 if "pruned" in recipe else 1.0)
    p50 = REFERENCE_MS if is_reference else REFERENCE_MS / speed * generator.uniform(0.9, 1.6)
    correct = round(IMAGES * (REFERENCE_TOP1 - drop))
    return Variant(
        recipe=name,
        format=format_,
        runtime=runtime,
        integer=integer,
        folder=f"{name}/{format_}",
        top1=Interval(value=correct / IMAGES, low=correct / IMAGES - 0.015, high=correct / IMAGES + 0.011),
        correct=correct,
        images=IMAGES,
        validation_top1=REFERENCE_TOP1 + 0.004 - drop,
        versus_reference=Difference(
            difference=around(-drop, 0.0 if is_reference else 0.008),
            p_value=1.0 if is_reference else generator.uniform(0.0001, 0.9),
            only_reference=round(drop * IMAGES),
            only_variant=0 if is_reference else 2,
        ),
        latency=_latency(p50, generator, is_reference),
        parent="float" if recipe != "float" else "",
        versus_parent=around(1.62, 0.04) if integer else None,
        note="14 of 52 convolutions stay in float32: this runtime has no int8 kernel for them." if index == 13 else "",
        file_bytes=round((1_650_000 if integer else 6_120_000) * (0.62 if "pruned" in recipe else 1.0)),
        params=1_528_106 if "pruned" not in recipe else 951_220,
        macs=56_510_000 if "pruned" not in recipe else 31_200_000,
        parity=Parity(
            images=64,
            max_difference=0.31 if integer else 2.4e-6,
            scale=11.7,
            agreement=0.984375 if integer else 1.0,
            sqnr_db=27.3 if integer else 131.0,
        ),
        lineage=lineage_of(recipe, 0),
        within_budget=drop <= 0.015,
        on_front=False,
    )


def with_front(variants: list[Variant]) -> tuple[Variant, ...]:
    def beaten(one: Variant) -> bool:
        return any(
            other.latency.p50_ms.value < one.latency.p50_ms.value and other.top1.value >= one.top1.value
            for other in variants
        )

    return tuple(variant.model_copy(update={"on_front": not beaten(variant)}) for variant in variants)


def example_results(count: int = 14, seed: int = 7) -> Results:
    """A run of ``count`` variants; the first is the reference, the fastest allowed one recommended."""
    generator = random.Random(seed)
    variants = with_front([_variant(index, generator) for index in range(count)])
    allowed = [index for index in range(count) if variants[index].within_budget]
    best = min(allowed, key=lambda index: variants[index].latency.p50_ms.value)
    chosen = variants[best]
    return Results(
        study="digits",
        data="digits",
        data_digest="5f0c9a1e77b2d4c8",
        seed=0,
        created="2026-03-14T09:26:53+00:00",
        classes=tuple("0123456789"),
        machine={
            "cpu": "Example CPU 9000 @ 2.60 GHz",
            "cores": 8,
            "memory_bytes": 33_554_432_000,
            "system": "Linux 6.1",
            "load": [0.21, 0.34, 0.4],
        },
        versions={"python": "3.11.9", "torch": "2.11.0", "onnxruntime": "1.24.1", "edgewright": "0.1.0"},
        budget=Budget(max_drop=0.015, max_latency_ms=6.0, max_bytes=8_000_000),
        benchmark={"rounds": 40, "calls": 10, "seconds": 30.0, "threads": 1},
        reference=0,
        variants=variants,
        stages=tuple(_stages(generator)),
        recommendation=Recommendation(
            variant=best,
            sentence=(
                f"Ship {chosen.recipe} on {chosen.runtime}: {chosen.latency.ratio.value:.2f}× as fast as the "
                f"reference at {100 * chosen.top1.value:.1f} % top-1, within the budget."
            ),
        ),
    )


def _stages(generator: random.Random) -> list[StageRecord]:
    shared = [("MobileNetV3", 0.04), ("Train", 412.0)]
    own = [("Prune", 3.1), ("Distill", 188.0), ("QuantizeStatic", 9.6), ("ExportOnnx", 4.2)]
    return [
        StageRecord(
            label=label,
            recipe=recipe,
            key=f"{label}-{recipe}",
            seconds=seconds * generator.uniform(0.8, 1.2),
            status="cached" if (label, seconds) in shared and recipe != RECIPES[0] else "done",
            facts={"top1": 0.9722, "epochs": 30} if label == "Train" else {},
        )
        for recipe in RECIPES[:4]
        for label, seconds in [*shared, own[RECIPES.index(recipe)]]
    ]


def renamed(results: Results, index: int, **fields: Any) -> Results:
    """The same results with some fields of one variant replaced."""
    variants = list(results.variants)
    variants[index] = variants[index].model_copy(update=fields)
    return results.model_copy(update={"variants": tuple(variants)})
