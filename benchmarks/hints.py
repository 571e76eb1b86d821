"""What hints of the teacher's maps are worth: python -m benchmarks.hints

Digits at 16 pixels, no data to fetch. A ResNet-18 teaches its own pruned twins, and a pruned MobileNetV3,
without hints, with one of the last map and, where the twin was pruned inside of its blocks, with one of every
block, three times each. Prints top-1 on validation and test images together. Minutes on one core.
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

SEEDS = range(3)
NONE = Distill(teacher="teacher", batch=32, lr=0.03)
LAST = NONE.model_copy(update={"hint": 1.0})
BLOCKS = NONE.model_copy(update={"hint": 1.0, "hint_at": "blocks"})


@dataclass(frozen=True)
class Student:
    """A trained network, how it is pruned, and how long and by which lessons it is taught then."""

    name: str
    before: Model
    cut: Prune
    epochs: int
    lessons: tuple[Distill, ...] = (NONE, LAST)

    def taught(self, teacher: Model, lesson: Distill, context: Context) -> Model:
        stage = lesson.model_copy(update={"epochs": self.epochs})
        return stage(self.cut(self.before, context), replace(context, teacher=lambda _: teacher))


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
    inside = Prune(ratio=0.8, residuals=False)
    students = [
        Student("its pruned twin", teacher, Prune(ratio=0.6), 2),
        Student("its twin pruned inside of blocks", teacher, inside, 2, (NONE, LAST, BLOCKS)),
        Student("a pruned MobileNetV3", small, Prune(ratio=0.4), 5),
    ]
    print(f"teacher: {top1(teacher, data):.2f}")
    for student in students:
        for lesson in student.lessons:
            found = [top1(student.taught(teacher, lesson, replace(context, seed=seed)), data) for seed in SEEDS]
            each = ", ".join(f"{one:.2f}" for one in found)
            print(f"{student.name}, hint {lesson.hint:g} at {lesson.hint_at}: {mean(found):.2f} ({each})", flush=True)


if __name__ == "__main__":
    main()
