"""Holding, streaming and translating bodies: the only file that sets `.stream` of mitmproxy's messages.

A stream that cannot be translated ends with an error in the client's dialect.
"""

from __future__ import annotations

import functools
from typing import Final

from mitmproxy import ctx, http
from mitmproxy.utils import human

from ..auth.masking import Mask
from ..chat.dialects import Dialect
from ..edges import streaming
from ..edges.held import HELD
from ..edges.streaming import Translation
from ..exchange import Handling, Pieces, Whole
from ..pipeline import BODY_LIMIT
from ..routing.first_event import MOST_HELD
from ..wire import header_fields
from ..wire.media_types import is_media, is_streamed
from . import engine

SHOWN_BODY: Final = 1024 * 1024
"""Bytes up to which a body that is not needed is held, so that mitmproxy can show it; longer ones are streamed."""

_HTTP1: Final = frozenset((b"HTTP/1.0", b"HTTP/1.1"))


# Requests


def hold_request(flow: http.HTTPFlow, streams: bool = True) -> None:
    """Hold this request's body, whatever `stream_large_bodies` says, up to BODY_LIMIT or `body_size_limit`.

    `streams`: whether `stream_large_bodies` may be set; the option itself is slow to read.
    A longer body is answered with 413, at once if its Content-Length is too large, and one for which there is no room
    beside the others that are held with 503. If mitmproxy's layers are not as expected, the connection of a request
    that could be too long is closed instead.
    """
    flow.request.stream = False
    if flow.request.raw_content is not None:
        return
    length = _length(flow.request)
    too_long = length is not None and length > BODY_LIMIT
    if too_long:
        # After a "100 Continue" mitmproxy cannot answer with 413; a client that waits for it sends the body anyway.
        flow.request.headers.pop("Expect", None)
    if (
        not _hold(flow, length, streams, is_request=True)
        and flow.killable
        and (too_long or "Transfer-Encoding" in flow.request.headers)
    ):
        flow.kill()


def can_be_held(flow: http.HTTPFlow) -> bool:
    """Whether this request's body is not known to be longer than BODY_LIMIT."""
    length = _length(flow.request)
    return length is None or length <= BODY_LIMIT


def keep_held(flow: http.HTTPFlow) -> None:
    """Hold this request's body again, if another addon has set it to be streamed."""
    flow.request.stream = False


def stream_request(flow: http.HTTPFlow) -> None:
    """Stream this request's body, unless it is here already; a copy is made for show_request(), unless it is media."""
    request, length = flow.request, _length(flow.request)
    is_here = request.raw_content is not None or length == 0
    if is_here or (length is not None and engine.has_arrived(flow, request, length)):
        request.stream = False
    else:
        request.stream = True if _is_media(request) else _Copying()


def show_request(request: http.Request) -> None:
    """Put a copy of a body that was streamed where mitmproxy shows it, if it is no longer than SHOWN_BODY."""
    if isinstance(request.stream, _Copying) and request.stream.copy is not None and request.raw_content is None:
        # The setter would change Content-Length.
        request.data.content = bytes(request.stream.copy)


class _Copying:
    """The bytes of a body as they are, and a copy as long as they are no more than SHOWN_BODY."""

    def __init__(self) -> None:
        self.copy: bytearray | None = bytearray()

    def __call__(self, data: bytes) -> bytes:
        if self.copy is not None:
            self.copy += data
            if len(self.copy) > SHOWN_BODY:
                self.copy = None
        return data


def stream_long_request(flow: http.HTTPFlow) -> None:
    """Stream this request's body if it is longer than SHOWN_BODY, unless it is here already."""
    if flow.request.raw_content is not None:
        return
    length = _length(flow.request)
    if length is None:
        # Also streamed if the layers are not as expected: a body of unlimited length must not be held.
        flow.request.stream = flow.request.stream or not _stream_from(flow, SHOWN_BODY)
    elif length > SHOWN_BODY:
        flow.request.stream = True


# Answers


