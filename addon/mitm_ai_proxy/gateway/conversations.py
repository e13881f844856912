"""Sorts the chats that pass by sessions while somebody looks, for the content view; and reads saved flows for that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from mitmproxy import ctx, http
from mitmproxy.addonmanager import Loader

from ..view import ai, session_ids, session_text
from ..view.sessions import Asked, Sessions, Told, Turn
from . import content_view, flows

logger = logging.getLogger(__name__)

SESSION: Final = "ai_proxy_session"
"""Key in flow.metadata: the session that the client's header fields name. It is saved with the flow."""
_NAMES: Final = frozenset(field.encode() for field in session_ids.FIELDS)
_MOST: Final = 20_000
"""Turns that are kept."""
_LONGEST: Final = 8 * 1024 * 1024
"""Bytes of a body that is read while traffic passes."""
LARGEST: Final = 128 * 1024 * 1024
"""Bytes of a decoded body that is read from a file."""


class Conversations:
    """The turns of the flows that pass. `before` and `after` are addons: one before the gateway, and one behind it.

    The first sees requests as clients send them, the other one answers as clients get them.
    """

    def __init__(self) -> None:
        self.sessions = Sessions(most=_MOST, has_texts=False)
        self._turns: dict[str, Turn] = {}
        self.before = _Before(self)
        self.after = _After(self)

    def ask(self, flow: http.HTTPFlow) -> None:
        """Read the request of a flow, once: a second try is the same turn."""
        if flow.id in self._turns or not is_watched() or not ai.knows(flow.request.path):
            return
        body = flows.content(flow.request, _LONGEST)
        if body and (turn := self.sessions.ask(_asked(flow, flow.request.path, body))):
            self._turns[flow.id] = turn
            while len(self._turns) > _MOST:
                del self._turns[next(iter(self._turns))]

    def answer(self, flow: http.HTTPFlow) -> None:
        """Read the answer of a flow whose request was read."""
        if turn := self._turns.get(flow.id):
            self.sessions.settings = content_view.settings()
            self.sessions.answer(turn, told_of(flow, _LONGEST))

    def line(self, flow: http.HTTPFlow) -> str:
        """What turn a flow is, in one line; "" for one that is none, or was not seen."""
        turn = self._turns.get(flow.id)
        return session_text.summary(turn) if turn else ""


class _Before:
    """Reads requests before the gateway rewrites them."""

    name = "ai_proxy_conversations"

    def __init__(self, all: Conversations) -> None:
        self._all = all

    def load(self, _: Loader) -> None:
        """Have the content view say which turn a request is."""
        content_view.tell_turns(self._all.line)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Keep the name of the session, which may not be sent on."""
        # Few requests have one.
        if _NAMES.isdisjoint([name.lower() for name, _ in flow.request.headers.fields]):
            return
        found = session_ids.in_fields(_lower(flow))
        if found.name and ai.knows(flow.request.path):
            flow.metadata[SESSION] = f"{found.source}: {found.name}"

    def request(self, flow: http.HTTPFlow) -> None:
        """Sort the request into a session."""
        _safely(self._all.ask, flow)


class _After:
    """Reads answers behind the gateway."""

    name = "ai_proxy_answers"

    def __init__(self, all: Conversations) -> None:
        self._all = all

    def response(self, flow: http.HTTPFlow) -> None:
        """Add the answer to its turn."""
        _safely(self._all.answer, flow)


def _lower(flow: http.HTTPFlow) -> dict[str, str]:
    """The header fields of a request, by their names in lower case; of equal ones the first."""
    # mitmproxy's items() looks each name up in all fields.
    found = reversed(flow.request.headers.fields)
    return {name.lower().decode("latin-1"): value.decode("utf-8", "surrogateescape") for name, value in found}


def _safely(read: Callable[[http.HTTPFlow], None], flow: http.HTTPFlow) -> None:
    """Nothing that is only looked at may disturb a flow."""
    try:
        read(flow)
    except Exception as error:
        logger.warning("ai-proxy: the session of %s is not known: %s", flows.describe(flow), type(error).__name__)


def is_watched() -> bool:
    """Whether the tool that runs can show a content view: mitmweb, the console, or mitmdump with its details."""
    return ctx.master.addons.get("view") is not None or getattr(ctx.options, "flow_detail", 0) >= 3


def asked_of(flow: http.HTTPFlow) -> Asked:
    """The request of a saved flow, as it was sent."""
    return _asked(flow, flow.request.path, flows.content(flow.request, LARGEST))


def _asked(flow: http.HTTPFlow, path: str, body: bytes) -> Asked:
    fields = _lower(flow)
    source, _, name = str(flow.metadata.get(SESSION, "")).partition(": ")
    if source in session_ids.FIELDS:
        fields = {source: name}
    return Asked(flow.id, path, fields, body, flow.request.timestamp_start)


def told_of(flow: http.HTTPFlow, longest: int = LARGEST) -> Told:
    """The answer of a flow, as its client got it."""
    client = flows.client_request(flow)
    path = flow.request.path if client is None else client.path
    if flow.response is None:
        return Told(path, 0, b"")
    return Told(path, flow.response.status_code, flows.content(flow.response, longest))
