"""Answers of Gemini's, whole and in any cut of a stream, become those of both dialects; and its errors do."""

from __future__ import annotations

import base64
import json
from typing import Any

from mitm_ai_proxy.chat import sealed_ids
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.model import Seal
from mitm_ai_proxy.chat.target import GOOGLE
from mitm_ai_proxy.chat.translate import Translated
from tests.chat.exchanges import (
    HELLO,
    Json,
    anthropic_request,
    encoded,
    openai_request,
    parsed,
    rewritten,
    streamed,
    whole,
    whole_document,
)
from tests.chat.test_streams import check_anthropic_grammar, check_openai_grammar
from tests.tables import table

SIGNATURE = base64.b64encode(b"signed").decode()
USAGE = {
    "promptTokenCount": 90,
    "toolUsePromptTokenCount": 10,
    "cachedContentTokenCount": 60,
    "candidatesTokenCount": 13,
    "thoughtsTokenCount": 7,
    "totalTokenCount": 120,
}
MEMOS = {
    (client, stream): rewritten(
        client,
        (openai_request if client == OPENAI else anthropic_request)(
            stream=stream, **({"stream_options": {"include_usage": True}} if client == OPENAI and stream else {})
        ),
        GOOGLE,
    ).memo
    for client in (OPENAI, ANTHROPIC)
    for stream in (False, True)
}


def response(*parts: Json, finish: str | None = "STOP", usage: Json | None = USAGE, **candidate: Any) -> Json:
    made: Json = {"content": {"role": "model", "parts": list(parts)}, **candidate}
    if finish:
        made["finishReason"] = finish
    found: Json = {"candidates": [made], "responseId": "r1", "modelVersion": "gemini-9"}
    return found if usage is None else {**found, "usageMetadata": usage}


def stream_of(*responses: Json) -> bytes:
    return b"".join(b"data: %b\r\n\r\n" % encoded(found) for found in responses)


PARTS: list[Json] = [
    {"text": "hm é", "thought": True},
    {"text": "Hé"},
    {"functionCall": {"name": "f", "args": {"x": 1.0}}, "thoughtSignature": SIGNATURE},
    {"functionCall": {"name": "g"}},
]
STREAM = stream_of(
    response({"text": "hm", "thought": True}, finish=None, usage={"promptTokenCount": 90}),
    response({"text": " é", "thought": True}, finish=None, usage=None),
    response({"text": "H"}, finish=None),
    response({"text": "é"}, PARTS[2], finish=None),
    response(PARTS[3], finish=None),
    response({"text": ""}),
)


def test_a_whole_answer_in_openai_s_dialect() -> None:
    found = whole_document(MEMOS[OPENAI, False], response(*PARTS))
    (choice,) = found.pop("choices")
    calls = choice["message"].pop("tool_calls")

    assert found == {
        "id": "r1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gemini-9",
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
    }
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hé", "refusal": None, "reasoning_content": "hm é"},
        "logprobs": None,
        "finish_reason": "tool_calls",
    }
    assert [call["function"] for call in calls] == [
        {"name": "f", "arguments": '{"x": 1.0}'},
        {"name": "g", "arguments": "{}"},
    ]
    assert sealed_ids.opened(calls[0]["id"])[0::2] == ("call_seed_0", Seal("google", SIGNATURE))
    assert calls[0]["extra_content"] == {"google": {"thought_signature": SIGNATURE}}
    assert calls[1]["id"] == "call_seed_1"