def begin_answer(
    flow: http.HTTPFlow,
    response: http.Response,
    handling: Handling,
    dialect: Dialect,
    streams: bool,
    mask: Mask | None = None,
) -> None:
    """Begin to hold, translate or pass an answer, in the responseheaders hook. `streams` is as in hold_request.

    An answer that is held and too long becomes a 502. What is streamed goes through the mask, and is copied for
    show_stream(), unless it is media.
    """
    if isinstance(handling, Whole):
        response.stream = False
        _hold(flow, _length(response), streams)
    elif isinstance(handling, Pieces):
        _translate(flow, response, streaming.masked(handling, mask), dialect)
    elif response.raw_content is not None:
        return  # it is complete already
    elif is_streamed(header_fields.value(response.headers.fields, b"content-type")):
        response.stream = True
    else:
        length = _length(response)
        # An encoded error has to be decoded to see what it repeats.
        holds_small = handling.holds_small or (mask is not None and _is_encoded_error(response))
        if length is None:
            response.stream = response.stream or not holds_small or not _stream_from(flow, SHOWN_BODY)
        elif length > SHOWN_BODY or not (holds_small or engine.has_arrived(flow, response, length)):
            response.stream = True
    if response.stream is True and streaming.is_searched(response.status_code, response.headers.fields):
        _translate(flow, response, streaming.passed(mask), dialect)


def show_stream(response: http.Response) -> str:
    """Put a copy of what was streamed to the client where mitmproxy shows it; call it in the response hook.

    Returns a note, "" for nothing to say.
    """
    if not isinstance(response.stream, Translation) or response.stream.copy is None or response.raw_content is not None:
        return ""
    # The setter would change Content-Length.
    response.data.content = bytes(response.stream.copy[:SHOWN_BODY])
    is_cut = len(response.stream.copy) > SHOWN_BODY
    return f"of the streamed answer, the first {SHOWN_BODY} bytes are kept" if is_cut else ""


def beginning(response: http.Response) -> bytes:
    """The body of an answer, or, of one that was streamed to the client, its beginning."""
    if isinstance(response.stream, Translation) and response.raw_content is None:
        return bytes((response.stream.copy or b"")[:MOST_HELD])
    return response.raw_content or b""


def refuse_stream(response: http.Response, body: bytes) -> None:
    """Have a stream that was held end here, with this body, for those who listen to it and for whoever looks at it."""
    if isinstance(response.stream, Translation):
        response.stream(body)
        response.stream(b"")
    response.stream = False
    response.data.content = body


def end_of_broken(response: http.Response) -> bytes | None:
    """The last bytes for a client whose stream has broken off; None if they could not tell it that."""
    translation = response.stream
    return translation.end_of_broken() if isinstance(translation, Translation) else None


def _is_media(message: http.Message) -> bool:
    return is_media(header_fields.value(message.headers.fields, b"content-type"))


def _is_encoded_error(response: http.Response) -> bool:
    """Whether an error has to be decoded to see what it repeats."""
    return response.status_code >= 400 and "content-encoding" in response.headers


def _translate(flow: http.HTTPFlow, response: http.Response, pieces: Pieces, dialect: Dialect) -> None:
    fields = response.headers.fields
    sent = streaming.answer_fields(fields, pieces, is_http1=response.data.http_version in _HTTP1)
    response.headers.fields = sent
    failed = functools.partial(engine.close_upstream, flow)
    copied = 0 if _is_media(response) else SHOWN_BODY
    response.stream = Translation(pieces, fields, sent, dialect, failed, copied)


# Limits


def _length(message: http.Message) -> int | None:
    """The length of a body by its HTTP/1 head; None if it is not known before the end."""
    if message.data.http_version not in _HTTP1:
        return None
    length = b"0" if isinstance(message, http.Request) else b""
    for name, value in message.headers.fields:
        lower = name.lower()
        if lower == b"transfer-encoding":
            return None
        if lower == b"content-length":
            length = value
    return int(length) if length.isdigit() else None


def _hold(flow: http.HTTPFlow, length: int | None, streams: bool, *, is_request: bool = False) -> bool:
    """Set the limit for a body of this length, by mitmproxy's options if needed; False if that is not possible."""
    is_short = length is not None and length <= (SHOWN_BODY if is_request else BODY_LIMIT)
    if is_short and not streams:
        return True
    own_limit = human.parse_size(ctx.options.body_size_limit)
    limit = BODY_LIMIT if own_limit is None else min(own_limit, BODY_LIMIT)
    # A body that is known to be too long is refused before any of it is read.
    known: engine.Value = str(limit if length is None or length <= limit else 0)
    if is_request and not is_short and known != "0":
        if length is None:
            known = lambda arrived: str(min(limit, HELD.room(flow, arrived)))  # noqa: E731
        elif HELD.room(flow, length) < length:
            known = "0"
    return engine.lay_over(flow, {"stream_large_bodies": None, "body_size_limit": known})


def _stream_from(flow: http.HTTPFlow, size: int) -> bool:
    """Stream this flow's bodies once they are longer than `size` bytes; False if that is not possible."""
    return engine.lay_over(flow, {"stream_large_bodies": str(size)})
