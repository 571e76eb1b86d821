"""Handwritten digits from a full-size network to int8 on a phone, in minutes on two cores."""

from __future__ import annotations

from pipeline.data.digits import Digits
from pipeline.exporters.onnx import ExportOnnx
from pipeline.exporters.pt2 import ExportPt2
from pipeline.exporters.torchscript import ExportTorchScript
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.models.mobilenet_v3 import MobileNetV3
from pipeline.models.resnet import ResNet18
from pipeline.pruners.structured import Prune
from pipeline.quantizers.aware import QuantizationAware
from pipeline.quantizers.post_training import PostTraining
from pipeline.runtimes.eager import Eager
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.runtimes.torchscript import TorchScript
from pipeline.stage import Recipe
from pipeline.study import Benchmark, Study
from pipeline.trainers.distillation import Distill
from pipeline.trainers.supervised import Train

STUDY = Study(
    name="quickstart",
    data=Digits(),
    reference="resnet18",
    recipes=(
        Recipe(
            name="resnet18",
            stages=(ResNet18(stem_stride=1), Train(epochs=4, optimizer="adamw", lr=0.002, weight_decay=0.05)),
        ),
        Recipe(name="mobilenet_v2", stages=(MobileNetV2(stem_stride=1), Train(epochs=10))),
        Recipe(name="mobilenet_v3", stages=(MobileNetV3(stem_stride=1), Train(epochs=8))),
        Recipe(name="mobilenet_v2-pruned", after="mobilenet_v2", stages=(Prune(ratio=0.5), Train(epochs=10))),
        Recipe(
            name="mobilenet_v3-distilled",
            after="mobilenet_v3",
            stages=(Distill(teacher="resnet18", epochs=3, lr=0.02),),
        ),
        Recipe(name="mobilenet_v2-int8", after="mobilenet_v2", stages=(PostTraining(),)),
        Recipe(name="mobilenet_v3-int8-qat", after="mobilenet_v3-distilled", stages=(QuantizationAware(epochs=1),)),
        Recipe(
            name="mobilenet_v2-pruned-int8-qat",
            after="mobilenet_v2-pruned",
            stages=(QuantizationAware(epochs=1),),
        ),
    ),
    exports=(ExportOnnx(), ExportTorchScript(), ExportPt2()),
    runtimes=(OnnxRuntime(), TorchScript(), Eager()),
    benchmark=Benchmark(seconds=25, cold_starts=0),
)
