"""The stage that records and replays, on flows without sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from mitmproxy import exceptions, http
from mitmproxy.proxy.layers.http._hooks import HttpResponseHeadersHook
from mitmproxy.test import taddons

from mitm_ai_proxy import registry
from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.bodies import CassetteError
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.cassette.entry import Chunk, Entry, Request, Response
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.exchange import PASS, Answer, Pieces, Whole
from mitm_ai_proxy.gateway import recorded
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.gateway.simulated import Simulated
from mitm_ai_proxy.gateway.stages import StageError
from tests.gateway.literal import EVENTS, FAKE, HERE, JSON, Got, Proxy, Said, Sent, make, run
from tests.tables import table

PROVIDER = "http://provider.test:81"
CDN = "https://cdn.test/a.mp4?sign=s"
OPENAI_SDK = {"User-Agent": "OpenAI/Python 1.0"}


class Upper:
    """A transducer to upper case, with "." at the end."""

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def end(self) -> bytes:
        return b"."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the cassette."""
    return tmp_path / "a.har"


@pytest.fixture
def stage() -> Recorded:
    """The stage, without a cassette."""
    return Recorded()


def _record(stage: Recorded, path: Path | None, **more: Any) -> Recorded:
    stage.insert(Opening(path, Mode.APPEND, **more))
    return stage


def _replay(stage: Recorded, path: Path, *entries: Entry) -> Recorded:
    har.write(path, entries)
    stage.insert(Opening(path, Mode.NONE))
    return stage


def _entry(response: Response | None, request: str = "GET /a", body: bytes = b"") -> Entry:
    method, _, target = request.partition(" ")
    return Entry(1.0, 2.0, Request(method, f"{PROVIDER}{target}", tuple(JSON.items()) if body else (), body), response)


def _error(got: Got) -> dict[str, Any]:
    error = json.loads(got.body)["error"]
    assert isinstance(error, dict)
    return error


def _only(path: Path) -> Entry:
    (entry,) = har.read(path)
    return entry


# Recording


def _shouted(answer: Answer) -> Answer:
    return answer._replace(body=answer.body.upper())


DATA = [b"data: a\n\n", b"data: b\n\n"]
TEXT = {"Content-Type": "text/plain"}
PACKED = gzip.compress(b'{"a":1}', mtime=0)
CODED = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("handling", "said", "body", "lengths", "got", "is_streamed"),
    [
        (PASS, Said([b'{"a":', b"1}"]), b'{"a":1}', [], b'{"a":1}', False),
        (Whole(_shouted), Said([b'{"a":1}']), b'{"a":1}', [], b'{"A":1}', False),
        (Whole(_shouted), Said([b"abc"], TEXT), b"abc", [], b"ABC", False),
        # A JSON document is held, also where it would be translated in pieces.
        (Pieces(Upper()), Said([b'{"a":1}']), b'{"a":1}', [], b'{"a":1}', False),
        (PASS, Said(DATA, EVENTS), b"".join(DATA), [9, 9], b"".join(DATA), True),
        (PASS, Said([b"a", b"b"], {"Content-Type": "video/mp4"}), b"ab", [], b"ab", True),
        (PASS, Said([], TEXT), b"", [], b"", True),
        # What the provider sent is recorded, the translation is the client's.
        (Pieces(Upper()), Said(DATA, EVENTS), b"".join(DATA), [9, 9], b"DATA: A\n\nDATA: B\n\n.", True),
        (PASS, Said([PACKED], {**JSON, **CODED}), b'{"a":1}', [], PACKED, False),
        (Whole(_shouted), Said([PACKED], {**JSON, **CODED}), b'{"a":1}', [], b'{"A":1}', False),
        # With a Content-Encoding, the pieces are not those of the recorded body.
        (PASS, Said([PACKED[:9], PACKED[9:]], {**EVENTS, **CODED}), b'{"a":1}', [], PACKED, True),
        (PASS, Said([b"x", b"y"], {**EVENTS, "Content-Encoding": "br"}), b"xy", [1, 1], b"xy", True),
    ],
    ids=[
        *(
            "json",
            "json rewritten",
            "text rewritten",
            "json in pieces",
            "events",
            "video",
            "empty",
            "events translated",
        ),
        *("coded json", "coded json rewritten", "coded events", "unknown coding"),
    ],
)
def test_what_the_provider_sent_is_recorded_and_the_client_gets_what_is_made_of_it(
    handling: Any, said: Said, body: bytes, lengths: list[int], got: bytes, is_streamed: bool,
    stage: Recorded, path: Path,
) -> None:  # fmt: skip
    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = handling
        answer = await proxy.ask(make(), said)
        assert (answer.body, answer.is_streamed) == (got, is_streamed)

    run(work, _record(stage, path))

    entry = _only(path)
    assert (entry.request.method, entry.request.url) == ("GET", f"{PROVIDER}/a")
    assert entry.response
    assert (entry.response.status, entry.response.reason, entry.response.body) == (200, "OK", body)
    assert [chunk.length for chunk in entry.response.chunks] == lengths
    names = dict(entry.response.headers)
    assert names["Content-Type"] == said.fields["Content-Type"]
    assert names.get("Content-Encoding") == ("br" if body == b"xy" else None)
    assert stage.idle.is_set()


def test_what_goes_out_is_recorded_as_it_went_with_the_notes_and_without_the_credential(
    stage: Recorded, path: Path
) -> None:
    async def work(proxy: Proxy) -> None:
        proxy.fake.rewrite = lambda body, upstream: upstream._replace(
            body=body + b" ", notes=(*upstream.notes, "longer")
        )
        sent = await proxy.send(flow := make("POST /body", {"Accept-Encoding": "br", **JSON}), b'{"a":1}')
        assert sent
        assert (sent.body, sent.values("accept-encoding")) == (b'{"a":1} ', ["identity"])
        assert sent.values("authorization") == ["Bearer provider-key"]
        await proxy.answer(flow, Said([b"{}"], status=201, reason="Made"))

    run(work, _record(stage, path), provider={**FAKE, "apiTokens": ["provider-key"]})

    entry = _only(path)
    assert (entry.request.body, entry.notes) == (
        b'{"a":1} ',
        ("sent to http://provider.test:81: the path is no API that fake translates", "longer"),
    )
    assert entry.response
    assert (entry.response.status, entry.response.reason) == (201, "Made")
    assert "provider-key" not in path.read_text()


