"""The content view "AI" in mitmproxy's own list of views, on either interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import contentviews, http
from mitmproxy.test import taddons, tflow

from mitm_ai_proxy.gateway import content_view, flows
from mitm_ai_proxy.view.prices import LIST_PRICES, PriceKeys, PriceSettings
from tests.tables import table

CHAT = b'{"model": "kimi-k2", "messages": [{"role": "user", "content": "hi"}]}'
ANSWER = (
    b'{"type": "message", "id": "m", "model": "claude", "role": "assistant", "stop_reason": "end_turn",'
    b' "content": [{"type": "text", "text": "Hello"}], "usage": {"input_tokens": 1, "output_tokens": 1}}'
)


@pytest.fixture(autouse=True)
def view(mitmproxy_context: taddons.context) -> Iterator[None]:
    content_view.add()
    yield
    content_view.remove()


def _flow(path: str, request: bytes, answer: bytes = b"", client: dict[str, Any] | None = None) -> http.HTTPFlow:
    flow = tflow.tflow(
        req=http.Request.make(
            "POST", f"http://upstream.test{path}", request, http.Headers(content_type="application/json")
        ),
        resp=http.Response.make(200, answer, {"Content-Type": "application/json"}),
    )
    if client is not None:
        flow.metadata[flows.MARK] = {"memo": {}, "client": client}
    return flow


def _shown(message: Any, flow: http.HTTPFlow) -> tuple[str, str]:
    """The name of the view that mitmproxy chooses by itself, and its text."""
    prettify: Any = getattr(contentviews, "prettify_message", None)
    if prettify is not None:
        found = prettify(message, flow)
        return str(found.view_name), found.text
    name, lines, _ = contentviews.get_message_content_view("auto", message, flow)  # type: ignore[attr-defined]
    return name, "".join("".join(text for _, text in line) + "\n" for line in lines)


def test_a_chat_is_shown_as_a_conversation_with_what_was_changed() -> None:
    client = {"method": "POST", "path": "/v1/messages", "type": "application/json", "body": CHAT.replace(b"kimi", b"x")}
    flow = _flow("/v1/chat/completions", CHAT, ANSWER, client)
    flow.comment = "translated; sent to https://upstream.test"

    request, answer = _shown(flow.request, flow), _shown(flow.response, flow)

    assert request[0] == "AI"
    # Windows of mitmproxy 11 leave out empty lines: there they hold a space.
    answer = answer[0], answer[1].replace("\n \n", "\n\n")
    assert "-POST /v1/messages\n+POST /v1/chat/completions\n" in request[1]
    assert request[1].endswith("  translated\n  sent to https://upstream.test\n")
    assert answer == (
        "AI",
        f"claude\n\n── assistant {'─' * 51}\nHello\n\nended by itself · 1 tokens in, 1 out\n",
    )


def test_a_body_that_passed_unchanged_is_compared_with_itself() -> None:
    flow = _flow(
        "/v1/chat/completions",
        CHAT,
        client={"method": "POST", "path": "/chat/completions", "type": "application/json", "body": None},
    )

    assert "-POST /chat/completions\n+POST /v1/chat/completions\n" in _shown(flow.request, flow)[1]


@table("mark", [None, 7, {}, {"client": 7}, {"client": {}}, {"client": {"path": 7, "body": "x", "method": None}}])
def test_a_mark_of_any_form_is_no_obstacle(mark: Any) -> None:
    flow = _flow("/v1/chat/completions", CHAT)
    flow.metadata[flows.MARK] = mark

    assert "hi" in _shown(flow.request, flow)[1]


@table("path", ["/", "/index.html", "/api/v2/things"])
def test_the_view_is_not_chosen_for_other_paths(path: str) -> None:
    flow = _flow(path, CHAT)

    assert _shown(flow.request, flow)[0] != "AI"


def test_what_cannot_be_shown_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("mitm_ai_proxy.view.ai.text", fail)
    flow = _flow("/v1/messages", CHAT)

    assert _shown(flow.request, flow)[1] == "(this cannot be shown: ZeroDivisionError)\n"


def test_an_answer_has_the_price_of_the_configuration_else_that_of_the_list() -> None:
    flow = _flow("/v1/messages", CHAT, ANSWER.replace(b'"claude"', b'"claude-opus-5-5"'))
    listed = _shown(flow.response, flow)[1]
    content_view.use(PriceSettings({"claude-opus-5-5": PriceKeys(1000.0, 2000.0)}))

    own = _shown(flow.response, flow)[1]

    content_view.use(LIST_PRICES)
    assert listed.endswith("1 tokens in, 1 out · $0.000024 (list price)\n")
    assert own.endswith("1 tokens in, 1 out · $0.003 (list price)\n")


def test_the_view_is_added_again_after_a_reload_and_is_there_once() -> None:
    content_view.add()
    flow = _flow("/v1/messages", CHAT)

    assert _shown(flow.request, flow)[0] == "AI"
    content_view.remove()
