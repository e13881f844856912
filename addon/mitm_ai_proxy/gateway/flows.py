"""The state that the gateway keeps for a flow, and the functions that change a flow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from mitmproxy import http
from mitmproxy.net.http import status_codes

from ..auth.header import KEY_PARAMETERS, redacted, redacted_target
from ..auth.masking import Mask, mask_of
from ..chat import callers
from ..chat.dialects import DIALECTS, Dialect
from ..edges import ways
from ..errors import Refusal
from ..exchange import NO_MEMO, PASS, Answer, Handling, Head, Memo, NeedsBody, Upstream, without_surrogates
from ..pipeline import Outgoing, Reply
from ..providers.base import Provider
from ..routing.providers import Providers
from ..routing.rules import Choice
from ..view import named
from ..view.messages import Message
from ..wire import content_encoding, head, header_fields
from ..wire.header_fields import Fields
from ..wire.printable import printable
from ..wire.targets import Origin
from . import sealed

if TYPE_CHECKING:
    from .attempts import FlowAttempts

MARK: Final = "ai_proxy"
"""Key in flow.metadata of a rewritten flow, with its memo. It is saved with the flow, for a later replay."""
MASKED: Final = "the answer repeated the credential, which is masked"
LISTED: Final = "ai_proxy_list"
"""Key in flow.metadata of what the flow list says of a flow: its provider, words, and number of tries."""
PROBE: Final = "ai_proxy_probe"
"""Key in flow.metadata of a flow of our own that asks a token whether it works: the provider's id, and its index."""
EDITED: Final = "edited while it was intercepted: this is the request that went out"
_SEEN: Final = 64 * 1024
"""Bytes of a client's body that are kept for the content view, and saved with the flow."""
NOWHERE: Final = Origin("http", "127.0.0.1", 0)
"""A request's origin while its body is held: port 0, so that it cannot be sent if the request hook is skipped."""


class Stop(NamedTuple):
    """Where a person has stopped a request by the filter `intercept`.

    `fits`: the filter fitted the client's request. `before`: it was stopped before it was rewritten. `after`: behind
    that, in the current try.
    """

    fits: bool = False
    before: bool = False
    after: bool = False


NO_STOP: Final = Stop()


Place: TypeAlias = tuple[bytes, str, int, bytes, Fields]
"""Scheme, host, port, path and header fields of a request."""


