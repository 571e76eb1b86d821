"""How much to remove, and by which rule: plain values that every pruning stage shares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.pruners.importance import Importance
from pipeline.spec import Positive, Value

Ranking = Literal["local", "global", "isomorphic"]


class Cut(Value):
    """How many channels go, and which.

    Attributes:
        ratio: share of the channels to remove.
        round_to: kept widths are multiples of this, as kernels like them; 16 suits depthwise int8
            kernels, which take sixteen channels at a time.
        importance: what a channel is worth: "l2" or "l1" norms of its filters, "batch_norm" its scale there,
            "activation" the mean size of what the next layers receive of it, "taylor" what its loss would
            cost to first order on labelled calibration images, "reconstruction" what the answers hear of an error
            that no other channel makes up for, for each multiply-add, or "random" as a control.
        ranking: "local" removes the share from every group of channels; "global" wherever channels are worth
            least, by one threshold; "isomorphic" by one threshold for all groups between layers of the same
            kinds. A group keeps one multiple of ``round_to`` at least.
        residuals: remove channels of residual streams too, which several layers add to. They carry what all later
            layers read; without them the others have to be pruned more for the same multiply-adds.
        compensate: give the layers that read removed channels new weights, by least squares on calibration images,
            so that the kept ones make up for them, and move BatchNorm's statistics with what it then reads. Without it
            a pruned network is exactly the original with those channels at zero.
    """

    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    round_to: Positive = 8
    importance: Importance = "l2"
    ranking: Ranking = "local"
    residuals: bool = True
    compensate: bool = False
