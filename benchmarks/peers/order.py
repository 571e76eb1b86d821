"""The work order: one network and its images as files, the same for every peer.

float.onnx, int8.onnx      ours; batch 1, input (1, C, H, W) float32, normalized
float.pt2                  the float network as torch.export saves it, batch 1
network/                   the same for who builds it with ``pipeline.model.Model.load``
calibration.npy            (N, C, H, W) float32, normalized
pruned.onnx                ours, half the multiply-adds
int8.txt, pruned.txt       what there is to know of these
test.npy, labels.npy       what accuracy is told from; image.npy is the first, to be timed
"""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.peer import INT8, MACS_LEFT, PRUNED, ROUND_TO, note_of, pruned_note
from pipeline.quantizers.post_training import PostTraining

if TYPE_CHECKING:
    from pipeline.dataset import DataSet
    from pipeline.model import Model
    from pipeline.stage import Context

LAST = "labels.npy"
RATIOS = [step / 50 for step in range(5, 45)]
TUNED = PostTraining()
# The same graph with other numbers, in a tenth of the time: for networks whose answers are not told.
UNTUNED = PostTraining(rounding="nearest", correct_bias=False)


def default_models(data: DataSet) -> dict[str, Model]:
    """EfficientNet-Lite0 and MobileNetV2 with weights that others trained on ImageNet."""
    from benchmarks.pretrained import networks
    from pipeline.data._root import data_root
    from pipeline.stage import Context

    models = {}
    for known in networks()["imagenet"]:
        weights = str(data_root() / "weights" / known.file)
        family = known.family.model_copy(update={"weights": weights})
        models[type(family).__name__] = family(None, Context(data.splits))
    return models


def prepare(model: Model, data: DataSet, order: Path, images: int, quantizer: PostTraining = TUNED) -> None:
    """Write the order for the first ``images`` test images; one that is whole is left as it is."""
    import numpy as np

    if (order / LAST).is_file():
        return
    (order / "network").mkdir(parents=True, exist_ok=True)
    model.save(order / "network")
    _files(model, data, order, quantizer)
    test = data.test.normalized_as(model.spec)
    x_NCHW = test.x_NCHW(0, images)
    np.save(order / "test.npy", x_NCHW)
    np.save(order / "image.npy", x_NCHW[:1])
    np.save(order / LAST, test.labels_N[:images])


def _files(model: Model, data: DataSet, order: Path, quantizer: PostTraining) -> None:
    """Our own files, the exported program, and the calibration images."""
    import numpy as np
    import torch

    from pipeline.exporters.onnx import ExportOnnx
    from pipeline.measure.machine import cpu_flags
    from pipeline.stage import Context

    splits = data.splits.normalized_as(model.spec)
    context = Context(splits)
    np.save(order / "calibration.npy", splits.calibration.x_NCHW())
    with torch.no_grad():
        program = torch.export.export(model.module, (torch.zeros(1, *model.spec.shape),))
    torch.export.save(program, order / "float.pt2")
    ExportOnnx().write(model, order / "float.onnx")
    amx = "amx_int8" in cpu_flags()
    ExportOnnx(amx=amx).write(quantizer(model, context), order / "int8.onnx")
    (order / note_of(INT8)).write_text("exported for processors with AMX, as this one is" if amx else "")
    _pruned(model, context, order)


def _pruned(model: Model, context: Context, order: Path) -> None:
    """The least channels removed that leave at most half of the multiply-adds."""
    from pipeline.exporters.onnx import ExportOnnx
    from pipeline.measure.size import count_macs
    from pipeline.pruners.structured import Prune

    def left(ratio: float) -> tuple[Model, int]:
        pruned = Prune(ratio=ratio, round_to=ROUND_TO)(model, context)
        return pruned, count_macs(pruned.blueprint, pruned.spec)

    before = count_macs(model.blueprint, model.spec)
    first = bisect_left(RATIOS, True, key=lambda ratio: left(ratio)[1] <= MACS_LEFT * before)
    pruned, after = left(RATIOS[first])
    ExportOnnx().write(pruned, order / f"{PRUNED}.onnx")
    (order / note_of(PRUNED)).write_text(pruned_note(after, before))
