"""Quantizes MobileNetV2 after training, and prints the number of images, seconds and peak bytes of this process."""

from __future__ import annotations

import time


def main() -> None:
    from benchmarks.peers.order import default_models
    from pipeline.dataset import read_source
    from pipeline.measure.footprint import memory_bytes
    from pipeline.quantizers.post_training import PostTraining
    from pipeline.stage import Context

    data = read_source("imagenet").load()
    model = default_models(data)["MobileNetV2"]
    splits = data.splits.normalized_as(model.spec)
    start = time.perf_counter()
    PostTraining()(model, Context(splits))
    seconds = time.perf_counter() - start
    print(len(splits.calibration), f"{seconds:.1f}", memory_bytes("VmHWM"))


if __name__ == "__main__":
    main()
