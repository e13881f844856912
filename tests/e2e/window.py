"""mitmweb as a person uses it: its API, which stops, edits, resumes, kills and replays flows."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE, SCRIPT, Proxy

PASSWORD: Final = "of-the-tests"
_TOKEN: Final = "0123456789abcdef"


class Window:
    """A running mitmweb; `proxy` is its proxy."""

    def __init__(self, start: StartProxy, config: str | None, *arguments: str, script: Path = SCRIPT) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        settings = {"web_port": str(self._port), "web_open_browser": "false", "web_password": PASSWORD}
        options = [word for item in settings.items() for word in ("--set", "=".join(item))]
        self.proxy: Proxy = start(config, *options, *arguments, program="mitmweb", script=script)

    def call(self, method: str, path: str, document: Any = None) -> bytes:
        """A call of the API; returns the body of its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE)
        fields = {
            "Authorization": f"Bearer {PASSWORD}",
            "Content-Type": "application/json",
            "Cookie": f"_xsrf={_TOKEN}; _mitmproxy_xsrf={_TOKEN}",
            "X-XSRFToken": _TOKEN,
        }
        try:
            connection.request(method, path, None if document is None else json.dumps(document), fields)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        assert response.status < 300, f"{method} {path}: {response.status} {body!r}"
        return body

    def set(self, **options: Any) -> None:
        """Set options while it runs."""
        self.call("PUT", "/options", options)

    def run(self, command: str, *arguments: str) -> Any:
        """Run a command; returns its value, or its error."""
        found = json.loads(self.call("POST", f"/commands/{command}", {"arguments": list(arguments)}))
        return found.get("value", found.get("error"))

    @property
    def flows(self) -> list[Any]:
        """All flows as they are shown, the oldest first."""
        found = json.loads(self.call("GET", "/flows"))
        assert isinstance(found, list)
        return found

    def wait(self, is_so: Callable[[Any], bool], what: str = "intercepted") -> Any:
        """The newest flow, once this is so of it."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            found = self.flows
            if found and is_so(found[-1]):
                return found[-1]
            time.sleep(0.01)
        comments = [(one["intercepted"], one["comment"]) for one in self.flows]
        raise AssertionError(f"no flow is {what}: {comments}\n{self.proxy.log}")

    def stopped(self, has: str = "") -> Any:
        """The newest flow, once it is intercepted and has this in its body; that is in `body`."""
        flow = self.wait(lambda one: one["intercepted"] and has.encode() in self.content(one))
        flow["body"] = self.content(flow)
        return flow

    def content(self, flow: Any, message: str = "request") -> bytes:
        """The body of a message."""
        return self.call("GET", f"/flows/{flow['id']}/{message}/content.data")

    def edit(self, flow: Any, **changes: Any) -> None:
        """Edit the request of a flow."""
        self.call("PUT", f"/flows/{flow['id']}", {"request": changes})

    def resume(self, flow: Any) -> None:
        """Let a flow go on."""
        self.call("POST", f"/flows/{flow['id']}/resume")

    def kill(self, flow: Any) -> None:
        """End a flow."""
        self.call("POST", f"/flows/{flow['id']}/kill")

    def replay(self, flow: Any) -> None:
        """Send the request of a finished flow again."""
        self.call("POST", f"/flows/{flow['id']}/replay")


class Asking:
    """A request that is under way in a thread."""

    def __init__(
        self, proxy: Proxy, method: str, target: str, body: bytes | None = None, fields: dict[str, str] | None = None
    ) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
        self._connection.request(method, target, body, fields or {})
        self._found: queue.Queue[tuple[int, bytes] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            response = self._connection.getresponse()
            self._found.put((response.status, response.read()))
        except TimeoutError:
            pass  # end() fails
        except (OSError, http.client.HTTPException):
            self._found.put(None)

    def leave(self) -> None:
        """Close the connection."""
        assert self._connection.sock
        self._connection.sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> tuple[int, bytes] | None:
        """Status and body of the answer; None where the connection ended without one."""
        found = self._found.get(timeout=DEADLINE)
        self._connection.close()
        return found
