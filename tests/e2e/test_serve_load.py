"""`ai-proxy serve` under load: nothing is mixed, lost or half answered, memory stays, limits and payments are kept."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest

from tests.e2e import moody
from tests.e2e.conftest import StartServe
from tests.e2e.inside import Inside
from tests.e2e.moody import Mood, Moody, Request
from tests.e2e.proxy import DEADLINE, Served
from tests.e2e.raw import message
from tests.tables import table

CHAT = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
CHUNK = b'data: {"choices": []}\n\n'
SIZE = 64 * 1024 * 1024
BUFFERS = 32 * 1024 * 1024
"""More than the kernel keeps of a connection on both sides of the proxy."""


@pytest.fixture
def provider() -> Iterator[Moody]:
    with closing(Moody()) as found:
        yield found


def _openai(provider: Moody, more: str = "") -> str:
    return f"provider: {{type: openai, apiTokens: token-one, providerDomain: '{provider.origin}'{more}}}\n"


def _post(body: bytes, path: str = CHAT, more: str = "") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        more.encode(),
        len(body),
        body,
    )


def _echo(request: Request) -> Mood:
    """The name in a request; one of twenty answers is late."""
    named = re.search(rb"name-\d+-\d+", request.path.encode() + request.body)
    assert named
    if hash(named[0]) % 20 == 0:
        time.sleep(0.02)
    return Mood(200, (b'{"id": "%b"}' % named[0],))


async def mixed(port: int, connections: int, each: int) -> int:
    """Send creates and retrieves over kept connections; returns how many were answered with their own name."""

    async def client(number: int) -> int:
        right = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for index in range(each):
            name = f"name-{number}-{index}"
            is_create = (number + index) % 2
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": name}]}).encode()
            writer.write(_post(body) if is_create else f"GET /v1/files/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert length
            right += json.loads(await reader.readexactly(int(length[1]))) == {"id": name}
        writer.close()
        return right

    return sum(await asyncio.gather(*(client(number) for number in range(connections))))


def test_answers_of_64_connections_are_not_mixed(provider: Moody, tmp_path: Path) -> None:
    provider.mood = _echo
    with closing(Inside(_openai(provider), tmp_path)) as inside:
        assert asyncio.run(mixed(inside.port, 64, 8)) == 64 * 8
    assert len(provider.received) == 64 * 8


def test_two_hundred_streams_are_held_and_others_are_served(provider: Moody, start_serve: StartServe) -> None:
    goes_on = threading.Event()

    def mood(request: Request) -> Mood:
        if request.method == "POST":
            assert goes_on.wait(DEADLINE)
            return moody.stream(CHUNK, CHUNK)
        return moody.OK

    provider.mood = mood
    served = start_serve(_openai(provider))
    assert served.request("GET", "/v1/models").status == 200
    before = _most_memory(served)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), DEADLINE)) for _ in range(200)
        ]
        for client in clients:
            client.sendall(_post(b'{"model": "m", "stream": true, "messages": []}'))
        while len(provider.received) < 201:
            time.sleep(0.01)
        assert served.request("GET", "/v1/models").status == 200
        assert _most_memory(served) - before < 20
        goes_on.set()
        for client in clients:
            assert message(client).endswith(b"0\r\n\r\n")


def _most_memory(served: Served) -> int:
    """The most memory that it has ever had, in MB."""
    status = Path(f"/proc/{served.process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def test_who_reads_slowly_slows_down_who_sends(start_serve: StartServe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = start_serve(
            f"provider: {{type: generic, genericHost: 'http://127.0.0.1:{listener.getsockname()[1]}'}}"
        )
        before = _most_memory(served)
        with socket.create_connection(("127.0.0.1", served.port), DEADLINE) as client:
            client.sendall(b"POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE)
            upstream, _ = listener.accept()
            with upstream:
                # The provider reads nothing.
                sent = _until_stalled(client)
                assert sent < BUFFERS
                # Now it does.
                reading = threading.Thread(target=_read, args=(upstream, SIZE))
                reading.start()
                _send(client, SIZE - sent)
                reading.join(DEADLINE)
                assert not reading.is_alive()
                upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % SIZE)
                # The client reads nothing.
                sent = _until_stalled(upstream)
                assert sent < BUFFERS
                sending = threading.Thread(target=_send, args=(upstream, SIZE - sent))
                sending.start()
                _read(client, SIZE)
                sending.join(DEADLINE)
        assert _most_memory(served) - before < 24


_ZEROS = bytes(256 * 1024)


def _until_stalled(connection: socket.socket) -> int:
    """Send until nobody has taken anything for half a second; returns how much went."""
    sent = 0
    connection.settimeout(0.5)
    try:
        while sent < SIZE:
            sent += connection.send(_ZEROS)
    except TimeoutError:
        pass
    connection.settimeout(DEADLINE)
    return sent


def _send(connection: socket.socket, count: int) -> None:
    while count > 0:
        count -= connection.send(_ZEROS[:count])


def _read(connection: socket.socket, count: int) -> None:
    """Read a message whose body is so long."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    left = count - len(received.partition(b"\r\n\r\n")[2])
    while left > 0:
        data = connection.recv(1024 * 1024)
        assert data
        left -= len(data)
    assert left == 0