def test_a_request_body_is_recorded_without_its_coding(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        await proxy.ask(make("POST /a", {**JSON, "Content-Encoding": "gzip"}), Said(), PACKED)

    run(work, _record(stage, path))

    assert _only(path).request.body == b'{"a":1}'
    assert "Content-Encoding" not in dict(_only(path).request.headers)


def test_whoever_watches_sees_each_request_without_its_credential(stage: Recorded, path: Path) -> None:
    seen: list[Request] = []
    stage.seen = seen.append

    async def work(proxy: Proxy) -> None:
        await proxy.ask(make("GET /a", {"X-Secret-Token": "hush", "X-A": "1"}), Said())

    run(work, _record(stage, path), provider={**FAKE, "apiTokens": ["provider-key"]})

    (request,) = seen
    assert request.url == f"{PROVIDER}/a"
    assert dict(request.headers)["X-A"] == "1"
    assert "hush" not in str(request)
    assert "provider-key" not in str(request)


@pytest.mark.parametrize(("method", "count"), [("POST", 1), ("DELETE", 1), ("GET", 0), ("HEAD", 0)])
@pytest.mark.parametrize("when", ["before the answer", "in the answer"])
def test_an_exchange_that_breaks_off_is_recorded_if_it_may_have_done_something(
    method: str, count: int, when: str, stage: Recorded, path: Path
) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make(f"{method} /a")
        assert await proxy.send(flow)
        assert not stage.idle.is_set()
        flow.server_conn.timestamp_tcp_setup = flow.server_conn.timestamp_tls_setup = 1.0
        if when == "in the answer":
            flow.response = http.Response.make(200, b"", EVENTS)
            flow.response.data.content = None
            await proxy.hook(HttpResponseHeadersHook(flow))
            stream: Any = flow.response.stream
            assert stream(b"data: a") == [b"data: a"]
        await proxy.break_off(flow)
        assert stage.idle.is_set()
        assert stage.cassette
        assert [entry.response for entry in stage.cassette.recorded] == [None] * count

    run(work, _record(stage, path))

    assert path.exists() == bool(count)


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "GET"])
@pytest.mark.parametrize(("is_tls", "connected"), [(False, None), (True, None), (True, 1.0)])
def test_what_never_reached_the_provider_is_not_recorded(
    method: str, is_tls: bool, connected: float | None, stage: Recorded, path: Path
) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make(f"{method} /a")
        assert await proxy.send(flow)
        flow.server_conn.tls, flow.server_conn.timestamp_tls_setup = is_tls, None
        flow.server_conn.timestamp_tcp_setup = connected
        await proxy.break_off(flow)
        assert stage.idle.is_set()
        assert stage.cassette
        assert stage.cassette.recorded == ()

    run(work, _record(stage, path))

    assert not path.exists()


