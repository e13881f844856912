"""Chromium without a window, driven through its two pipes. Source: the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

DEADLINE: Final = 60.0
PROGRAM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_FLAGS: Final = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-extensions --disable-dev-shm-usage --hide-scrollbars"
    " --in-process-gpu --mute-audio --force-color-profile=srgb --lang=en-US --remote-debugging-pipe"
    # One process for all pages: each new one costs as much as drawing a page.
    " --process-per-site --renderer-process-limit=1 --disable-features=BackForwardCache,SpareRendererForSitePerProcess"
    # Parts of the window that nobody sees: the list below its address is a page of its own, which costs more than ours.
    ",WebUIOmniboxPopup,WebUIOmniboxAimPopup"
).split()
_KEYS: Final[Mapping[str, tuple[str, int, str]]] = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    " ": ("Space", 32, " "),
}


class Browser:
    """A browser with one page. `complaints` are its errors and warnings: of scripts, of the policy, of the network."""

    def __init__(self, *, width: int = 1280, height: int = 900) -> None:
        self.complaints: list[str] = []
        self._expected = ""
        self._size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._numbers = itertools.count(1)
        self._received = bytearray()
        self._answers: dict[int, dict[str, Any]] = {}
        self._profile = tempfile.TemporaryDirectory(prefix="ai-proxy-browser-")
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        command = [PROGRAM, *_FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]

        def pipes() -> None:
            # Descriptors 3 and 4 are those that the browser reads from and writes to; moved up first, out of their way.
            reads, writes = os.dup2(to_browser, 103), os.dup2(from_browser, 104)
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=pipes,
        )
        os.close(to_browser)
        os.close(from_browser)
        targets = self._send("Target.getTargets")["targetInfos"]
        target = next(found["targetId"] for found in targets if found["type"] == "page")
        self._session = ""
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log"):
            self._send(f"{domain}.enable")
        # As in the window that somebody works in.
        self._send("Emulation.setFocusEmulationEnabled", enabled=True)
        self.resize(width, height)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = ""
        self._send("Browser.close")
        self._process.wait(DEADLINE)
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        self._send("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def leave(self) -> None:
        """Go to an empty page, as before a server ends: a page would complain about that."""
        self._send("Page.navigate", url="about:blank")
        self.until("location.href === 'about:blank'")

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Set the size of the window; a phone's has a finger."""
        size = {**self._size, "width": width, "height": height, "mobile": phone}
        self._send("Emulation.setDeviceMetricsOverride", **size)
        self._send("Emulation.setTouchEmulationEnabled", enabled=phone)

    def prefer(self, scheme: str) -> None:
        """Prefer dark or light pages."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self._send("Emulation.setEmulatedMedia", features=features)

    def run(self, expression: str) -> Any:
        """The value of an expression in the page; of a promise, what it gives."""
        found = self._send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, (expression, found)
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression is true. The page itself looks, which costs less than to ask it again and again."""
        ends_at = time.monotonic() + DEADLINE
        look = f"try {{ if ({condition}) done(true); else setTimeout(look, 20); }} catch (error) {{ failed(error); }}"
        expression = f"new Promise((done, failed) => {{ const look = () => {{ {look} }}; look(); }})"
        while time.monotonic() < ends_at:
            found = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
            if "error" not in found:
                assert "exceptionDetails" not in found["result"], (condition, found)
                return
            # Another page has been opened meanwhile.
        raise AssertionError(f"never so: {condition}; {self.complaints}")

    def drawn(self) -> None:
        """Wait until the page has drawn what it knows: it does so with the next frame."""
        self.run("new Promise((done) => requestAnimationFrame(() => done(true)))")

    def expect(self, words: str, least: int = 1) -> None:
        """Wait for complaints with these words; all that have them are none, whenever they come."""
        ends_at = time.monotonic() + DEADLINE
        while sum(words in complaint for complaint in self.complaints) < least:
            assert time.monotonic() < ends_at, f"too few complaints with {words}: {self.complaints}"
            self._wait(0.02)
        self._expected = words
        self.complaints[:] = [complaint for complaint in self.complaints if words not in complaint]

    def forgive(self) -> None:
        """Forget what the page has complained about, and what was expected."""
        self._expected = ""
        self.complaints.clear()

    def text(self, selector: str) -> str:
        """The text of the first element that fits."""
        return str(self.run(f"(document.querySelector({json.dumps(selector)})?.textContent ?? '').trim()"))

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self._send("Input.insertText", text=text)

    def press(self, key: str, times: int = 1, *, back: bool = False) -> None:
        """Press a key, `back` with Shift."""
        code, number, text = _KEYS[key]
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 if back else 0}
        for _ in range(times):
            self._send("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
            self._send("Input.dispatchKeyEvent", type="keyUp", **event)

    def tab_to(self, condition: Callable[[], bool], most: int = 60) -> None:
        """Press Tab until the focus is where it should be."""
        for _ in range(most):
            self.press("Tab")
            if condition():
                return
        raise AssertionError("the keyboard does not get there")

    def picture(self) -> bytes:
        """The window as a PNG."""
        return base64.b64decode(self._send("Page.captureScreenshot", format="png", optimizeForSpeed=False)["data"])

    def _send(self, method: str, **params: Any) -> Any:
        answer = self._ask(method, **params)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if getattr(self, "_session", ""):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        ends_at = time.monotonic() + DEADLINE
        while number not in self._answers:
            assert time.monotonic() < ends_at, f"no answer to {method} {params}; {self.complaints}"
            self._wait(1.0)
        return self._answers.pop(number)

    def _wait(self, seconds: float) -> None:
        """Read what has come, or comes within so many seconds."""
        if not select.select([self._from], [], [], seconds)[0]:
            assert self._process.poll() is None, "the browser has ended"
            return
        self._received += os.read(self._from, 1 << 20)
        while (end := self._received.find(b"\0")) >= 0:
            message = json.loads(self._received[:end])
            del self._received[: end + 1]
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._note(message["method"], message["params"])

    def _note(self, event: str, params: Mapping[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self._complain(json.dumps(params["exceptionDetails"])[:500])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self._complain(json.dumps(params["args"])[:500])
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            entry = params["entry"]
            self._complain(f"{entry['text']} {entry.get('url', '')}")

    def _complain(self, words: str) -> None:
        if not self._expected or self._expected not in words:
            self.complaints.append(words)
