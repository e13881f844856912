"""The server of the API: it listens before it has begun, ends with what is in hand, and says why it cannot."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request
from typing import Any

import pytest

from mitm_ai_proxy.platform.web.serving import NotServed, Serving


class App:
    """An application that answers when it may."""

    def __init__(self) -> None:
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer."""
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        self.is_asked.set()
        await asyncio.to_thread(self.may_answer.wait, 30)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def test_who_comes_before_the_start_waits_and_what_is_in_hand_is_answered_before_the_end() -> None:
    app, stopping = App(), threading.Event()
    serving = Serving(app, "127.0.0.1", 0, stopping=stopping.set)
    port = serving.port
    answers: list[bytes] = []

    def ask() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=60) as answer:
            answers.append(answer.read())

    client = threading.Thread(target=ask)
    client.start()
    serving.start()
    assert app.is_asked.wait(60)
    ending = threading.Thread(target=serving.stop)
    ending.start()
    assert stopping.wait(60)
    app.may_answer.set()
    ending.join(60)
    client.join(60)

    assert (answers, serving.has_ended) == ([b"ok"], True)
    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotServed, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
            Serving(App(), "127.0.0.1", port)
