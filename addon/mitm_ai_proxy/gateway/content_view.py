"""mitmproxy's content view "AI", in both of its interfaces: conversations, jobs, and what was changed of a request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

from mitmproxy import contentviews, http
from mitmproxy.websocket import WebSocketMessage

from .. import registry
from ..cassette.recorded_api import AnyCost
from ..view import ai, prices, realtime, subjects, summary, tokens
from ..view.jobs import Jobs
from ..view.prices import PriceSettings
from . import flows, sealed

NAME: Final = "AI"
_PRIORITY: Final = 10
"""More than any view of mitmproxy's own has."""
_LONGEST: Final = 8 * 1024 * 1024
"""Bytes of a job's request or answer whose price is looked up; pictures may stand in it."""
_COMMAS: Final = 20_000
"""One with more may hold so many values that to read it takes too long."""


_prices = prices.LIST_PRICES


def _no_turn(_: http.HTTPFlow) -> str:
    return ""


_turn_of: Callable[[http.HTTPFlow], str] = _no_turn


_seen: Jobs | None = None


def use(settings: PriceSettings) -> None:
    """Use the prices of a configuration."""
    global _prices
    _prices = settings


def settings() -> PriceSettings:
    """The prices in use."""
    return _prices


def tell_turns(turn_of: Callable[[http.HTTPFlow], str]) -> None:
    """Show what this says of a flow: which turn of its session it is."""
    global _turn_of
    _turn_of = turn_of


def tell_jobs(seen: Jobs) -> None:
    """Show what these jobs have been so far."""
    global _seen
    _seen = seen


def expected(request: http.Request) -> tuple[float | None, float | None]:
    """What a request costs by the price list of a video API, in units and dollars."""
    found = registry.recorded_api().expected
    return _cost(request, request, lambda document: found("POST", request.url, document))


def _charged(flow: http.HTTPFlow) -> tuple[float | None, float | None]:
    """What the answer of a job says that it has cost."""
    found = registry.recorded_api().charged
    return _cost(flow.request, flow.response, lambda document: found(flow.request.url, document))


def _cost(
    request: http.Request, message: http.Message | None, read: Callable[[dict[str, Any]], AnyCost | None]
) -> tuple[float | None, float | None]:
    nothing: tuple[float | None, float | None] = (None, None)
    body = (message.get_content(strict=False) if message else None) or b""
    about = subjects.subject(request.path)
    if not (about and about.kind == "job") or not 0 < len(body) <= _LONGEST or body.count(b",") > _COMMAS:
        return nothing
    if message is request and request.method != "POST":
        return nothing
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return nothing
    return (read(document) or nothing) if isinstance(document, dict) else nothing


def show(data: bytes, flow: object, message: object) -> str:
    """The text of the view for a body of a flow's message. Nothing raises: mitmproxy would show its own error."""
    if not isinstance(flow, http.HTTPFlow):
        return ""
    try:
        if isinstance(message, WebSocketMessage):
            return realtime.text(data, message.from_client)
        return ai.text(_shown(data, flow, message), _prices)
    except Exception as error:
        return f"(this cannot be shown: {type(error).__name__})\n"


def priority(data: bytes, flow: object) -> float:
    """10 for a body of an AI API, so that the view is chosen by itself; else -1."""
    return _PRIORITY if data and isinstance(flow, http.HTTPFlow) and ai.knows(_path(flow)) else -1


def _path(flow: http.HTTPFlow) -> str:
    """The path that the client asked for; its answer belongs to it."""
    client = flows.client_request(flow)
    return flow.request.path if client is None else client.path


def _shown(data: bytes, flow: http.HTTPFlow, message: object) -> ai.Shown:
    is_request = message is not flow.response
    head = flow.request if is_request or flow.response is None else flow.response
    fields = {name.lower(): value for name, value in head.headers.items()}
    path = flow.request.path if is_request else _path(flow)
    client = flows.client_request(flow) if is_request else None
    return ai.Shown(
        is_request,
        flow.request.method,
        path,
        fields,
        data,
        client,
        flow.comment.rpartition("\n")[2],
        flow.request.timestamp_start,
        _turn_of(flow) if is_request else "",
        summary.units_text(*(expected(flow.request) if is_request else _charged(flow))),
        _seen,
        _credential(flow) if is_request else (),
    )


def _credential(flow: http.HTTPFlow) -> tuple[str, ...]:
    """The claims of the JWTs that a request is sent with; their signatures are not kept."""
    found: list[str] = []
    for field, value in sealed.claims_of(flow):
        first, *more = tokens.lines(value, time.time())
        found += [f"{field}: {first}", *more]
    return tuple(found)


_Interface: Any = getattr(contentviews, "Contentview", None)

if _Interface is not None:

    class AI(_Interface):  # type: ignore[misc]
        """The view for mitmproxy 12."""

        name = NAME
        syntax_highlight = "none"

        def prettify(self, data: bytes, metadata: Any) -> str:
            """The text that is shown."""
            return show(data, metadata.flow, metadata.http_message or metadata.websocket_message)

        def render_priority(self, data: bytes, metadata: Any) -> float:
            """How much this view is for these bytes."""
            return priority(data, metadata.flow)

else:

    class AI(contentviews.View):  # type: ignore[no-redef,name-defined,misc]
        """The view for mitmproxy 11."""

        name = NAME

        def __call__(self, data: bytes, *, flow: object = None, **messages: object) -> Any:
            """The name of the view, and the text that is shown, in lines of styled parts."""
            text = show(data, flow, messages.get("http_message") or messages.get("websocket_message"))
            # mitmweb leaves out a line without anything in it.
            return NAME, ([("text", line or " ")] for line in text.splitlines())

        def render_priority(self, data: bytes, *, flow: object = None, **_: object) -> float:
            """How much this view is for these bytes."""
            return priority(data, flow)


_VIEW: Final = AI()


def add() -> None:
    """Make the view known to mitmproxy, once or again after a reload of the script."""
    remove()
    contentviews.add(_VIEW)


def remove() -> None:
    """Take it away: mitmproxy 11 refuses a name that it has."""
    module: Any = contentviews
    for view in [view for view in getattr(module, "views", ()) if view.name == NAME]:
        module.remove(view)
