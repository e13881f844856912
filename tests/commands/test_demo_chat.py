"""The command `ai-proxy demo chat`: each step on both sides, with plain HTTP and with the SDK, and the exit status."""

from __future__ import annotations

import io
import re
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from mitm_ai_proxy.commands import demo_chat, main
from mitm_ai_proxy.commands.demo_chat import events, folded, shown
from tests.tables import table

TITLES = ("1  A question", "2  The same as a stream", "3  A tool is called", "4  Its result goes back", "Done in")


def _shown(client: str) -> tuple[int, str]:
    """Exit status and output, without the SDK."""
    out = io.StringIO()
    before = set(threading.enumerate())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "anthropic", None)
        status = demo_chat.run(out, client)
    assert set(threading.enumerate()) == before
    return status, out.getvalue()


@pytest.fixture(scope="module")
def outputs() -> dict[str, str]:
    """The output for each client."""
    found = {client: _shown(client) for client in demo_chat.DIALECTS}
    assert {status for status, _ in found.values()} == {0}, found
    return {client: text for client, (_, text) in found.items()}


def _step(text: str, number: int) -> str:
    return text.partition(TITLES[number - 1])[2].partition(TITLES[number])[0]


@table(
    ("client", "step", "left", "right"),
    [
        ("anthropic", 1, "POST /v1/messages", "POST /v1/chat/completions"),
        ("anthropic", 1, '    {"type": "text", "text": "Hello there!"}', ""),
        ("anthropic", 2, '{"type": "message_stop"}', ""),
        ("anthropic", 2, "", '  "delta": {"content": "Hello"}'),
        ("anthropic", 3, '      "name": "get_weather",', ""),
        ("anthropic", 3, "", '          "name": "get_weather",'),
        ("anthropic", 4, "", '      "role": "tool",'),
        ("anthropic", 4, '          "type": "tool_result",', ""),
        ("openai", 1, "POST /v1/chat/completions", "POST /v1/messages"),
        ("openai", 2, "", '{"type": "message_stop"}'),
        ("openai", 4, '      "role": "tool",', ""),
        ("openai", 4, "", '          "type": "tool_result",'),
    ],
)
def test_each_step_shows_both_sides(outputs: dict[str, str], client: str, step: int, left: str, right: str) -> None:
    text = _step(outputs[client], step)
    pairs = [line.split("│") for line in text.splitlines() if "│" in line]
    assert any(
        (not left or one.rstrip() == left) and (not right or other.removeprefix(" ").rstrip() == right)
        for one, other in pairs
    ), text


def test_it_says_why_and_who_the_client_is(outputs: dict[str, str]) -> None:
    assert "translated from anthropic to openai" in outputs["anthropic"]
    assert "translated from openai to anthropic" in outputs["openai"]
    assert outputs["anthropic"].count("would have been sent to https://api.openai.com") == 4
    assert all("the client is plain HTTP" in text for text in outputs.values())


def test_no_line_is_wider_than_the_page_and_no_key_is_shown(outputs: dict[str, str]) -> None:
    for text in outputs.values():
        assert [line for line in text.splitlines() if len(line) > 100] == []
        assert "sk-any-text" not in text
        assert "simulated-" not in text
        assert "…" not in re.sub(r'"[a-z_]*id": .*…', "", _step(text, 1))


def test_the_sdk_is_the_client_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class APIError(Exception):
        pass

    class Anthropic:
        """Refuses each request."""

        def __init__(self, base_url: str, **_: object) -> None:
            assert base_url.startswith("http://127.0.0.1:")
            self.messages = self

        def create(self, **body: Any) -> Any:
            asked.append(body)
            raise APIError("no")

    module = SimpleNamespace(__version__="9.9", Anthropic=Anthropic, APIError=APIError)
    monkeypatch.setitem(sys.modules, "anthropic", module)
    out = io.StringIO()

    assert demo_chat.run(out) == 1
    assert "the client is the anthropic SDK 9.9" in out.getvalue()
    assert out.getvalue().endswith("✗ The SDK raised APIError: no\n")
    assert asked[0]["messages"] == [{"role": "user", "content": "Hello there!"}]


def test_another_answer_than_the_models_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_chat, "_HELLO", "Hello [simulate: failed]")
    status, text = _shown("openai")
    assert (status, "✗ The answer is not the model's." in text) == (1, True)
    monkeypatch.setattr(demo_chat, "_HELLO", "Hello [simulate: 529]")
    status, text = _shown("openai")
    assert (status, "was answered with 529" in text) == (1, True)


@table(
    ("value", "lines"),
    [
        ({"a": 1}, ['{"a": 1}']),
        ([], ["[]"]),
        ({"a": [1, 2], "b": "x" * 12}, ["{", '  "a": [1, 2],', f'  "b": "{"x" * 12}"', "}"]),
        (["x" * 30], ["[", f'  "{"x" * 30}"', "]"]),
    ],
)
def test_what_fits_is_one_line(value: Any, lines: list[str]) -> None:
    assert folded(value, 20) == lines


def test_of_an_answer_the_rest_is_left_out() -> None:
    answer = {"id": "a", "created": 1, "choices": [{"index": 0, "delta": {"content": "x", "refusal": None}}]}
    assert shown(answer) == {"delta": {"content": "x"}}
    assert shown({"choices": [], "usage": {"prompt_tokens": 1, "prompt_tokens_details": {}}}) == {
        "usage": {"prompt_tokens": 1}
    }


def test_events_are_the_documents_of_a_stream() -> None:
    assert events(b'event: a\ndata: {"type":"a"}\n\ndata: {"b":1}\n\ndata: [DONE]\n\n') == [{"type": "a"}, {"b": 1}]


def test_the_command_chooses_the_client(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def run(_: object, client: str) -> int:
        asked.append(client)
        return 0

    monkeypatch.setattr(demo_chat, "run", run)
    assert main.main(["demo", "chat"]) == 0
    assert main.main(["demo", "chat", "--client", "openai"]) == 0
    assert asked == ["anthropic", "openai"]
    with pytest.raises(SystemExit):
        main.main(["demo", "chat", "--client", "cohere"])
    assert "invalid choice" in capsys.readouterr().err
