"""mitmweb in a browser, with traffic by the SDKs; as a program it makes the pictures of docs/ anew."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Proxies
from tests.platform.web.browser import Browser
from tests.sdk import python_sdk
from tests.sdk.worker import Worker

CONFIG = """
providers:
  - {id: kling, type: kling}
  - {id: claude, type: claude}
  - {id: moonshot, type: moonshot, apiTokens: [a, b], modelMapping: {"*": kimi-k2}, retryOnFailure: {enabled: true}}
activeProviderId: moonshot
routes:
  - {path: "/v1/videos*", provider: kling}
  - {model: "claude-sonnet-*", provider: claude}
simulator: {speed: 60}
"""
KEY = "sk-client-0123456789abcdef"
HOSTILE = "<script>window.owned=1</script><img src=x onerror='window.owned=2'> \x1b]0;owned\x07\x1b[31m"
PASSWORD = "of-the-tests"
DOCS = Path(__file__).parents[2] / "docs"


_BARE = "((text) => text.replace(/\\s/g, ''))"


class Window:
    """mitmweb's page in a browser. `flows` are the flows as its API has them."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser = browser
        browser.open(address)
        self.flows: list[dict[str, Any]] = browser.run("fetch('flows').then((answer) => answer.json())")
        browser.until(f"document.querySelectorAll('.flow-table td.col-comment').length >= {len(self.flows)}")

    def rows(self) -> list[str]:
        """What the column of comments shows in each row."""
        found = "[...document.querySelectorAll('.flow-table td.col-comment')].map((cell) => cell.innerText)"
        return list(self.browser.run(found))

    def number(self, beginning: str, place: int = 0) -> int:
        """The index of a flow whose comment begins so."""
        return [i for i, flow in enumerate(self.flows) if flow["comment"].startswith(beginning)][place]

    def shown(self, number: int, tab: str) -> str:
        """Show the request or the response of a flow; returns the text that is chosen by itself."""
        run = self.browser.run
        run(f"document.querySelectorAll('.flow-table td.col-comment')[{number}].click()")
        self.browser.until("document.querySelector('.flow-detail')")
        run(f"[...document.querySelectorAll('.flow-detail a')].find((link) => link.textContent === '{tab}').click()")
        path = f"flows/{self.flows[number]['id']}/{tab.lower()}/content/auto.json"
        run(f"fetch('{path}').then((answer) => answer.json()).then((found) => {{ window.wanted = found }})")
        text = "document.querySelector('.contentview pre')?.innerText ?? ''"
        self.browser.until(f"{_BARE}({text}) === {_BARE}(window.wanted.text)")
        assert run("window.wanted.view_name") == "AI"
        return str(run(text)).replace("\xa0", "")


@contextmanager
def window(folder: Path, sdks: Worker) -> Iterator[Window]:
    """Start mitmweb and a browser, and send the traffic by the newest SDKs for Python."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {
        "ai_simulate": "true",
        "web_port": port,
        "web_open_browser": "false",
        "web_password": PASSWORD,
        "connection_strategy": "lazy",
    }
    words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    proxies = Proxies(folder)
    try:
        proxy = proxies.start(CONFIG, *words, program="mitmweb")
        with Browser(width=1180, height=900) as browser:
            sdks.ask("window_client", {"port": proxy.port, "key": KEY, "text": HOSTILE}, 60)
            yield Window(browser, f"http://127.0.0.1:{port}/?token={PASSWORD}")
    finally:
        proxies.close()


def _pictures() -> None:
    """Make the pictures. A font with emoji makes the markers look as they do elsewhere."""
    sdks = python_sdk.worker(python_sdk.NEWEST)
    with closing(sdks), tempfile.TemporaryDirectory() as folder, window(Path(folder), sdks) as opened:
        browser = opened.browser
        browser.prefer("light")

        def keep(name: str) -> None:
            browser.resize(1180, 590)
            browser.drawn()
            (DOCS / f"see-{name}.png").write_bytes(browser.picture())

        keep("list")
        # The conversation, not the header fields above it.
        for name, begins, place, tab in (
            ("conversation", "POST /v1/messages → claude", 1, "Request"),
            ("stream", "POST /v1/messages → claude", 0, "Response"),
            ("video", "GET /v1/videos/", -2, "Response"),
            ("difference", "POST /v1/messages → moonshot", 0, "Request"),
        ):
            browser.resize(1180, 900)
            opened.shown(opened.number(begins, place), tab)
            browser.run("document.querySelector('.contentview').scrollIntoView()")
            keep(name)
        print(json.dumps(opened.rows(), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    _pictures()
