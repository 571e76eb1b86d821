"""What to ship: the fastest variant within the budget that pays, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.measure.timings import verdict
from pipeline.report.words import size
from pipeline.results import Interval, Recommendation, Variant
from pipeline.spec import Budget

# Files that differ by less are as large as each other; one that packs by so much more has numbers set to zero.
SAME, PACKED = 0.02, 0.1


def over_budget(budget: Budget, drop: float, p50_ms: float, file_bytes: int) -> list[str]:
    """In words, each limit that a variant does not keep; none where it fits the budget.

    Args:
        drop: top-1 lost against the reference on validation images, as a fraction of 1.
    """
    found = []
    if drop > budget.max_drop:
        found.append(f"loses {points(drop)} on validation images, {100 * budget.max_drop:g} allowed")
    if budget.max_latency_ms is not None and p50_ms > budget.max_latency_ms:
        found.append(f"takes {p50_ms:.2f} ms, {budget.max_latency_ms:g} allowed")
    if budget.max_bytes is not None and file_bytes > budget.max_bytes:
        found.append(f"has {file_bytes:,} bytes, {budget.max_bytes:,} allowed")
    return found


def points(fraction: float) -> str:
    """A difference of top-1 in points, one decimal at most.

    >>> points(0.01), points(-0.0251)
    ('1 point', '−2.5 points')
    """
    text = f"{100 * fraction:.1f}".removesuffix(".0").replace("-", "−")
    return f"{text} point{'' if text == '1' else 's'}"


def not_faster(parent: str, versus_parent: Interval | None) -> list[str]:
    """A word where compression did not make a variant faster."""
    if versus_parent is None or verdict(versus_parent) == "faster":
        return []
    found = "slower than" if verdict(versus_parent) == "slower" else "not shown to be faster than"
    return [f"{found} {parent} here ({versus_parent.value:.2f}×)"]


def only_packs(own: tuple[int, int], parent: tuple[int, int]) -> list[str]:
    """A word where a file is as large as its parent's and packs better: numbers in it were set to zero.

    Args:
        own, parent: bytes of each file, and of it packed.

    >>> only_packs((1000, 300), (1000, 900))
    ['zeros let the file pack to 300 B (900 B before); they are stored and multiplied like any number']
    >>> only_packs((500, 300), (1000, 900)), only_packs((1000, 890), (1000, 900))
    ([], [])
    """
    as_large = abs(own[0] / parent[0] - 1) < SAME
    if not as_large or own[1] > (1 - PACKED) * parent[1]:
        return []
    before, after = size(parent[1]), size(own[1])
    return [f"zeros let the file pack to {after} ({before} before); they are stored and multiplied like any number"]


def recommend(variants: Sequence[Variant], reference: Variant, budget: Budget, labelled: bool = True) -> Recommendation:
    """The fastest variant within the budget that pays, smaller first where speed does not decide.

    Args:
        labelled: else top-1 is agreement with the reference's answers, and is called so.
    """
    allowed = [variant for variant in variants if variant.within_budget]
    fitting = [i for i, variant in enumerate(variants) if variant.within_budget and _pays(variant, allowed)]
    if not fitting:
        nearest = max(variants, key=lambda variant: (variant.validation_top1, -variant.latency.p50_ms.value))
        why = f"{nearest.name}, the most accurate, {nearest.note}" if nearest.note else "nothing was gained"
        return Recommendation(variant=None, sentence=f"Nothing fits the budget ({_limits(budget)}): {why}; ship none.")
    best = min(fitting, key=lambda i: (variants[i].latency.p50_ms.value, variants[i].file_bytes))
    return Recommendation(variant=best, sentence=_sentence(variants[best], reference, budget, labelled))


def _pays(variant: Variant, allowed: Sequence[Variant]) -> bool:
    """Shown to be faster than the recipe it was made from, or smaller, or else that one is not allowed."""
    made_from = (variant.parent, variant.format, variant.runtime)
    parents = [other for other in allowed if (other.recipe, other.format, other.runtime) == made_from]
    faster = variant.versus_parent is None or verdict(variant.versus_parent) == "faster"
    return faster or all(variant.file_bytes < parent.file_bytes for parent in parents)


def _limits(budget: Budget) -> str:
    """The budget in words."""
    limits = [f"at most {points(budget.max_drop)} of top-1 lost on validation images"]
    if budget.max_latency_ms is not None:
        limits.append(f"{budget.max_latency_ms:g} ms")
    if budget.max_bytes is not None:
        limits.append(f"{budget.max_bytes:,} bytes")
    return ", ".join(limits)


def _sentence(best: Variant, reference: Variant, budget: Budget, labelled: bool) -> str:
    place = f"Ship {best.recipe} as {best.format} on {best.runtime}"
    allowed = f"the budget of {points(budget.max_drop)} of {'top-1' if labelled else 'agreement'}"
    speed = f"{best.latency.p50_ms.value:.2f} ms an image"
    if best == reference:
        return f"{place}: it is the reference, and nothing within {allowed} is shown to be faster; {speed}."
    accuracy = _top1 if labelled else _agreement
    difference, ratio = best.versus_reference.difference, best.latency.ratio
    # Test images never decide; where they contradict the choice, the reader is told.
    exceeded = "" if -difference.value <= budget.max_drop else ", more than the budget, which validation images judge"
    doubt = "" if best.latency.verdict == "faster" else f" ({best.latency.verdict})"
    return (
        f"{place}: the smallest latency within {allowed}, {speed}, "
        f"{ratio.value:.1f}× [{ratio.low:.1f}, {ratio.high:.1f}] the speed of {reference.name}{doubt} "
        f"and {_size(best, reference)}; {accuracy(best, reference)}{exceeded}."
    )


def _top1(best: Variant, reference: Variant) -> str:
    difference = best.versus_reference.difference
    return (
        f"top-1 {best.top1.value:.1%} against {reference.top1.value:.1%}, a paired difference of "
        f"{_signed(difference.value)} points [{_signed(difference.low)}, {_signed(difference.high)}]"
    )


def _agreement(best: Variant, reference: Variant) -> str:
    top1 = best.top1
    bounds = f"[{top1.low:.1%}, {top1.high:.1%}]"
    return f"without labels, its answer is {reference.recipe}'s on {top1.value:.1%} {bounds} of the test images"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f}".replace("-", "−")


def _size(best: Variant, reference: Variant) -> str:
    ratio = reference.file_bytes / best.file_bytes
    return f"{ratio:.1f}× smaller" if ratio >= 1 else f"{1 / ratio:.1f}× larger"
