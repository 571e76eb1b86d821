"""The bundle's own README: what it is, how sure that is, and how to use it."""

from __future__ import annotations

from pipeline.artifact import Manifest
from pipeline.results import Variant
from pipeline.spec import InputSpec

TEMPLATE = """# {recipe}: an image classifier, ready for an app

`model.onnx` is {kind} that tells {classes} classes apart. Study `{study}`, recipe `{recipe}`, made by Edgewright.

| | |
|---|---|
| Accuracy (top-1) | {accuracy} |
| Latency (p50, one image) | {latency} |
| Model file | {size} |
| Parameters | {params:,} |
| Multiply-accumulates for one image | {macs:,} |

Accuracy was measured on {images:,} test images that no training step, budget or calibration saw; images unlike them
may fare worse. Latency belongs to the machine and the runtime ({runtime}) it was measured on, which the study's
`results.json` names: expect other milliseconds on a phone, and measure there before you rely on them.

## Try it

```
pip install numpy onnxruntime
python classify.py --self-test     # {golden} golden examples, exit code 1 if an answer is off
python classify.py IMAGE           # {accepts}
sha256sum -c SHA256SUMS            # nothing changed on the way here
```

`classify.py` is the whole integration: read it, and repeat `fit` and `logits` in your app's language.

## Preprocessing

1. Take the upright image as uint8, {color}.
2. Resize it so that its shorter edge is {resize} pixels: {interpolation}, antialiased, half-pixel centres.
3. Crop the centre to {height} × {width} (height × width) and round to uint8.
4. {normalization}
5. Order the values as (1, {channels}, {height}, {width}), {dtype}: the input `input`. The output `logits` is
   (1, {classes}), in the order of `labels.txt`; its softmax gives probabilities.

`preprocess.json` says the same as data. Another resizer gives other pixels: run the golden examples through yours.

## Files

- `model.onnx`, `labels.txt`, `preprocess.json`: what an app needs
- `classify.py`: the example
- `golden/inputs.npz`, `golden/expected.json`: raw images with the answers the model gave, and the tolerance
- `SHA256SUMS`: the hash of every other file
"""


def readme(manifest: Manifest, variant: Variant, study: str, golden: int) -> str:
    """The text, with every number taken from what was measured."""
    return TEMPLATE.format(
        study=study,
        recipe=variant.recipe,
        runtime=variant.runtime,
        kind="an int8 ONNX model" if manifest.integer else "a float32 ONNX model",
        classes=len(manifest.classes),
        accuracy=_accuracy(variant),
        latency=_latency(variant),
        images=variant.images,
        golden=golden,
        size=f"{variant.file_bytes / 1e6:.2f} MB ({variant.file_bytes:,} bytes)",
        params=variant.params,
        macs=variant.macs,
        **_input(manifest.input),
    )


def _accuracy(variant: Variant) -> str:
    top1 = variant.top1
    return f"{top1.value:.2%} (95 % interval {top1.low:.2%} to {top1.high:.2%})"


def _latency(variant: Variant) -> str:
    """Milliseconds, and the ratio to the reference where it is not the reference itself."""
    p50, ratio, verdict = variant.latency.p50_ms, variant.latency.ratio, variant.latency.verdict
    text = f"{p50.value:.3g} ms (95 % interval {p50.low:.3g} to {p50.high:.3g})"
    if verdict == "reference":
        return f"{text}; this is the study's reference"
    times = f"{ratio.value:.2f} times the reference's speed, {ratio.low:.2f} to {ratio.high:.2f}"
    return f"{text}; {verdict} ({times})"


def _input(spec: InputSpec) -> dict[str, object]:
    grey = spec.color == "L"
    return {
        "accepts": "binary PGM, or .npy" if grey else "binary PPM, or .npy",
        "color": "one grey channel" if grey else "three channels in the order red, green, blue",
        "channels": spec.channels,
        "resize": spec.resize,
        "interpolation": "bicubic (a = -1/2)" if spec.interpolation == "bicubic" else "bilinear",
        "height": spec.size[0],
        "width": spec.size[1],
        "normalization": _normalization(spec),
        "dtype": spec.dtype,
    }


def _normalization(spec: InputSpec) -> str:
    if spec.dtype == "uint8":
        return "Leave the values as they are: the model normalizes them itself."
    return f"For each channel: `(x / 255 - mean) / std` with mean {list(spec.mean)} and std {list(spec.std)}."
