"""The bundle's own README: what it is, how sure that is, and how to use it."""

from __future__ import annotations

from pipeline.artifact import Manifest
from pipeline.bundle.card import Shipped
from pipeline.results import Variant
from pipeline.spec import InputSpec

TEMPLATE = """# {recipe}: an image classifier, ready for an app

Two files hold {kind} that tells {classes} classes apart. Study `{study}`, recipe `{recipe}`, made by Edgewright.

- `model-with-preprocessing.onnx` takes the upright image as it is: `image`, uint8 (height, width, {channels}), of any
  size. Begin with this one: what is resized, cropped and normalized inside cannot be done wrongly outside.
- `model.onnx` takes what is resized, cropped and normalized already. It has fixed sizes, which accelerators want.

| | |
|---|---|
| Accuracy (top-1) | {accuracy} |
| Latency (p50, one image) | {latency} |
| Model file | {size} |
| Parameters | {params:,} |
| Multiply-accumulates for one image | {macs:,} |

Accuracy was measured on {images:,} test images that no training step, budget or calibration saw; images unlike them
may fare worse. Latency is of `model.onnx` and belongs to the machine and the runtime ({runtime}) it was measured on:
expect other milliseconds on a phone, and measure there before you rely on them. `MODEL_CARD.md` tells more, also of
the variants that were not chosen, of licences and of limits.

## Try it

```
pip install numpy onnxruntime
python self_test.py                # {golden} golden examples through both files, exit code 1 if an answer is off
python classify.py IMAGE           # {accepts}
sha256sum -c SHA256SUMS            # nothing changed on the way here
```

With Edgewright installed, `edgewright verify .` also finds added files, and `edgewright demo .` opens the model in a
browser.

## In an app

- **onnxruntime-android**: `examples/kotlin/Classifier.kt`. The CPU provider first{android}. Turn pictures upright
  before, as their EXIF says.
- **onnxruntime-objc** (iOS): `examples/swift/Classifier.swift`. The CPU provider first. Core ML's provider wants fixed
  sizes: give it `model.onnx`{apple}.
- **onnxruntime-web, onnxruntime-node**: `examples/javascript/classifier.mjs`. {web}
- **onnxruntime in Python**: `classify.py`, or the same in three lines with the file that takes images as they are.
- **another runtime**: convert `model.onnx`, repeat `fit` and `logits` of `classify.py`, and run the golden examples.

{measure} The examples in Kotlin and Swift were not compiled where this bundle was made; the one in
JavaScript is what `edgewright demo` runs.

## Preprocessing

What `model-with-preprocessing.onnx` does, and what is left to you with `model.onnx`:

1. Take the upright image as uint8, {color}.
2. Resize it so that its shorter edge is {resize} pixels, the longer one rounded down: {interpolation}, antialiased,
   half-pixel centres.
3. Crop the centre to {height} × {width} (height × width) and round to uint8.
4. {normalization}
5. Order the values as (1, {channels}, {height}, {width}), {dtype}: the input `input`. The output `logits` is
   (1, {classes}), in the order of `labels.txt`; its softmax gives probabilities.

`preprocess.json` says the same as data. Another resizer gives other pixels: compare yours with `golden/fitted.npz`.

## Golden examples

`golden/image_N.png` are raw images, `golden/expected.json` has what the model answered: label, logits, and how far
each logit may be off on another device. Let a test of your app read them through the app's own code: another order of
channels, another mean, or an image that is stretched where it should be cropped shows at once.

## Files

- `model-with-preprocessing.onnx`, `model.onnx`, `labels.txt`, `preprocess.json`: what an app needs
- `classify.py`: the preprocessing in Python; `examples/`: Kotlin, Swift and JavaScript
- `self_test.py`: says whether this device gives the golden answers
- `golden/`: raw images as PNG and in `inputs.npz`, what the network sees of them in `fitted.npz`, `expected.json`
- `MODEL_CARD.md`: data, accuracy, latency of all variants, licence, limits; `about.json`: a few of these as data
- `SHA256SUMS`: the hash of every other file
"""
ANDROID = "; XNNPACK's is worth a try with float models"
WEB = {
    False: "WASM first; WebGPU where there is one pays for larger networks.",
    True: "WASM only: WebGPU has no int8 kernels. Int8 can be slower than float there, so time both.",
}
MEASURE = {
    False: "An int8 model of the same study may be faster on a phone.",
    True: "Int8 kernels are in the CPU provider; others turn much of this file back into float.",
}


def readme(manifest: Manifest, shipped: Shipped, golden: int) -> str:
    """The text, with every number taken from what was measured."""
    variant = shipped.variant
    return TEMPLATE.format(
        study=shipped.results.study,
        recipe=variant.recipe,
        runtime=variant.runtime,
        kind="an int8 model" if manifest.integer else "a float32 model",
        classes=len(manifest.classes),
        accuracy=_accuracy(variant),
        latency=_latency(variant),
        images=variant.images,
        golden=golden,
        size=f"{variant.file_bytes / 1e6:.2f} MB ({variant.file_bytes:,} bytes)",
        params=variant.params,
        macs=variant.macs,
        android="" if manifest.integer else ANDROID,
        apple=", as float" if manifest.integer else "",
        web=WEB[manifest.integer],
        measure=MEASURE[manifest.integer],
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
