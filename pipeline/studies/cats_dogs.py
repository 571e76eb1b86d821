"""Cats against dogs from photographs, by transfer from EfficientNet-Lite0, float and int8."""

from __future__ import annotations

from pipeline.data.cats_dogs import CatsDogs
from pipeline.exporters.onnx import ExportOnnx
from pipeline.models.efficientnet_lite import EfficientNetLite0
from pipeline.quantizers.post_training import PostTraining
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import Recipe
from pipeline.study import Study
from pipeline.trainers.transfer import Transfer

STUDY = Study(
    name="cats_dogs",
    data=CatsDogs(interpolation="bicubic"),
    reference="efficientnet_lite0",
    recipes=(
        Recipe(name="efficientnet_lite0", stages=(EfficientNetLite0(weights="imagenet"), Transfer())),
        Recipe(name="efficientnet_lite0-int8", after="efficientnet_lite0", stages=(PostTraining(),)),
    ),
    exports=(ExportOnnx(),),
    runtimes=(OnnxRuntime(),),
)
