"""An exchange that is being recorded or replayed, and what is kept of it until it is written."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mitmproxy import http

from ..auth.header import redacted as redacted_fields
from ..cassette.entry import Chunk, Entry, Request, Response
from ..cassette.links_through_proxy import Address
from ..exchange import Transducer
from ..wire.header_fields import Fields
from ..wire.targets import Origin
from . import flows
from .flows import FlowState
from .recorded_messages import LARGEST, Links, decoded, with_credentials

if TYPE_CHECKING:
    from ..cassette.cassette import Cassette


class SentRequest(NamedTuple):
    """A flow's request without its credential."""

    method: str
    origin: str
    path: str
    fields: Fields
    body: bytes


@dataclass(slots=True)
class Exchange:
    """An exchange in progress that is recorded or replayed.

    cassette: the one that was in use when the exchange began.
    started: Unix time in seconds; `began` and `since` (the answer's head) are times of the monotonic clock.
    recorded: the entry that answers it; None if the provider does.
    released: the flow's request when it was released to be sent, to see whether a person edits it after that.
    head: status, reason and header fields of the provider's answer; `raw` is its body if it was held, and `body` with
        `chunks` what has come of it if it is streamed.
    links: how its links are led; `left` are those that cannot be.
    """

    cassette: Cassette
    request: Request
    address: Address
    state: FlowState
    started: float
    began: float
    recorded: Entry | None = None
    released: SentRequest | None = None
    head: tuple[int, str, Fields] | None = None
    raw: bytes = b""
    since: float = 0.0
    body: bytearray = field(default_factory=bytearray)
    chunks: list[Chunk] = field(default_factory=list)
    links: Links = Links.STAY
    left: list[str] = field(default_factory=list)
    is_streamed: bool = False
    is_complete: bool = False
    is_too_long: bool = False

    @property
    def goes_out(self) -> bool:
        """Whether it was sent: no entry answers it, and neither the guard nor another stage refused it."""
        return self.recorded is None and self.state.is_ready


class AsItIs:
    """A transducer that passes a stream on unchanged."""

    def feed(self, data: bytes) -> bytes:
        """The piece itself."""
        return data

    def end(self) -> bytes:
        """No further bytes."""
        return b""


class Listener:
    """A transducer that keeps what the provider sends for the recording, before another one translates it."""

    def __init__(self, exchange: Exchange, is_events: bool, inner: Transducer) -> None:
        self._exchange, self._is_events, self._inner = exchange, is_events, inner

    def feed(self, data: bytes) -> bytes:
        """Keep and translate a piece."""
        exchange = self._exchange
        if len(exchange.body) + len(data) > LARGEST:
            exchange.is_too_long = True
            exchange.body.clear()
        if not exchange.is_too_long:
            exchange.body += data
            if self._is_events:
                milliseconds = round((time.monotonic() - exchange.since) * 1000, 1)
                exchange.chunks.append(Chunk(milliseconds, len(data)))
        return self._inner.feed(data)

    def end(self) -> bytes:
        """Note that the answer is complete."""
        self._exchange.is_complete = True
        return self._inner.end()


def sent_request(flow: http.HTTPFlow, state: FlowState) -> SentRequest:
    """What of a flow's request is compared, to see edits."""
    request = flow.request
    origin = str(Origin(request.scheme, request.host, request.port))
    path = state.redacted_target or request.path
    return SentRequest(
        request.method, origin, path, redacted_fields(request.headers.fields, state.secret_fields),
        request.raw_content or b"",
    )  # fmt: skip


def follow_edits(flow: http.HTTPFlow, exchange: Exchange) -> None:
    """Have the request recorded that went out, if somebody edited it after it was released."""
    released, recorded = exchange.released, exchange.request
    sent = sent_request(flow, exchange.state)
    if released is None or not exchange.goes_out or sent == released:
        return
    headers, body = recorded.headers, recorded.body
    if (sent.fields, sent.body) != (released.fields, released.body):
        headers, body = decoded(sent.fields, sent.body)
        headers = with_credentials(headers, recorded.headers)
    url = f"{sent.origin}{sent.path}" if (sent.origin, sent.path) != (released.origin, released.path) else recorded.url
    exchange.request = Request(sent.method, url, headers, body)
    exchange.state.note(flows.EDITED)
    flows.show_notes(flow, exchange.state)


def recorded_answer(exchange: Exchange) -> Response | None:
    """The provider's answer as it is recorded; None if none came."""
    if exchange.head is None:
        return None
    status, reason, fields = exchange.head
    headers, body = decoded(fields, bytes(exchange.body) if exchange.is_streamed else exchange.raw)
    is_as_it_came = len(headers) == len(fields)
    return Response(status, reason, headers, body, tuple(exchange.chunks) if is_as_it_came else ())
