"""Where the chosen model's time goes, and where int8 made it noisy."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.report import words
from pipeline.results import Layer

MOST = 60


class Shown(NamedTuple):
    """One operator. share, noise: lengths of bars, in per cent of the longest."""

    number: int
    name: str
    kernel: str
    ms: str
    percent: str
    share: float
    sqnr: str
    noise: float
    layer: Layer


class Layers(NamedTuple):
    """The operators that take most time, in the order they run.

    Attributes:
        left_out: how many are not shown. their_share: of the time of all operators, per cent.
    """

    shown: list[Shown]
    left_out: int
    their_share: str
    noise_known: bool


def layers(all_layers: tuple[Layer, ...]) -> Layers:
    """At most ``MOST`` operators; the quick ones are counted together."""
    slowest = sorted(range(len(all_layers)), key=lambda place: -all_layers[place].share)
    kept = sorted(slowest[:MOST])
    longest = max((layer.share for layer in all_layers), default=0) or 1
    least_db = min((layer.sqnr_db for layer in all_layers if layer.sqnr_db is not None), default=None)
    return Layers(
        shown=[_shown(place + 1, all_layers[place], longest, least_db) for place in kept],
        left_out=len(slowest) - len(kept),
        their_share=words.fixed(100 * sum(all_layers[place].share for place in slowest[MOST:]), 1),
        noise_known=least_db is not None,
    )


def _shown(number: int, layer: Layer, longest: float, least_db: float | None) -> Shown:
    return Shown(
        number=number,
        name=words.plain(layer.name),
        kernel=words.plain(layer.kernel),
        ms=words.significant(layer.ms),
        percent=words.fixed(100 * layer.share, 1),
        share=round(100 * layer.share / longest, 1),
        sqnr="—" if layer.sqnr_db is None else words.fixed(layer.sqnr_db, 1),
        noise=_noise(layer.sqnr_db, least_db),
        layer=layer,
    )


def _noise(sqnr_db: float | None, least_db: float | None) -> float:
    """The noise's amplitude, in per cent of the noisiest layer's: decibels are no length."""
    if sqnr_db is None or least_db is None:
        return 0.0
    return round(float(100 * 10 ** ((least_db - sqnr_db) / 20)), 1)
