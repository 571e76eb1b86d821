"""CIFAR-10 with a MobileNet trained from nothing, pruned and quantized; an hour on two cores."""

from __future__ import annotations

from pipeline.data.cifar10 import Cifar10
from pipeline.exporters.onnx import ExportOnnx
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.quantizers.post_training import PostTraining
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import Recipe
from pipeline.study import Study
from pipeline.trainers.supervised import Train

STUDY = Study(
    name="cifar10",
    data=Cifar10(validation=0.05),
    reference="mobilenet_v2",
    recipes=(
        Recipe(
            name="mobilenet_v2",
            stages=(
                MobileNetV2(stem_stride=1),
                Train(epochs=46, batch=128, lr=0.15, ema=0.998, augment=("crop", "flip")),
            ),
        ),
        Recipe(name="mobilenet_v2-int8", after="mobilenet_v2", stages=(PostTraining(),)),
    ),
    exports=(ExportOnnx(),),
    runtimes=(OnnxRuntime(),),
)
