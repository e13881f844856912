"""Single members of vendors' answers, one row each: ends, ids, usage, errors, and what is left out of a small one."""

from __future__ import annotations

from typing import Any, Final

from tests.providers.chats import CHAT, HELLO, MESSAGES, Json, provider_of, upstream_of
from tests.providers.vendor_answers import WHOLE, chunks_of, document_of, events, stream_of, whole_of
from tests.tables import table

EMBEDDINGS: Final = "/v1/embeddings"
QWEN: Final = "qwen, qwenEnableCompatible: false, qwenFileIds: [f]"
HUNYUAN: Final = f"hunyuan, hunyuanAuthId: {'A' * 36}, hunyuanAuthKey: {'B' * 32}"
PRO: Final = "minimax, minimaxApiType: pro, minimaxGroupId: g"
TRITON: Final = "triton, tritonDomain: h.test"
WORKFLOW: Final = "dify, botType: Workflow, inputVariable: q"


def _said(document: Json, member: str) -> Any:
    """A value by its path: `choices.0.message.content`."""
    found: Any = document
    for word in member.split("."):
        found = found[int(word)] if word.isdigit() else found.get(word)
    return found


# Whole answers


def _alibaba(choice: Json | None = None, **members: Any) -> Json:
    output = (
        {"choices": [{"message": {"content": "a"}, "finish_reason": "stop", **choice}]} if choice is not None else {}
    )
    return {"output": output, "request_id": "r", **members}


def _tencent(choice: Json, **members: Any) -> Json:
    return {"Response": {"Id": "r", "Created": 5, "Choices": [{"FinishReason": "stop", **choice}], **members}}


def _cohere(message: Json, reason: str = "COMPLETE", **members: Any) -> Json:
    return {"id": "r", "message": {"role": "assistant", **message}, "finish_reason": reason, **members}


def _pro(**members: Any) -> Json:
    return {"id": "r", "choices": [{"messages": [{"text": "a"}], "finish_reason": "stop"}], **members}


