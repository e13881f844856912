"""A client as an application's tests have it, without any SDK. Copied into the projects of the plugin's tests."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from mitm_ai_proxy.testing.ai_proxy import AIProxy

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-of-the-client", "X-Stainless-Lang": "python"}


class Reply(NamedTuple):
    """An answer."""

    status: int
    location: str
    body: bytes

    def json(self) -> Any:
        """The body as a document."""
        return json.loads(self.body)


class Client:
    """One connection to an origin."""

    def __init__(self, origin: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=20)

    def ask(self, method: str, target: str, body: object = None) -> Reply:
        """Send a request."""
        self._connection.request(method, target, None if body is None else json.dumps(body), HEADERS)
        response = self._connection.getresponse()
        return Reply(response.status, response.getheader("Location", ""), response.read())

    def create(self, prompt: str) -> Reply:
        """Ask for a video."""
        return self.ask("POST", "/v1/videos", {"model": "kling-v3", "prompt": prompt, "seconds": "5"})

    def video(self, prompt: str) -> bytes:
        """Make a video: create, poll, download."""
        created = self.create(prompt)
        assert created.status == 200, created
        path = f"/v1/videos/{created.json()['id']}"
        assert self.ask("GET", path).json()["status"] == "completed"
        link = urlsplit(self.ask("GET", f"{path}/content").location)
        return self.ask("GET", f"{link.path}?{link.query}").body

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.fixture
def client(ai_proxy: AIProxy) -> Iterator[Client]:
    """A client of the proxy."""
    client = Client(ai_proxy.url)
    yield client
    client.close()
