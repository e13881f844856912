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
from mitm_ai_proxy.gateway import recorded, recorded_exchange
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.gateway.simulated import Simulated
from mitm_ai_proxy.gateway.stages import StageError
from tests.gateway.literal import EVENTS, FAKE, JSON, Proxy, Said, make, run
from tests.gateway.recordings import PROVIDER, TEXT, Upper, entry_of, error_of, only_entry, record_into, replay_from

OPENAI_SDK = {"User-Agent": "OpenAI/Python 1.0"}


# Recording


def _shouted(answer: Answer) -> Answer:
    return answer._replace(body=answer.body.upper())


DATA = [b"data: a\n\n", b"data: b\n\n"]
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

    run(work, record_into(stage, path))

    entry = only_entry(path)
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

    run(work, record_into(stage, path), provider={**FAKE, "apiTokens": ["provider-key"]})

    entry = only_entry(path)
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

    run(work, record_into(stage, path))

    assert only_entry(path).request.body == b'{"a":1}'
    assert "Content-Encoding" not in dict(only_entry(path).request.headers)


def test_whoever_watches_sees_each_request_without_its_credential(stage: Recorded, path: Path) -> None:
    seen: list[Request] = []
    stage.seen = seen.append

    async def work(proxy: Proxy) -> None:
        await proxy.ask(make("GET /a", {"X-Secret-Token": "hush", "X-A": "1"}), Said())

    run(work, record_into(stage, path), provider={**FAKE, "apiTokens": ["provider-key"]})

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

    run(work, record_into(stage, path))

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

    run(work, record_into(stage, path))

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

    run(work, record_into(stage, path))


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

    run(work, record_into(stage, path))

    assert only_entry(path).response


def test_an_answer_that_is_too_long_passes_and_is_not_recorded(
    stage: Recorded, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorded_exchange, "LARGEST", 8)

    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([b"12345678", b"9", b"0"], EVENTS))
        assert got.body == b"1234567890"

    run(work, record_into(stage, path))

    assert not path.exists()
    assert "was not recorded" in caplog.text


def test_a_change_of_protocol_is_not_recorded(stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(proxy: Proxy) -> None:
        await proxy.ask(make(), Said(status=101))

    run(work, record_into(stage, path))

    assert not path.exists()
    assert "changed the protocol" in caplog.text


def test_an_answer_of_which_our_code_made_an_error_is_recorded_as_it_came(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        def fail(answer: Answer) -> Answer:
            raise KeyError

        proxy.fake.handling = Whole(fail)
        assert (await proxy.ask(make(), Said([b'{"a":1}']))).status == 500

    run(work, record_into(stage, path))

    response = only_entry(path).response
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

    run(work, record_into(stage, path), before=[_Elsewhere()])

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
        assert (got.status, error_of(got)["code"]) == (500, "proxy_error")
        assert b"text of a body" not in got.body
        assert stage.idle.is_set()

    run(work, record_into(stage, path))

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

    run(work, record_into(stage, path))

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

    run(work, record_into(stage, path))

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

    run(work, replay_from(stage, path, entry_of(response, f"{method} /a")))


def test_an_answer_from_the_cassette_is_rewritten_like_the_providers(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = Whole(_shouted)
        assert (await proxy.ask(make())).body == b'{"A":1}'

    run(work, replay_from(stage, path, entry_of(Response(200, "OK", (), b'{"a":1}'))))

    assert len(har.read(path)) == 1


def test_an_exchange_that_broke_off_breaks_off_again(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make()
        assert await proxy.send(flow) is None
        assert flow.error
        assert flow.error.msg == "Connection killed."
        assert stage.idle.is_set()

    run(work, replay_from(stage, path, entry_of(None)))


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

    run(work, replay_from(stage, path, entry_of(Response(status, "", tuple(sent.items())))), cassette={"pace": pace})


def test_what_the_gateway_says_about_waiting_is_hurried_too(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = Whole(lambda answer: answer._replace(headers={"openai-poll-after-ms": "5000"}))
        got = await proxy.ask(make())
        assert got.headers["openai-poll-after-ms"] == "500"

    run(work, replay_from(stage, path, entry_of(Response(200, "OK", (), b"{}"))), cassette={"pace": 0.1})


def test_what_the_gateway_says_about_waiting_stays_where_a_provider_is_asked(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = Whole(lambda answer: answer._replace(headers={"openai-poll-after-ms": "5000"}))
        got = await proxy.ask(make(), Said([b"{}"]))
        assert got.headers["openai-poll-after-ms"] == "5000"

    run(work, record_into(stage, path))


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

    entry = entry_of(STREAMED, "GET /a?b=c")
    run(work, replay_from(stage, path, entry), provider={**FAKE, "apiTokens": tokens})

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

    run(work, replay_from(stage, path, entry_of(STREAMED)))


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

    run(work, replay_from(stage, path, entry_of(Response(200), "POST /a", b'{"a":1}')))

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

    run(work, replay_from(stage, path, entry_of(Response(200))))


class _Spent:
    """A budget that is used up."""

    def refuse(self, request: Request) -> str:
        return f"{request.method} costs too much."


def test_what_the_budget_does_not_allow_is_not_sent(
    stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make("POST /a"))
        assert (got.status, error_of(got)["code"]) == (403, "budget_exceeded")
        assert error_of(got)["message"] == "POST costs too much."
        assert stage.cassette
        assert len(stage.cassette.refusals) == 1
        assert stage.idle.is_set()

    run(work, record_into(stage, path, budget=_Spent()))

    assert not path.exists()


def test_without_a_cassette_nothing_goes_out(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        stage.insert(None)
        got = await proxy.ask(make())
        assert (got.status, error_of(got)["code"]) == (400, "no_cassette")
        # The next configuration does not change that.
        proxy.use()
        assert (await proxy.ask(make())).status == 400
        stage.insert(Opening(path, Mode.APPEND))
        proxy.use()
        assert (await proxy.ask(make(), Said())).status == 200

    run(work, record_into(stage, path))

    assert stage.is_active


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
    har.write(path, [entry_of(Response(200))])

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

    run(work, record_into(stage, path), simulated, cassette={"pace": "real"})


def test_the_next_configuration_goes_on_with_the_cassette(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        cassette = stage.cassette
        await proxy.ask(make("GET /1"), Said([b'{"a":"another-secret"}']))
        proxy.use(provider={**FAKE, "apiTokens": ["another-secret"]}, cassette={"pace": 0.5})
        assert stage.cassette is cassette
        await proxy.ask(make("GET /2"), Said([b'{"a":"another-secret"}']))

    run(work, record_into(stage, path))

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

    run(work, record_into(stage, tmp_path / "a.har"))