FUNCTIONS: Final = ({"Name": "f", "Arguments": "{}"}, {"Name": "g", "Arguments": "{}"})
CONTENT: Final = "choices.0.message.content"
REASON: Final = "choices.0.finish_reason"
CALLS: Final = "choices.0.message.tool_calls"
OLD_FORM: Final = {"output": {"text": "a", "finish_reason": "length"}}
CACHED: Final = {"prompt_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 3}}
COHERE_CALL: Final = {"id": "c", "type": "function", "function": {"name": "f"}}


@table(
    ("block", "answer", "member", "value"),
    [
        (QWEN, OLD_FORM, CONTENT, "a"),
        (QWEN, OLD_FORM, REASON, "length"),
        (QWEN, _alibaba({}, usage={"input_tokens": 5, **CACHED}), "usage.prompt_tokens_details.cached_tokens", 2),
        (QWEN, _alibaba({}, usage=CACHED), "usage.completion_tokens_details.reasoning_tokens", 3),
        (QWEN, _alibaba({}, usage={"cached_tokens": 4}), "usage.prompt_tokens_details.cached_tokens", 4),
        (QWEN, _alibaba({}), "id", "r"),
        (QWEN, _alibaba({"finish_reason": "null"}), REASON, "stop"),
        (
            QWEN,
            _alibaba({"message": {"content": [{"text": "a"}, {"image": "https://a.test/b"}]}}),
            "choices.0.message.images.0.image_url.url",
            "https://a.test/b",
        ),
        (HUNYUAN, _tencent({"Message": {"Content": "a"}, "FinishReason": "sensitive"}), REASON, "content_filter"),
        (HUNYUAN, _tencent({"Message": {"Content": "a"}, "FinishReason": ""}), REASON, "stop"),
        (HUNYUAN, _tencent({"Message": {"Content": "a"}}, ErrorMsg={"Msg": "", "Code": 0}), CONTENT, "a"),
        (HUNYUAN, _tencent({"Message": {"Content": "a"}}), "created", 5),
        (HUNYUAN, _tencent({"Message": {"Content": "a"}}), "id", "r"),
        (
            HUNYUAN,
            _tencent({"Message": {"ToolCalls": [{"Id": "1", "Function": function} for function in FUNCTIONS]}}),
            f"{CALLS}.1.function.name",
            "g",
        ),
        ("cohere", _cohere({"content": [{"type": "text", "text": "a"}]}, "MAX_TOKENS"), REASON, "length"),
        ("cohere", _cohere({"content": [{"type": "text", "text": "a"}]}, "STOP_SEQUENCE"), REASON, "stop"),
        ("cohere", _cohere({"content": []}, "SOMETHING_NEW"), REASON, "stop"),
        ("cohere", _cohere({"tool_plan": "I look.", "tool_calls": [COHERE_CALL]}, "TOOL_CALL"), CONTENT, "I look."),
        ("cohere", _cohere({"tool_calls": [COHERE_CALL]}, "TOOL_CALL"), f"{CALLS}.0.function.arguments", "{}"),
        ("cohere", _cohere({}, usage={"billed_units": {"input_tokens": 3.0}}), "usage.prompt_tokens", 3),
        (
            "cohere",
            _cohere({}, usage={"tokens": {"input_tokens": 5}, "cached_tokens": 2.0}),
            "usage.prompt_tokens_details.cached_tokens",
            2,
        ),
        (PRO, _pro(usage={"total_tokens": 9}), "usage.completion_tokens", 9),
        (PRO, _pro(base_resp={"status_code": 0, "status_msg": "ok"}), CONTENT, "a"),
        (TRITON, {"id": "7", "model_name": "served", "text_output": ["a", "b"]}, CONTENT, "ab"),
        (TRITON, {"id": "7", "model_name": "served", "text_output": "a"}, "id", "7"),
        (TRITON, {"id": "7", "model_name": "served", "text_output": "a"}, "model", "served"),
        (TRITON, {"id": 7, "model_name": None, "text_output": ""}, "model", "m"),
        (TRITON, {"text_output": ""}, CONTENT, ""),
        (WORKFLOW, {"data": {"status": "succeeded", "outputs": {"x": "a"}, "created_at": 5}}, "created", 5),
        ("dify", {"answer": "a", "message_id": "m-1"}, "id", "m-1"),
        ("dify", {"answer": "a", "metadata": {"usage": {"completion_tokens": 4}}}, "usage.completion_tokens", 4),
    ],
)  # fmt: skip
def test_a_member_of_a_whole_answer_is_told(block: str, answer: Json, member: str, value: object) -> None:
    provider = provider_of(block)
    found = whole_of(provider, upstream_of(provider, CHAT, HELLO), answer)

    assert (found.status, _said(document_of(found), member)) == (200, value)


@table(
    ("block", "answer", "reason"),
    [
        ("cohere", _cohere({"content": [{"type": "text", "text": "a"}]}, "STOP_SEQUENCE"), "stop_sequence"),
        ("cohere", _cohere({"content": [{"type": "text", "text": "a"}]}, "MAX_TOKENS"), "max_tokens"),
        ("cohere", _cohere({"tool_calls": [COHERE_CALL]}, "TOOL_CALL"), "tool_use"),
        (QWEN, _alibaba({"finish_reason": "length"}), "max_tokens"),
        (HUNYUAN, _tencent({"Message": {"Content": "a"}, "FinishReason": "sensitive"}), "refusal"),
        (HUNYUAN, _tencent({"Message": {"Content": "a"}, "FinishReason": "length"}), "max_tokens"),
    ],
)  # fmt: skip
def test_the_end_of_an_answer_is_told_in_anthropic_s_words(block: str, answer: Json, reason: str) -> None:
    provider = provider_of(block)
    found = document_of(whole_of(provider, upstream_of(provider, MESSAGES, HELLO), answer))

    assert found["stop_reason"] == reason


# Errors


@table(
    ("block", "status", "answer", "found", "message", "id"),
    [
        (QWEN, 200, _alibaba(None, code="DataInspectionFailed", message="because"), 400, "because", "r"),
        (QWEN, 200, {"output": {"choices": []}, "code": "Throttling", "message": "because"}, 429, "because", ""),
        (HUNYUAN, 200, {"Response": {"Error": {"Code": "AuthFailure"}, "RequestId": "q"}}, 401, "AuthFailure", "q"),
        (HUNYUAN, 400, {"Response": {"Error": {"Code": "AuthFailure", "Message": "because"}}}, 401, "because", ""),
        (HUNYUAN, 503, {"nothing": 1}, 503, "status 503", ""),
        (HUNYUAN, 200, {"Response": {"ErrorMsg": {"Code": "LimitExceeded"}, "RequestId": "q"}}, 429, "Limit", "q"),
        ("cohere", 200, {"message": "invalid request"}, 500, "invalid request", ""),
        (PRO, 200, {"base_resp": {"status_code": 1004, "status_msg": "because"}}, 401, "because", ""),
        ("spark", 200, {"code": 11200, "message": "because", "sid": "s-1"}, 403, "because", "s-1"),
        ("coze", 400, {"code": 4100, "msg": "because", "detail": {"logid": "l"}}, 400, "because", "l"),
        ("coze", 200, {"code": 4020, "error_message": "because"}, 429, "because", ""),
        ("coze", 200, {"code": 4020, "message": "because"}, 429, "because", ""),
        (WORKFLOW, 200, {"data": {"status": "stopped"}}, 502, "has stopped", ""),
        (TRITON, 200, {"text_output": 1}, 502, "wrong form", ""),
        ("deepl, targetLang: ZH, modelMapping: {m: Free}", 456, {"message": "x"}, 429, "quota of characters", ""),
        ("deepl, targetLang: ZH, modelMapping: {m: Free}", 403, {"message": "Forbidden"}, 403, "key of DeepL", ""),
    ],
)  # fmt: skip
def test_an_error_has_its_status_its_words_and_its_id(
    block: str, status: int, answer: Json, found: int, message: str, id: str
) -> None:
    provider = provider_of(block)
    for target, field in ((CHAT, "x-request-id"), (MESSAGES, "request-id")):
        if block == PRO and target == MESSAGES:
            continue  # which it has itself
        made = whole_of(provider, upstream_of(provider, target, HELLO), answer, status, WHOLE)
        assert (made.status, made.headers.get(field, "")) == (found, id)
        assert message in document_of(made)["error"]["message"]


BASE: Final = {"base_resp": {"status_code": 1004, "status_msg": "because"}}
NO: Final = {"message": "because"}


@table(
    ("block", "target", "field", "answer"),
    [
        ("bedrock, awsRegion: us-east-1", CHAT, "x-amzn-RequestId", NO),
        ("bedrock, awsRegion: us-east-1", MESSAGES, "x-amzn-RequestId", NO),
        ("bedrock, awsRegion: us-east-1, modelMapping: {m: amazon.titan-embed}", EMBEDDINGS, "x-amzn-RequestId", NO),
        ("cohere", CHAT, "X-Debug-Trace-Id", NO),
        ("coze", MESSAGES, "X-Tt-Logid", {"code": 4100, "msg": "because"}),
        (PRO, CHAT, "Trace-Id", BASE),
        ("minimax", CHAT, "Trace-Id", BASE),
        ("minimax", EMBEDDINGS, "Trace-Id", BASE),
        ("deepl, targetLang: ZH, modelMapping: {m: Free}", CHAT, "X-Trace-Id", NO),
        ("moonshot", MESSAGES, "Msh-Request-Id", NO),
        ("baidu", MESSAGES, "X-Bce-Request-Id", NO),
        ("spark", CHAT, "X-Request-Id", {"code": 11200, "message": "because"}),
        ("groq", MESSAGES, "X-Request-Id", NO),
        ("claude", CHAT, "Request-Id", NO),
    ],
)
def test_the_id_of_a_request_is_where_the_client_s_sdks_look_for_it(
    block: str, target: str, field: str, answer: Json
) -> None:
    provider = provider_of(block)
    sent = upstream_of(provider, target, {**HELLO, "input": "a"} if target == EMBEDDINGS else HELLO)
    name = "request-id" if target == MESSAGES else "x-request-id"
    for status in (200, 400):
        made = whole_of(provider, sent, answer, status, (*WHOLE, (field.encode(), b"r-1")))
        # Where the vendor has it there already, it stays.
        assert made.headers.get(name) == (None if field.lower() == name else "r-1")


# Streams


def _event(kind: str, **message: Any) -> tuple[str, Json]:
    return kind, {"type": kind, "delta": {"message": message}}


STARTED: Final = ("message-start", {"id": "r"})
ENDED: Final = ("message-end", {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}})
ENDED_BY_CALLS: Final = ("message-end", {"delta": {"finish_reason": "TOOL_CALL"}})
TEXT: Final = _event("content-delta", content={"text": "a"})
ARGUMENTS: Final = _event("tool-call-delta", tool_calls={"function": {"arguments": "{}"}})
CALLED: Final = _event("tool-call-start", tool_calls={"id": "c", "function": {"name": "f", "arguments": "{}"}})
FUNCTION: Final = {"text": "", "function_call": {"name": "f", "arguments": "{}"}}


