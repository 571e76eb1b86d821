"""ONNX Runtime in a browser on this machine: onnxruntime-web in Chromium, on the CPU.

docs/decisions/0027-the-browser-is-a-runtime.md says how it is timed.
"""

from __future__ import annotations

import atexit
import base64
import itertools
import shutil
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Artifact
from pipeline.browser.chromium import FIX as CHROMIUM_FIX
from pipeline.browser.chromium import Chromium, Page, chromium, chromium_version, close_page
from pipeline.browser.isolated import Handler
from pipeline.browser.web_runtime import FILES, PACKAGE, VERSION, fetched, web_runtime
from pipeline.errors import EdgewrightError, UnavailableError
from pipeline.rewrites.external_data import external_files
from pipeline.runtime import Runtime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

PROGRAM = Path(__file__).parent.parent / "browser"


class Web(Runtime):
    """onnxruntime-web, compiled to WebAssembly, in Chromium."""

    kind: ClassVar[str] = "web"
    format: ClassVar[str] = "onnx"
    package: ClassVar[str] = PACKAGE
    apart: ClassVar[bool] = True

    @classmethod
    def missing(cls) -> tuple[str, ...]:
        lacks = {"Chromium": chromium() is None, PACKAGE: not fetched() and shutil.which("npm") is None}
        return tuple(name for name, lacking in lacks.items() if lacking)

    @classmethod
    def remedy(cls) -> str:
        fixes = {"Chromium": CHROMIUM_FIX, PACKAGE: f"install Node.js, whose npm fetches {PACKAGE}"}
        return "; ".join(fixes[name] for name in cls.missing())

    @classmethod
    def releases(cls) -> Mapping[str, str]:
        return {PACKAGE: VERSION, "chromium": chromium_version()}

    def open(self, artifact: Artifact, threads: int) -> Session:
        return _Session(_Place.here(), artifact, threads)


class _Place:
    """Chromium and the server of its pages: one of each in a process, until it ends."""

    _current: ClassVar[_Place | None] = None

    def __init__(self) -> None:
        runtime = web_runtime(None, _say)
        self.files = {
            "/": PROGRAM / "runner.html",
            "/runner.mjs": PROGRAM / "runner.mjs",
            **{f"/runtime/{name}": runtime / name for name in FILES},
        }
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"files": self.files}))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.browser, self._folders = Chromium(), itertools.count()
        atexit.register(self.close)

    @classmethod
    def here(cls) -> _Place:
        """This process's own; a new one where Chromium has ended."""
        if cls._current is None or cls._current.browser.closed:
            if cls._current is not None:
                cls._current.close()
            cls._current = cls()
        return cls._current

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    @contextmanager
    def serving(self, model: Path) -> Iterator[tuple[str, list[str]]]:
        """The address of a folder that holds the model, and the names of its weights' files there, for a while."""
        folder = f"/model/{next(self._folders)}/"
        weights = {path.relative_to(model.parent).as_posix(): path for path in external_files(model)}
        served = {f"{folder}{name}": path for name, path in {model.name: model, **weights}.items()}
        self.files.update(served)
        try:
            yield folder, list(weights)
        finally:
            for address in served:
                del self.files[address]

    def close(self) -> None:
        self.browser.close()
        self.server.shutdown()
        self.server.server_close()
        atexit.unregister(self.close)


class _Session:
    """A page with one opened file, closed when nobody has the session any more."""

    def __init__(self, place: _Place, artifact: Artifact, threads: int) -> None:
        self._page = Page(place.browser, place.address)
        self._held: NDArray[Any] | None = None
        weakref.finalize(self, close_page, place.browser, self._page.target)
        try:
            with place.serving(artifact.path) as (folder, weights):
                self._page.call("runner.open", folder, artifact.path.name, weights, threads)
        except EdgewrightError:
            raise
        except Exception as error:
            cause = f"web cannot open {artifact.path}: {str(error).splitlines()[0]}"
            raise UnavailableError(cause, "export it again") from error

    def __call__(self, x_NCHW: NDArray[Any]) -> NDArray[np.float32]:
        import numpy as np

        self._hold(x_NCHW)
        told = self._page.call("runner.answer")
        return np.array(told["numbers"], dtype=np.float32).reshape(told["shape"])

    def timer(self, x_NCHW: NDArray[Any]) -> Callable[[int], Sequence[float]]:
        def time_calls(calls: int) -> Sequence[float]:
            if self._held is not x_NCHW:
                self._hold(x_NCHW)
            found: list[float] = self._page.call("runner.time", calls)
            return found

        return time_calls

    def _hold(self, x_NCHW: NDArray[Any]) -> None:
        self._held = x_NCHW
        text = base64.b64encode(x_NCHW.tobytes()).decode()
        self._page.call("runner.hold", x_NCHW.dtype.name, x_NCHW.shape, text)


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # runtimes run aside, where there is no console
