"""The server of replayed streams: it sends each answer in its recorded pieces, once, and only for its token."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from mitm_ai_proxy.cassette.entry import Chunk, Response
from mitm_ai_proxy.gateway import replay_server
from mitm_ai_proxy.gateway.replay_server import ReplayServer
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table

ANSWER = Response(
    206,
    "Some Of It",
    (("Content-Type", "text/event-stream"), ("Content-Length", "7"), ("X-A", "1"), ("X-A", "2")),
    b"abcdefg",
    (Chunk(1.0, 3), Chunk(2.0, 0), Chunk(400_000.0, 4)),
)
HEAD = b"HTTP/1.1 206 Some Of It\r\nContent-Type: text/event-stream\r\nX-A: 1\r\nX-A: 2\r\n"
SENT = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"


async def _ask(origin: Origin, *requests: bytes) -> bytes:
    """All bytes that the server sends for these requests on one connection."""
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(b"".join(requests))
    writer.write_eof()
    sent = await reader.read()
    writer.close()
    return sent


def _run(test: Coroutine[Any, Any, bytes]) -> bytes:
    return asyncio.run(asyncio.wait_for(test, 10))


def _request(token: str, body: bytes = b"") -> bytes:
    return b"POST /a/%s HTTP/1.1\r\nHost: x\r\ncontent-length: %d\r\n\r\n%s" % (token.encode(), len(body), body)


def test_an_answer_is_sent_in_its_pieces_without_waiting() -> None:
    async def ask() -> bytes:
        server = ReplayServer()
        first = await server.offer(ANSWER, None)
        second = await server.offer(ANSWER, 1e-9)
        sent = await _ask(first[0], _request(first[1], b"x" * 100_000), _request(second[1]))
        await server.close()
        return sent

    assert _run(ask()) == SENT + SENT


@table("token", ["", "nobody-s-token"])
def test_nothing_is_told_without_a_token(token: str) -> None:
    async def ask() -> bytes:
        server = ReplayServer()
        origin, _ = await server.offer(ANSWER, None)
        sent = await _ask(origin, _request(token))
        await server.close()
        return sent

    assert _run(ask()).startswith(b"HTTP/1.1 404 ")


def test_a_client_that_leaves_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_server, "_LOOK", 0.001)

    async def ask() -> bytes:
        server = ReplayServer()
        origin, token = await server.offer(ANSWER, 1.0)
        reader, writer = await asyncio.open_connection(origin.host, origin.port)
        writer.write(_request(token))
        begun = await reader.readuntil(b"abc\r\n")
        writer.close()
        # The next piece would come after 400 seconds.
        while server._connections:
            await asyncio.sleep(0.001)
        await server.close()
        return begun

    assert _run(ask()).endswith(b"3\r\nabc\r\n")


@pytest.mark.parametrize(("seconds", "gone", "whole"), [(0.0, True, True), (0.003, False, True), (100.0, True, False)])
def test_only_a_wait_that_is_long_looks_for_the_client(
    seconds: float, gone: bool, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_server, "_LOOK", 0.001)
    assert asyncio.run(asyncio.wait_for(replay_server.wait(seconds, lambda: gone), 10)) is whole


def test_an_answer_is_told_once() -> None:
    async def ask() -> bytes:
        server = ReplayServer()
        origin, token = await server.offer(ANSWER, None)
        sent = await _ask(origin, _request(token), _request(token))
        await server.close()
        return sent

    assert _run(ask()).startswith(SENT + b"HTTP/1.1 404 ")


@table("request_", [b"garbage\r\nContent-Length: many\r\n\r\n", b"garbage\r\n\r\n"])
def test_garbage_ends_the_connection(request_: bytes) -> None:
    async def ask() -> bytes:
        server = ReplayServer()
        origin, _ = await server.offer(ANSWER, None)
        sent = await _ask(origin, request_)
        await server.close()
        return sent

    assert _run(ask()) == b""
