"""A conversation that goes on with another provider, in its own dialect, takes no seals along."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mitm_ai_proxy.chat import invoked_messages, native, sealed_ids
from mitm_ai_proxy.chat.dialects import ANTHROPIC, DIALECTS, OPENAI
from mitm_ai_proxy.chat.model import Seal, Thinking
from mitm_ai_proxy.errors import Refusal
from tests.chat.exchanges import HELLO, OTHER, Json, anthropic_request, encoded, openai_request, rewritten
from tests.tables import table

CLAUDE, GOOGLE = Seal("anthropic", "S"), Seal("google", "G")
SEALED = sealed_ids.sealed("a", (Thinking("hm", CLAUDE),))
ODD = sealed_ids.sealed("functions.f:0")
ODD_SEALED = sealed_ids.sealed("functions.f:0", (), GOOGLE)
USED = {"type": "tool_use", "id": "a", "name": "f", "input": {}}


def _thought(signature: str) -> Json:
    return {"type": "thinking", "thinking": "hm", "signature": signature}


def test_ids_that_carry_seals_become_the_vendor_s_own_in_calls_and_results() -> None:
    call = {"id": SEALED, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[Json] = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": SEALED},
    ]
    body = encoded(openai_request(*messages))

    written, notes = native.request(body, OPENAI, "")

    assert written == body.replace(SEALED.encode(), b"a")
    assert len(notes) == 1


@table(
    ("id", "written"),
    [
        (SEALED, "a"),
        (ODD_SEALED, ODD),
        (ODD, ODD),
        ("aip1-x", "aip1-x"),
    ],
)
def test_an_id_that_only_spells_another_is_kept(id: str, written: str) -> None:
    block = {**USED, "id": id}

    body, _ = native.request(
        encoded(anthropic_request(*HELLO, {"role": "assistant", "content": [block]})), ANTHROPIC, "anthropic"
    )

    assert json.loads(body)["messages"][1]["content"][0]["id"] == written


@table(
    ("vendor", "content", "kept"),
    [
        ("anthropic", [_thought("S"), USED], [_thought("S"), USED]),
        ("anthropic", [_thought(""), USED], [USED]),
        ("anthropic", [_thought(sealed_ids.signature(GOOGLE)), USED], [USED]),
        ("anthropic", [{"type": "redacted_thinking", "data": sealed_ids.signature(GOOGLE)}, USED], [USED]),
        (
            "anthropic",
            [{"type": "redacted_thinking", "data": "D"}, USED],
            [{"type": "redacted_thinking", "data": "D"}, USED],
        ),
        ("deepseek", [_thought(""), USED], [_thought(""), USED]),
        ("deepseek", [_thought("S"), USED], [_thought("S"), USED]),
        ("deepseek", [_thought(sealed_ids.signature(GOOGLE)), USED], [_thought(""), USED]),
        ("deepseek", [{**_thought(sealed_ids.signature(GOOGLE)), "thinking": ""}, USED], [USED]),
        ("deepseek", [{"type": "redacted_thinking", "data": sealed_ids.signature(GOOGLE)}, USED], [USED]),
        ("google", [_thought(sealed_ids.signature(GOOGLE)), USED], [_thought("G"), USED]),
    ],
)
def test_a_vendor_gets_no_seal_of_another_and_one_that_signs_only_its_own(vendor: str, content: Any, kept: Any) -> None:
    body = encoded(anthropic_request(*HELLO, {"role": "assistant", "content": content}))

    written, notes = native.request(body, ANTHROPIC, vendor)

    assert json.loads(written)["messages"][1]["content"] == kept
    assert (written is body) is (not notes) is (content == kept)


@table("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
@table(
    "refuse",
    [
        lambda body: native.refuse_thread(body, "DeepSeek"),
        lambda body: invoked_messages.request(body, ""),
        lambda body: rewritten(ANTHROPIC, body, OTHER),
    ],
)
def test_a_conversation_that_only_anthropic_keeps_is_refused_so_that_its_sdks_send_it_whole(
    refuse: Callable[[bytes], object], thread: Json
) -> None:
    with pytest.raises(Refusal, match="thread asks for a conversation") as caught:
        refuse(encoded(anthropic_request(thread=thread)))

    error = json.loads(DIALECTS[ANTHROPIC].refusal(caught.value))["error"]
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def test_the_word_thread_elsewhere_is_no_conversation() -> None:
    native.refuse_thread(encoded(anthropic_request(thread=None)), "DeepSeek")
    native.refuse_thread(encoded(anthropic_request({"role": "user", "content": "thread"})), "DeepSeek")


def test_a_message_of_nothing_else_is_left_out() -> None:
    body = encoded(anthropic_request(*HELLO, {"role": "assistant", "content": [_thought("")]}, *HELLO))

    written, _ = native.request(body, ANTHROPIC, "anthropic")

    assert json.loads(written)["messages"] == [*HELLO, *HELLO]


@table("body", [b"", b"{", b"[]", b'{"messages":1}', encoded(anthropic_request()), encoded(openai_request())])
def test_a_body_without_seals_is_not_looked_into(body: bytes) -> None:
    for dialect in (OPENAI, ANTHROPIC):
        assert native.request(body, dialect, "anthropic") == (body, ())
