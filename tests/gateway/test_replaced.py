"""What takes the place of mitmproxy's functions does so once, however often the script is loaded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mitmproxy.flow import Flow
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.proxy.server import ConnectionHandler

from mitm_ai_proxy.gateway import crashes, engine, replaced
from tests.tables import table


@table(
    ("place", "name", "replace"),
    [
        (ConnectionHandler, "log", crashes.contain),
        (ConnectionHandler, "open_connection", engine.tell_lost_connections),
        (Flow, "kill", engine.wake_killed),
        (Http1Client, "read_headers", engine.mend_heads_of_answers),
        (Http1Server, "read_headers", lambda: engine.limit_heads_of_requests(b"")),
    ],
)
def test_a_later_load_leaves_what_an_earlier_one_has_replaced(
    place: type, name: str, replace: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, replaced.own(place, name))
    own = vars(place)[name]
    assert not replaced.is_ours(place, name)
    replace()
    ours = vars(place)[name]
    replace()

    assert vars(place)[name] is ours is not own
    assert (replaced.is_ours(place, name), replaced.own(place, name)) == (True, own)
    replaced.put_back(place, name)
    assert vars(place)[name] is own


@table("kind", [Http1Client, Http1Server])
def test_another_way_to_read_heads_stays(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_headers(self: object, event: object, more: object) -> None: ...

    monkeypatch.setattr(kind, "read_headers", read_headers)
    engine.mend_heads_of_answers()
    engine.limit_heads_of_requests(b"")

    assert vars(kind)["read_headers"] is read_headers
