"""A synthetic run: numbers that look measured, the same ones every time."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from pipeline.predictions import Predictions
from pipeline.results import (
    Conditions,
    Difference,
    Failure,
    Footprint,
    Interval,
    Latency,
    Layer,
    Limit,
    Parity,
    Recommendation,
    Results,
    StageRecord,
    Sweep,
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
        p90_ms=around(p50 * generator.uniform(1.05, 1.2), p50 * 0.03),
        p99_ms=around(p50 * generator.uniform(1.3, 1.6), p50 * 0.1),
        mean_ms=around(p50 * 1.04, p50 * 0.02),
        ratio=around(ratio, 0.03 * ratio),
        verdict="reference" if is_reference else verdict,
        sittings_ms=tuple(p50 * generator.uniform(0.97, 1.03) for _ in range(12)),
        calls=180,
        openings=12,
        warm_up_calls=9,
    )


def _footprint(p50: float, file_bytes: int) -> Footprint:
    return Footprint(
        cold_start_ms=around(412.0 + p50, 18.0),
        load_ms=around(31.5, 1.2),
        first_ms=around(3.2 * p50, 0.4 * p50),
        peak_bytes=118_000_000 + 3 * file_bytes,
        grown_bytes=9_000_000 + 3 * file_bytes,
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
    file_bytes = round((1_650_000 if integer else 6_120_000) * (0.62 if "pruned" in recipe else 1.0))
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
        top5=around(0.996, 0.003),
        per_class=tuple(
            round(max(0.0, min(1.0, correct / IMAGES + generator.uniform(-0.05, 0.03))), 4) for _ in range(10)
        ),
        calibration_error=generator.uniform(0.004, 0.03),
        agreement=1.0 if is_reference else 0.985,
        file_bytes=file_bytes,
        compressed_bytes=round(0.91 * file_bytes),
        footprint=None if runtime == "eager" else _footprint(p50, file_bytes),
        limit=None
        if runtime == "eager"
        else Limit(floor_ms=0.21, bound="memory" if integer else "arithmetic", share=0.21 / p50),
        energy_mj=None if runtime == "eager" else 6.4 * p50,
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
        benchmark={"sittings": 40, "rounds": 5, "calls": 3, "seconds": 60.0, "threads": 1},
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
        conditions=CONDITIONS,
        sweeps=_sweeps(variants, best),
        layers=layers_of(12),
    )


CONDITIONS = Conditions(
    seconds=58.2,
    sittings=12,
    set_aside=1,
    others=0.04,
    steal=0.002,
    drift=1.03,
    precision=0.028,
    energy="not measured: this machine has no counter that may be read",
)
UNSTABLE = CONDITIONS.model_copy(
    update={"unstable": ("other processes used 1.7 of 2 cores", "8 of 12 sittings were set aside"), "set_aside": 8}
)
FAILURES = (
    Failure(recipe="int8-aware", format="pt2", runtime="openvino", reason="parity: 61 % of the answers are the same"),
)


def _sweeps(variants: tuple[Variant, ...], best: int) -> tuple[Sweep, ...]:
    p50 = variants[best].latency.p50_ms.value
    measured = [
        Sweep(
            variant=best,
            threads=threads,
            batch=batch,
            p50_ms=around(p50 * batch / threads**0.7, 0.02 * p50),
            images_per_s=1000 / p50 * threads**0.7,
            speedup=around(threads**0.7 * batch**0.1, 0.05),
        )
        for threads, batch in ((1, 1), (2, 1), (4, 1), (1, 8), (1, 32))
    ]
    return (*measured, Sweep(variant=best, threads=16, batch=1, note="this machine has 8 cores"))


def layers_of(count: int) -> tuple[Layer, ...]:
    """Layers whose shares sum to 1; every fourth has no noise to tell."""
    generator = random.Random(3)
    times = [generator.uniform(0.01, 0.4) for _ in range(count)]
    return tuple(
        Layer(
            name=f"/features/{number}/conv/Conv",
            kernel="QLinearConv" if number % 3 else "Conv",
            ms=ms,
            share=ms / sum(times),
            sqnr_db=None if number % 4 == 3 else generator.uniform(18, 45),
        )
        for number, ms in enumerate(times)
    )


def example_predictions(results: Results, images: int = 450, mistakes: int = 12) -> Predictions:
    """Answers that are right about as often as the results say, and grey pictures of some that are not."""
    generator, classes = np.random.default_rng(5), len(results.classes)
    labels_N = generator.integers(classes, size=images).astype(np.int32)
    right_V1 = np.array([[variant.top1.value] for variant in results.variants])
    wrong_VN = generator.random((len(results.variants), images)) > right_V1
    others_VN = (labels_N + generator.integers(1, max(2, classes), size=wrong_VN.shape)) % classes
    top1_VN = np.where(wrong_VN, others_VN, labels_N).astype(np.int32)
    chosen = results.reference if results.recommendation.variant is None else results.recommendation.variant
    mistakes_M = np.flatnonzero(top1_VN[chosen] != labels_N)[:mistakes].astype(np.int32)
    return Predictions(
        labels_N=labels_N,
        top1_VN=top1_VN,
        confidence_VN=generator.uniform(0.4, 1, size=top1_VN.shape).astype(np.float32),
        mistakes_M=mistakes_M,
        mistakes_MHWC=generator.integers(0, 256, size=(len(mistakes_M), 24, 24, 1)).astype(np.uint8),
    )


def elsewhere(results: Results, cpu: str = "Other CPU 1", slower: float = 2.0) -> Results:
    """The same study on another machine: every latency a little other, ratios too."""
    variants = [
        variant.model_copy(
            update={
                "latency": variant.latency.model_copy(update={"p50_ms": around(slower * p50 * (1 + n % 3 / 9), 0.03)})
            }
        )
        for n, (variant, p50) in enumerate((v, v.latency.p50_ms.value) for v in results.variants)
    ]
    return results.model_copy(
        update={
            "machine": {**results.machine, "cpu": cpu},
            "variants": with_front(variants),
            "sweeps": (),
            "layers": (),
        }
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