def test_the_stage_is_idle_when_the_last_exchange_has_been_written(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        first, second = make(), make()
        assert stage.idle.is_set()
        for flow in (first, second):
            await proxy.send(flow)
        await proxy.answer(first, Said())
        assert not stage.idle.is_set()
        await proxy.answer(second, Said())
        assert stage.idle.is_set()

    run(work, _record(stage, path))


def test_the_end_of_the_proxy_waits_for_what_has_come_to_be_written(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make()
        await proxy.send(flow)
        cassette = stage.cassette
        assert cassette
        record, reached, let = cassette.record, threading.Event(), threading.Event()

        def slowly(entry: Entry) -> None:
            reached.set()
            let.wait(20)
            record(entry)

        cassette.record = slowly  # type: ignore[method-assign]
        answering = asyncio.create_task(proxy.answer(flow, Said(DATA, EVENTS)))
        await asyncio.to_thread(reached.wait, 20)
        ending = asyncio.create_task(stage.done())
        await asyncio.sleep(0)
        assert not ending.done()
        let.set()
        await ending
        assert stage.idle.is_set()
        await answering

    run(work, _record(stage, path))

    assert _only(path).response


def test_an_answer_that_is_too_long_passes_and_is_not_recorded(
    stage: Recorded, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorded, "LARGEST", 8)

    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([b"12345678", b"9", b"0"], EVENTS))
        assert got.body == b"1234567890"

    run(work, _record(stage, path))

    assert not path.exists()
    assert "was not recorded" in caplog.text


def test_a_change_of_protocol_is_not_recorded(stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(proxy: Proxy) -> None:
        await proxy.ask(make(), Said(status=101))

    run(work, _record(stage, path))

    assert not path.exists()
    assert "changed the protocol" in caplog.text


def test_an_answer_of_which_our_code_made_an_error_is_recorded_as_it_came(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        def fail(answer: Answer) -> Answer:
            raise KeyError

        proxy.fake.handling = Whole(fail)
        assert (await proxy.ask(make(), Said([b'{"a":1}']))).status == 500

    run(work, _record(stage, path))

    response = _only(path).response
    assert response
    assert (response.status, response.body) == (200, b'{"a":1}')


class _Elsewhere:
    """An addon that sends requests to another host."""

    def request(self, flow: http.HTTPFlow) -> None:
        flow.request.host = "elsewhere.test"


def test_what_the_guard_kept_here_is_not_recorded(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make("POST /a"))
        assert got.status == 503
        assert stage.idle.is_set()

    run(work, _record(stage, path), before=[_Elsewhere()])

    assert not path.exists()


class _Broken(Exception):
    """An error of a cassette, whose text may quote a body."""


def _raise(*_: Any) -> None:
    raise _Broken("text of a body")


def test_a_request_that_a_cassette_cannot_judge_is_refused_without_a_word_of_it(
    stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(proxy: Proxy) -> None:
        stage.cassette.answer = _raise  # type: ignore[union-attr, method-assign]
        got = await proxy.ask(make())
        assert (got.status, _error(got)["code"]) == (500, "proxy_error")
        assert b"text of a body" not in got.body
        assert stage.idle.is_set()

    run(work, _record(stage, path))

    assert "_Broken in the cassette; GET /a was stopped." in caplog.text
    assert "text of a body" not in caplog.text


@pytest.mark.parametrize("ending", ["answered", "broken off"])
def test_an_exchange_that_a_cassette_cannot_take_up_is_complained_of_without_a_word_of_it(
    ending: str, stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(proxy: Proxy) -> None:
        stage.cassette.record = _raise  # type: ignore[union-attr, method-assign]
        flow = make("POST /a")
        await proxy.send(flow)
        if ending == "answered":
            assert (await proxy.answer(flow, Said([b'{"a":1}']))).body == b'{"a":1}'
        else:
            await proxy.break_off(flow)
        assert stage.idle.is_set()

    run(work, _record(stage, path))

    assert "_Broken in the cassette; POST /a is not recorded completely." in caplog.text
    assert "text of a body" not in caplog.text


def test_a_cassette_that_cannot_be_written_is_written_with_the_next_exchange(
    stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(proxy: Proxy) -> None:
        def full(*_: Any) -> None:
            raise CassetteError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(har.Writer, "add", full)
            assert (await proxy.ask(make("GET /1"), Said())).status == 200
        assert "not recorded yet: disk full" in caplog.text
        await proxy.ask(make("GET /2"), Said())

    run(work, _record(stage, path))

    assert [entry.request.url for entry in har.read(path)] == [f"{PROVIDER}/1", f"{PROVIDER}/2"]


# Replay


@pytest.mark.parametrize(
    ("method", "response", "fields", "body"),
    [
        (
            "GET",
            Response(
                201,
                "Made",
                (("Transfer-Encoding", "chunked"), ("Connection", "close"), ("X-A", "1"), ("X-A", "2")),
                b"abc",
            ),
            [("X-A", "1"), ("X-A", "2"), ("Content-Length", "3")],
            b"abc",
        ),
        ("GET", Response(200, "OK", (("content-length", "77"),), b"abc"), [("Content-Length", "3")], b"abc"),
        ("HEAD", Response(200, "OK", (("content-length", "77"),)), [("content-length", "77")], b""),
        ("GET", Response(204, "No Content", (("X-A", "1"),)), [("X-A", "1")], b""),
        ("GET", Response(304, "Not Modified", (("ETag", "e"),)), [("ETag", "e")], b""),
    ],
)
def test_an_answer_from_the_cassette_is_framed_anew(
    method: str, response: Response, fields: list[tuple[str, str]], body: bytes, stage: Recorded, path: Path
) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make(f"{method} /a")
        got = await proxy.ask(flow)
        assert (got.status, got.body) == (response.status, body)
        assert flow.response
        assert flow.response.reason == response.reason
        assert [(name.decode(), value.decode()) for name, value in flow.response.headers.fields] == fields
        assert flow.comment.endswith("answered from a.har")
        assert stage.idle.is_set()

    run(work, _replay(stage, path, _entry(response, f"{method} /a")))


def test_an_answer_from_the_cassette_is_rewritten_like_the_providers(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = Whole(_shouted)
        assert (await proxy.ask(make())).body == b'{"A":1}'

    run(work, _replay(stage, path, _entry(Response(200, "OK", (), b'{"a":1}'))))

    assert len(har.read(path)) == 1


def test_an_exchange_that_broke_off_breaks_off_again(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make()
        assert await proxy.send(flow) is None
        assert flow.error
        assert flow.error.msg == "Connection killed."
        assert stage.idle.is_set()

    run(work, _replay(stage, path, _entry(None)))


@pytest.mark.parametrize(
    ("status", "sent", "pace", "agent", "expected"),
    [
        # Header fields that tell an SDK how long to wait, shortened to nothing.
        (200, {"retry-after": "30"}, "instant", {}, {"retry-after": "0"}),
        (200, {"retry-after-ms": "3000"}, "instant", {}, {"retry-after-ms": "1"}),
        (200, {"OpenAI-Poll-After-Ms": "3000"}, "instant", {}, {"OpenAI-Poll-After-Ms": "1"}),
        # Shortened to a tenth.
        (200, {"retry-after": "30"}, 0.1, {}, {"retry-after": "3"}),
        (200, {"openai-poll-after-ms": "3000"}, 0.1, {}, {"openai-poll-after-ms": "300"}),
        (200, {"retry-after": "30"}, "real", {}, {"retry-after": "30"}),
        # Dates and other values that are no numbers stay.
        (200, {"retry-after": "Wed, 25 Nov 2026 20:00:00 GMT"}, "instant", {}, None),
        (200, {"retry-after": "1" * 10}, "instant", {}, None),
        (200, {"x-after": "30"}, "instant", {}, None),
        # OpenAI's SDKs wait a second or more if an answer does not tell them how long.
        (200, {}, "instant", OPENAI_SDK, {"openai-poll-after-ms": "1"}),
        (429, {}, "instant", OPENAI_SDK, {"retry-after-ms": "1"}),
        (429, {"Retry-After": "9"}, "instant", OPENAI_SDK, {"Retry-After": "0", "retry-after-ms": "1"}),
        (429, {"Retry-After-Ms": "9"}, "instant", OPENAI_SDK, {"Retry-After-Ms": "1"}),
        (200, {"OpenAI-Poll-After-Ms": "9"}, "instant", OPENAI_SDK, {"OpenAI-Poll-After-Ms": "1"}),
        (200, {}, "real", OPENAI_SDK, {}),
        (429, {}, "real", OPENAI_SDK, {}),
        (200, {}, "instant", {"User-Agent": "curl/8"}, {}),
        (429, {}, "instant", {"User-Agent": "Anthropic/Python 1", "X-Stainless-Lang": "python"}, {}),
    ],
)
def test_what_an_answer_says_about_waiting_is_in_the_time_of_the_replay(
    status: int, sent: dict[str, str], pace: Any, agent: dict[str, str], expected: dict[str, str] | None,
    stage: Recorded, path: Path,
) -> None:  # fmt: skip
    async def work(proxy: Proxy) -> None:
        flow = make("GET /a", agent)
        got = await proxy.ask(flow)
        fields = {name: value for name, value in got.headers.items() if name != "Content-Length"}
        assert fields == (sent if expected is None else expected)

    run(work, _replay(stage, path, _entry(Response(status, "", tuple(sent.items())))), cassette={"pace": pace})


def test_what_the_gateway_says_about_waiting_is_hurried_too(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = Whole(lambda answer: answer._replace(headers={"openai-poll-after-ms": "5000"}))
        got = await proxy.ask(make())
        assert got.headers["openai-poll-after-ms"] == "500"

    run(work, _replay(stage, path, _entry(Response(200, "OK", (), b"{}"))), cassette={"pace": 0.1})


def test_what_the_gateway_says_about_waiting_stays_where_a_provider_is_asked(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = Whole(lambda answer: answer._replace(headers={"openai-poll-after-ms": "5000"}))
        got = await proxy.ask(make(), Said([b"{}"]))
        assert got.headers["openai-poll-after-ms"] == "5000"

    run(work, _record(stage, path))


STREAMED = Response(200, "OK", tuple(EVENTS.items()), b"ab", (Chunk(0.0, 1), Chunk(0.0, 1)))


@pytest.mark.parametrize("tokens", [[], ["provider-key"]])
def test_an_answer_in_pieces_comes_from_this_process_and_the_flow_shows_the_provider(
    tokens: list[str], stage: Recorded, path: Path
) -> None:
    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = Pieces(Upper())
        flow = make("GET /a?b=c", {"Authorization": "Bearer client-key", "X-A": "1"})
        sent = await proxy.send(flow)
        assert sent
        assert sent.url.startswith("http://127.0.0.1:")
        assert flow.server_conn.address == (flow.request.host, flow.request.port)
        assert "-key" not in str(sent)
        assert (await proxy.answer(flow, Said([b"a", b"b"], EVENTS))).body == b"AB."
        assert flow.request.url == f"{PROVIDER}/a?b=c"
        assert flow.request.headers["X-A"] == "1"
        assert "-key" not in str(flow.get_state())
        await stage.done()

    entry = _entry(STREAMED, "GET /a?b=c")
    run(work, _replay(stage, path, entry), provider={**FAKE, "apiTokens": tokens})

    assert har.read(path) == [entry]


def test_an_answer_in_pieces_that_breaks_off_shows_the_provider_too(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("GET /a", {"Authorization": "Bearer client-key"})
        assert await proxy.send(flow)
        await proxy.break_off(flow)
        assert flow.request.url == f"{PROVIDER}/a"
        assert "client-key" not in str(flow.get_state())
        assert stage.idle.is_set()
        await stage.done()

    run(work, _replay(stage, path, _entry(STREAMED)))


# Refusals


@pytest.mark.parametrize(("headers", "where"), [({}, "openai"), ({"anthropic-version": "2023-06-01"}, "anthropic")])
def test_what_was_not_recorded_is_refused_with_the_nearest_recording_in_the_clients_dialect(
    headers: dict[str, str], where: str, stage: Recorded, path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)

    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make("POST /a", {**JSON, **headers}), None, b'{"a":2}')
        assert got.status == 400
        document = json.loads(got.body)
        assert document.get("type") == ("error" if where == "anthropic" else None)
        assert document["error"].get("code") == ("not_recorded" if where == "openai" else None)
        assert document["error"]["message"] == (
            f"POST {PROVIDER}/a is not in a.har (mode none), so it was not sent. The nearest recording is entry 1: "
            f"POST {PROVIDER}/a. body.a: recorded 1, came 2"
        )
        assert stage.cassette
        assert len(stage.cassette.misses) == 1

    run(work, _replay(stage, path, _entry(Response(200), "POST /a", b'{"a":1}')))

    assert any(record.levelno == logging.WARNING and "is not in a.har" in record.message for record in caplog.records)


def test_a_long_request_is_compared_in_a_thread(stage: Recorded, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(proxy: Proxy) -> None:
        cassette = stage.cassette
        assert cassette
        answer, threads = cassette.answer, []

        def noted(request: Request) -> Any:
            threads.append(threading.current_thread() is threading.main_thread())
            return answer(request)

        monkeypatch.setattr(cassette, "answer", noted)
        for size in (recorded.SMALL, recorded.SMALL + 1):
            await proxy.ask(make("POST /a"), None, b"x" * size)
        assert threads == [True, False]

    run(work, _replay(stage, path, _entry(Response(200))))


class _Spent:
    """A budget that is used up."""

    def refuse(self, request: Request) -> str:
        return f"{request.method} costs too much."


def test_what_the_budget_does_not_allow_is_not_sent(
    stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make("POST /a"))
        assert (got.status, _error(got)["code"]) == (403, "budget_exceeded")
        assert _error(got)["message"] == "POST costs too much."
        assert stage.cassette
        assert len(stage.cassette.refusals) == 1
        assert stage.idle.is_set()

    run(work, _record(stage, path, budget=_Spent()))

    assert not path.exists()


def test_without_a_cassette_nothing_goes_out(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        stage.insert(None)
        got = await proxy.ask(make())
        assert (got.status, _error(got)["code"]) == (400, "no_cassette")
        # The next configuration does not change that.
        proxy.use()
        assert (await proxy.ask(make())).status == 400
        stage.insert(Opening(path, Mode.APPEND))
        proxy.use()
        assert (await proxy.ask(make(), Said())).status == 200

    run(work, _record(stage, path))

    assert stage.is_active


# Links

RESULT = json.dumps({"video": {"url": CDN}, "own": {"url": f"{PROVIDER}/files/1"}}).encode()
LINK = "/linked/https/cdn.test/a.mp4?sign=s"


def test_links_to_results_lead_through_the_proxy_and_back(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([RESULT], {**JSON, "Location": CDN, "Content-Length": "9"}, 302))
        shown = json.loads(got.body)
        assert shown == {"video": {"url": f"{HERE}{LINK}"}, "own": {"url": f"{HERE}/files/1"}}
        assert got.headers["Location"] == f"{HERE}{LINK}"
        assert got.headers["Content-Length"] == str(len(got.body))
        # A result is fetched from its own host, without a credential.
        for method in ("GET", "HEAD"):
            flow = make(f"{method} {LINK}", {"Authorization": "Bearer client-key", "Sec-Fetch-Site": "cross-site"})
            sent = await proxy.send(flow)
            assert sent
            assert (sent.url, sent.values("authorization")) == (CDN, [])
            await proxy.answer(flow, Said([b"film"], {"Content-Type": "video/mp4"}))
        # In a request, a link through the proxy becomes the provider's own again.
        sent = await proxy.send(make("POST /a", JSON), got.body)
        assert sent
        assert json.loads(sent.body) == json.loads(RESULT)

    run(work, _record(stage, path), provider={**FAKE, "apiTokens": ["provider-key"]})

    first, film, _ = har.read(path)
    assert first.response
    assert b"https://cdn.test/a.mp4" in first.response.body
    assert film.request.url.startswith("https://cdn.test/a.mp4")
    assert film.response
    assert film.response.body == b"film"


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        (f"POST {LINK}", "unknown_link"),
        (f"DELETE {LINK}", "unknown_link"),
        ("GET /linked/https/cdn.test/b.mp4", "unknown_link"),
        (f"GET {LINK}x", "unknown_link"),
        ("GET /linked/https/cdn.test/a.mp4", "unknown_link"),
        ("GET /linked/http/cdn.test/a.mp4?sign=s", "unknown_link"),
        ("GET /linked/", "unknown_link"),
        ("GET /linked/ftp/cdn.test/a", "unknown_link"),
        ("GET /linked/https/cdn.test:x/a", "unknown_link"),
        ("GET /linked/https/cdn.test/../a", "invalid_path"),
    ],
)
def test_a_link_that_was_not_given_out_is_refused(request_line: str, code: str, stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        await proxy.ask(make(), Said([RESULT]))
        got = await proxy.ask(make(request_line))
        assert _error(got)["code"] == code
        assert got.status in (400, 404)

    run(work, _record(stage, path))

    assert len(har.read(path)) == 1


def test_the_oldest_links_are_forgotten(stage: Recorded, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MOST_LINKS", 2)

    async def work(proxy: Proxy) -> None:
        for number in range(3):
            await proxy.ask(make(), Said([b'{"url":"https://cdn.test/%d"}' % number]))
        assert [(await proxy.send(make(f"GET /linked/https/cdn.test/{number}"))) is None for number in range(3)] == [
            True, False, False,
        ]  # fmt: skip

    run(work, _record(stage, path))


def test_links_of_another_cassette_are_not_served(stage: Recorded, path: Path, tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        await proxy.ask(make(), Said([RESULT]))
        stage.insert(Opening(tmp_path / "b.har", Mode.APPEND))
        proxy.use()
        assert (await proxy.ask(make(f"GET {LINK}"))).status == 404

    run(work, _record(stage, path))


def test_in_a_replay_every_link_is_looked_for_in_the_cassette(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(f"GET {LINK}", {"Sec-Fetch-Site": "cross-site"}))
        assert (got.status, got.body) == (200, b"film")
        assert _error(await proxy.ask(make("GET /linked/https/cdn.test/b")))["code"] == "not_recorded"

    film = Response(200, "OK", (("Content-Type", "video/mp4"),), b"film")
    run(work, _replay(stage, path, Entry(1.0, 2.0, Request("GET", CDN), film)))


def test_links_lead_to_the_public_address_where_one_is_configured(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([RESULT]))
        assert json.loads(got.body)["video"]["url"] == f"https://proxy.test{LINK}"

    run(work, _record(stage, path), cassette={"publicUrl": "https://proxy.test"})


def test_where_clients_name_the_host_links_lead_to_that_host(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(mode="regular"), Said([RESULT]))
        assert json.loads(got.body) == {
            "video": {"url": f"http://api.openai.com{LINK}"},
            "own": {"url": "http://api.openai.com/files/1"},
        }

    run(work, _record(stage, path))


@pytest.mark.parametrize("location", ["/a", "a?b=c", f"{HERE}/linked/https/cdn.test/a"])
def test_a_location_that_leads_here_already_stays(location: str, stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([b"{}"], {**JSON, "Location": location}))
        assert got.headers["Location"] == location

    run(work, _record(stage, path))


KLING = {"type": "kling", "apiTokens": ["provider-key"], "providerDomain": PROVIDER}
GENERIC = {"type": "generic", "apiTokens": ["provider-key"], "providerDomain": PROVIDER}
OPENAI = {**GENERIC, "type": "openai"}
OWN = f"{PROVIDER}/v1/videos/a.mp4"
LINKED = "/linked/http/provider.test:81"
FILM = Said([b"film"], {"Content-Type": "video/mp4"})
KEY = ["Bearer provider-key"]


async def _follow(proxy: Proxy, link: str, method: str = "GET", said: Said | None = FILM) -> Sent | None:
    """Follow a link as a client does; returns what goes out, None if it was answered here."""
    assert link.startswith(f"{HERE}/"), link
    flow = make(f"{method} {link.removeprefix(HERE)}", {"Authorization": "Bearer client-key"})
    sent = await proxy.send(flow)
    await proxy.answer(flow, said if sent else None)
    return sent


OWN_LINKS: dict[str, tuple[dict[str, Any], str, str, list[str]]] = {
    # Provider, link, the path that the client sees, and the credential.
    "kling, signed": (KLING, f"{OWN}?sign=s&t=9", f"{LINKED}/v1/videos/a.mp4?sign=s&t=9", []),
    "kling, below a base path": (
        {**KLING, "providerBasePath": "/klingai"}, f"{PROVIDER}/files/a.mp4?sign=s", f"{LINKED}/files/a.mp4?sign=s", [],
    ),
    "kling, in its base path": (
        {**KLING, "providerBasePath": "/klingai"}, f"{PROVIDER}/klingai/a?sign=s", f"{LINKED}/klingai/a?sign=s", [],
    ),
    "kling, not signed": (KLING, OWN, f"{LINKED}/v1/videos/a.mp4", []),
    "kling, nothing of its API": (KLING, f"{PROVIDER}/files/a.mp4", f"{LINKED}/files/a.mp4", []),
    "kling, original": ({**KLING, "protocol": "original"}, OWN, f"{LINKED}/v1/videos/a.mp4", []),
    "generic, signed": (
        GENERIC, f"{PROVIDER}/b?X-Amz-Credential=A%2F&X-Amz-Date=", f"{LINKED}/b?X-Amz-Credential=A%2F&X-Amz-Date=", [],
    ),
    "openai, signed": (OPENAI, f"{OWN}?se=2026&sp=r", f"{LINKED}/v1/videos/a.mp4?se=2026&sp=r", []),
    "generic": (GENERIC, f"{PROVIDER}/v1/status/1?x=%20", "/v1/status/1?x=%20", KEY),
    "openai": (OPENAI, f"{PROVIDER}/v1/videos/7", "/v1/videos/7", KEY),
    "generic, in its base path": ({**GENERIC, "providerBasePath": "/api"}, f"{PROVIDER}/api/s/1", "/api/s/1", KEY),
    "generic, beside its base path": ({**GENERIC, "providerBasePath": "/api"}, f"{PROVIDER}/s/1", f"{LINKED}/s/1", KEY),
    "generic, below a base path that is removed": (
        {**GENERIC, "basePath": "/api"}, f"{PROVIDER}/api/s", f"{LINKED}/api/s", KEY,
    ),
    "generic, beside a base path that is put before": (
        {**GENERIC, "basePath": "/api", "basePathHandling": "prepend"}, f"{PROVIDER}/s", f"{LINKED}/s", KEY,
    ),
    "openai, an API with another path": (
        {**OPENAI, "capabilities": {"openai/v1/retrievevideo": "/other/{video_id}"}},
        f"{PROVIDER}/v1/videos/7", f"{LINKED}/v1/videos/7", KEY,
    ),
    "openai, what would be joined": (
        {**OPENAI, "capabilities": {"openai/v1/retrievevideo": "/v1/videos/{video_id}?x=1"}},
        f"{PROVIDER}/v1/videos/7?x=1&x=1", f"{LINKED}/v1/videos/7?x=1&x=1", KEY,
    ),
}  # fmt: skip


@table("name", OWN_LINKS)
def test_a_link_to_the_providers_own_host_is_sent_as_it_is(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    provider, link, shown, credential = OWN_LINKS[name]
    path = tmp_path_factory.mktemp("own") / "a.har"
    seen: list[str] = []

    async def ask(proxy: Proxy, said: Said | None) -> Sent | None:
        got = await proxy.ask(make("GET /any"), said)
        seen.append(json.loads(got.body)["state"])
        return await _follow(proxy, seen[-1])

    async def record(proxy: Proxy) -> None:
        sent = await ask(proxy, Said([json.dumps({"state": link}).encode()]))
        assert sent
        assert (sent.url, sent.values("authorization")) == (link, credential)

    async def replay(proxy: Proxy) -> None:
        assert await ask(proxy, None) is None

    run(record, _record(Recorded(), path), provider=provider)
    replaying = Recorded()
    replaying.insert(Opening(path, Mode.NONE))
    run(replay, replaying, provider=provider)

    # The signature is scrubbed in the recording.
    assert seen[0] == f"{HERE}{shown}"
    assert seen[1].partition("?")[0] == seen[0].partition("?")[0]


def test_a_link_with_the_credential_is_a_request_like_others(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([json.dumps({"cancel_url": f"{PROVIDER}/s/1"}).encode()]))
        link = json.loads(got.body)["cancel_url"]
        assert link == f"{HERE}{LINKED}/s/1"
        page = make(f"GET {LINKED}/s/1", {"Sec-Fetch-Site": "cross-site"})
        assert _error(await proxy.ask(page))["code"] == "cross_site"
        sent = await _follow(proxy, link, "PUT")
        assert sent
        assert (sent.method, sent.url, sent.values("authorization")) == ("PUT", f"{PROVIDER}/s/1", KEY)
        for other in ("/s/2", "/s/1?x=1"):
            assert _error(await proxy.ask(make(f"GET {LINKED}{other}")))["code"] == "unknown_link"

    run(work, _record(stage, path), provider={**GENERIC, "providerBasePath": "/api"})


REDIRECTS = {
    "/files/real.mp4?sign=A": "https://cdn.test/files/real.mp4?sign=A",
    "real.mp4": "https://cdn.test/a/real.mp4",
    "../real.mp4": "https://cdn.test/real.mp4",
    "../../real.mp4": "https://cdn.test/real.mp4",
    "//cdn.test/real.mp4": "https://cdn.test/real.mp4",
    "//other.test/real.mp4": "https://other.test/real.mp4",
    "https://cdn.test/real.mp4?sig=1": "https://cdn.test/real.mp4?sig=1",
    "http://other.test:82/real.mp4": "http://other.test:82/real.mp4",
    "?part=2": "https://cdn.test/a/start.mp4?part=2",
    "/v1/videos/real.mp4": "https://cdn.test/v1/videos/real.mp4",
    "/linked/https/cdn.test/x": "https://cdn.test/linked/https/cdn.test/x",
    "/real file.mp4": "https://cdn.test/real%20file.mp4",
}
HEADS: dict[str, dict[str, str]] = {
    "no content": {"Content-Length": "0"},
    "a page": {"Content-Type": "text/html", "Content-Length": "5"},
    "a long page": {"Content-Type": "text/html", "Content-Length": "5000000"},
    "a page in pieces": {"Content-Type": "text/html"},
    "json": JSON,
    "a video": {"Content-Type": "video/mp4"},
    "events": EVENTS,
}


# Every form of a Location in one answer, and one form in every answer.
@table(("location", "head"), [*((form, "json") for form in REDIRECTS), *(("../real.mp4", head) for head in HEADS)])
def test_a_redirect_leads_through_the_proxy_while_recording_and_in_the_replay(
    location: str, head: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("redirect") / "a.har"
    start = json.dumps({"url": "https://cdn.test/a/start.mp4"}).encode()
    away = {**HEADS[head], "Location": location}

    async def film(proxy: Proxy, *said: Said | None) -> tuple[Sent | None, bytes]:
        first = json.loads((await proxy.ask(make(), said[0])).body)["url"]
        moved = await proxy.ask(make(f"GET {first.removeprefix(HERE)}"), said[1])
        link = urljoin(first, moved.headers["Location"].replace(" ", "%20"))
        assert link.startswith(f"{HERE}/linked/"), link
        flow = make(f"GET {link.removeprefix(HERE)}", {"Authorization": "Bearer client-key"})
        sent = await proxy.send(flow)
        return sent, (await proxy.answer(flow, said[2])).body

    async def record(proxy: Proxy) -> None:
        sent, _ = await film(proxy, Said([start]), Said([b""], away, 302), FILM)
        assert sent
        assert (sent.url, sent.values("authorization")) == (REDIRECTS[location], [])

    async def replay(proxy: Proxy) -> None:
        replayed = await film(proxy, None, None, None)
        await replaying.done()
        assert replayed == (None, b"film")

    run(record, _record(Recorded(), path), provider=KLING)
    replaying = Recorded()
    replaying.insert(Opening(path, Mode.NONE))
    run(replay, replaying, provider=KLING)


@pytest.mark.parametrize("name", ["Location", "Operation-Location", "azure-asyncoperation"])
@pytest.mark.parametrize(
    ("provider", "location", "shown"),
    [
        (OPENAI, "https://cdn.test/a?sig=1", f"{HERE}/linked/https/cdn.test/a?sig=1"),
        (OPENAI, f"{PROVIDER}/v1/b", f"{HERE}/v1/b"),
        (OPENAI, "/v1/b", "/v1/b"),
        ({**OPENAI, "providerBasePath": "/api"}, "/b", f"{HERE}{LINKED}/b"),
        ({**OPENAI, "providerBasePath": "/api"}, "/api/b", "/api/b"),
        ({**OPENAI, "providerBasePath": "/api"}, "b", f"{HERE}/api/b"),
        (OPENAI, "/b.mp4?sign=s", f"{HERE}{LINKED}/b.mp4?sign=s"),
        # A redirect of the API itself, which is no result.
        (KLING, "/account/b", "/account/b"),
        (KLING, f"{PROVIDER}/account/b", f"{HERE}/account/b"),
        (KLING, "/v1/videos/a.mp4", f"{HERE}{LINKED}/v1/videos/a.mp4"),
    ],
)
def test_a_redirect_of_the_provider_itself_is_resolved_against_what_was_sent(
    name: str, provider: dict[str, Any], location: str, shown: str, stage: Recorded, path: Path
) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make("GET /a"), Said([b""], {"Content-Length": "0", name: location}, 302))
        assert got.headers[name] == shown

    run(work, _record(stage, path), provider=provider)


LEDS = [
    b'{"url": "https://cdn.test/a.png?sig=abcdef"}',
    b'{"url": "%s/linked/https/cdn.test/a.png?sig=' % HERE.encode(),
]
KINDS: dict[str, tuple[dict[str, str], bool]] = {
    # Header fields, and whether the links are led.
    **{
        kind: ({"Content-Type": kind}, True)
        for kind in ("text/plain", "text/html", "application/problem+json", "x/y", "")
    },
    **{
        f"{kind} of a length": ({"Content-Type": kind, "Content-Length": "44"}, True)
        for kind in ("text/plain", "text/csv", "")
    },
    "no type": ({"Content-Length": "44"}, True),
    "nothing at all": ({}, True),
    "lines": ({"Content-Type": "application/x-ndjson"}, True),
    "a stream": ({"Content-Type": "text/event-stream; charset=utf-8"}, True),
    "a picture": ({"Content-Type": "image/png"}, False),
    "bytes": ({"Content-Type": "application/octet-stream"}, False),
    "something long": ({"Content-Type": "text/plain", "Content-Length": "1048577"}, False),
    "binary events": ({"Content-Type": "application/vnd.amazon.eventstream"}, False),
    "coded events": ({**EVENTS, "Content-Encoding": "br"}, False),
    "coded text": ({**TEXT, "Content-Encoding": "gzip"}, True),
}


@table("name", KINDS)
def test_json_is_led_under_any_content_type_in_both_modes(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    fields, is_led = KINDS[name]
    path = tmp_path_factory.mktemp("kind") / "a.har"
    body = LEDS[0] if name not in ("a stream", "coded events") else b"data: %s\n\n" % LEDS[0]
    coded = gzip.compress(body, mtime=0) if name == "coded text" else body
    pieces = [coded[:20], coded[20:]]

    async def record(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said(pieces, fields))
        assert (LEDS[1] in got.body) is is_led
        assert is_led or got.body == coded
        assert int(got.headers.get("Content-Length", len(got.body))) in (len(got.body), 1048577)

    async def replay(proxy: Proxy) -> None:
        flow = make()
        sent = await proxy.send(flow)
        got = await proxy.answer(flow, Said(pieces, fields) if sent else None)
        assert (LEDS[1] in got.body) is is_led
        await replaying.done()

    run(record, _record(Recorded(), path), provider=GENERIC)
    replaying = Recorded()
    replaying.insert(Opening(path, Mode.NONE))
    run(replay, replaying, provider=GENERIC)


@pytest.mark.parametrize("kind", [TEXT, JSON])
def test_a_part_of_an_answer_stays(kind: dict[str, str], stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([LEDS[0]], {**kind, "Content-Range": "bytes 0-43/99"}, 206))
        assert got.body == LEDS[0]

    run(work, _record(stage, path))


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_an_answer_without_a_body_is_not_framed_anew(status: int, method: str, stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(f"{method} /a"), Said([], {"ETag": "e"}, status))
        assert dict(got.headers) == {"ETag": "e"}

    run(work, _record(stage, path))


def test_links_are_led_behind_a_translation_of_the_stream(stage: Recorded, path: Path) -> None:
    class Wrap(Upper):
        def feed(self, data: bytes) -> bytes:
            return data.replace(b"link", b"url")

        def end(self) -> bytes:
            return b""

    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = Pieces(Wrap())
        got = await proxy.ask(make(), Said([b'data: {"link": "https://cdn', b'.test/a"}\n\n'], EVENTS))
        assert got.body == b'data: {"url": "%s/linked/https/cdn.test/a"}\n\n' % HERE.encode()
        assert (await proxy.send(make("GET /linked/https/cdn.test/a"))) is not None

    run(work, _record(stage, path))

    response = _only(path).response
    assert response
    assert response.body == b'data: {"link": "https://cdn.test/a"}\n\n'


WARNED: dict[str, tuple[dict[str, str], bytes, str]] = {
    "a user in it": (JSON, b'{"url": "https://user:pass@cdn.test/a"}', "https://cdn.test"),
    "nearer than the provider": (JSON, b'{"url": "http://10.0.0.1:9000/a"}', "http://10.0.0.1:9000"),
    "a file in a text": (JSON, b'{"content": "see https://cdn.test/a.png"}', "https://cdn.test"),
    "escaped slashes": (JSON, b'{"content": "https:\\/\\/cdn.test\\/a.png"}', "https://cdn.test"),
    "a signed link in a text": (TEXT, b"here: https://cdn.test/a?sign=secret-1", "https://cdn.test"),
    "a file in events": (EVENTS, b'data: {"delta": "![](https://cdn.test/a.webp)"}\n\n', "https://cdn.test"),
    "events of unknown coding": (
        {**EVENTS, "Content-Encoding": "br"},
        b'data: {"url":"https://cdn.test/a.png"}\n\n',
        "https://cdn.test",
    ),
    "binary events": (
        {"Content-Type": "application/vnd.amazon.eventstream"},
        b'\0\1{"url":"https://cdn.test/a.mp4"}',
        "https://cdn.test",
    ),
    "a location": ({**JSON, "Location": "http://10.0.0.1/a"}, b"{}", "http://10.0.0.1"),
    "a link that is led": (JSON, b'{"url": "https://cdn.test/a.png?x=1\\u0026sign=s"}', ""),
    "a link in events that is led": (EVENTS, b'data: {"url": "https://cdn.test/a.png?x=1\\u0026sign=s"}\n\n', ""),
    "a link of the API": (JSON, b'{"url": "http://provider.test:81/a.png"}', ""),
    "a page in a text": (JSON, b'{"content": "see https://cdn.test/page"}', ""),
    "a picture": ({"Content-Type": "image/png"}, b"https://cdn.test/a.png", ""),
}


@pytest.mark.parametrize("name", WARNED)
def test_a_replay_says_which_links_do_not_lead_through_the_proxy(
    name: str, stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields, body, host = WARNED[name]
    chunks = (Chunk(0.0, 5), Chunk(0.0, len(body) - 5)) if fields.get("Content-Type") == EVENTS["Content-Type"] else ()
    answer = Response(200, "OK", tuple(fields.items()), body, chunks)

    async def work(proxy: Proxy) -> None:
        for number in (1, 2):
            flow = make(f"GET /{number}")
            sent = await proxy.send(flow)
            await proxy.answer(flow, Said([body[:5], body[5:]], fields) if sent else None)
        await stage.done()

    run(work, _replay(stage, path, _entry(answer, "GET /1"), _entry(answer, "GET /2")), provider=GENERIC)

    said = [record.message for record in caplog.records if "does not lead through the proxy" in record.message]
    assert len(said) == bool(host)
    assert not host or f"a.har: the answer to GET /1 has a link to {host} that" in said[0]
    assert "secret-1" not in caplog.text
    assert "pass" not in "".join(said)


def test_a_recording_says_which_links_cannot_be_led(
    stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(proxy: Proxy) -> None:
        body = b'{"url": "http://127.0.0.1:9000/a", "content": "https://cdn.test/a.png"}'
        assert (await proxy.ask(make(), Said([body]))).body == body
        got = await proxy.ask(make("GET /linked/http/127.0.0.1:9000/a"))
        assert _error(got)["code"] == "unknown_link"

    run(work, _record(stage, path))

    said = [record.message for record in caplog.records if "does not lead through the proxy" in record.message]
    assert len(said) == 1
    assert "a link to http://127.0.0.1:9000 that" in said[0]


NEAR = "http://127.0.0.1:9000/admin"
SENT: dict[str, tuple[str, bytes]] = {
    "json": ("POST /a", b'{"x": "http://127.0.0.1:9000/admin"}'),
    "escaped": ("POST /a", b'{"x": "http:\\/\\/127.0.0.1:9000\\/admin"}'),
    "in a text": ("POST /a", b'{"prompt": "say http://127.0.0.1:9000/admin"}'),
    "another spelling": ("POST /a", b'{"x": "HTTP://127.0.0.1:9000/%61dmin?sign=1"}'),
    "a query": ("GET /a?x=http%3A%2F%2F127.0.0.1%3A9000%2Fadmin&y=1", b""),
    "a form": ("POST /a", b"x=http%3A%2F%2F127.0.0.1%3A9000%2Fadmin&y=1"),
}


@pytest.mark.parametrize("name", SENT)
@pytest.mark.parametrize("later", [False, True])
def test_an_api_that_echoes_what_it_is_sent_leads_to_nothing_near(
    name: str, later: bool, stage: Recorded, path: Path
) -> None:
    request, body = SENT[name]
    echo = json.dumps({"url": NEAR, "other": "https://cdn.test/a", "near": "http://127.0.0.1:9000/b"}).encode()

    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(request, {"X-A": NEAR}), Said([b"{}" if later else echo]), body)
        if later:
            got = await proxy.ask(make("GET /status"), Said([echo]))
        shown = json.loads(got.body)
        assert shown["url"] == NEAR
        assert shown["other"] == f"{HERE}/linked/https/cdn.test/a"
        # What the provider leads to by itself.
        assert shown["near"] == f"{HERE}/linked/http/127.0.0.1:9000/b"
        link = make("GET /linked/http/127.0.0.1:9000/admin")
        assert _error(await proxy.ask(link))["code"] == "unknown_link"

    run(work, _record(stage, path), provider={**GENERIC, "providerDomain": "http://127.0.0.1:3000"})


def test_a_link_that_led_through_the_proxy_may_be_echoed(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        answer = Said([json.dumps({"url": NEAR}).encode()])
        got = await proxy.ask(make(), answer)
        again = await proxy.ask(make("POST /a", JSON), answer, got.body)
        assert again.body == got.body != answer.pieces[0]

    run(work, _record(stage, path), provider={**GENERIC, "providerDomain": "http://127.0.0.1:3000"})


# Options

CONFIG = "provider: {type: kling, apiTokens: [t], providerDomain: 'http://provider.test:81'}"


def _configured(
    work: Callable[[Gateway, Recorded, taddons.context], None], tmp_path: Path, options: Mapping[str, str]
) -> None:
    """Run `work(gateway, stage, context)` with a mitmproxy that was started with these options."""

    async def test() -> None:
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG)
        stage = Recorded()
        gateway = Gateway([stage, Simulated()])
        with taddons.context(gateway) as context:
            context.options.update(ai_config=str(config), **options)
            work(gateway, stage, context)

    asyncio.run(test())


@pytest.mark.parametrize("option", ["ai_record", "ai_replay"])
def test_an_option_opens_a_cassette(option: str, tmp_path: Path, path: Path) -> None:
    har.write(path, [_entry(Response(200))])

    def work(gateway: Gateway, stage: Recorded, context: taddons.context) -> None:
        assert stage.is_active
        assert stage.cassette
        assert stage.cassette.path == path
        assert stage.cassette.is_recording == (option == "ai_record")
        assert stage.is_offline == (option == "ai_replay")
        assert context.master.addons.get(stage.name) is stage

    _configured(work, tmp_path, {option: f" {path} "})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"ai_record": "a", "ai_replay": "b"}, "ai_record and ai_replay: give one of the two."),
        ({"ai_simulate": "true", "ai_replay": "b"}, "ai_replay: a cassette or the simulator can answer, not both."),
        ({"ai_replay": "/missing/a.har"}, "/missing/a.har"),
    ],
)
def test_options_that_contradict_each_other_are_an_error_at_the_start(
    options: dict[str, str], complaint: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)

    def work(gateway: Gateway, stage: Recorded, context: taddons.context) -> None:
        assert stage.cassette is None

    _configured(work, tmp_path, options)

    errors = [record.message for record in caplog.records if record.name.startswith("mitm_ai_proxy")]
    assert len(errors) == 1
    assert complaint in errors[0]


@pytest.mark.parametrize("option", ["ai_record", "ai_replay"])
def test_a_cassette_cannot_be_changed_by_an_option_while_the_proxy_runs(
    option: str, tmp_path: Path, path: Path
) -> None:
    def work(gateway: Gateway, stage: Recorded, context: taddons.context) -> None:
        cassette = stage.cassette
        with pytest.raises(exceptions.OptionsError, match="can only be set at the start"):
            context.options.update(**{option: str(tmp_path / "b.har")})
        assert stage.cassette is cassette
        assert getattr(context.options, option) == (str(path) if option == "ai_record" else "")

    _configured(work, tmp_path, {"ai_record": str(path)})


def test_a_configuration_that_is_refused_leaves_the_cassette_and_its_settings(
    stage: Recorded, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.TYPES["openai"], "simulated_by", "")
    simulated = Simulated()

    async def work(proxy: Proxy) -> None:
        before = dict(vars(stage))
        bad = registry.read({"provider": {"type": "openai"}}, offline=True)
        simulated.turn(True)
        with pytest.raises(ConfigurationError, match="the simulator does not know"):
            proxy.gateway.use(bad)
        assert vars(stage) == before

    run(work, _record(stage, path), simulated, cassette={"pace": "real"})


def test_the_next_configuration_goes_on_with_the_cassette(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        cassette = stage.cassette
        await proxy.ask(make("GET /1"), Said([b'{"a":"another-secret"}']))
        proxy.use(provider={**FAKE, "apiTokens": ["another-secret"]}, cassette={"pace": 0.5})
        assert stage.cassette is cassette
        await proxy.ask(make("GET /2"), Said([b'{"a":"another-secret"}']))

    run(work, _record(stage, path))

    bodies = [entry.response.body for entry in har.read(path) if entry.response]
    assert bodies == [b'{"a":"another-secret"}', b'{"a":"[scrubbed]"}']


def test_a_cassette_that_cannot_be_opened_is_an_error(stage: Recorded, tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        cassette = stage.cassette
        stage.insert(Opening(tmp_path / "missing.har", Mode.NONE))
        assert stage.cassette is None
        with pytest.raises(StageError, match=r"missing\.har"):
            proxy.use()
        assert stage.cassette is None is not cassette
        assert (await proxy.ask(make())).status == 400

    run(work, _record(stage, tmp_path / "a.har"))
