"""mitmproxy with the addon on a simulator, as the demos run it, and what is seen on both of its sides."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow

from .. import registry
from ..gateway import sealed
from ..gateway.addon import Gateway
from ..gateway.embedded import HOST, Embedded, NotStarted
from ..gateway.simulated import Simulated
from ..simulator.app import Simulator
from ..view.messages import Message, brief

_TIMEOUT: Final = 10.0
CLIENT: Final = {"User-Agent": "OpenAI/Python 2.0", "X-Stainless-Lang": "python"}
"""The header fields of OpenAI's SDK."""
KEY: Final = {"Authorization": "Bearer sk-any-text"}


class Failure(Exception):
    """The demo cannot continue; the text is a sentence for the user."""


@dataclass
class Exchange:
    """One request before and after rewriting, and the addon's notes on it."""

    before: Message
    after: Message
    notes: list[str] = field(default_factory=list)


@dataclass
class Answer:
    """A response as the application gets it. The names of header fields are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json.loads(self.body)


class DemoProxy:
    """mitmproxy with the addon on a simulator, and an application's connection to it.

    `document` is its configuration; with a `simulator`, that one answers.
    """

    def __init__(self, document: Mapping[str, Any], simulator: Simulator | None = None) -> None:
        self.exchanges: list[Exchange] = []
        configuration = registry.read(document, name="demo", simulated=True)
        recorder = _Recorder()
        behind = _Behind(recorder, self.exchanges)
        simulated = Simulated()
        simulated.turn(True, simulator)
        self._embedded = Embedded(Gateway([simulated]), configuration, before=[recorder], behind=[behind])
        self._recorder = recorder
        self._connection: http.client.HTTPConnection | None = None

    @property
    def origin(self) -> str:
        """The origin at which the proxy listens."""
        return self._embedded.origin

    def __enter__(self) -> DemoProxy:
        try:
            self._embedded.start()
        except NotStarted as error:
            raise Failure(f"mitmproxy did not start: {error}.") from None
        self._recorder.host = f"{HOST}:{self._embedded.port}"
        self._connection = http.client.HTTPConnection(HOST, self._embedded.port, timeout=_TIMEOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection:
            self._connection.close()
        self._embedded.stop()

    def ask(self, method: str, path: str, body: bytes | None = None, head: dict[str, str] | None = None) -> Answer:
        """Send a request as the application does, with its key. Raises Failure if the answer is an error."""
        return self.send(method, path, body, CLIENT | KEY | (head or {}))

    def fetch(self, link: str) -> bytes:
        """Download a file, without the key: a link may lead to another host than the provider."""
        target = urlsplit(link)
        return self.send("GET", f"{target.path}?{target.query}", None, CLIENT).body

    def send(self, method: str, path: str, body: bytes | None, head: dict[str, str]) -> Answer:
        """Send a request with these header fields. Raises Failure if the answer is an error, or does not come."""
        assert self._connection is not None
        try:
            self._connection.request(method, path, body, head)
            response = self._connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, headers, response.read())
        except (http.client.HTTPException, TimeoutError) as error:
            raise Failure(f"{method} {brief(path)} got no answer: {type(error).__name__}.") from None
        if answer.status >= 400:
            text = answer.body.decode("utf-8", "replace")
            raise Failure(f"{method} {brief(path)} was answered with {answer.status}: {text}")
        return answer


class _Recorder:
    """An addon before the gateway that keeps requests as they come. `host` is the proxy's host and port."""

    name = "ai_proxy_demo"

    def __init__(self) -> None:
        self.host = ""
        self.before: dict[str, Message] = {}

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Keep the head, before the gateway changes it."""
        message = self.before[flow.id] = _message(flow)
        # In reverse mode mitmproxy replaces the Host header by its target.
        message.headers["host"] = self.host

    def request(self, flow: HTTPFlow) -> None:
        """Keep the body."""
        self.before[flow.id].body = flow.request.raw_content or b""


class _Behind:
    """An addon behind the gateway that keeps upstream requests and the gateway's notes."""

    name = "ai_proxy_demo_behind"

    def __init__(self, recorder: _Recorder, exchanges: list[Exchange]) -> None:
        self._recorder, self._exchanges = recorder, exchanges

    def request(self, flow: HTTPFlow) -> None:
        """Keep the request, before its credential is redacted."""
        self._exchanges.append(Exchange(self._recorder.before.pop(flow.id), _message(flow)))

    def response(self, flow: HTTPFlow) -> None:
        """Keep the notes, which are complete now."""
        self._exchanges[-1].notes = flow.comment.split("; ")


def _message(flow: HTTPFlow) -> Message:
    # With its credential, of which only the kind is shown.
    request = sealed.sent(flow)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Message(request.method, request.path, headers, request.raw_content or b"")
