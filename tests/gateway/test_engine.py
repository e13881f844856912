"""What is mended in mitmproxy's own handling of connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import SimpleConnectionHandler

from mitm_ai_proxy.gateway import engine


class _Writer:
    """The writing side of a connection that was reset: the other side has no address any more."""

    def __init__(self) -> None:
        self.is_closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.filterwarnings("ignore")
def test_a_connection_that_is_lost_while_it_is_made_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine.tell_lost_connections()
    # A reload does it again.
    engine.tell_lost_connections()
    writer = _Writer()

    async def opened(*address: object, **settings: object) -> tuple[Any, _Writer]:
        return None, writer

    async def run() -> list[events.Event]:
        client: Any = _Writer()
        handler = SimpleConnectionHandler(None, client, Options(), ProxyMode.parse("regular"), {})
        heard: list[events.Event] = []

        async def hear(event: events.Event) -> None:
            heard.append(event)

        monkeypatch.setattr(handler, "server_event", hear)
        monkeypatch.setattr(asyncio, "open_connection", opened)
        await handler.open_connection(commands.OpenConnection(Server(address=("127.0.0.1", 9))))
        return heard

    (event,) = asyncio.run(run())
    assert isinstance(event, events.OpenConnectionCompleted)
    assert event.reply == "the connection was reset"
    assert event.command.connection.state is ConnectionState.CLOSED
    assert writer.is_closed
