"""What a flow's comment and a recording say of where a request went: sent, simulated, replayed or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.proxy.layers.http._hooks import HttpRequestHeadersHook

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.cassette.entry import Chunk, Entry, Request, Response
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.gateway.simulated import Simulated
from mitm_ai_proxy.gateway.stages import Stage
from tests.gateway.literal import EVENTS, HERE, JSON, Proxy, Said, make, run
from tests.tables import table

ORIGIN = "http://provider.test:81"
KLING = {"type": "kling", "providerDomain": ORIGIN, "apiTokens": ["token"]}
BODY = json.dumps({"model": "kling-v3", "prompt": "a cat", "seconds": "5"}).encode()
INSTANT = {"speed": "instant"}
SENT, UNSENT = "sent to ", "would have been sent to "
SIMULATED, REPLAYED = f"simulated, {UNSENT}", f"replayed, {UNSENT}"
PASSED = "the path is no API that fake translates"


def _simulated() -> Simulated:
    stage = Simulated()
    stage.turn(True)
    return stage


def _cassette(path: Path, mode: Mode, *answers: Response | None, budget: Any = None) -> Recorded:
    if answers:
        har.write(path, [Entry(1.0, 2.0, Request("GET", f"{ORIGIN}/a", (), b""), answer) for answer in answers])
    stage = Recorded()
    stage.insert(Opening(path, mode, budget))
    return stage


WHOLE = Response(200, "OK", tuple(JSON.items()), b"{}")
STREAMED = Response(200, "OK", tuple(EVENTS.items()), b"ab", (Chunk(0.0, 1), Chunk(0.0, 1)))


@pytest.mark.parametrize("mode", [Mode.NONE, Mode.ONCE, Mode.NEW_EPISODES])
@pytest.mark.parametrize("answer", [WHOLE, STREAMED], ids=["whole", "streamed"])
def test_what_a_cassette_answers_is_replayed_in_each_mode(answer: Response, mode: Mode, tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make()
        await proxy.send(flow)
        await proxy.answer(flow, Said([b"a", b"b"], EVENTS) if answer is STREAMED else None)
        assert flow.comment == f"{REPLAYED}{ORIGIN}: {PASSED}; answered from a.har"
        await stage.done()

    stage = _cassette(tmp_path / "a.har", mode, answer)
    run(work, stage)


@pytest.mark.parametrize("mode", [Mode.NONE, Mode.ONCE])
def test_a_replay_that_breaks_off_is_a_replay_too(mode: Mode, tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make()
        assert await proxy.send(flow) is None
        assert flow.error
        assert flow.comment.startswith(f"{REPLAYED}{ORIGIN}: ")

    run(work, _cassette(tmp_path / "a.har", mode, None))


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.ONCE, Mode.NEW_EPISODES, Mode.ALL])
@pytest.mark.parametrize("target", ["/a", "/body"])
def test_what_is_recorded_was_sent(target: str, mode: Mode, tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make(f"POST {target}")
        await proxy.ask(flow, Said(), b"x")
        assert flow.comment == f"{SENT}{ORIGIN}: {PASSED}"

    run(work, _cassette(tmp_path / "a.har", mode))
    (entry,) = har.read(tmp_path / "a.har")
    assert entry.notes == (f"{SENT}{ORIGIN}: {PASSED}",)


def test_what_is_passed_on_was_sent_also_where_it_failed() -> None:
    async def work(proxy: Proxy) -> None:
        good, broken = make(), make("POST /body")
        await proxy.ask(good, Said())
        await proxy.send(broken, b"x")
        await proxy.break_off(broken)
        assert good.comment == broken.comment == f"{SENT}{ORIGIN}: {PASSED}"

    run(work)


async def _job(proxy: Proxy) -> list[http.HTTPFlow]:
    """A video from its create to its file."""
    create = make("POST /v1/videos", JSON)
    got = await proxy.ask(create, None, BODY)
    retrieve = make(f"GET /v1/videos/{json.loads(got.body)['data']['task_id']}")
    got = await proxy.ask(retrieve)
    link = json.loads(got.body)["data"]["task_result"]["videos"][0]["url"]
    film = make(f"GET {link.removeprefix(HERE)}")
    assert (await proxy.ask(film)).status == 200
    return [create, retrieve, film]


@pytest.mark.parametrize("recorded", [False, True])
def test_what_the_simulator_answers_is_simulated_also_in_a_recording(recorded: bool, tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        for flow in await _job(proxy):
            assert flow.comment.startswith(f"{SIMULATED}{ORIGIN}: ")
            assert flow.comment.count("sent to ") == 1

    path = tmp_path / "a.har"
    stages: list[Stage] = [_cassette(path, Mode.APPEND)] if recorded else []
    run(work, *stages, _simulated(), provider=KLING, simulator=INSTANT)
    for entry in har.read(path) if recorded else ():
        assert entry.notes[0].startswith(f"{SIMULATED}{ORIGIN}: ")


@pytest.mark.parametrize("is_simulated", [True, False])
def test_it_is_said_before_there_is_an_answer(is_simulated: bool, tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("GET /v1/videos/kling-t2v-7")
        await proxy.hook(HttpRequestHeadersHook(flow))
        assert flow.comment.startswith(f"{SIMULATED if is_simulated else REPLAYED}{ORIGIN}: ")

    stage = _simulated() if is_simulated else _cassette(tmp_path / "a.har", Mode.NONE, WHOLE)
    run(work, stage, provider=KLING, simulator=INSTANT)


def test_a_replay_of_a_simulated_test_is_a_replay(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        for flow in await _job(proxy):
            assert flow.comment.startswith(f"{REPLAYED}{ORIGIN}: ")

    path = tmp_path / "a.har"

    async def record(proxy: Proxy) -> None:
        await _job(proxy)

    run(record, _cassette(path, Mode.APPEND), _simulated(), provider=KLING, simulator=INSTANT)
    run(work, _cassette(path, Mode.ONCE), _simulated(), provider=KLING, simulator=INSTANT)


class _Spent:
    """A budget that allows nothing."""

    def refuse(self, request: Request) -> str:
        return "It costs too much."


def test_what_a_cassette_lacks_was_not_sent(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("GET /other")
        assert (await proxy.ask(flow)).status == 400
        assert flow.comment.startswith(f"{UNSENT}{ORIGIN}: {PASSED}; refused: ")

    run(work, _cassette(tmp_path / "a.har", Mode.NONE, WHOLE))


def test_what_is_too_dear_was_not_sent(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("POST /a")
        assert (await proxy.ask(flow)).status == 403
        assert flow.comment == f"{UNSENT}{ORIGIN}: {PASSED}; refused: It costs too much."

    run(work, _cassette(tmp_path / "b.har", Mode.APPEND, budget=_Spent()))


@table("stages", [(), (_simulated(),)], ids=["sent", "simulated"])
def test_what_is_wrong_was_not_sent(stages: tuple[Stage, ...]) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("POST /v1/videos", JSON)
        assert (await proxy.ask(flow, None, b"{")).status == 400
        assert flow.comment.startswith(f"{UNSENT}{ORIGIN}: openai/v1/videos of kling; refused: ")

    run(work, *stages, provider=KLING, simulator=INSTANT)
