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
CLOSE_DELAY: Final = 1.0
"""Seconds that an answer has to leave before its connection is closed."""


class _Overlay:
    """mitmproxy's options with some values changed, for the layers of one flow."""

    def __init__(self, options: Any, changes: dict[str, str | None]) -> None:
        self._options = options
        self._changes = changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._options, name)


def hold(flow: http.HTTPFlow) -> None:
    """Buffer this flow's bodies, whatever `stream_large_bodies` says, up to LIMIT or mitmproxy's own `body_size_limit`.

    A longer request is answered with 413, at once when its Content-Length says so; a longer answer with 502. Where
    mitmproxy's layers are not as expected, the connection of a request that could be too long is closed instead.
    """
    flow.request.stream = False
    if flow.request.raw_content is not None:
        return
    own_limit = human.parse_size(ctx.options.body_size_limit)
    limit = LIMIT if own_limit is None else min(own_limit, LIMIT)
    length = flow.request.headers.get("Content-Length", "")
    too_long = length.isascii() and length.isdigit() and int(length) > limit
    if too_long:
        # After a "100 Continue" mitmproxy does not answer with 413 any more; a client that waits for one sends anyway.
        flow.request.headers.pop("Expect", None)
    held = _lay_over(flow, {"stream_large_bodies": None, "body_size_limit": "0" if too_long else str(limit)})
    if not held and flow.killable and (too_long or "Transfer-Encoding" in flow.request.headers):
        flow.kill()


def stream_above(flow: http.HTTPFlow, size: int) -> bool:
    """Stream this flow's bodies once they are longer than `size` bytes; False when that cannot be arranged."""
    return _lay_over(flow, {"stream_large_bodies": str(size)})


def close_if_too_long(flow: http.HTTPFlow) -> None:
    """Close the connection of a request that was refused for its length, for use in the error hook.

    mitmproxy means to do so itself, but 12.2 leaves it open, and unread, after a "100 Continue".
    """
    handler = _handler_of(flow)
    if handler and flow.error and "body_size_limit" in flow.error.msg and flow.request.http_version == "HTTP/1.1":
        client = handler.transports.get(flow.client_conn)
        if client and client.writer:
            asyncio.get_running_loop().call_later(CLOSE_DELAY, client.writer.close)


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