@dataclass(slots=True)
class FlowState:
    """The state of a flow that the gateway handles. It survives a reload of the script.

    providers: those of the configuration with which the flow began; None without one.
    provider: the one that serves it, once it is known.
    upstream: the upstream request, once it is known.
    needs: what its body is needed for, while it is needed for the upstream request.
    is_ready: the request is rewritten and has its credential.
    is_refused: the gateway answers it with a refusal.
    has_failed: our code raised in responseheaders.
    stages: names of the stages that were active when the flow began.
    held_by: those of them that have not released the request; while there are any, it is not sent.
    client_origin: the origin at which the client reached the proxy; set if there are stages.
    asked: the origin that the client asked for; set while its body is needed to choose the provider.
    page: the origin of the web page that sent it, as the browser wrote it, if allowedOrigins has it.
    secret_fields: names, in lower case, of the header fields that hold the provider's credential.
    redacted_target: path and query without the credential; "" if they hold none.
    shown_fields: the header fields without any credential, once they are in the flow.
    mask: masks the provider's credential in an answer that repeats it.
    way: one of edges.ways, as the notes have it.
    answered_way: SIMULATED or REPLAYED if a server of ours answers in the provider's place; else "".
    place: where the request was for, while it has the address of that server.
    attempts: its tries, where there can be more than one, or where others are to know how they end.
    choice: which providers it may go to, while its body is needed to know how far it may be moved.
    prepared: the upstream request, or the answer, of a further try.
    earlier: the notes of earlier tries.
    stop: where a person has stopped it.
    """

    head: Head
    providers: Providers | None
    provider: Provider | None = None
    notes: list[str] = field(default_factory=list)
    needs: NeedsBody | None = None
    upstream: Upstream | None = None
    handling: Handling = PASS
    is_ready: bool = False
    is_refused: bool = False
    has_failed: bool = False
    client_origin: str = ""
    asked: Origin | None = None
    page: str = ""
    stages: tuple[str, ...] = ()
    held_by: set[str] = field(default_factory=set)
    secret_fields: Collection[bytes] = ()
    redacted_target: str = ""
    shown_fields: Fields = ()
    mask: Mask | None = None
    way: str = ways.SENT
    answered_way: str = ""
    place: Place | None = None
    attempts: FlowAttempts | None = None
    choice: Choice | None = None
    prepared: Upstream | Answer | None = None
    earlier: tuple[str, ...] = ()
    stop: Stop = NO_STOP

    def note(self, *texts: str) -> None:
        """Add notes on what was changed and why."""
        clean = [text if text.isascii() else without_surrogates(text) for text in texts]
        self.notes += [ways.told(text, ways.SENT, self.way) for text in clean]

    def set_way(self, way: str) -> None:
        """Say of the request that it goes another way, one of edges.ways."""
        self.notes = [ways.told(text, self.way, way) for text in self.notes]
        self.way = way

    @property
    def name(self) -> str:
        """The id of its provider, where there is a choice of providers; else ""."""
        if self.providers is None or self.providers.router is None:
            return ""
        return next((name for name, one in self.providers.by_id.items() if one is self.provider), "")

    @property
    def shown_name(self) -> str:
        """The id of its provider where there is a choice, else its type; "" if it is not known."""
        return self.name or (self.provider.type if self.provider else "")

    @property
    def words(self) -> list[str]:
        """What it is, in words of view.summary."""
        way = self.answered_way or self.way
        found = {
            "rewritten": self.upstream is not None,
            "replayed": way == ways.REPLAYED,
            "simulated": way == ways.SIMULATED,
            "refused": self.is_refused,
            "retried": self.tries > 1,
        }
        return [word for word, is_so in found.items() if is_so]

    @property
    def tries(self) -> int:
        """How many tries there have been."""
        return self.attempts.number if self.attempts else 1

    @property
    def dialect(self) -> Dialect:
        """The client's dialect."""
        return DIALECTS[self.head.caller.dialect]

    @property
    def origin(self) -> Origin | None:
        """The origin of the upstream; None if it is not known yet."""
        found = self.upstream or self.needs
        return found.origin if found else None


def head_of(flow: http.HTTPFlow) -> Head:
    """The head of a flow's request, as the client sent it."""
    request = flow.request
    fields = request.headers.fields
    has_host = request.data.http_version.startswith(b"HTTP/1")
    caller = callers.read(request.path, fields)
    if not has_host:
        caller = caller._replace(host=request.authority)
    return Head(request.method, request.path, caller, fields, has_host, flow.client_conn.tls_established)


def check_head(flow: http.HTTPFlow) -> None:
    """Raise Refusal (400) for a head that is not to be sent, and remove its bad fields from the flow."""
    data = flow.request.data
    try:
        head.check(data.method, data.path, data.headers.fields)
    except Refusal:
        data.headers.fields = head.without_bad_fields(data.headers.fields)
        raise


def restore(flow: http.HTTPFlow, found: Head) -> None:
    """Put the client's own head back into a flow; it goes nowhere until it is rewritten again."""
    request = flow.request
    request.data.method, request.data.trailers = found.method.encode("utf-8", "surrogateescape"), None
    request.path = found.target
    request.headers.fields = found.fields
    if request.data.authority:
        request.data.authority = found.caller.host.encode("utf-8", "surrogateescape")
    place(flow, NOWHERE)


def put_back(flow: http.HTTPFlow, state: FlowState) -> None:
    """Put its own address and header fields back into a request that a server of ours answers, for all to see."""
    if state.place:
        data = flow.request.data
        data.scheme, data.host, data.port, data.path, data.headers.fields = state.place
        state.place = None


def place(flow: http.HTTPFlow, origin: Origin) -> None:
    """Set the origin that a request is sent to; the Host header stays."""
    # The setters of mitmproxy's request would each write the Host header again.
    data = flow.request.data
    data.scheme, data.host, data.port = origin.scheme.encode(), origin.host, origin.port


