"""What int8 kernels do on this processor."""

from __future__ import annotations

import platform


def saturates() -> bool:
    """Whether usual int8 kernels add products in 16 bits here: on x86 without VNNI.

    See docs/decisions/0026-exact-kernels-without-vnni.md.
    """
    import torch

    # The public ``torch.cpu.get_capabilities`` is newer than the oldest PyTorch that is supported.
    return platform.machine().lower() in ("x86_64", "amd64") and not torch.cpu._is_vnni_supported()
