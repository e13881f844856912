"""Size limits for the bodies of one flow. The only file that reaches into mitmproxy's protocol layers.

mitmproxy's own options (body_size_limit, stream_large_bodies) hold for all flows, so they are laid over for one.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mitmproxy import ctx, http
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.utils import human

LIMIT: Final = 100 * 1024 * 1024
"""Bytes of a body that is held; the limit of the Higress ai-proxy plugin."""
_HTTP1: Final = frozenset((b"HTTP/1.0", b"HTTP/1.1"))
CLOSE_DELAY: Final = 1.0
"""Seconds that an answer has to leave before its connection is closed."""


class _Overlay:
    """mitmproxy's options with some values changed, for the layers of one flow."""

    def __init__(self, options: Any, changes: dict[str, str | None]) -> None:
        self._options = options
        self._changes = changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._options, name)


def hold_request(flow: http.HTTPFlow, streams: bool = True) -> None:
    """Buffer this request's body, whatever `stream_large_bodies` says, up to LIMIT or mitmproxy's `body_size_limit`.

    `streams`: whether `stream_large_bodies` may be set, which takes mitmproxy time to tell.
    A longer one is answered with 413, at once when its Content-Length says so. Where mitmproxy's layers are not as
    expected, the connection of a request that could be too long is closed instead.
    """
    flow.request.stream = False
    if flow.request.raw_content is not None:
        return
    length = _length(flow.request)
    too_long = length is not None and length > LIMIT
    if too_long:
        # After a "100 Continue" mitmproxy does not answer with 413 any more; a client that waits for one sends anyway.
        flow.request.headers.pop("Expect", None)
    if not _hold(flow, length, streams) and flow.killable and (too_long or "Transfer-Encoding" in flow.request.headers):
        flow.kill()


def hold_answer(flow: http.HTTPFlow, response: http.Response, streams: bool = True) -> None:
    """The same for the answer, in the responseheaders hook; a longer one becomes a 502."""
    response.stream = False
    _hold(flow, _length(response), streams)


def stream_long_request(flow: http.HTTPFlow, size: int) -> None:
    """Stream this request's body if it is longer than `size` bytes, in the requestheaders hook."""
    length = _length(flow.request)
    if length is None:
        # Also where that cannot be arranged: a body without bound is not to be kept.
        flow.request.stream = flow.request.stream or not _lay_over(flow, {"stream_large_bodies": str(size)})
    elif length > size:
        flow.request.stream = True


def stream_long_answer(flow: http.HTTPFlow, response: http.Response, size: int) -> None:
    """The same for the answer, in the responseheaders hook."""
    length = _length(response)
    if length is None:
        response.stream = response.stream or not _lay_over(flow, {"stream_large_bodies": str(size)})
    elif length > size:
        response.stream = True


def close_if_too_long(flow: http.HTTPFlow) -> None:
    """Close the connection of a request that was refused for its length, for use in the error hook.

    mitmproxy means to do so itself, but 12.2 leaves it open, and unread, after a "100 Continue".
    """
    handler = _handler_of(flow)
    if handler and flow.error and "body_size_limit" in flow.error.msg and flow.request.http_version == "HTTP/1.1":
        client = handler.transports.get(flow.client_conn)
        if client and client.writer:
            asyncio.get_running_loop().call_later(CLOSE_DELAY, client.writer.close)


def _length(message: http.Message) -> int | None:
    """The length that an HTTP/1 message declares; None where only its end will tell."""
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


def _hold(flow: http.HTTPFlow, length: int | None, streams: bool) -> bool:
    """Whether the limit holds for a body of this length, for which mitmproxy's options are laid over if need be."""
    if length is not None and length <= LIMIT and not streams:
        return True
    own_limit = human.parse_size(ctx.options.body_size_limit)
    limit = LIMIT if own_limit is None else min(own_limit, LIMIT)
    # A length that is known to be too much need not come in up to the limit.
    limit = limit if length is None or length <= limit else 0
    return _lay_over(flow, {"stream_large_bodies": None, "body_size_limit": str(limit)})


def _lay_over(flow: http.HTTPFlow, changes: dict[str, str | None]) -> bool:
    try:
        stream = _stream_of(flow)
    except AttributeError:
        # Another version of mitmproxy than those that are tested.
        stream = None
    if stream is None:
        return False
    overlay: Any = _Overlay(ctx.options, changes)
    stream.context.options = overlay
    return True


def _stream_of(flow: http.HTTPFlow) -> HttpStream | None:
    """The layer that carries this flow; None for a replayed flow, and where layers are not as expected."""
    handler = _handler_of(flow)
    return _search(handler.layer.context.layers, flow, set()) if handler else None


def _handler_of(flow: http.HTTPFlow) -> ConnectionHandler | None:
    proxyserver = ctx.master.addons.get("proxyserver")
    handler: ConnectionHandler | None = proxyserver.connections.get(flow.client_conn.id) if proxyserver else None
    return handler


def _search(layers: list[Layer], flow: http.HTTPFlow, seen: set[int]) -> HttpStream | None:
    for layer in layers:
        if isinstance(layer, HttpLayer) and id(layer) not in seen:
            seen.add(id(layer))
            for stream in layer.streams.values():
                if getattr(stream, "flow", None) is flow:
                    return stream
                # Behind a CONNECT there is another stack of layers.
                found = _search(stream.context.layers, flow, seen)
                if found:
                    return found
    return None
