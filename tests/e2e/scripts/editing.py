"""Edits each POST while it is intercepted, as a person would; the prompt says what."""

from __future__ import annotations

import asyncio
import json

from mitmproxy import http


class Editor:
    """Intercepts each POST, and resumes it edited."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def request(self, flow: http.HTTPFlow) -> None:
        """Begin an edit that ends when all hooks have run."""
        if flow.request.method == "POST":
            flow.intercept()
            self.tasks.append(asyncio.create_task(self._edit(flow)))

    async def _edit(self, flow: http.HTTPFlow) -> None:
        await asyncio.sleep(0)
        body = json.loads(flow.request.content or b"")
        what = body["prompt"]
        if what in ("body", "all"):
            flow.request.content = json.dumps({**body, "prompt": "after the edit"}).encode()
        if what in ("field", "all"):
            flow.request.headers["X-Edited"] = "yes"
        if what in ("path", "all"):
            flow.request.path += "?edited=1"
        if what in ("method", "all"):
            flow.request.method = "PUT"
        if what == "compressed":
            flow.request.headers["Content-Encoding"] = "gzip"
            flow.request.content = json.dumps({**body, "prompt": "after the edit"}).encode()
        flow.resume()


addons = [Editor()]
