"""What the gateway knows of a flow, and how values of the core are put into it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from mitmproxy import http
from mitmproxy.net.http import status_codes

from ..auth.header import redacted
from ..chat import callers
from ..chat.dialects import DIALECTS, Dialect
from ..exchange import NO_MEMO, PASS, Handling, Head, Memo, NeedsBody, Upstream, without_surrogates
from ..pipeline import Outgoing, Reply
from ..providers.base import Provider
from ..wire import header_fields
from ..wire.targets import Origin

MARK: Final = "ai_proxy"
"""Key in flow.metadata of a rewritten flow: its memo. It is saved with the flow, and a later replay finds it."""
NOWHERE: Final = Origin("http", "127.0.0.1", 0)
"""Where a request stands while its body comes in: should the request hook be skipped, it cannot go out."""


@dataclass(slots=True)
class FlowState:
    """A flow that the gateway took, and how far it is. It survives a reload of the script.

    `upstream` is where it goes, or `needs` what has to be known for that; with `is_ready` it may go out.
    `is_refused`: answered here. `has_failed`: our code raised on the way back. `stages` names those that take part in
    it, `held_by` those of them that have not let it out yet, or answer it themselves; `client_origin` is, for these,
    how the client reached the proxy. `secret_fields` names the header fields that hold what was set as a credential;
    `redacted_target` is kept in the place of path and query, where these hold it too.
    """

    head: Head
    provider: Provider | None
    notes: list[str] = field(default_factory=list)
    needs: NeedsBody | None = None
    upstream: Upstream | None = None
    handling: Handling = PASS
    is_ready: bool = False
    is_refused: bool = False
    has_failed: bool = False
    client_origin: str = ""
    stages: tuple[str, ...] = ()
    held_by: set[str] = field(default_factory=set)
    secret_fields: Collection[bytes] = ()
    redacted_target: str = ""

    def note(self, *texts: str) -> None:
        """Add lines that say what was changed and what caused it."""
        self.notes += [text if text.isascii() else without_surrogates(text) for text in texts]

    @property
    def dialect(self) -> Dialect:
        """The client's."""
        return DIALECTS[self.head.caller.dialect]

    @property
    def origin(self) -> Origin | None:
        """Where it goes, as far as that is known."""
        found = self.upstream or self.needs
        return found.origin if found else None


def head_of(flow: http.HTTPFlow) -> Head:
    """The head of a flow's request, as the client sent it."""
    request = flow.request
    fields = request.headers.fields
    has_host = request.data.http_version.startswith(b"HTTP/1")
    return Head(request.method, request.path, callers.read(request.path, fields), fields, has_host)


def place(flow: http.HTTPFlow, origin: Origin) -> None:
    """Have a request go to this origin."""
    # The setters of mitmproxy's request write the Host header again for each of the three.
    data = flow.request.data
    data.scheme, data.host, data.port = origin.scheme.encode(), origin.host, origin.port


def send(flow: http.HTTPFlow, state: FlowState, outgoing: Outgoing) -> None:
    """All is decided: put it into the flow, and mark it as ready to go out."""
    request, upstream = flow.request, outgoing.upstream
    # First of all: should something raise here, this is what is taken out again.
    state.secret_fields, state.redacted_target = outgoing.secret_fields, outgoing.redacted_target
    if outgoing.body is not None:
        request.raw_content = outgoing.body
    place(flow, upstream.origin)
    request.path = outgoing.target
    if upstream.method != state.head.method:
        request.method = upstream.method
    if request.data.authority:
        request.data.authority = upstream.origin.authority.encode()
    request.headers.fields = outgoing.fields
    if not state.head.has_host:
        request.host_header = upstream.origin.authority
    state.upstream = upstream
    known = state.needs.notes if state.needs else ()
    state.note(*upstream.notes[len(known) :])
    flow.metadata[MARK] = {"memo": dict(upstream.memo)}
    show_notes(flow, state)
    state.is_ready = True


def memo_of(flow: http.HTTPFlow) -> Memo:
    """The memo of a flow that was rewritten before."""
    mark: Any = flow.metadata.get(MARK)
    memo = mark.get("memo") if isinstance(mark, dict) else None
    return memo if isinstance(memo, dict) else NO_MEMO


def reply(response: http.Response, answer: Reply) -> None:
    """Put an answer in the place of the provider's."""
    if answer.status != response.status_code:
        response.status_code, response.reason = answer.status, status_codes.RESPONSES.get(answer.status, "")
    response.raw_content = answer.body
    response.headers.fields = answer.fields


def replace_body(message: http.Message, body: bytes) -> None:
    """Give a message another body, without a Content-Encoding."""
    message.raw_content = body
    changes: dict[bytes, bytes | None] = {b"content-encoding": None, b"content-length": str(len(body)).encode()}
    message.headers.fields = header_fields.changed(message.headers.fields, changes)


def redact(flow: http.HTTPFlow, state: FlowState | None = None) -> None:
    """Put a word in the place of each credential: what was set here, and what the client sent."""
    headers = flow.request.headers
    headers.fields = redacted(headers.fields, state.secret_fields if state else ())
    if state and state.redacted_target:
        flow.request.path = state.redacted_target


def show_notes(flow: http.HTTPFlow, state: FlowState) -> None:
    """Write the notes where mitmproxy shows them."""
    flow.comment = "; ".join(state.notes)


def describe(flow: http.HTTPFlow) -> str:
    """Method and path of a request, without its query, for a log line."""
    return f"{flow.request.method} {flow.request.path.partition('?')[0]}"
