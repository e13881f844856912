"""Server-sent events: every listener hears what is written, once, in order, and only of its own tenant."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform import statements
from mitm_ai_proxy.platform.postgres import PostgresDatabase
from mitm_ai_proxy.platform.schema import MIGRATIONS
from mitm_ai_proxy.platform.states import State
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.web import live
from mitm_ai_proxy.platform.web.live import Live, Message
from tests.platform.orders import NOW
from tests.platform.servers import Postgres, until
from tests.platform.web.server import SEEDS_BODY, Server


class _Events:
    """Events in a list, as the store gives them: a few at a time."""

    def __init__(self) -> None:
        self.all: list[Message] = []
        self.given = 0

    def write(self, tenant: str = "default", job: str = "j") -> int:
        number = len(self.all) + 1
        self.all.append(live.message(number, job, tenant, {"number": number}))
        return number

    def read(self, after: int) -> Sequence[Message]:
        found = self.all[after : after + 3]
        self.given += len(found)
        return found

    def last(self) -> int:
        return len(self.all)


async def _joined(events: _Events, shared: Live, count: int) -> list[AsyncIterator[bytes]]:
    """Streams whose listeners have been taken in: who has heard an event that was there before is."""
    events.write()
    streams = [shared.listen("default", None, events.last() - 1) for _ in range(count)]
    await asyncio.gather(*(_numbers(stream, 1) for stream in streams))
    return streams


async def _numbers(stream: AsyncIterator[bytes], count: int) -> list[int]:
    found: list[int] = []
    async for text in stream:
        if text.startswith(b"id:"):
            found.append(int(text.split(b"\n")[0][4:]))
            if len(found) == count:
                break
    return found


def _run(test: Any) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(test(), 20)

    return asyncio.run(bounded())


def test_a_listener_hears_what_is_written_after_it_has_come() -> None:
    events = _Events()
    events.write()

    async def test() -> list[int]:
        stream = Live(events.read, events.last, every=0.01).listen("default", None, None)
        assert (await anext(stream)).startswith(b"retry:")
        for _ in range(5):
            events.write()
        return await _numbers(stream, 5)

    assert _run(test) == [2, 3, 4, 5, 6]


def test_one_that_comes_back_hears_what_it_has_missed_and_then_what_is_new() -> None:
    events = _Events()
    for _ in range(10):
        events.write()

    async def test() -> list[int]:
        stream = Live(events.read, events.last, every=0.01).listen("default", None, 4)
        task = asyncio.create_task(_numbers(stream, 8))
        await asyncio.sleep(0.05)
        events.write()
        events.write()
        return await task

    assert _run(test) == [5, 6, 7, 8, 9, 10, 11, 12]


def test_many_that_come_at_different_times_hear_each_event_once() -> None:
    events = _Events()

    async def test() -> list[list[int]]:
        shared = Live(events.read, events.last, every=0.001)
        tasks = []
        for _ in range(20):
            tasks.append(asyncio.create_task(_numbers(shared.listen("default", None, 0), 40)))
            events.write()
            await asyncio.sleep(0.002)
        while events.last() < 40:
            events.write()
            await asyncio.sleep(0.001)
        return await asyncio.gather(*tasks)

    assert _run(test) == [list(range(1, 41))] * 20


def test_who_comes_with_less_while_others_are_read_to_misses_nothing() -> None:
    events = _Events()
    who = ContextVar("who", default="others")
    has_come, comes, is_read = threading.Event(), threading.Event(), threading.Event()

    def read(after: int) -> Sequence[Message]:
        if who.get() == "others" and after == 4:
            is_read.wait(10)
        found = events.read(after)
        if who.get() == "late" and not found:
            has_come.set()
            comes.wait(10)
        return found

    async def test() -> list[int]:
        shared = Live(read, events.last, every=0.01)
        (other,) = await _joined(events, shared, 1)
        who.set("late")
        late = asyncio.create_task(_numbers(shared.listen("default", None, 0), 6))
        await asyncio.to_thread(has_come.wait, 10)
        for _ in range(3):
            events.write()
        assert await _numbers(other, 3) == [2, 3, 4]
        comes.set()
        # It joins, from behind event 1, while what is behind event 4 is being read.
        asyncio.get_running_loop().call_later(0.1, is_read.set)
        events.write()
        events.write()
        return await late

    assert _run(test) == [1, 2, 3, 4, 5, 6]


def test_news_from_behind_what_a_listener_has_not_heard_yet_are_left_until_they_come_in_order() -> None:
    """It has joined while they were read for the others; heard now, they would hide what is before them."""
    events = _Events()
    for _ in range(6):
        events.write()

    async def test() -> list[int]:
        listener = live.Listener("default", None)
        listener.heard = 3
        for start in (4, 3, 3):
            listener.hear_news(start, events.all[start:])
        listener.end()
        return [int(text.split(b"\n")[0][4:]) async for text in listener.texts()]

    assert _run(test) == [4, 5, 6]


def test_who_comes_is_told_what_is_paused_and_then_what_changes() -> None:
    """Whoever listens to one job alone is not."""
    events = _Events()
    paused = {("a", ""): live.alarm("a paused"), ("b", "m"): live.alarm("b paused")}

    async def told(stream: AsyncIterator[bytes], count: int) -> list[bytes]:
        found = [text async for text, _ in _zip(stream, count) if text.startswith(b"event: account")]
        return [text.split(b'"')[1] for text in found]

    async def test() -> tuple[list[bytes], list[bytes], bytes]:
        shared = Live(
            events.read,
            events.last,
            paused=lambda: dict(paused),
            resumed=lambda key: live.alarm(f"{key[0]} resumed"),
            every=0.01,
        )
        first = shared.listen("default", None, 0)
        heard = await told(first, 3)
        of_job = asyncio.create_task(_first(shared.listen("default", "j", 0)))
        del paused["a", ""]
        paused["c", ""] = live.alarm("c paused")
        changes = await told(first, 2)
        events.write()
        return heard, sorted(changes), await of_job

    assert _run(test) == ([b"a paused", b"b paused"], [b"a resumed", b"c paused"], b"id: 1")


async def _first(stream: AsyncIterator[bytes]) -> bytes:
    """The first line of the first event of a stream."""
    await anext(stream)
    return (await anext(stream)).split(b"\n")[0]


async def _zip(stream: AsyncIterator[bytes], count: int) -> AsyncIterator[tuple[bytes, int]]:
    """The next few texts of a stream, which stays open."""
    for number in range(count):
        yield await anext(stream), number


def test_a_listener_hears_its_tenant_and_its_job_only() -> None:
    events = _Events()

    async def test() -> tuple[list[int], list[int]]:
        shared = Live(events.read, events.last, every=0.01)
        tenant, job = shared.listen("acme", None, 0), shared.listen("acme", "j2", 0)
        tasks = [asyncio.create_task(_numbers(stream, 1)) for stream in (tenant, job)]
        await asyncio.sleep(0.02)
        events.write("other", "j2")
        events.write("acme", "j1")
        events.write("acme", "j2")
        return await tasks[0], await tasks[1]

    assert _run(test) == ([2], [3])


def test_who_has_missed_very_much_begins_nearer_to_the_end() -> None:
    events = _Events()
    for _ in range(live.MOST_MISSED + 10):
        events.write()

    async def test() -> list[int]:
        return await _numbers(Live(events.read, events.last).listen("default", None, 1), 1)

    assert _run(test) == [11]


def test_a_number_that_was_never_given_hears_what_is_new() -> None:
    events = _Events()
    events.write()

    async def test() -> list[int]:
        stream = Live(events.read, events.last, every=0.01).listen("default", None, 999)
        await anext(stream)
        events.write()
        return await _numbers(stream, 1)

    assert _run(test) == [2]


def test_the_database_is_asked_once_for_all_and_not_at_all_for_nobody() -> None:
    events = _Events()

    async def test() -> int:
        others = asyncio.all_tasks()
        shared = Live(events.read, events.last, every=0.01)
        streams = await _joined(events, shared, 30)
        before = events.given
        events.write()
        await asyncio.gather(*(_numbers(stream, 1) for stream in streams))
        given = events.given - before
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]
        # Who asks ends, and the deadline of the test with it.
        while asyncio.all_tasks() - others:
            await asyncio.sleep(0.001)
        return given

    assert _run(test) == 1


def test_a_database_that_fails_for_a_while_ends_no_stream() -> None:
    events = _Events()
    failures = 0

    def read(after: int) -> Sequence[Message]:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError
        return events.read(after)

    async def test() -> list[int]:
        nonlocal failures
        (stream,) = await _joined(events, Live(read, events.last, every=0.01), 1)
        failures = 3
        events.write()
        return await _numbers(stream, 1)

    assert _run(test) == [2]
    assert failures == 0


def test_streams_end_when_the_server_does() -> None:
    events = _Events()

    async def test() -> list[int]:
        shared = Live(events.read, events.last, every=0.01)
        (stream,) = await _joined(events, shared, 1)
        shared.close()
        return await _numbers(stream, 1)

    assert _run(test) == []


def test_a_quiet_stream_is_kept_open_by_pings() -> None:
    events = _Events()

    async def test() -> bytes:
        stream = Live(events.read, events.last).listen("default", None, None)
        await anext(stream)
        return await anext(stream)

    before, live.PING = live.PING, 0.01  # type: ignore[misc]
    try:
        assert _run(test) == b": ping\n\n"
    finally:
        live.PING = before  # type: ignore[misc]


# Over HTTP


@contextmanager
def _stream(server: Server, path: str, **fields: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path, headers=fields)
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def _next(answer: http.client.HTTPResponse) -> Any:
    while not (line := answer.readline()).startswith(b"data:"):
        assert line, "the stream has ended"
    return json.loads(line[5:])


def test_the_history_of_a_job_is_streamed_from_its_first_line(server: Server) -> None:
    job_id = server.made()
    with _stream(server, f"/api/videos/{job_id}/events") as answer:
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        assert _next(answer)["event"]["to"] == "queued"
        server.ask("DELETE", f"/api/videos/{job_id}")
        heard = _next(answer)

    assert (heard["event"]["from"], heard["event"]["to"], heard["job"]["status"]) == (
        "queued",
        "cancelled",
        "cancelled",
    )


def test_who_listens_again_gets_what_was_missed(server: Server) -> None:
    first = server.made()
    with _stream(server, "/api/events", **{"Last-Event-ID": "0"}) as answer:
        assert _next(answer)["job"]["job_id"] == first
    second = server.made()
    with _stream(server, "/api/events", **{"Last-Event-ID": "1"}) as answer:
        assert _next(answer)["job"]["job_id"] == second


def test_on_postgres_what_other_processes_write_at_once_is_heard_in_order(
    postgres: Postgres, postgres_store: Store, tmp_path: Path
) -> None:
    """One takes the lower number and commits later: the other's event is kept until then."""
    other = PostgresDatabase(Secret(postgres.url), MIGRATIONS)
    with Server(tmp_path, store=postgres_store) as server, closing(other), ThreadPoolExecutor(1) as threads:
        job_id = server.made()
        with _stream(server, "/api/events", **{"Last-Event-ID": "0"}) as answer:
            assert _next(answer)["event"]["number"] == 1
            with other.transaction() as transaction:
                statements.note(transaction, job_id, NOW, "queued", State.QUEUED, "slow", "")
                server.made()
                first = threads.submit(lambda: _next(answer)["event"]["reason"])
                with postgres.connected() as connection:
                    until(lambda: bool(connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone()))
            assert (first.result(), _next(answer)["event"]["reason"]) == ("slow", "accepted")


def test_a_tenants_stream_has_nothing_of_others(server: Server) -> None:
    own = {"authorization": f"Bearer {server.store.keys.make('acme', 0)[1]}"}
    other = {"authorization": f"Bearer {server.store.keys.make('other', 0)[1]}"}
    server.ask("POST", "/api/videos", SEEDS_BODY, fields=other)
    job_id = server.ask("POST", "/api/videos", SEEDS_BODY, fields=own).json["job_id"]

    with _stream(server, "/api/events", **{**own, "Last-Event-ID": "0"}) as answer:
        assert _next(answer)["job"]["job_id"] == job_id
