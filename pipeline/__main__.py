"""``python -m pipeline`` is the ``edgewright`` command: ``torchrun -m pipeline run STUDY`` needs a module."""

from __future__ import annotations

from pipeline.cli import main

if __name__ == "__main__":
    main()