def _functions(reason: str = "") -> Json:
    return {"choices": [{"messages": [FUNCTION], "finish_reason": reason}]}


def _texts(text: str, reason: str = "") -> Json:
    return {"choices": [{"messages": [{"text": text}], "finish_reason": reason}]}


SPARK: Final = {"code": 0, "message": "Success", "sid": "s-1"}
SPARK_TEXT: Final = {**SPARK, "choices": [{"index": 0, "delta": {"content": "a"}}]}
DONE: Final = b"data: [DONE]\n\n"
HEAD: Final = {"conversation_id": "c", "message_id": "m"}
DIFY_TEXT: Final = {"event": "message", "answer": "a", **HEAD}
DIFY_END: Final = {"event": "message_end", **HEAD, "metadata": {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}}
FINISHED: Final = {"event": "workflow_finished", "data": {"status": "succeeded", "outputs": {"x": "a"}}}


@table(
    ("block", "stream", "text", "calls", "end"),
    [
        ("cohere", events(STARTED, TEXT, TEXT, ENDED, named=True), "aa", 0, "stop"),
        ("cohere", events(STARTED, TEXT, STARTED, ENDED, named=True), "a", 0, "stop"),
        ("cohere", events(STARTED, CALLED, CALLED, ENDED_BY_CALLS, named=True), "", 2, "tool_calls"),
        ("cohere", events(TEXT, ENDED, named=True), "", 0, "begins in the middle"),
        ("cohere", events(STARTED, ("message-end", {"delta": {"error": "why"}}), named=True), "", 0, "why"),
        ("cohere", events(STARTED, ARGUMENTS, ENDED, named=True), "", 0, "wrong form"),
        ("cohere", events(STARTED, ("other", {"delta": {}, "message": "x"}), ENDED, named=True), "", 0, "stop"),
        (PRO, events(_functions(), _functions("stop")), "", 2, "tool_calls"),
        (PRO, events(_texts("a"), _texts("a"), _texts("aa", "stop")), "aa", 0, "stop"),
        (PRO, events(_texts("a"), {"base_resp": {"status_code": 1002, "status_msg": "slow"}}), "a", 0, "slow"),
        (PRO, events({**_texts("a"), "base_resp": {"status_code": 1027, "status_msg": "bad"}}), "", 0, "bad"),
        ("spark", events(SPARK_TEXT, {**SPARK, "choices": [], "usage": {"total_tokens": 3}}) + DONE, "a", 0, "stop"),
        (TRITON, events({"text_output": "a"}, {"text_output": ""}), "a", 0, "stop"),
        (TRITON, b"", "", 0, "ended before it was complete"),
        (HUNYUAN, events({"Response": {"Error": {"Code": "X", "Message": "no"}}}), "", 0, "no"),
        ("coze", events({"code": 4020, "msg": "slow"}), "", 0, "slow"),
        ("dify", events(DIFY_TEXT, FINISHED, DIFY_END), "a", 0, "stop"),
        ("dify", events(DIFY_TEXT, {"event": "text_chunk", "data": {"text": "b"}}, DIFY_END), "a", 0, "stop"),
        ("dify", events(DIFY_TEXT, {"event": "message_file", "type": "audio", "url": "x"}, DIFY_END), "a", 0, "stop"),
        (
            "dify",
            events({"event": "message_file", "type": "image", "belongs_to": "user", "url": "x"}, DIFY_TEXT, DIFY_END),
            "a",
            0,
            "stop",
        ),
        (WORKFLOW, events({"event": "text_chunk", "data": {"text": "b"}}, FINISHED), "b", 0, "stop"),
        (WORKFLOW, events(FINISHED), "a", 0, "stop"),
        (f"{WORKFLOW}, outputVariable: y", events(FINISHED), "", 0, "no output of the name in outputVariable"),
        (WORKFLOW, events({"event": "workflow_finished", "data": {"status": "stopped"}}), "", 0, "has stopped"),
    ],
)  # fmt: skip
def test_a_stream_says_so_much_and_ends_so(block: str, stream: bytes, text: str, calls: int, end: str) -> None:
    provider = provider_of(block)
    chunks = chunks_of(stream_of(provider, upstream_of(provider, CHAT, {**HELLO, "stream": True}), stream))
    choices = [choice for found in chunks if isinstance(found, dict) for choice in found.get("choices", ())]

    assert "".join(choice["delta"].get("content") or "" for choice in choices) == text
    assert not any("images" in choice["delta"] for choice in choices)
    told = [call for choice in choices for call in choice["delta"].get("tool_calls", ()) if "id" in call]
    assert [call["index"] for call in told] == [*range(calls)]
    parts = [part["function"] for choice in choices for part in choice["delta"].get("tool_calls", ())]
    assert "".join(part.get("arguments") or "" for part in parts) == "{}" * calls
    last = chunks[-1]
    assert last == "[DONE]" or "error" in last
    assert end in (last["error"]["message"] if isinstance(last, dict) else choices[-1]["finish_reason"])


def test_a_text_is_one_block_and_the_usage_of_a_stream_is_told() -> None:
    for block, stream in (
        ("cohere", events(STARTED, TEXT, TEXT, ENDED, named=True)),
        ("dify", events(DIFY_TEXT, DIFY_TEXT, DIFY_END)),
    ):
        provider = provider_of(block)
        made = chunks_of(stream_of(provider, upstream_of(provider, MESSAGES, {**HELLO, "stream": True}), stream))
        assert [event["type"] for event in made].count("content_block_start") == 1
    assert made[-2]["usage"]["output_tokens"] == 4