def test_a_whole_answer_in_anthropic_s_dialect() -> None:
    found = whole_document(MEMOS[ANTHROPIC, False], response(*PARTS))

    assert [block["type"] for block in found["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert (found["stop_reason"], found["model"], found["id"]) == ("tool_use", "gemini-9", "r1")
    assert found["usage"] == {
        "input_tokens": 40,
        "output_tokens": 20,
        "cache_read_input_tokens": 60,
        "output_tokens_details": {"thinking_tokens": 7},
    }
    assert found["content"][2]["input"] == {"x": 1.0}


def test_a_stream_says_what_a_whole_answer_says_in_any_cut() -> None:
    for client, check in ((OPENAI, check_openai_grammar), (ANTHROPIC, check_anthropic_grammar)):
        memo = MEMOS[client, True]
        expected = streamed(memo, STREAM)
        check(parsed(expected))
        # The framing is the same for both.
        for cut in range(1, len(STREAM), 1 if client == OPENAI else 13):
            assert streamed(memo, STREAM[:cut], STREAM[cut:]) == expected
        assert streamed(memo, *(bytes([byte]) for byte in STREAM)) == expected


def test_a_stream_has_the_parts_of_the_whole_answer() -> None:
    deltas = [body["choices"][0]["delta"] for body in parsed(streamed(MEMOS[OPENAI, True], STREAM))[:-2]]
    made = whole_document(MEMOS[OPENAI, False], response(*PARTS))["choices"][0]["message"]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]

    assert "".join(delta.get("content") or "" for delta in deltas) == made["content"]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == made["reasoning_content"]
    assert [call["id"] for call in calls if "id" in call] == [call["id"] for call in made["tool_calls"]]
    texts = [
        event for event in parsed(streamed(MEMOS[ANTHROPIC, True], STREAM)) if event["type"] == "content_block_start"
    ]
    assert [event["content_block"]["type"] for event in texts] == ["thinking", "text", "tool_use", "tool_use"]


@table(
    ("finish", "calls", "openai", "anthropic"),
    [
        ("STOP", False, "stop", "end_turn"),
        ("STOP", True, "tool_calls", "tool_use"),
        ("MAX_TOKENS", False, "length", "max_tokens"),
        ("MAX_TOKENS", True, "length", "max_tokens"),
        *((word, False, "content_filter", "refusal") for word in ("SAFETY", "RECITATION", "BLOCKLIST", "SPII")),
        *((word, False, "content_filter", "refusal") for word in ("PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR")),
        *(
            (f"IMAGE_{word}", False, "content_filter", "refusal")
            for word in ("PROHIBITED_CONTENT", "RECITATION", "OTHER")
        ),
        ("LANGUAGE", False, "content_filter", "refusal"),
        ("OTHER", False, "stop", "end_turn"),
        ("SOMETHING_NEW", False, "stop", "end_turn"),
    ],
)
def test_why_an_answer_ended(finish: str, calls: bool, openai: str, anthropic: str) -> None:
    answer = response({"text": "a"}, *PARTS[3:] if calls else (), finish=finish)

    assert whole_document(MEMOS[OPENAI, False], answer)["choices"][0]["finish_reason"] == openai
    assert whole_document(MEMOS[ANTHROPIC, False], answer)["stop_reason"] == anthropic
    chunks = parsed(streamed(MEMOS[OPENAI, True], stream_of(answer)))
    assert chunks[-3]["choices"][0]["finish_reason"] == openai


NOT_SAID = "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE".split()


@table("finish", [*NOT_SAID, "MALFORMED_RESPONSE", "NO_IMAGE"])
def test_what_the_model_failed_to_say_is_told(finish: str) -> None:
    told = {"candidates": [{"finishReason": finish, "finishMessage": "Malformed function call: print("}]}
    untold = {"candidates": [{"finishReason": finish}]}

    message = whole_document(MEMOS[OPENAI, False], told)["choices"][0]
    assert (message["finish_reason"], message["message"]["refusal"]) == ("stop", "Malformed function call: print(")
    found = whole_document(MEMOS[ANTHROPIC, False], untold)
    assert (found["stop_reason"], finish in found["content"][0]["text"]) == ("end_turn", True)


def test_a_blocked_prompt_is_a_refusal() -> None:
    answer = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}

    choice = whole_document(MEMOS[OPENAI, False], answer)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["refusal"]) == (
        "content_filter",
        "The prompt was blocked: SAFETY.",
    )
    found = whole_document(MEMOS[ANTHROPIC, False], answer)
    assert (found["stop_reason"], found["stop_details"]["explanation"]) == (
        "refusal",
        "The prompt was blocked: SAFETY.",
    )
    chunks = parsed(streamed(MEMOS[OPENAI, True], stream_of(answer)))
    assert (chunks[-1], chunks[-3]["choices"][0]["finish_reason"]) == ("[DONE]", "content_filter")


