"""Requests that a person stops, edits, resumes and kills in mitmweb, before they are rewritten and behind that."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette import har
from tests.e2e.conftest import Proxies, StartProxy
from tests.e2e.upstream import Answer, Upstream
from tests.e2e.window import Asking, Window
from tests.tables import table

KEY = "sk-of-the-client-0123456789"
OURS = "sk-of-the-provider-0123456789"
FIELDS = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
TARGET = f"/v1/chat/completions?api_key={KEY}"
EDITED = "edited while it was intercepted"


def _body(said: str, **more: Any) -> bytes:
    return json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": said}], **more}).encode()


def _config(upstream: Upstream, more: str = "") -> str:
    origin = f"http://{upstream.address}"
    mapping = "modelMapping: {'*': kimi-k2}"
    return f"provider: {{type: moonshot, apiTokens: [{OURS}], providerDomain: '{origin}', {mapping}{more}}}\n"


@pytest.fixture(scope="module")
def shared(upstream_server: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A mitmweb for the tests of this file; each sets its options."""
    proxies = Proxies(tmp_path_factory.mktemp("window"))
    yield Window(proxies.start, _config(upstream_server))
    proxies.close()


@pytest.fixture
def window(shared: Window, upstream: Upstream) -> Window:
    """The shared one, which stops all requests before they are rewritten."""
    shared.call("POST", "/clear")
    shared.set(intercept="~q", ai_intercept="client")
    return shared


def _ask(window: Window, said: str = "Hi", **more: Any) -> Asking:
    return Asking(window.proxy, "POST", TARGET, _body(said, **more), FIELDS)


@table("place, stops", [("client", ["gpt-4o"]), ("upstream", ["kimi-k2"]), ("both", ["gpt-4o", "kimi-k2"])])
def test_a_request_is_stopped_where_it_is_asked_for_and_goes_out_as_it_was_edited(
    place: str, stops: list[str], window: Window, upstream: Upstream
) -> None:
    upstream.reset()
    window.set(ai_intercept=place)
    asking = _ask(window)
    said = "Hi"
    for number, model in enumerate(stops):
        flow = window.stopped(model)
        shown = json.dumps(window.flows)
        assert KEY not in shown
        assert OURS not in shown
        is_ours = flow["request"]["port"] == int(upstream.address.rpartition(":")[2])
        assert is_ours == (model == "kimi-k2")
        said = f"Bye {number}"
        window.edit(flow, content=re.sub(r"Hi|Bye [^\"]*", said, flow["body"].decode()))
        window.resume(flow)
    found = asking.end()
    assert found
    assert found[0] == 200

    sent = upstream.next()
    assert (sent.target, sent.one("Authorization")) == ("/v1/chat/completions", f"Bearer {OURS}")
    assert json.loads(sent.body) == json.loads(_body(said).replace(b"gpt-4o", b"kimi-k2"))
    assert sent.one("Content-Length") == str(len(sent.body))
    flow = window.flows[-1]
    assert flow["comment"].count(EDITED) == len(stops)
    assert not flow["intercepted"]
    upstream.assert_untouched()


@table("place", ["client", "upstream"])
@table("what", ["killed", "left"])
def test_what_is_killed_or_left_while_it_is_stopped_is_not_sent(
    what: str, place: str, window: Window, upstream: Upstream
) -> None:
    window.set(ai_intercept=place)
    asking = _ask(window)
    flow = window.stopped()
    if what == "killed":
        window.kill(flow)
    else:
        asking.leave()
    assert asking.end() is None
    ended = window.wait(lambda one: not one["intercepted"] and one.get("error"), "over")
    assert ("its client went away" in ended["comment"]) == (what == "left")
    upstream.assert_untouched()


