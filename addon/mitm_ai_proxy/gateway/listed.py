"""The flow lists of mitmproxy's windows: what became of each request, in one line, with markers and a filter.

Tried with mitmproxy 11.0.2 and 12.3; where another version looks different, its list stays as it is.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from mitmproxy import ctx, flow, http

from ..view import summary
from ..view.summary import Exchange, Summary
from . import content_view, flows, replaced

logger = logging.getLogger(__name__)

_CONSOLE: Final = "mitmproxy.tools.console.common"
_FORMAT: Final = "format_flow"
_COLUMNS: Final = "web_columns"
_NOTHING: Final = Summary("")
_MARKERS: Final = {"refused": ":no_entry:", "retried": ":repeat:", "replayed": ":vhs:", "simulated": ":test_tube:"}
"""Markers by the words of a request; the first one counts."""

_summaries: WeakKeyDictionary[http.HTTPFlow, tuple[object, Summary]] = WeakKeyDictionary()


def of(found: flow.Flow) -> Summary:
    """The summary of a flow; an empty one for what is not ours. Nothing raises."""
    listed = found.metadata.get(flows.LISTED)
    if not isinstance(found, http.HTTPFlow) or not isinstance(listed, dict):
        return _NOTHING
    response = found.response
    state = (id(listed), response and (response.status_code, response.timestamp_end, response.raw_content is None))
    known = _summaries.get(found)
    if known is None or known[0] != state:
        try:
            known = state, summary.summary(_exchange(found, listed), content_view.settings())
        except Exception as error:
            known = state, Summary(f"(this cannot be shown: {type(error).__name__})")
        _summaries[found] = known
    return known[1]


def _exchange(found: http.HTTPFlow, listed: Mapping[Any, Any]) -> Exchange:
    request, response, start = found.request, found.response, found.request.timestamp_start
    words, tries = listed.get("words"), listed.get("tries")
    ended = response and response.timestamp_end
    return Exchange(
        flows.message(request),
        str(listed.get("provider") or ""),
        flows.client_request(found),
        [word for word in summary.WORDS if isinstance(words, list | tuple) and word in words],
        tries if isinstance(tries, int) else 1,
        response.status_code if response else 0,
        (response.get_content(strict=False) or b"") if response else b"",
        response.timestamp_start - start if response and response.timestamp_start else None,
        ended - start if ended else None,
        start,
        content_view.expected(request),
    )


class Listed:
    """The addon. In a tool with a flow list, the comment of each flow begins with its line, and it has a marker."""

    name = "ai_proxy_list"

    def request(self, flow: http.HTTPFlow) -> None:
        """Show what becomes of a request while it waits for its answer."""
        show(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        """Show what it took."""
        show(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """Show it with its error."""
        show(flow)


def show(flow: http.HTTPFlow) -> None:
    """Begin the comment of a flow with its line, and mark it, unless a person has marked it."""
    found = of(flow)
    if not found.text:
        return
    notes = flow.comment.rpartition("\n")[2]
    # What is only looked at has no notes of ours.
    flow.comment = f"{found.text}\n{notes}" if flow.metadata.get(flows.LISTED) else found.text
    if not flow.marked or flow.marked in _MARKERS.values():
        flow.marked = next((marker for word, marker in _MARKERS.items() if word in found.words), "")


def is_window() -> bool:
    """Whether the tool has a flow list."""
    return ctx.master.addons.get("view") is not None


def add_columns() -> None:
    """Have mitmweb show comments in its list, unless somebody has chosen its columns."""
    options: Any = ctx.options
    if _COLUMNS in options and not options.has_changed(_COLUMNS):
        columns: Sequence[str] = getattr(options, _COLUMNS)
        if "comment" not in columns and "path" in columns:
            place = columns.index("path") + 1
            options.update(**{_COLUMNS: [*columns[:place], "comment", *columns[place:]]})


def add_line() -> None:
    """Have the console show the line below each flow of ours; nothing happens in other tools."""
    common: Any = sys.modules.get(_CONSOLE)
    if common is None:
        return
    remove_line()
    before = getattr(common, _FORMAT, None)
    if before is None or not {"f", "render_mode"} <= set(inspect.signature(before).parameters):
        _warn()
        return
    replaced.put(common, _FORMAT, _with_line(before))


def remove_line() -> None:
    """Have the console show its list as ever."""
    if common := sys.modules.get(_CONSOLE):
        replaced.put_back(common, _FORMAT)


def _with_line(before: Callable[..., Any]) -> Callable[..., Any]:
    def format_flow(f: flow.Flow, **more: Any) -> Any:
        widget = before(f, **more)
        text = of(f).text
        if not text:
            return widget
        try:
            return _piled(widget, text)
        except Exception:
            remove_line()
            _warn()
            return widget

    return format_flow


def _piled(widget: Any, text: str) -> Any:
    import urwid

    line = urwid.Text(("title", f"     {text}"), wrap="ellipsis")
    return urwid.Pile([widget, line])


def _warn() -> None:
    logger.warning("ai-proxy: this version of mitmproxy is not known well enough to show more in its list.")
