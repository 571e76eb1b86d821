"""What ``edgewright quantize`` made, as text."""

from __future__ import annotations

from pipeline.quantize_file import QuantizedFile
from pipeline.report import words

MOST = 8


def text(made: QuantizedFile) -> str:
    """The file, how it compares with the float one, and what stayed float."""
    ratio, parity = made.latency.ratio, made.parity
    speed = f"{words.multiple(ratio.value)} {words.bounds(ratio, words.multiple_places(ratio.value))}"
    others = f"{made.checked_on} images that calibration did not see" if made.unseen else "those images"
    lines = [
        f"{made.file}, calibrated on {made.calibrated_on} images",
        f"size      {words.size(made.int8_bytes)}, {_smaller(made.float_bytes / made.int8_bytes)}",
        f"speed     {speed} of the float file's, ONNX Runtime, one thread: {made.latency.verdict}",
        f"answers   the same class for {100 * parity.agreement:.1f} % of {others}; SNR {parity.sqnr_db:.1f} dB",
    ]
    return "\n".join([*lines, *_left(made), f"\nwhy: edgewright explain {made.file}"])


def _smaller(factor: float) -> str:
    """Tiny networks grow: their graph weighs more than their weights."""
    return f"{factor:.2f}× smaller" if factor >= 1 else f"{1 / factor:.2f}× larger"


def _left(made: QuantizedFile) -> list[str]:
    if not made.left:
        return ["float     no operator"]
    more = len(made.left) - MOST
    return [f"float     {', '.join(made.left[:MOST])}{f' and {more} more' if more > 0 else ''}"]
