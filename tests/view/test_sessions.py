"""The turns of sessions: which request follows which, what it added, and what was spent so far."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.view import session_page, session_text
from mitm_ai_proxy.view.session_ids import SessionId, in_fields, in_members
from mitm_ai_proxy.view.session_text import Report
from mitm_ai_proxy.view.sessions import Asked, Sessions, Told, Turn
from tests.tables import table

UUID = "3f2a1b2c-1111-2222-3333-444455556666"
PATH = "/v1/messages"


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _ask(sessions: Sessions, *messages: Any, fields: dict[str, str] | None = None, **members: Any) -> Turn:
    body = json.dumps({"model": "claude-sonnet-4-5", "messages": messages, **members}).encode()
    turn = sessions.ask(Asked("f", PATH, fields or {}, body, 1.79e9))
    assert turn
    return turn


def _answer(sessions: Sessions, turn: Turn, read: int, cached: int = 0, text: str = "ok") -> None:
    usage = {"input_tokens": read - cached, "cache_read_input_tokens": cached, "output_tokens": 10}
    answer = {"type": "message", "id": "m", "model": "claude-sonnet-4-5", "role": "assistant", "usage": usage}
    content = [{"type": "text", "text": text}]
    body = json.dumps({**answer, "stop_reason": "end_turn", "content": content}).encode()
    sessions.answer(turn, Told(PATH, 200, body))


ONE, TWO = _message("user", "one"), _message("user", "two")
SAID = _message("assistant", "ok")


@table(
    ("fields", "expected"),
    [
        ({"x-claude-code-session-id": UUID, "session_id": "b"}, SessionId(UUID, "x-claude-code-session-id")),
        ({"session_id": " b "}, SessionId("b", "session_id")),
        ({"session-id": ""}, SessionId()),
        ({"x-session-id": "x" * 999}, SessionId("x" * 200, "x-session-id")),
        ({"authorization": "Bearer x"}, SessionId()),
    ],
)
def test_header_fields_name_a_session(fields: dict[str, str], expected: SessionId) -> None:
    assert in_fields(fields) == expected


@table(
    ("metadata", "key", "conversation", "expected"),
    [
        ({"user_id": f"user_ab_account__session_{UUID}"}, None, None, SessionId(UUID, "metadata.user_id")),
        ({"user_id": json.dumps({"session_id": UUID})}, None, None, SessionId(UUID, "metadata.user_id")),
        ({"user_id": "{" * 1500}, None, None, SessionId()),
        ({"user_id": "{]"}, UUID, None, SessionId(UUID, "prompt_cache_key")),
        ({"user_id": '{"session_id": 7}'}, None, {"id": "conv_1"}, SessionId("conv_1", "conversation")),
        (7, "our-app", "conv_1", SessionId("conv_1", "conversation")),
        (None, "our-app", 7, SessionId()),
    ],
)
def test_a_body_names_a_session(metadata: Any, key: Any, conversation: Any, expected: SessionId) -> None:
    assert in_members(metadata, key, conversation) == expected


def test_a_request_follows_the_one_with_whose_messages_it_begins() -> None:
    sessions = Sessions()
    first = _ask(sessions, ONE)
    _answer(sessions, first, 1000)
    second = _ask(sessions, ONE, SAID, TWO)
    _answer(sessions, second, 1204, 1000)
    third, other = _ask(sessions, ONE, SAID, TWO, SAID, ONE), _ask(sessions, TWO)

    assert (third.follows, third.added) == (second, 2)
    assert (second.session, second.follows, second.added) == (first.session, first, 2)
    assert other.session is not first.session
    assert session_text.summary(first) == "turn 1 of session no. 1: 1 message, 1,000 tokens, cache 0 %, so far $0.00315"
    assert session_text.summary(second) == (
        "turn 2 of session no. 1: added 2 messages, 204 tokens, cache 83 %, so far $0.00421"
    )
    assert [session.number for session in sessions] == [1, 2]


@table(
    ("before", "behind"),
    [
        (ONE, {"role": "user", "content": [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}]}),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]},
            {"role": "assistant", "content": "a"},
        ),
        ({"role": "user", "content": "one", "name": "n"}, {"name": "n", "content": "one", "role": "user"}),
    ],
)
def test_what_clients_change_of_a_message_is_no_other_message(before: Any, behind: Any) -> None:
    sessions = Sessions()

    first, second = _ask(sessions, before), _ask(sessions, behind, SAID, TWO)

    assert second.follows is first


def test_examples_that_many_requests_share_are_no_session() -> None:
    sessions = Sessions()

    first, second = _ask(sessions, ONE, SAID, TWO), _ask(sessions, ONE, SAID, _message("user", "three"))

    assert first.session is not second.session


def test_a_branch_and_a_repetition_say_what_they_are() -> None:
    sessions = Sessions()
    turns = [_ask(sessions, ONE), _ask(sessions, ONE, SAID, TWO), _ask(sessions, ONE, SAID, ONE), _ask(sessions, ONE)]

    assert {turn.session.number for turn in turns} == {1}
    assert [session_text.what(turn) for turn in turns] == [
        "1 message",
        "added 2 messages",
        "added 2 messages to turn 1",
        "turn 1 again",
    ]


def test_a_session_that_is_named_has_several_conversations() -> None:
    sessions = Sessions()
    named = {"x-claude-code-session-id": UUID}
    _ask(sessions, ONE)

    first, title = _ask(sessions, ONE, fields=named), _ask(sessions, TWO, fields=named)
    second = _ask(sessions, ONE, SAID, TWO, fields=named)

    assert first.session is title.session is second.session
    assert (first.number, title.follows, second.follows) == (1, None, first)
    assert session_text.summary(title) == "turn 2 of session 3f2a1b2c: 1 message, a new conversation"
    assert session_text.remarks(title) == "a new conversation; no answer"


def test_a_response_that_goes_on_with_an_earlier_one_follows_it() -> None:
    sessions = Sessions()
    first = sessions.ask(Asked("1", "/v1/responses", {}, b'{"model": "gpt-5", "input": "hi"}'))
    assert first
    sessions.answer(first, Told("/v1/responses", 200, b'{"id": "resp_1", "model": "gpt-5", "output": []}'))

    body = b'{"model": "gpt-5", "previous_response_id": "resp_1", "input": [{"role": "user", "content": "go on"}]}'
    second = sessions.ask(Asked("2", "/v1/responses", {}, body))

    assert second
    assert (second.follows, second.messages, second.added) == (first, 2, 1)


@table(
    ("path", "body"),
    [
        ("/v1/videos", b'{"messages": [1]}'),
        (PATH, b""),
        (PATH, b'{"messages": []}'),
        (PATH, b'{"messages": [{"role": "u'),
        (PATH, b"\xff\0"),
        (PATH, b'{"messages": 7}'),
        (PATH, b"[" * 100_000),
    ],
)
def test_what_is_no_chat_is_no_turn(path: str, body: bytes) -> None:
    assert Sessions().ask(Asked("f", path, {}, body)) is None


@table("message", [7, None, "x", [], {"content": 7}, {"content": [7, None, {"type": 7}]}, {"role": [1]}])
def test_messages_of_any_form_are_no_obstacle(message: Any) -> None:
    sessions = Sessions()

    first, second = _ask(sessions, message), _ask(sessions, message, message)
    sessions.answer(second, Told(PATH, 200, b'{"usage": 7}'))

    assert second.follows is first
    assert [*session_text.lines(Report("f", [*sessions]))]


def test_a_message_that_was_read_is_not_decoded_again() -> None:
    sessions = Sessions()
    for count in range(1, 40):
        _ask(sessions, *({"role": "user", "content": str(number)} for number in range(count)))

    assert len(sessions._digests) == 39
    assert len(sessions._ends) == 39


def test_the_sessions_that_were_used_least_lately_are_forgotten() -> None:
    sessions = Sessions(most=3)
    for word in "abcd":
        turn = _ask(sessions, _message("user", word), fields={"session_id": word})
    _ask(sessions, _message("user", "d"), SAID, TWO, fields={"session_id": "d"})

    assert [session.id.name for session in sessions] == ["c", "d"]
    assert len(sessions._ends) == 3
    assert turn.session.id.name == "d"


HOSTILE = (
    "<script>alert(1)</script>\x1b[31m\u202e & sk-ant-api03-abcdefghijklmnop "
    "\x07sk-proj-abcdefghijklmnop \x1b[32mBearer abc123def456"
)


def test_a_report_escapes_all_and_shows_no_secret() -> None:
    sessions = Sessions()
    turn = _ask(sessions, _message(HOSTILE, HOSTILE), fields={"session_id": HOSTILE}, model=HOSTILE)
    _answer(sessions, turn, 10, text=HOSTILE)
    report = Report(HOSTILE[:40], [*sessions], problem=HOSTILE[:40])

    text, page = "\n".join(session_text.lines(report)), "".join(session_page.page(report))
    document = json.dumps(session_text.document(report))

    assert "<script>alert" in text
    assert "<script" not in page
    assert "default-src &#x27;none&#x27;" in page
    for shown in (text, page):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "assistant" in shown
    for shown in (text, page, document):
        assert not [
            secret for secret in ("03-abcdefghijklmnop", "proj-abcdefghijklmnop", "abc123def456") if secret in shown
        ]


def test_sums_and_unknown_prices_are_said() -> None:
    sessions = Sessions()
    turn = _ask(sessions, ONE, model="unheard-of")
    sessions.answer(turn, Told(PATH, 200, b'{"type": "message", "model": "unheard-of", "content": []}'))
    refused = _ask(sessions, TWO)
    sessions.answer(refused, Told(PATH, 429, b"slow down"))

    lines = [*session_text.lines(Report("f", [*sessions], others=2))]

    assert lines[0] == (
        "f: 2 requests in 2 sessions, 2 exchanges of other kinds · 0 tokens in, 0 out · 1 answer of unknown price"
    )
    assert any(line.endswith("status 429") for line in lines)
