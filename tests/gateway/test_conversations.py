"""Turns of sessions while traffic passes, for the content view."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import taddons, tflow

from mitm_ai_proxy.gateway import content_view, flows
from mitm_ai_proxy.gateway.conversations import SESSION, Conversations

URL = "http://proxy.test/v1/messages"
FIELDS = ((b"x-session-id", b"abc"), (b"content-type", b"application/json"))
ANSWER = b'{"type": "message", "model": "m", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}}'


class Watching:
    """In place of the list of flows of mitmweb and the console."""

    name = "view"


@pytest.fixture
def conversations(mitmproxy_context: taddons.context) -> Conversations:
    mitmproxy_context.master.addons.add(Watching())
    return Conversations()


def _flow(*texts: str) -> http.HTTPFlow:
    messages = [{"role": "user", "content": text} for text in texts]
    body = json.dumps({"model": "m", "messages": messages}).encode()
    return tflow.tflow(req=http.Request.make("POST", URL, body, http.Headers(FIELDS)))


def _pass(conversations: Conversations, flow: http.HTTPFlow, answer: bytes = ANSWER) -> str:
    conversations.before.requestheaders(flow)
    conversations.before.request(flow)
    flow.response = http.Response.make(200, answer, {"content-type": "application/json"})
    conversations.after.response(flow)
    return conversations.line(flow)


def test_a_turn_is_shown_with_its_request(conversations: Conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_view, "_turn_of", content_view._no_turn)
    conversations.before.load(None)  # type: ignore[arg-type]
    first, second = _flow("a"), _flow("a", "b")

    lines = [_pass(conversations, flow) for flow in (first, second)]

    assert lines == [
        "turn 1 of session abc: 1 message, 5 tokens, so far 1 answer of unknown price",
        "turn 2 of session abc: added 1 message, 0 tokens, so far 2 answers of unknown price",
    ]
    assert lines[1] in content_view.show(second.request.content or b"", second, second.request)
    assert second.metadata[SESSION] == "x-session-id: abc"


def test_a_second_try_is_the_same_turn(conversations: Conversations) -> None:
    flow = _flow("a")

    _pass(conversations, flow)
    conversations.before.request(flow)

    assert conversations.line(flow).startswith("turn 1 ")


def test_the_path_of_the_client_tells_how_its_answer_is_read(conversations: Conversations) -> None:
    flow = _flow("a")
    conversations.before.requestheaders(flow)
    conversations.before.request(flow)
    flow.metadata[flows.MARK] = {"client": {"method": "POST", "path": "/v1/messages", "type": "", "body": None}}
    flow.request.path = "/v1/chat/completions"
    flow.response = http.Response.make(200, ANSWER)

    conversations.after.response(flow)

    assert "5 tokens" in conversations.line(flow)


def test_without_anybody_who_looks_nothing_is_read(mitmproxy_context: taddons.context) -> None:
    assert _pass(Conversations(), _flow("a")) == ""


@pytest.mark.parametrize("broken", ["ask", "answer"])
def test_nothing_that_is_looked_at_disturbs_a_flow(
    broken: str, conversations: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError

    monkeypatch.setattr(conversations.sessions, broken, fail)

    _pass(conversations, _flow("a"))
