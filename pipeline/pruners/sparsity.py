"""Set single weights to zero: the control that removing channels is measured against."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from pipeline.model import Model
from pipeline.pruners.training import AnyTraining
from pipeline.stage import Context, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


class Sparsify(Stage):
    """Set the smallest weights to zero (Han et al., 2015), which makes files that pack well and nothing fast.

    The file keeps its size and the network its speed: no runtime here skips a zero. What app stores send
    gets smaller. A later ``Train`` would fill the zeros again; ``tune`` keeps them.

    Attributes:
        ratio: share of all weights of convolutions and linear layers, by one threshold.
        tune: a stage that trains the other weights: ``Train``, ``Distill``, …; null trains nothing.
    """

    shared: ClassVar[bool] = True
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    tune: AnyTraining | None = None

    def needs(self) -> tuple[str, ...]:
        return self.tune.needs() if self.tune else ()

    def describe(self) -> dict[str, Any]:
        """The training counts with its version, as it would on its own."""
        described = super().describe()
        described[self.kind] |= {"tune": self.tune.describe() if self.tune else None}
        return described

    def __call__(self, value: Model, context: Context) -> Model:
        from pipeline.pruners._mask import masked, unmasked

        module = masked(value.module, largest(value.state, self.ratio))
        if self.tune:
            module = self.tune(replace(value, module=module, state=module.state_dict()), context).module
        state = unmasked(module)
        return replace(value, module=value.blueprint.build(state), state=state)


def largest(state: Mapping[str, torch.Tensor], ratio: float) -> dict[str, torch.Tensor]:
    """Masks of the weights, of more than one axis, that are left when a share of the smallest goes: bool by name."""
    import torch

    weights = {name: tensor.abs() for name, tensor in state.items() if name.endswith(".weight") and tensor.ndim > 1}
    pool = torch.cat([weight.flatten() for weight in weights.values()])
    gone = int(ratio * len(pool))
    threshold = pool.kthvalue(gone).values if gone else pool.new_tensor(-1.0)
    return {name: weight > threshold for name, weight in weights.items()}
