"""Chromium without a screen, spoken to through pipes: no port is open, and it ends when this process does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.aside import Crashed
from pipeline.errors import UnavailableError

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
ARGUMENTS = (
    *("--headless", "--no-startup-window", "--no-first-run", "--no-default-browser-check", "--remote-debugging-pipe"),
    *("--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-sync", "--disable-breakpad"),
    # Nobody looks at the pages, and yet they are to run at full speed.
    *("--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"),
    "--disable-background-timer-throttling",
    # Nothing leaves this machine: not even a name can be looked up.
    *("--disable-background-networking", "--disable-component-update", "--disable-domain-reliability"),
    *("--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)
# The shell outlives Chromium, which ends with its pipes even where this process was killed, and removes the profile.
SHELL = 'profile=$1; shift; "$@" 3<&0 4>&1 </dev/null >/dev/null; code=$?; rm -rf "$profile"; exit $code'
PATIENCE_S, ENDING_S = 600.0, 10.0
FIX = "apt install chromium, or Google Chrome for a Mac"


class PageError(Exception):
    """What a page's program raised, in one line."""


def chromium() -> str | None:
    """The program's path; None where it is not installed, or the system has no pipes that it knows."""
    if os.name != "posix":
        return None
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or (str(MAC) if MAC.is_file() else None)


@cache
def chromium_version() -> str:
    """Such as "150.0.7871.100"; "" where it does not say."""
    program = chromium()
    if program is None:
        return ""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"\d+(\.\d+)+", said.stdout)
    return found.group() if found else ""


class Chromium:
    """A browser with an empty profile; its commands are those of the Chrome DevTools Protocol."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            UnavailableError: it is not installed.
        """
        program = chromium()
        if program is None:
            raise UnavailableError("Chromium is not installed", FIX)
        profile = tempfile.mkdtemp(prefix="edgewright-chromium-")
        root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to start as root otherwise
        command = [program, *ARGUMENTS, *root, f"--user-data-dir={profile}"]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        self._process = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", SHELL, "sh", profile, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for whoever started us
        )
        self._number, self._heard, self.closed = 0, b"", False
        self._crashed: set[str] = set()

    def ask(self, method: str, page: str = "", **parameters: Any) -> dict[str, Any]:
        """What a command gives.

        Args:
            page: the session of the page that it is for; "" where it is for the browser.

        Raises:
            Crashed: the browser or the page ended, or does not answer.
            PageError: the browser refuses.
        """
        number = self.tell(method, page, **parameters)
        until = time.monotonic() + PATIENCE_S
        said: dict[str, Any] = {}
        while said.get("id") != number:
            if page in self._crashed:  # nobody else tells: what it is asked is never answered
                raise Crashed("the page crashed in Chromium")
            said = self._next(until)
            if said.get("method") == "Inspector.targetCrashed":
                self._crashed.add(said["sessionId"])
        if "error" in said:
            raise PageError(said["error"]["message"])
        result: dict[str, Any] = said["result"]
        return result

    def tell(self, method: str, page: str = "", **parameters: Any) -> int:
        """Send a command whose answer nobody waits for; its number."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        addressed = {**command, "sessionId": page} if page else command
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(addressed).encode() + b"\0")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):  # a closed file is a ValueError
            raise self._ended() from None
        return self._number

    def close(self) -> None:
        """End it: politely, and after a while by force."""
        if not self.closed:
            self.closed = True
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            try:
                self._process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._said.close()

    def _next(self, until: float) -> dict[str, Any]:
        """The next message."""
        assert self._process.stdout is not None
        while b"\0" not in self._heard:
            left_s = max(0.0, until - time.monotonic())
            if not select.select([self._process.stdout], [], [], left_s)[0]:
                self.close()
                raise Crashed(f"Chromium did not answer in {PATIENCE_S:.0f} s")
            read = os.read(self._process.stdout.fileno(), 2**20)
            if not read:
                raise self._ended()
            self._heard += read
        message, _, self._heard = self._heard.partition(b"\0")
        said: dict[str, Any] = json.loads(message)
        return said

    def _ended(self) -> Crashed:
        """What to raise, now that it is gone; tells its last line."""
        if self.closed:
            return Crashed("Chromium was closed")
        self._process.wait(ENDING_S)
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        self.close()
        last = f": {lines[-1]}" if lines else ""
        return Crashed(f"Chromium ended (exit code {self._process.returncode}){last}")


class Page:
    """One page, and calls of the functions that its program offers."""

    def __init__(self, browser: Chromium, address: str) -> None:
        """Open it and wait until it is loaded."""
        self._browser = browser
        self.target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.ask("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        browser.ask("Inspector.enable", self._session)
        browser.ask("Page.navigate", self._session, url=address)
        self._evaluate(
            "new Promise(done => document.readyState == 'complete' ? done() : addEventListener('load', done))"
        )

    def call(self, function: str, *arguments: Any) -> Any:
        """What a global function of the page gives, or promises, for arguments that are JSON.

        Raises:
            Crashed: the browser or the page ended.
            PageError: the function raised.
        """
        return self._evaluate(f"{function}({', '.join(map(json.dumps, arguments))})")

    def _evaluate(self, expression: str) -> Any:
        options = {"awaitPromise": True, "returnByValue": True}
        said = self._browser.ask("Runtime.evaluate", self._session, expression=expression, **options)
        if "exceptionDetails" in said:
            details = said["exceptionDetails"]
            told = details.get("exception", {}).get("description") or details["text"]
            raise PageError(str(told).splitlines()[0])
        return said["result"].get("value")


def close_page(browser: Chromium, target: str) -> None:
    """Close one page of a browser that may have ended."""
    if not browser.closed:
        try:
            browser.tell("Target.closeTarget", targetId=target)
        except Crashed:
            return