@table("place", ["client", "upstream"])
@table("what", ["a long body", "chunks", "a stream"])
def test_what_is_streamed_otherwise_is_stopped_too(what: str, place: str, window: Window, upstream: Upstream) -> None:
    upstream.reset()
    window.set(ai_intercept=place)
    pieces = (b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n")
    upstream.respond = lambda _: Answer(200, headers=(("Content-Type", "text/event-stream"),), pieces=pieces)
    body, fields, target = _body("Hi", stream=True), dict(FIELDS), TARGET
    if what == "a long body":
        body, target = b"x" * 3_000_000, "/v1/files"
        fields["Content-Type"] = "application/octet-stream"
    if what == "chunks":
        fields["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    asking = Asking(window.proxy, "POST", target, body, fields)
    flow = window.stopped()
    assert flow["request"]["contentLength"] > 50
    upstream.assert_untouched()
    window.edit(flow, headers=[*flow["request"]["headers"], ["X-Edited", "yes"]])
    # The end of a stream is stopped, too.
    window.set(intercept="")
    window.resume(flow)
    found = asking.end()
    window.set(intercept="~q")
    assert found == (200, b"".join(pieces))
    sent = upstream.next()
    assert sent.one("X-Edited") == "yes"
    assert sent.body.startswith(
        flow["body"] if what == "a long body" or place == "upstream" else b'{"model": "kimi-k2"'
    )


def test_an_answer_is_stopped_and_edited_as_ever(window: Window, upstream: Upstream) -> None:
    window.set(intercept="~s")
    asking = _ask(window)
    flow = window.stopped()
    assert upstream.next().one("Authorization") == f"Bearer {OURS}"
    window.call("PUT", f"/flows/{flow['id']}", {"response": {"content": "edited"}})
    window.resume(flow)
    assert asking.end() == (200, b"edited")

    asking = _ask(window)
    window.kill(window.stopped())
    assert asking.end() is None


def test_an_edit_can_neither_lead_the_credential_elsewhere_nor_split_the_request(
    window: Window, upstream: Upstream
) -> None:
    window.set(ai_intercept="upstream")
    asking = _ask(window)
    flow = window.stopped()
    elsewhere = Upstream()
    fields = [field for field in flow["request"]["headers"] if field[0].lower() != "content-length"]
    window.edit(flow, port=elsewhere.port, content="x", headers=[*fields, ["Content-Length", "99"]])
    window.resume(flow)
    found, sent = asking.end(), elsewhere.next()
    elsewhere.close()
    assert found
    assert found[0] == 200
    assert (sent.all("Authorization"), sent.one("Content-Length"), sent.body) == ([], "1", b"x")
    upstream.assert_untouched()


def test_a_request_that_waits_for_a_person_holds_no_place_in_a_line(
    upstream: Upstream, start_proxy: StartProxy
) -> None:
    limits = ", concurrency: 1, queueTimeout: 100, timeout: 1000, retryOnFailure: {enabled: true}"
    window = Window(start_proxy, _config(upstream, limits).replace(OURS, f"{OURS}, {OURS}-2"))
    window.set(intercept="~q & ~b Hi", ai_intercept="both")
    asking = _ask(window)
    first = window.stopped()
    window.resume(first)
    window.stopped("kimi")
    assert _ask(window, "another").end() == (200, Answer().body)
    # Its time does not count while it is stopped.
    threading.Event().wait(1.1)
    statuses = iter([429, 200])
    upstream.respond = lambda _: Answer(next(statuses))
    window.resume(first)

    def is_again(_: Any) -> bool:
        flow = next(one for one in window.flows if one["id"] == first["id"])
        return "try 1 of 2: 429" in flow["comment"] and flow["intercepted"]

    # The next try is a request of its own, which is stopped where it goes out.
    window.wait(is_again, "tried again")
    assert b"kimi-k2" in window.content(first)
    window.resume(first)
    assert asking.end() == (200, Answer().body)


def test_what_was_edited_is_recorded_and_listed_as_replayed(
    upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    path = tmp_path / "a.har"
    window = Window(start_proxy, _config(upstream), "--set", f"ai_record={path}")
    window.set(intercept="~q", ai_intercept="both")
    asking = _ask(window)
    for model, said in (("gpt-4o", "Bye"), ("kimi-k2", "Ciao")):
        flow = window.stopped(model)
        window.edit(flow, content=re.sub("Hi|Bye", said, flow["body"].decode()))
        window.resume(flow)
    assert asking.end() == (200, Answer().body)
    window.proxy.close()

    (entry,) = har.read(path)
    assert entry.request.body == upstream.next().body == _body("Ciao").replace(b"gpt-4o", b"kimi-k2")
    assert sum(EDITED in note for note in entry.notes) == 2
    assert not any(secret in path.read_text() for secret in (KEY, OURS))

    window = Window(start_proxy, _config(upstream), "--set", f"ai_replay={path}")
    assert _ask(window, "Ciao").end() == (200, Answer().body)
    flow = window.wait(lambda one: "all " in one["comment"], "complete")
    story, reasons = flow["comment"].split("\n")
    assert story.startswith("POST /v1/chat/completions → moonshot · gpt-4o → kimi-k2 · first byte ")
    assert story.endswith(" · rewritten · replayed")
    assert "replayed, would have been sent to http://" in reasons
    assert "answered from a.har" in reasons
    # The console and mitmweb show it as a picture.
    assert flow["marked"] in (":vhs:", "📼")
    upstream.assert_untouched()
