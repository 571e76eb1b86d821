"""ncnn on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError
from pipeline.runtime import Runtime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

INPUT, OUTPUT = "in0", "out0"  # as pnnx calls them


class Ncnn(Runtime):
    """ncnn, computing in float32."""

    kind: ClassVar[str] = "ncnn"
    format: ClassVar[str] = "ncnn"
    package: ClassVar[str] = "ncnn"
    requires: ClassVar[tuple[str, ...]] = ("ncnn",)
    extra: ClassVar[str] = "ncnn"

    def open(self, artifact: Artifact, threads: int) -> Session:
        import ncnn
        import numpy as np

        net = ncnn.Net()
        net.opt.num_threads = threads
        # Half precision, which a phone may prefer, is another network than the one that is checked.
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        load(net, artifact)

        def session(x_NCHW: NDArray[Any]) -> NDArray[np.float32]:
            extractor = net.create_extractor()
            extractor.input(INPUT, ncnn.Mat(np.ascontiguousarray(x_NCHW[0])))
            status, logits_K = extractor.extract(OUTPUT)
            if status:
                raise RuntimeError(f"ncnn gives no {OUTPUT} (status {status})")
            return np.array(logits_K, dtype=np.float32).reshape(1, -1)  # ncnn may or may not keep a row of one

        return session


def load(net: Any, artifact: Artifact) -> None:
    """The graph and its weights.

    Raises:
        UnavailableError: one of them cannot be read, or they do not belong together.
    """
    for read, path in zip((net.load_param, net.load_model), artifact.files, strict=True):
        if read(str(path)):
            raise UnavailableError(f"ncnn cannot open {path}", "export it again")
    if INPUT not in net.input_names() or OUTPUT not in net.output_names():
        raise UnavailableError(f"ncnn finds no {INPUT} and {OUTPUT} in {artifact.path}", "convert it with pnnx")
