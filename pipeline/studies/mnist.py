"""MNIST's handwritten digits: a perceptron, a dense network and a CNN, in float and in int8."""

from __future__ import annotations

from pipeline.data.mnist import Mnist
from pipeline.exporters.onnx import ExportOnnx
from pipeline.models.dense import Dense
from pipeline.models.lenet import LeNet
from pipeline.quantizers.post_training import PostTraining
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import Recipe
from pipeline.study import Study
from pipeline.trainers.supervised import Train

STUDY = Study(
    name="mnist",
    data=Mnist(),
    reference="cnn",
    recipes=(
        Recipe(
            name="perceptron",
            stages=(Dense(hidden=()), Train(epochs=5, batch=256, lr=0.3, weight_decay=0.0, augment=())),
        ),
        Recipe(
            name="dense",
            stages=(Dense(), Train(epochs=12, batch=256, lr=0.002, optimizer="adamw", weight_decay=0.05)),
        ),
        Recipe(name="cnn", stages=(LeNet(), Train(epochs=8, batch=128, lr=0.1))),
        Recipe(name="dense-int8", after="dense", stages=(PostTraining(),)),
        Recipe(name="cnn-int8", after="cnn", stages=(PostTraining(),)),
    ),
    exports=(ExportOnnx(),),
    runtimes=(OnnxRuntime(),),
)