SAYING = response({"text": "a"}, finish=None)
ENDING = response({"text": "b"})
OTHERS = {"candidates": [{"index": 1, "content": {"parts": [{"text": "x"}]}, "finishReason": "SAFETY"}]}
LATE = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE}
NO_REASON = response({"text": "b"}, finish="FINISH_REASON_UNSPECIFIED")
NO_BLOCK = {"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}}


@table(
    ("responses", "text", "reason"),
    [
        ((SAYING, ENDING), "ab", "stop"),
        ((SAYING, OTHERS, ENDING), "ab", "stop"),
        ((SAYING, ENDING, LATE), "ab", "stop"),
        ((response({"text": "a", "thought": False}, finish=None), ENDING), "ab", "stop"),
        ((response(finish="STOP", finishMessage="why"),), "", "stop"),
        ((SAYING, NO_REASON), "ab", None),
        ((NO_BLOCK,), "", None),
    ],
)
def test_what_is_no_part_of_the_answer_changes_nothing(
    responses: tuple[Json, ...], text: str, reason: str | None
) -> None:
    stream = stream_of(*responses) + b"data: [DONE]\r\n\r\n"
    chunks = [found for found in parsed(streamed(MEMOS[OPENAI, True], stream)) if found != "[DONE]"]
    choices = [choice for found in chunks for choice in found.get("choices", ())]

    assert "".join(choice["delta"].get("content") or "" for choice in choices) == text
    assert choices[-1]["finish_reason"] == reason if reason else "ended before" in chunks[-1]["error"]["message"]
    if reason:
        ended = parsed(streamed(MEMOS[ANTHROPIC, True], stream))[-2]["delta"]
        assert (ended["stop_reason"], ended.get("stop_details")) == ("end_turn", None)


def test_a_candidate_without_content_is_an_empty_answer() -> None:
    for candidate in ({"finishReason": "MAX_TOKENS"}, {"content": {}, "finishReason": "MAX_TOKENS"}):
        found = whole_document(MEMOS[OPENAI, False], {"candidates": [candidate], "usageMetadata": USAGE})
        assert (found["choices"][0]["message"]["content"], found["choices"][0]["finish_reason"]) == ("", "length")


def test_a_picture_in_an_answer_is_shown() -> None:
    answer = response({"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}})

    message = whole_document(MEMOS[OPENAI, False], answer)["choices"][0]["message"]
    assert message["content"] == "look"
    assert message["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]


@table(
    ("usage", "read", "written"),
    [
        ({"promptTokenCount": 3, "thoughtsTokenCount": 5}, 3, 5),
        ({"promptTokenCount": 3, "toolUsePromptTokenCount": 4, "candidatesTokenCount": 2}, 7, 2),
        ({"promptTokenCount": 3}, 3, 0),
    ],
)
def test_what_was_thought_and_what_tools_gave_is_counted(usage: Json, read: int, written: int) -> None:
    told = whole_document(MEMOS[OPENAI, False], response({"text": "a"}, usage=usage))["usage"]

    assert (told["prompt_tokens"], told["completion_tokens"]) == (read, written)


# Signatures


def _sent_back(client: str, answer: Json) -> list[Json]:
    """The parts of the model's that Gemini gets back, when the client has run the calls."""
    made = whole_document(MEMOS[client, False], answer)
    if client == OPENAI:
        message = made["choices"][0]["message"]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in message["tool_calls"]]
        request = openai_request(*HELLO, message, *results)
    else:
        calls = [block["id"] for block in made["content"] if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": id, "content": "r"} for id in calls]
        told = [{"role": "assistant", "content": made["content"]}, {"role": "user", "content": results}]
        request = anthropic_request(*HELLO, *told)
    document = json.loads(rewritten(client, {**request, "model": "gemini-3-pro"}, GOOGLE).body)
    parts: list[Json] = document["contents"][1]["parts"]
    for part in parts:
        part.get("functionCall", {}).pop("id", None)
    return parts


@table("client", [OPENAI, ANTHROPIC])
def test_signatures_come_back_to_gemini_where_they_were(client: str) -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    said: list[list[Json]] = [
        [{**call, "thoughtSignature": SIGNATURE}, call],
        [{"text": "a", "thoughtSignature": SIGNATURE}, {**call, "thoughtSignature": "QQ=="}],
        [{"text": "b"}, {"text": "a", "thoughtSignature": SIGNATURE}, {**call, "thoughtSignature": "QQ=="}],
        [{"text": "a", "thoughtSignature": SIGNATURE}, {"text": "b"}, {**call, "thoughtSignature": "QQ=="}],
        [
            {"text": "a", "thoughtSignature": SIGNATURE},
            {"text": "b", "thoughtSignature": "Qg=="},
            {**call, "thoughtSignature": "QQ=="},
        ],
        [{**call, "thoughtSignature": "QQ=="}, {"text": "a", "thoughtSignature": SIGNATURE}, {"text": "b"}, call],
        [
            {"text": "hm", "thought": True, "thoughtSignature": SIGNATURE},
            {"text": "a"},
            {**call, "thoughtSignature": "QQ=="},
        ],
    ]
    for parts in said:
        assert _sent_back(client, response(*parts)) == parts


def test_a_signature_behind_the_text_is_that_of_the_text() -> None:
    answer = response({"text": "a"}, {"text": "", "thoughtSignature": SIGNATURE}, {"functionCall": {"name": "f"}})

    assert _sent_back(OPENAI, answer)[0] == {"text": "a", "thoughtSignature": SIGNATURE}
    bare = response({"text": "a"}, {"thoughtSignature": SIGNATURE}, {"functionCall": {"name": "f"}})
    assert _sent_back(ANTHROPIC, bare)[0] == {"text": "a", "thoughtSignature": SIGNATURE}
    alone = whole_document(MEMOS[ANTHROPIC, False], response({"text": "", "thoughtSignature": SIGNATURE}))
    assert alone["content"] == []
    events = parsed(streamed(MEMOS[ANTHROPIC, True], stream_of(response({"text": "", "thoughtSignature": SIGNATURE}))))
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]


def test_an_id_of_the_vendor_s_comes_back() -> None:
    made = whole_document(MEMOS[OPENAI, False], response({"functionCall": {"name": "f", "id": "v-1"}}))

    assert made["choices"][0]["message"]["tool_calls"][0]["id"] == "v-1"


# Errors


def _error(code: int, status: str, *details: Json) -> Json:
    return {"error": {"code": code, "message": "no é", "status": status, "details": list(details)}}


@table(
    ("code", "status", "expected", "type"),
    [
        (400, "INVALID_ARGUMENT", 400, "invalid_request_error"),
        (401, "UNAUTHENTICATED", 401, "authentication_error"),
        (403, "PERMISSION_DENIED", 403, "permission_error"),
        (404, "NOT_FOUND", 404, "not_found_error"),
        (429, "RESOURCE_EXHAUSTED", 429, "rate_limit_error"),
        (500, "INTERNAL", 500, "api_error"),
        (503, "UNAVAILABLE", 503, "api_error"),
        (504, "DEADLINE_EXCEEDED", 504, "timeout_error"),
    ],
)
def test_an_error_keeps_status_and_word_wherever_it_comes(code: int, status: str, expected: int, type: str) -> None:
    error = _error(code, status)
    for document, answered in ((error, code), (error, 200), ([error], code), ([error], 200)):
        found = whole(MEMOS[OPENAI, False], document, answered)
        body = json.loads(found.body)["error"]
        assert (found.status, body["message"], body["code"]) == (expected, "no é", status)
        found = whole(MEMOS[ANTHROPIC, False], document, answered)
        assert (found.status, json.loads(found.body)["error"]["type"]) == (expected, type)


def test_an_error_in_a_stream_ends_it() -> None:
    begun = response({"text": "a"}, finish=None, usage=None)
    for event in (_error(503, "UNAVAILABLE"), [_error(503, "UNAVAILABLE")]):
        stream = stream_of(begun) + b"data: %b\r\n\r\n" % encoded(event)
        chunks = parsed(streamed(MEMOS[OPENAI, True], stream + stream_of(response({"text": "b"}))))
        assert chunks[-1]["error"]["message"] == "no é"
        events = parsed(streamed(MEMOS[ANTHROPIC, True], stream))
        assert (events[-1]["type"], "no é" in events[-1]["error"]["message"]) == ("error", True)


def test_a_stream_without_its_end_fails() -> None:
    for client in (OPENAI, ANTHROPIC):
        memo = MEMOS[client, True]
        last = parsed(streamed(memo, stream_of(response({"text": "a"}, finish=None))))[-1]
        assert "ended before it was complete" in last["error"]["message"]
        assert "is empty" in parsed(streamed(memo, b""))[-1]["error"]["message"]


def test_no_damage_makes_a_stream_fail_otherwise() -> None:
    for client in (OPENAI, ANTHROPIC):
        for cut in range(0, len(STREAM), 7):
            found = parsed(streamed(MEMOS[client, True], STREAM[:cut] + b"}" + STREAM[cut + 1 :]))
            assert found
    for wrong in (
        b"[]",
        b"1",
        b'{"candidates":5}',
        b'{"candidates":[5]}',
        b'{"candidates":[{"content":{"parts":[5]}}]}',
    ):
        translated = Translated(MEMOS[OPENAI, True])
        assert b"error" in translated.feed(b"data: " + wrong + b"\n\n") + translated.end()
        assert whole(MEMOS[OPENAI, False], wrong).status == 502
    wrong_parts: list[Json] = [
        {"functionCall": {}},
        {"inlineData": {}},
        {"inlineData": 5},
        {"fileData": {"fileUri": 5}},
    ]
    for part in wrong_parts:
        assert whole(MEMOS[OPENAI, False], response(part)).status == 502


def test_a_wrong_key_is_401_and_a_delay_is_told() -> None:
    wrong = _error(
        400, "INVALID_ARGUMENT", {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    )
    slow = _error(
        429, "RESOURCE_EXHAUSTED", {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33.4s"}
    )

    assert whole(MEMOS[OPENAI, False], wrong, 400).status == 401
    assert whole(MEMOS[OPENAI, False], slow, 429).headers["retry-after"] == "34"


def test_a_list_of_responses_is_read_as_a_stream() -> None:
    pieces = [response({"text": "a"}, finish=None), response({"text": "b"})]
    fields = ((b"Content-Type", b"application/json"),)

    assert whole_document(MEMOS[OPENAI, False], pieces)["choices"][0]["message"]["content"] == "ab"
    assert b'"content":"a"' in whole(MEMOS[OPENAI, True], pieces, 200, fields).body