def test_at_sigterm_nothing_is_half_answered_and_nothing_that_was_sent_is_unanswered(
    provider: Moody, start_serve: StartServe
) -> None:
    under_way = threading.Event()

    def mood(request: Request) -> Mood:
        if len(provider.received) > 60:
            under_way.set()
        time.sleep(0.05 if under_way.is_set() else 0.003)
        return Mood(200, (b'{"a": 1}', b" " * 20_000)) if len(provider.received) % 2 else moody.OK

    provider.mood = mood
    served = start_serve(_openai(provider))
    body = b'{"model": "m", "messages": []}'

    def client(number: int) -> int:
        answered = 0
        with socket.create_connection(("127.0.0.1", served.port), DEADLINE) as connection:
            while True:
                try:
                    connection.sendall(_post(body))
                except ConnectionError:
                    return answered
                answer = message(connection)
                if not answer:
                    return answered
                head, _, rest = answer.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                assert rest.endswith(b"0\r\n\r\n") if b"chunked" in head else rest == b'{"ok": true}'
                answered += 1

    with ThreadPoolExecutor(8) as pool:
        counts = [pool.submit(client, number) for number in range(8)]
        assert under_way.wait(DEADLINE)
        os.kill(served.process_id, signal.SIGTERM)
        answered = sum(count.result(DEADLINE) for count in counts)
    assert served.ended() == 0
    assert answered == len(provider.received) > 60


@table(
    ("keys", "statuses", "says"),
    [
        ("concurrency: 1, queueTimeout: 100", [200, 429, 429], "limit_reached"),
        ("concurrency: 2, queueTimeout: 0", [200, 200, 429], "limit_reached"),
        ("concurrency: 1", [200, 200, 200], ""),
        ("rate: {requestsPerMinute: 2}, queueTimeout: 0", [200, 200, 429], "limit_reached"),
        ("rate: {tokensPerMinute: 100}, queueTimeout: 0", [200, 429, 429], "limit_reached"),
    ],
)
def test_limits_are_kept(keys: str, statuses: list[int], says: str, tmp_path: Path) -> None:
    waiting = statuses.count(200) if "concurrency" in keys else 3
    refused = threading.Event()

    def mood(request: Request) -> Mood:
        # Those who are admitted stay until the others have their answer.
        if 429 in statuses and waiting < 3:
            assert refused.wait(DEADLINE)
        return moody.OK

    with closing(Moody()) as provider, closing(Inside(_openai(provider, f", {keys}"), tmp_path)) as inside:
        provider.mood = mood

        def ask(_: int) -> bytes:
            with socket.create_connection(("127.0.0.1", inside.port), DEADLINE) as connection:
                connection.sendall(_post(json.dumps({"model": "m", "max_tokens": 100, "messages": []}).encode()))
                answer = message(connection)
            if answer.startswith(b"HTTP/1.1 429 "):
                counted.append(1)
                if len(counted) == statuses.count(429):
                    refused.set()
            return answer

        counted: list[int] = []
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(ask, range(3)))
    assert sorted(int(answer[9:12]) for answer in answers) == statuses
    assert len(provider.received) == statuses.count(200)
    assert all(says.encode() in answer and b"Retry-After" in answer for answer in answers if b" 429 " in answer[:13])


@pytest.mark.parametrize("more", ["x-stainless-retry-count: 1\r\n", ""])
@pytest.mark.parametrize("how", ["the provider hangs up", "the client leaves"])
def test_a_create_that_is_repeated_is_paid_once_and_equal_ones_are_paid_each(
    how: str, more: str, provider: Moody, tmp_path: Path
) -> None:
    config = f"provider: {{type: kling, apiTokens: token-one, providerDomain: '{provider.origin}'}}\n"
    body = json.dumps({"model": "kling-v2-6", "prompt": f"a cat {Random(0).random()}", "seconds": "5"}).encode()
    agent = "User-Agent: OpenAI/Python 3.0\r\nContent-Type: application/json\r\n"
    accepted = Mood(200, (b'{"code":0,"data":{"task_id":"831","task_status":"submitted","created_at":1722769557708}}',))
    provider.mood = lambda request: moody.CLOSE if how == "the provider hangs up" else moody.SILENCE
    with closing(Inside(config, tmp_path)) as inside:
        with socket.create_connection(("127.0.0.1", inside.port), DEADLINE) as client:
            client.sendall(_post(body, "/v1/videos", agent))
            if how == "the provider hangs up":
                assert message(client).startswith(b"HTTP/1.1 502 ")
            else:
                while not provider.received:
                    time.sleep(0.01)
        if how == "the client leaves":
            assert provider.is_left.wait(DEADLINE)
        provider.mood = lambda request: accepted
        for counted in (more, ""):
            with socket.create_connection(("127.0.0.1", inside.port), DEADLINE) as client:
                client.sendall(_post(body, "/v1/videos", agent + counted))
                assert message(client).startswith(b"HTTP/1.1 200 ")
    names = [json.loads(request.body)["external_task_id"] for request in provider.received]
    assert names[0] == names[1]
    assert names[1] != names[2]
