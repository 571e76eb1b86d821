"""How fast models are, and what they answer, once they are files in a runtime: made here, opened aside."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact, Draft
from pipeline.aside import Aside
from pipeline.bench import Candidate, measure
from pipeline.dataset import Samples
from pipeline.errors import UsageError
from pipeline.exporters.exporter import Exporter
from pipeline.measure.parity import ask
from pipeline.measure.timings import summarize
from pipeline.model import Model
from pipeline.plugin import discover
from pipeline.progress import Progress, silent
from pipeline.results import Latency
from pipeline.runtime import Runtime
from pipeline.stage import Context
from pipeline.stranger import Stranger
from pipeline.study import Benchmark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Enough to tell variants of one network apart; a tuner asks many times.
QUICK = Benchmark(seconds=20, precision=0.02, cold_starts=0)


@dataclass
class Gauge:
    """Makes files of models, and asks a runtime about them.

    The files and the process that opens them live as long as its block.

    Attributes:
        runtime: where they run; ``Exporter``s of its format make the files.
        context: its validation images are each file's probe.
        benchmark: how latency is measured, and with how many threads.
    """

    runtime: Runtime
    context: Context
    benchmark: Benchmark = QUICK
    _aside: Aside = field(default_factory=Aside)

    def __enter__(self) -> Gauge:
        self._folder = tempfile.TemporaryDirectory(prefix="edgewright-tuning-")
        self._files = 0
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._aside.__exit__(*error)
        self._folder.cleanup()

    def exported(self, model: Model) -> Artifact:
        """The model as a file, rewrites included, with its manifest and probe."""
        return self.kept(exporter_for(self.runtime)(model, self.context))

    def kept(self, draft: Draft) -> Artifact:
        """A draft as an artifact on disk."""
        folder = Path(self._folder.name) / str(self._files)
        folder.mkdir()
        self._files += 1
        draft.save(folder)
        return Artifact.load(folder)

    def logits_NK(self, artifact: Artifact, samples: Samples) -> NDArray[np.float32]:
        """What the file answers for every image.

        Raises:
            ParityMiss: the file does not answer its probe as the model did.
            Crashed: the runtime died of it.
        """
        threads = self.benchmark.threads
        _, [logits_NK] = self._aside.do(ask, self.runtime, artifact, threads, [samples])
        return logits_NK

    def latencies(self, artifacts: Sequence[Artifact], progress: Progress = silent) -> tuple[Latency, ...]:
        """Of one image, all files in the same sittings; ratios, with their intervals, are to the first.

        Raises:
            Crashed: the runtime died of one of them.
        """
        asked = [Candidate(_known(artifact), self.runtime, self.benchmark.threads, 1) for artifact in artifacts]
        return tuple(summarize(self._aside.do(measure, asked, self.benchmark, progress=progress), reference=0))


def measured(
    models: Sequence[Model],
    runtime: Runtime,
    context: Context,
    benchmark: Benchmark = QUICK,
    progress: Progress = silent,
) -> tuple[Latency, ...]:
    """How fast each model is as a file in a runtime; ratios, with their intervals, are to the first.

    ``ratio.value`` above 1 is faster than the first; its ``verdict`` is "unstable" where the machine was disturbed.

    Raises:
        UsageError: no exporter makes files of the runtime's format.
        Crashed: the runtime died of one of them.
    """
    with Gauge(runtime, context, benchmark) as gauge:
        return gauge.latencies([gauge.exported(model) for model in models], progress)


def exporter_for(runtime: Runtime) -> Exporter:
    """The installed exporter of the runtime's format, with its defaults.

    Raises:
        UsageError: there is none.
    """
    for plugin in discover("stage").values():
        if issubclass(plugin, Exporter) and plugin.format == runtime.format and not plugin.missing():
            return plugin()
    raise UsageError(f"no installed exporter makes {runtime.format} files for {runtime.kind}")


def _known(artifact: Artifact) -> Stranger:
    """Our own file, as what times strangers' files takes it."""
    return Stranger(artifact.folder.name, artifact, artifact.manifest.input.shape, "float32")
