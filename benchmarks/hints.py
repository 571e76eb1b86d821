"""What a hint of the teacher's last map is worth: python -m benchmarks.hints

Digits at 16 pixels, no data to fetch. A ResNet-18 teaches its own pruned twin, and a pruned MobileNetV3,
with and without the hint, three times each. Prints top-1 on validation and test images together.
Minutes on one core.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import mean

from pipeline.data.digits import Digits
from pipeline.dataset import DataSet
from pipeline.model import Model
from pipeline.models.mobilenet_v3 import MobileNetV3
from pipeline.models.resnet import ResNet18
from pipeline.pruners.structured import Prune
from pipeline.stage import Context
from pipeline.trainers.distillation import Distill
from pipeline.trainers.supervised import Train

SEEDS, HINTS = range(3), (0.0, 1.0)


@dataclass(frozen=True)
class Student:
    """A trained network, how much of it is pruned, and how long it is taught then."""

    name: str
    before: Model
    ratio: float
    epochs: int

    def taught(self, teacher: Model, hint: float, context: Context) -> Model:
        stage = Distill(teacher="teacher", hint=hint, epochs=self.epochs, batch=32, lr=0.03)
        pruned = Prune(ratio=self.ratio)(self.before, context)
        return stage(pruned, replace(context, teacher=lambda _: teacher))


def top1(model: Model, data: DataSet) -> float:
    """Per cent of validation and test images."""
    parts = [part.normalized_as(model.spec) for part in (data.splits.validation, data.test)]
    right = [int((model.logits_NK(part.x_NCHW()).argmax(1) == part.labels_N).sum()) for part in parts]
    return 100 * sum(right) / sum(map(len, parts))


def main() -> None:
    data = Digits(size=16).load()
    context = Context(data.splits)
    full = ResNet18(width=0.5, stem_stride=1)(None, context)
    teacher = Train(epochs=4, optimizer="adamw", lr=0.002, weight_decay=0.05)(full, context)
    small = Train(epochs=8)(MobileNetV3(width=0.25, stem_stride=1)(None, context), context)
    students = [Student("its pruned twin", teacher, 0.6, 2), Student("a pruned MobileNetV3", small, 0.4, 5)]
    print(f"teacher: {top1(teacher, data):.2f}")
    for student in students:
        for hint in HINTS:
            found = [top1(student.taught(teacher, hint, replace(context, seed=seed)), data) for seed in SEEDS]
            print(f"{student.name}, hint {hint:g}: {mean(found):.2f} ({', '.join(f'{one:.2f}' for one in found)})")


if __name__ == "__main__":
    main()