def send(flow: http.HTTPFlow, state: FlowState, outgoing: Outgoing) -> None:
    """Put an outgoing request into the flow, and mark the flow as ready to be sent.

    Its credential is kept out of the flow where that is possible; else until it has been sent (see redact()).
    """
    request, upstream = flow.request, outgoing.upstream
    # First, so that redact() finds the credential if something raises below.
    state.secret_fields, state.redacted_target = outgoing.secret_fields, outgoing.redacted_target
    state.mask = mask_of(outgoing.secrets)
    seen = _seen(flow, state, None if outgoing.body is None else request.raw_content)
    if outgoing.body is not None:
        request.raw_content = outgoing.body
    place(flow, upstream.origin)
    if upstream.method != state.head.method:
        request.method = upstream.method
    if request.data.authority:
        request.data.authority = upstream.origin.authority.encode()
    fields, target = outgoing.fields, outgoing.target
    if sealed.is_installed():
        shown = redacted(fields, outgoing.secret_fields)
        shown_target = outgoing.redacted_target or redacted_target(target, KEY_PARAMETERS)
        sealed.seal(flow, upstream.origin, fields, target, shown, shown_target)
        state.shown_fields = shown
    else:
        request.headers.fields, request.path = fields, target
    if not state.head.has_host:
        request.host_header = upstream.origin.authority
    state.upstream = upstream
    known = state.needs.notes if state.needs else ()
    state.note(*upstream.notes[len(known) :])
    mark: dict[str, Any] = {"memo": dict(upstream.memo), "client": seen}
    if state.name:
        mark["provider"] = state.name
    flow.metadata[MARK] = mark
    show_notes(flow, state)
    state.is_ready = True


def _seen(flow: http.HTTPFlow, state: FlowState, body: bytes | None) -> dict[str, Any]:
    """The client's own request, for all to see: without its query, which may hold a credential, and long bodies."""
    if (seen := _kept_request(flow)) is not None:
        return seen  # of the first try, or of a flow that is sent again
    kind = header_fields.value(state.head.fields, b"content-type")
    return {
        "method": state.head.method,
        "path": state.head.target.partition("?")[0],
        "type": kind,
        **_kept(body, kind),
    }


def _kept(body: bytes | None, kind: str) -> dict[str, Any]:
    """A body of the client's that is kept; of a long one the model that it names. None: that of the flow is its own."""
    if body is None or len(body) <= _SEEN:
        return {"body": body}
    return {"body": b"", "model": named.read(body, kind).name}


def keep_client_body(flow: http.HTTPFlow, body: bytes) -> None:
    """Keep the client's own body of a request whose body was sent as it came, before somebody edits that."""
    seen = _kept_request(flow)
    if seen is not None and seen.get("body") is None:
        seen.update(_kept(body, str(seen.get("type"))))


def client_path(flow: http.HTTPFlow) -> str:
    """The path of the client's own request, without its query where the flow is rewritten."""
    seen = _kept_request(flow)
    return flow.request.path if seen is None else str(seen.get("path"))


def _kept_request(flow: http.HTTPFlow) -> dict[str, Any] | None:
    mark: Any = flow.metadata.get(MARK)
    seen = mark.get("client") if isinstance(mark, dict) else None
    return seen if isinstance(seen, dict) else None


def client_request(flow: http.HTTPFlow) -> Message | None:
    """The client's own request of a rewritten flow, as far as it is kept; None for other flows."""
    seen = _kept_request(flow)
    if seen is None:
        return None
    body = seen.get("body")
    kept = body if isinstance(body, bytes) else flow.request.get_content(strict=False) or b""
    fields, model = {"content-type": str(seen.get("type") or "")}, seen.get("model")
    text = model if isinstance(model, str) else ""
    return Message(str(seen.get("method")), str(seen.get("path")), fields, kept, model is None, text)


def message(request: http.Request) -> Message:
    """A flow's request as it is now, with its Content-Type as the only header field."""
    fields = {"content-type": request.headers.get("content-type", "")}
    return Message(request.method, request.path, fields, request.get_content(strict=False) or b"")


