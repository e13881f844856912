"""Whether mitmproxy's layers are those that second_tries.py and upstream_layers.py know."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client

logger = logging.getLogger(__name__)

# The methods of HttpStream that are replaced, each with its parameters.
METHODS: Final = {
    "send_response": ("already_streamed",),
    "handle_protocol_error": ("event",),
    "check_invalid": ("request",),
    "check_body_size": ("request",),
    "check_killed": ("emit_error_hook",),
    "start_response_stream": (),
    "make_server_connection": (),
    "state_consume_request_body": ("event",),
    "state_stream_response_body": ("event",),
    "state_wait_for_response_headers": ("event",),
    "state_consume_response_body": ("event",),
    "_handle_event": ("event",),
}

# What is used of their instances.
_ATTRIBUTES: Final[Mapping[type, tuple[str, ...]]] = {
    HttpLayer: ("connections", "waiting_for_establishment", "command_sources"),
    HttpStream: (
        "flow",
        "context",
        "stream_id",
        "server_state",
        "request_body_buf",
        "response_body_buf",
        "_paused_event_queue",
    ),
    Http1Client: ("stream_id", "state", "done"),
    Http2Client: ("our_stream_id", "stream_queue", "streams"),
}

_warned: Final[list[bool]] = []


def warn() -> None:
    """Say once that it has not."""
    if not _warned:
        _warned.append(True)
        logger.warning(
            "ai-proxy: this version of mitmproxy is not known well enough for second tries and time-outs: "
            "the first answer goes to the client."
        )


def is_as_expected(kind: type[HttpStream]) -> bool:
    """Whether a stream's class, and the layers around it, have what is used of them."""
    return _have_parameters(*[getattr(kind, name, None) for name in METHODS])


@functools.cache
def _have_parameters(*methods: Callable[..., object] | None) -> bool:
    """Whether methods take what those of METHODS do. To look takes as long as half of a request."""
    for method, parameters in zip(methods, METHODS.values(), strict=True):
        if method is None or tuple(inspect.signature(method).parameters)[1:] not in (parameters, ("_",)):
            return False
    return all(known.issuperset(names) for kind, names in _ATTRIBUTES.items() for known in [set(_names(kind))])


def _names(kind: type) -> Iterator[str]:
    """The names that a class, or what makes its instances, mentions."""
    for one in kind.__mro__:
        yield from vars(one)
        yield from vars(one).get("__annotations__", {})
        made = vars(one).get("__init__")
        yield from made.__code__.co_names if inspect.isfunction(made) else ()
