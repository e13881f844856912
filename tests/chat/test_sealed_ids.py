"""Call ids that carry seals: any client gives them back, and only their vendor gets what is inside."""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import Any

from mitm_ai_proxy.chat import sealed_ids
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.model import Seal, Text, Thinking
from mitm_ai_proxy.chat.target import Target
from tests.chat.exchanges import (
    HELLO,
    OF_ANTHROPIC,
    OF_OPENAI,
    OTHER,
    Json,
    anthropic_request,
    completion,
    message,
    openai_request,
    rewritten,
    to_claude,
    whole_document,
)
from tests.tables import table

GOOGLE = Seal("google", "AB+/=")
BEFORE = (Thinking("hm é", Seal("anthropic", "S")), 7, Thinking("", Seal("anthropic", "D"), is_redacted=True))


@table("id", ["call_1", "toolu_01AbC-d", "a" * 200])
def test_an_id_without_anything_to_carry_is_the_vendor_s_own(id: str) -> None:
    assert sealed_ids.sealed(id) == id
    assert sealed_ids.opened(id) == sealed_ids.Opened(id)


@table(
    ("id", "before", "seal"),
    [
        ("call_1", BEFORE, None),
        ("call_1", (), GOOGLE),
        ("call_1", (Text("a", seal=GOOGLE),), GOOGLE),
        ("functions.f:0", (), None),
        ("é", (), None),
        ("", (), None),
        ("aip1-x", (), None),
        ("a" * 5000, BEFORE, GOOGLE),
    ],
)
def test_an_id_gives_back_what_was_put_into_it_and_fits_the_pattern(id: str, before: Any, seal: Seal | None) -> None:
    sealed = sealed_ids.sealed(id, before, seal)

    assert re.fullmatch(r"[a-zA-Z0-9_-]+", sealed)
    assert sealed_ids.opened(sealed) == (id, before, seal)


def _envelope(inner: bytes) -> str:
    return "aip1-" + base64.urlsafe_b64encode(inner).decode().rstrip("=")


@table(
    "id",
    [
        "aip1-",
        "aip1-!!!",
        "aip1-AAAA",
        "aip1-é",
        _envelope(b"x"),
        _envelope(zlib.compress(b"x")),
        _envelope(zlib.compress(b"[1,[],null]")),
        _envelope(zlib.compress(b'{"a":1}')),
        _envelope(zlib.compress(b'["a",1,null]')),
        _envelope(zlib.compress(b'["a",[],null]')[:-1]),
        _envelope(zlib.compress(b'["' + b"a" * 10_000_000 + b'",[],null]')),
    ],
)
def test_an_id_that_only_looks_like_ours_is_left_as_it_is(id: str) -> None:
    assert sealed_ids.opened(id) == sealed_ids.Opened(id)


@table("items", [[1.5], [None], [["t"]], [["t", 1, "v", "s"]], [True], [-1], ["x"]])
def test_what_cannot_be_read_inside_is_skipped(items: object) -> None:
    id = _envelope(zlib.compress(json.dumps(["a", items, ["v"]]).encode()))

    assert sealed_ids.opened(id) == sealed_ids.Opened("a")


def test_a_signature_of_another_vendor_is_marked_in_anthropic_s_own_place() -> None:
    assert sealed_ids.signature(Seal("anthropic", "S")) == "S"
    assert sealed_ids.seal_of("S") == Seal("anthropic", "S")
    assert sealed_ids.seal_of(sealed_ids.signature(GOOGLE)) == GOOGLE
    assert sealed_ids.signature(None) == ""
    assert sealed_ids.seal_of("") is None


def test_thinking_goes_back_to_claude_where_it_was_though_the_client_knows_nothing_of_it() -> None:
    content: list[Json] = [
        {"type": "thinking", "thinking": "first", "signature": "S1"},
        {"type": "text", "text": "Looking."},
        {"type": "redacted_thinking", "data": "D"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "thinking", "thinking": "", "signature": "S2"},
        {"type": "text", "text": "And é:"},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
        {"type": "tool_use", "id": "c", "name": "g", "input": {}},
    ]
    made = whole_document(OF_OPENAI, message(*content, reason="tool_use"))["choices"][0]["message"]
    kept = {name: made[name] for name in ("role", "content", "tool_calls")}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in kept["tool_calls"]]

    messages = to_claude(*HELLO, kept, *results, reasoning_effort="high")["messages"]

    assert messages[1]["content"] == content
    assert [block["tool_use_id"] for block in messages[2]["content"]] == ["a", "b", "c"]


def test_text_that_the_client_has_changed_stands_behind_the_thinking() -> None:
    id = sealed_ids.sealed("a", (*BEFORE[:1], 50))
    call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}

    content = to_claude(*HELLO, {"role": "assistant", "content": "short", "tool_calls": [call]})["messages"][1][
        "content"
    ]

    assert [block["type"] for block in content] == ["thinking", "text", "tool_use"]
    assert content[1]["text"] == "short"


def test_google_s_seal_goes_back_to_google_s_own_openai_compatible_api_where_that_has_it() -> None:
    google = Target("Google", vendor="google")
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    extra = {"google": {"thought_signature": GOOGLE.value}}
    answer = completion(None, "tool_calls", tool_calls=[{**call, "extra_content": extra}])
    (used,) = whole_document(OF_ANTHROPIC, answer)["content"]
    result = {"type": "tool_result", "tool_use_id": used["id"], "content": "r"}
    request = anthropic_request(*HELLO, {"role": "assistant", "content": [used]}, {"role": "user", "content": [result]})

    messages = json.loads(rewritten(ANTHROPIC, request, google).body)["messages"]

    assert messages[1]["tool_calls"] == [{**call, "extra_content": extra}]
    assert messages[2]["tool_call_id"] == "a"


def _sent(client: str, *messages: Json, target: Target) -> str:
    make = openai_request if client == OPENAI else anthropic_request
    return rewritten(client, make(*HELLO, *messages), target).body.decode()


def test_a_seal_reaches_no_other_vendor() -> None:
    id = sealed_ids.sealed("a", BEFORE, GOOGLE)
    call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    openai = ({"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": id, "content": "r"})
    thought = {"type": "thinking", "thinking": "hm", "signature": sealed_ids.signature(GOOGLE)}
    used = {"type": "tool_use", "id": id, "name": "f", "input": {}}
    anthropic = (
        {"role": "assistant", "content": [thought, used]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "r"}]},
    )

    to_anthropic = _sent(OPENAI, *openai, target=Target("Claude", ANTHROPIC, "anthropic"))
    assert '"signature":"S"' in to_anthropic
    assert "AB+/=" not in to_anthropic
    for client, messages in ((OPENAI, openai), (ANTHROPIC, anthropic)):
        for target in (OTHER, OTHER._replace(reasoning_back="always"), Target("Else", ANTHROPIC, "else")):
            sent = _sent(client, *messages, target=target)

            assert "aip1-" not in sent
            assert "signature" not in sent
            assert "AB+/=" not in sent
            assert '"a"' in sent