def content(message: http.Message, longest: int) -> bytes:
    """The body without its Content-Encoding; b"" for one that is not there, too long, or not what it says."""
    raw = message.raw_content or b""
    encoding = message.headers.get("content-encoding", "")
    if len(raw) > longest:
        return b""
    if not raw or encoding.strip().lower() in ("", "identity"):
        return raw
    return content_encoding.unpacked(raw, encoding, longest) or b""


def memo_of(flow: http.HTTPFlow) -> Memo:
    """The memo in the metadata of a rewritten flow; NO_MEMO without one."""
    mark: Any = flow.metadata.get(MARK)
    memo = mark.get("memo") if isinstance(mark, dict) else None
    return memo if isinstance(memo, dict) else NO_MEMO


def provider_of(flow: http.HTTPFlow) -> str:
    """The id of the provider in the metadata of a rewritten flow; "" without one."""
    mark: Any = flow.metadata.get(MARK)
    name = mark.get("provider") if isinstance(mark, dict) else None
    return name if isinstance(name, str) else ""


def reply(response: http.Response, answer: Reply) -> None:
    """Replace status, header fields and body of the provider's response."""
    if answer.status != response.status_code:
        response.status_code, response.reason = answer.status, status_codes.RESPONSES.get(answer.status, "")
    response.raw_content = answer.body
    response.headers.fields = answer.fields


def replace_body(message: http.Message, body: bytes) -> None:
    """Replace a message's body by one that has no Content-Encoding."""
    message.raw_content = body
    changes: dict[bytes, bytes | None] = {b"content-encoding": None, b"content-length": str(len(body)).encode()}
    message.headers.fields = header_fields.changed(message.headers.fields, changes)


def redact(flow: http.HTTPFlow, state: FlowState | None = None) -> None:
    """Replace each credential in a flow's request, the provider's and the client's, by a placeholder."""
    sealed.forget(flow)
    headers = flow.request.headers
    if state is None or headers.fields is not state.shown_fields:
        headers.fields = redacted(headers.fields, state.secret_fields if state else ())
    shown = state.redacted_target if state else ""
    flow.request.path = shown or redacted_target(flow.request.path, KEY_PARAMETERS)


def mask_head(response: http.Response, state: FlowState) -> None:
    """Mask the provider's credential in the reason and the header fields of an answer that repeats it."""
    if state.mask:
        data = response.data
        reason, fields = state.mask.mask(data.reason), state.mask.fields(response.headers.fields)
        if reason is not data.reason or fields is not response.headers.fields:
            data.reason, response.headers.fields = reason, fields
            state.note(MASKED)


def tell_close(flow: http.HTTPFlow, response: http.Response) -> None:
    """Tell a client that its connection ends, as it has asked; the provider was not asked (see sealed.Seal)."""
    if header_fields.value(flow.request.headers.fields, b"connection").lower() == "close":
        fields = response.headers.fields
        if not header_fields.value(fields, b"connection"):
            response.headers.fields = (*fields, (b"Connection", b"close"))


def mask_body(response: http.Response, state: FlowState) -> None:
    """Mask the provider's credential in an answer that was held and repeats it."""
    if not state.mask:
        return
    if response.trailers:
        response.trailers.fields = state.mask.fields(response.trailers.fields)
    raw = response.raw_content
    body = response.get_content(strict=False) if raw and "content-encoding" in response.headers else raw
    masked = state.mask.mask(body or b"")
    if masked != (body or b""):
        replace_body(response, masked)
        state.note(MASKED)


def show_notes(flow: http.HTTPFlow, state: FlowState) -> None:
    """Write the notes into the flow's comment, which mitmproxy shows."""
    flow.comment = "; ".join([*state.earlier, *state.notes])
    flow.metadata[LISTED] = {"provider": state.shown_name, "words": state.words, "tries": state.tries}


def describe(flow: http.HTTPFlow) -> str:
    """Method and path of a request, without its query, for a log line."""
    return printable(f"{flow.request.method} {flow.request.path.partition('?')[0]}")
