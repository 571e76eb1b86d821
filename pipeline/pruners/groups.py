"""Which channels must be kept or removed together, read off the traced graph.

The graph is run on labels (``_flow.py``); what meets in it is made into spaces (``_spaces.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.pruners.channels import Features as Features
from pipeline.pruners.channels import Groups as Groups
from pipeline.pruners.channels import Layer as Layer

if TYPE_CHECKING:
    from torch import nn


def find_groups(module: nn.Module, shape: Sequence[int]) -> Groups:
    """Trace ``module`` on one (C, H, W) image and follow its channels.

    Raises:
        StageFailed: the module cannot be traced; names the operation.
    """
    from pipeline.pruners._spaces import groups_of
    from pipeline.pruners._trace import traced

    return groups_of(traced(module, shape), module)
