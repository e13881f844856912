"""Chats in forms of vendors' own: what clients of both dialects get of each vendor's answers."""

from __future__ import annotations

import json
import random
from typing import Any, Final, NamedTuple

from mitm_ai_proxy.exchange import Answer, Pieces, Upstream, Whole
from tests.providers.chats import CHAT, MESSAGES, Json, provider_of, upstream_of
from tests.tables import table

HUNYUAN: Final = f"hunyuan, hunyuanAuthId: {'A' * 36}, hunyuanAuthKey: {'B' * 32}"
PRO: Final = "minimax, minimaxApiType: pro, minimaxGroupId: g"
QWEN: Final = "qwen, qwenEnableCompatible: false"


class Vendor(NamedTuple):
    """A vendor's block, and the same answer of it whole and streamed; whether it tells thinking, and prompt tokens."""

    block: str
    whole: Json
    stream: bytes
    thinks: bool = True


def _events(*documents: Json, typed: bool = False, before: str = "") -> bytes:
    events = []
    for document in documents:
        type = f"event: {document['type']}\n" if typed else before
        events.append(f"{type}data: {json.dumps(document, ensure_ascii=False)}\n\n".encode())
    return b"".join(events)


def _dashscope(finish: str = "null", **message: Any) -> Json:
    choice = {"message": {"role": "assistant", "content": "", **message}, "finish_reason": finish}
    return {"output": {"choices": [choice]}, "usage": {"input_tokens": 3, "output_tokens": 4}, "request_id": "r1"}


def _hunyuan(finish: str = "", **delta: Any) -> Json:
    choice = {"Index": 0, "Delta": {"Role": "assistant", **delta}, "FinishReason": finish}
    return {"Id": "r1", "Created": 5, "Choices": [choice], "Usage": {"PromptTokens": 3, "CompletionTokens": 4}}


def _cohere(kind: str, **message: Any) -> Json:
    return {"type": kind, "index": 0, "delta": {"message": message}}


DASHSCOPE_CALL: Final = {"index": 0, "id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"x": 2}'}}
HUNYUAN_CALL: Final = {
    "Id": "c2",
    "Type": "function",
    "Index": 0,
    "Function": {"Name": "f", "Arguments": '{"x": 2}'},
}
COHERE_USAGE: Final = {"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 3.0, "output_tokens": 4.0}}
VENDORS: Final = {
    "cohere": Vendor(
        "cohere",
        {
            "id": "r1",
            "finish_reason": "TOOL_CALL",
            "message": {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "hmé"}, {"type": "text", "text": "héllo"}],
                "tool_calls": [{"id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"x": 2}'}}],
            },
            "usage": COHERE_USAGE,
        },
        _events(
            {"type": "message-start", "id": "r1", "delta": {"message": {"role": "assistant"}}},
            _cohere("content-start", content={"type": "thinking", "thinking": ""}),
            _cohere("content-delta", content={"thinking": "hmé"}),
            {"type": "content-end", "index": 0},
            _cohere("tool-plan-delta", tool_plan="hél"),
            _cohere("tool-plan-delta", tool_plan="lo"),
            _cohere("tool-call-start", tool_calls={"id": "c2", "function": {"name": "f", "arguments": ""}}),
            _cohere("tool-call-delta", tool_calls={"function": {"arguments": '{"x": 2}'}}),
            {"type": "tool-call-end", "index": 0},
            {"type": "citation-start", "delta": {"message": {"citations": {}}}},
            {"type": "message-end", "id": "r1", "delta": {"finish_reason": "TOOL_CALL", "usage": COHERE_USAGE}},
            typed=True,
        ),
    ),
    "dashscope": Vendor(
        QWEN,
        _dashscope("tool_calls", reasoning_content="hmé", content=[{"text": "héllo"}], tool_calls=[DASHSCOPE_CALL]),
        _events(
            _dashscope(reasoning_content="hmé"),
            _dashscope(content="hél"),
            _dashscope(content="lo"),
            _dashscope(tool_calls=[{**DASHSCOPE_CALL, "function": {"name": "f", "arguments": ""}}]),
            _dashscope("tool_calls", tool_calls=[{"index": 0, "id": "", "function": {"arguments": '{"x": 2}'}}]),
            before="id:1\nevent:result\n:HTTP_STATUS/200\n",
        ),
    ),
    "hunyuan": Vendor(
        HUNYUAN,
        {
            "Response": {
                **_hunyuan(),
                "Choices": [
                    {
                        "Index": 0,
                        "FinishReason": "tool_calls",
                        "Message": {"ReasoningContent": "hmé", "Content": "héllo", "ToolCalls": [HUNYUAN_CALL]},
                    }
                ],
                "RequestId": "q",
            }
        },
        _events(
            _hunyuan(ReasoningContent="hmé", Content=""),
            _hunyuan(Content="hél"),
            _hunyuan(Content="lo"),
            _hunyuan(ToolCalls=[{**HUNYUAN_CALL, "Function": {"Name": "f", "Arguments": ""}}]),
            _hunyuan("tool_calls", ToolCalls=[{"Index": 0, "Id": "c2", "Function": {"Arguments": '{"x": 2}'}}]),
        )
        + b"data: [DONE]\n\n",
    ),
}  # fmt: skip
THOUGHT, SAID, ARGUMENTS = "hmé", "héllo", '{"x": 2}'


def _answer(vendor: Vendor, target: str, body: bytes, *, is_stream: bool, status: int = 200) -> Answer | Pieces:
    provider = provider_of(vendor.block if target == CHAT or vendor.block != QWEN else f"{QWEN}, qwenFileIds: [f]")
    request: Json = {
        "model": "m",
        "max_tokens": 9,
        "stream": is_stream,
        "messages": [{"role": "user", "content": "hi"}],
    }
    sent = upstream_of(provider, target, request)
    kind = b"text/event-stream" if is_stream and status == 200 else b"application/json"
    handling = provider.responseheaders(sent, status, ((b"content-type", kind),))
    if isinstance(handling, Pieces):
        return handling
    assert isinstance(handling, Whole)
    return handling.rewrite(Answer(status, body))


def _whole(vendor: Vendor, target: str, document: Json, status: int = 200) -> Answer:
    found = _answer(vendor, target, json.dumps(document).encode(), is_stream=False, status=status)
    assert isinstance(found, Answer)
    return found


def _streamed(vendor: Vendor, target: str, *pieces: bytes) -> bytes:
    found = _answer(vendor, target, b"", is_stream=True)
    assert isinstance(found, Pieces)
    return b"".join([*map(found.transducer.feed, pieces), found.transducer.end()])


def _documents(stream: bytes) -> list[Json]:
    lines = [line[6:] for line in stream.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@table(("name", "vendor"), VENDORS.items())
def test_a_whole_answer_is_one_of_either_dialect(name: str, vendor: Vendor) -> None:
    document = json.loads(_whole(vendor, CHAT, vendor.whole).body)
    message = json.loads(_whole(vendor, MESSAGES, vendor.whole).body)

    choice = document["choices"][0]
    call = {"id": "c2", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}
    assert (choice["message"]["content"], choice["message"]["reasoning_content"]) == (SAID, THOUGHT)
    assert (choice["message"]["tool_calls"], choice["finish_reason"]) == ([call], "tool_calls")
    assert document["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert (document["id"], document["model"]) == ("r1", "m")
    assert message["content"] == [
        {"type": "thinking", "thinking": THOUGHT, "signature": ""},
        {"type": "text", "text": SAID},
        {"type": "tool_use", "id": "c2", "name": "f", "input": {"x": 2}},
    ]
    assert (message["stop_reason"], message["usage"]) == ("tool_use", {"input_tokens": 3, "output_tokens": 4})


@table(("name", "vendor"), VENDORS.items())
def test_a_stream_is_the_same_in_any_cut(name: str, vendor: Vendor) -> None:
    for target in (CHAT, MESSAGES):
        stream = _streamed(vendor, target, vendor.stream)
        documents = _documents(stream)

        assert _streamed(vendor, target, *(bytes([byte]) for byte in vendor.stream)) == stream
        for size in (2, 7, 61):
            pieces = [vendor.stream[at : at + size] for at in range(0, len(vendor.stream), size)]
            assert _streamed(vendor, target, *pieces) == stream
        if target == CHAT:
            deltas = [choice["delta"] for found in documents for choice in found["choices"]]
            assert "".join(delta.get("content") or "" for delta in deltas) == SAID
            assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == THOUGHT
            parts = [part for delta in deltas for part in delta.get("tool_calls", ())]
            assert "".join(part["function"]["arguments"] for part in parts) == ARGUMENTS
            assert [choice["finish_reason"] for found in documents for choice in found["choices"]][-1] == "tool_calls"
            assert documents[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
            assert stream.endswith(b"data: [DONE]\n\n")
        else:
            assert [found["content_block"]["type"] for found in documents if "content_block" in found] == [
                "thinking",
                "text",
                "tool_use",
            ]
            assert documents[-2]["delta"]["stop_reason"] == "tool_use"
            assert documents[-2]["usage"]["output_tokens"] == 4
            assert documents[-1]["type"] == "message_stop"


@table(("name", "vendor"), VENDORS.items())
def test_a_stream_that_breaks_off_ends_with_an_error(name: str, vendor: Vendor) -> None:
    *events, _, _ = vendor.stream.removesuffix(b"data: [DONE]\n\n").split(b"\n\n")
    cut = b"\n\n".join(events) + b"\n\n"

    # In the middle of an event, too.
    for end in (b"", events[-1][:-3]):
        assert "ended before it was complete" in _documents(_streamed(vendor, CHAT, cut + end))[-1]["error"]["message"]
    assert _documents(_streamed(vendor, MESSAGES, cut))[-1]["type"] == "error"
    assert b"[DONE]" not in _streamed(vendor, CHAT, cut)


COHERE, DASHSCOPE, TENCENT = VENDORS["cohere"], VENDORS["dashscope"], VENDORS["hunyuan"]


def _alibaba(code: str) -> Json:
    return {"code": code, "message": "no", "request_id": "q"}


def _tencent(code: str) -> Json:
    return {"Response": {"Error": {"Code": code, "Message": "no"}, "RequestId": "q"}}


@table(
    ("vendor", "status", "document", "found"),
    [
        (COHERE, 429, {"message": "no"}, (429, "status_429", "")),
        (COHERE, 401, {"id": "x", "message": "no"}, (401, "status_401", "x")),
        (COHERE, 200, {"id": "x", "finish_reason": "ERROR", "message": {"role": "assistant"}}, (500, "ERROR", "")),
        (COHERE, 200, {"id": "x", "finish_reason": "TIMEOUT", "message": {"role": "assistant"}}, (504, "TIMEOUT", "")),
        (DASHSCOPE, 400, _alibaba("InvalidParameter"), (400, "InvalidParameter", "q")),
        (DASHSCOPE, 429, _alibaba("Throttling.RateQuota"), (429, "Throttling.RateQuota", "q")),
        (DASHSCOPE, 200, _alibaba("InvalidApiKey"), (401, "InvalidApiKey", "q")),
        (TENCENT, 200, _tencent("AuthFailure.SignatureFailure"), (401, "AuthFailure.SignatureFailure", "q")),
        (TENCENT, 200, _tencent("UnauthorizedOperation"), (403, "UnauthorizedOperation", "q")),
        (TENCENT, 200, _tencent("RequestLimitExceeded"), (429, "RequestLimitExceeded", "q")),
        (TENCENT, 200, _tencent("InvalidParameterValue.Model"), (400, "InvalidParameterValue.Model", "q")),
        (TENCENT, 200, _tencent("FailedOperation.EngineServerError"), (500, "FailedOperation.EngineServerError", "q")),
        (TENCENT, 200, _tencent("SomethingNew"), (502, "SomethingNew", "q")),
        (TENCENT, 200, {"nothing": 1}, (502, "bad_answer", "")),
        (DASHSCOPE, 200, {"output": {"choices": [{}]}}, (502, "bad_answer", "")),
        (DASHSCOPE, 200, {"output": {}}, (502, "bad_answer", "")),
        (COHERE, 200, {"message": {"content": [{}]}}, (502, "bad_answer", "")),
    ],
)  # fmt: skip
def test_an_error_keeps_its_status_its_code_and_its_id(
    vendor: Vendor, status: int, document: Json, found: tuple[int, str, str]
) -> None:
    openai, anthropic = (_whole(vendor, target, document, status) for target in (CHAT, MESSAGES))

    code = json.loads(openai.body)["error"]["code"]
    # Cohere has no words for its errors.
    code = code if code != "provider_error" else f"status_{status}"
    assert (openai.status, code, openai.headers.get("x-request-id", "")) == found
    assert (anthropic.status, anthropic.headers.get("request-id", "")) == (found[0], found[2])
    assert json.loads(anthropic.body)["type"] == "error"


@table(
    ("vendor", "stream", "message"),
    [
        (DASHSCOPE, b"id:1\nevent:error\n:HTTP_STATUS/429\n" + _events(_alibaba("Throttling")), "no (request q)"),
        (TENCENT, _events(_tencent("LimitExceeded")), "no (request q)"),
        (TENCENT, b'data: {"Id":"1","Choices":[],"ErrorMsg":{"Msg":"no","Code":4001}}\n\n', "no"),
        (
            COHERE,
            COHERE.stream.split(b"event: citation")[0]
            + _events({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "no"}}, typed=True),
            "no",
        ),
        (COHERE, b'data: {"message":"no"}\n\n', "no"),
    ],
)  # fmt: skip
def test_an_error_inside_a_stream_is_its_last_event(vendor: Vendor, stream: bytes, message: str) -> None:
    openai, anthropic = (_documents(_streamed(vendor, target, stream))[-1] for target in (CHAT, MESSAGES))

    assert openai["error"]["message"] == message
    assert anthropic["error"]["message"].startswith(message)


def _damaged(value: Any, chance: random.Random) -> Any:
    """The value with one value in it replaced by another, or one member less."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice([*value])
        rest = {key: item for key, item in value.items() if key != name}
        return rest if chance.random() < 0.2 else {**value, name: _damaged(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        return [_damaged(value[0], chance), *value[1:]]
    return chance.choice([None, 0, -1, True, "", "x", [], {}, [None], {"a": 1}, 10**30])


@table(("name", "vendor"), VENDORS.items())
def test_a_damaged_answer_is_an_answer_or_an_error(name: str, vendor: Vendor) -> None:
    chance = random.Random(name)
    events = vendor.stream.removesuffix(b"\n\n").split(b"\n\n")
    for _ in range(25):
        damaged = _damaged(vendor.whole, chance)
        place = chance.randrange(len(events))
        head, mark, data = events[place].partition(b"data: ")
        data = b"[DONE]" if data == b"[DONE]" else json.dumps(_damaged(json.loads(data), chance)).encode()
        stream = b"\n\n".join([*events[:place], head + mark + data, *events[place + 1 :], b""])
        for target, end in ((CHAT, b"[DONE]"), (MESSAGES, b"message_stop")):
            answer = _whole(vendor, target, damaged)
            assert answer.status == 200 or "error" in json.loads(answer.body)
            told = _streamed(vendor, target, stream)
            assert end in told or b'"error"' in told


# MiniMax pro: Anthropic's dialect passes to its own API.

PRO_VENDOR: Final = Vendor(PRO, {}, b"")


def _pro(text: str, finish: str | None = None, **members: Any) -> Json:
    choice = {"index": 0, "messages": [{"sender_type": "BOT", "sender_name": "MM智能助理", "text": text}]}
    return {"id": "r1", "created": 5, "model": "abab", "choices": [{**choice, "finish_reason": finish}], **members}


def test_minimax_pro_s_answers_are_one_message() -> None:
    answer = _pro("hello", "stop", usage={"total_tokens": 7}, base_resp={"status_code": 0, "status_msg": ""})
    stream = _events(_pro("hel"), _pro("lo"), _pro("hello", "stop", usage={"total_tokens": 7}))
    document = json.loads(_whole(PRO_VENDOR, CHAT, answer).body)

    assert document["choices"][0]["message"]["content"] == "hello"
    assert (document["usage"]["total_tokens"], document["choices"][0]["finish_reason"]) == (7, "stop")
    told = _documents(_streamed(PRO_VENDOR, CHAT, *(bytes([byte]) for byte in stream)))
    deltas = [choice["delta"].get("content") or "" for found in told for choice in found["choices"]]
    assert "".join(deltas) == "hello"
    assert told[-1]["usage"]["total_tokens"] == 7


def test_minimax_pro_calls_functions() -> None:
    answer = _pro("", "stop")
    answer["choices"][0]["messages"][0]["function_call"] = {"name": "f", "arguments": '{"x": 2}'}
    choice = json.loads(_whole(PRO_VENDOR, CHAT, answer).body)["choices"][0]

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 2}'}


# Vendors of OpenAI's dialect with errors of their own


def _native(block: str, document: Json, body: bytes, status: int = 200) -> tuple[int, bytes]:
    provider = provider_of(block)
    sent: Upstream = upstream_of(provider, CHAT, document)
    kind = b"text/event-stream" if document.get("stream") else b"application/json"
    handling = provider.responseheaders(sent, status, ((b"content-type", kind),))
    if isinstance(handling, Pieces):
        pieces = [handling.transducer.feed(bytes([byte])) for byte in body]
        return 200, b"".join([*pieces, handling.transducer.end()])
    assert isinstance(handling, Whole)
    answer = handling.rewrite(Answer(status, body))
    return answer.status, answer.body


ASKED: Final[Json] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAMED: Final[Json] = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}


@table(
    ("block", "body", "status", "code"),
    [
        ("minimax", b'{"base_resp":{"status_code":1002,"status_msg":"no"}}', 429, "1002"),
        ("minimax", b'{"base_resp":{"status_code":1004,"status_msg":"no"}}', 401, "1004"),
        ("minimax", b'{"base_resp":{"status_code":1008,"status_msg":"no"}}', 402, "1008"),
        ("minimax", b'{"base_resp":{"status_code":2013,"status_msg":"no"}}', 400, "2013"),
        ("spark", b'{"code":10013,"message":"no","sid":"s1"}', 400, "10013"),
        ("spark", b'{"code":11202,"message":"no","sid":"s1"}', 429, "11202"),
        ("baidu", b'{"error_code":336501,"error_msg":"no"}', 429, "336501"),
        ("baidu", b'{"error":{"code":"access_denied","message":"no"}}', 403, "access_denied"),
        ("baidu", b'{"error":{"type":"rate_limit_error","message":"no"}}', 429, "rate_limit_error"),
        ("moonshot", b'{"code":"insufficient_quota","message":"no"}', 429, "insufficient_quota"),
    ],
)
def test_an_error_in_a_200_is_an_error_for_openai_s_clients(block: str, body: bytes, status: int, code: str) -> None:
    found, answer = _native(block, ASKED, body)

    assert (found, json.loads(answer)["error"]["code"]) == (status, code)
    for rest in (b"", b"\n\ndata: more\n\n"):
        _, stream = _native(block, STREAMED, b"data: " + body + rest)
        assert [document["error"]["code"] for document in _documents(stream)] == [code]


SUCCESS: Final = b'{ "id":"1","choices":[],"code":%b,"message":"Success"}'
LIFTED: Final = b'{"choices":[{"delta":{},"usage":%b}],"usage": %b}'


@table(
    ("block", "status", "body"),
    [
        ("minimax", 200, b'{ "choices":[{"message":{}}],"base_resp":{"status_code":0,"status_msg":"ok"}}'),
        *(("moonshot", 200, SUCCESS % code) for code in (b"null", b"0", b'"0"', b"200", b'"200"')),
        ("moonshot", 200, LIFTED % (b'{"total_tokens":4}', b'{"total_tokens":9}')),
        ("moonshot", 200, LIFTED % (b"null", b"null")),
        ("moonshot", 200, b'{"choices":[],"usage":null, "error":null}'),
        ("baidu", 400, b'{ "error":{"message":"no","code":"x","type":"t","more":1.0}, "id":"as-1"}'),
        ("baidu", 502, b'{ "error": "gateway'),
        ("baidu", 404, b'{ "nothing": 1 }'),
    ],
)
def test_what_has_openai_s_form_stays_to_the_byte(block: str, status: int, body: bytes) -> None:
    assert _native(block, ASKED, body, status) == (status, body)
    if status == 200:
        stream = b': hi\r\n\r\ndata:{"choices":[{"delta":{"content":"\\u00e9"}}], "x":1e400}\r\n\r\ndata: %b\n\n' % body
        for end in (b"", b"data: [DONE]\n\n"):
            assert _native(block, STREAMED, stream + end) == (200, stream + end)


def test_an_event_of_openai_s_form_that_does_not_end_is_an_error_before_it_fills_the_memory() -> None:
    handling = provider_of("minimax").responseheaders(
        upstream_of(provider_of("minimax"), CHAT, STREAMED), 200, ((b"content-type", b"text/event-stream"),)
    )
    assert isinstance(handling, Pieces)
    told = [handling.transducer.feed(b"data: " + b"x" * (1 << 22)) for _ in range(6)]

    assert "does not end" in json.loads(b"".join(told).partition(b"data: ")[2])["error"]["message"]
    assert handling.transducer.feed(b"data: {}\n\n") + handling.transducer.end() == b""


def test_moonshot_s_usage_stands_beside_the_choices_too() -> None:
    chunk = b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"total_tokens":4}}]}\n\n'
    _, stream = _native("moonshot", STREAMED, chunk + b"data: [DONE]\n\n")

    assert _documents(stream)[0]["usage"] == {"total_tokens": 4}
    assert stream.endswith(b"data: [DONE]\n\n")


def test_spark_s_answers_get_what_they_lack() -> None:
    choice = b'"choices":[{"message":{"role":"assistant","content":"hi"},"index":0}]'
    usage = b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
    _, body = _native("spark", ASKED, b'{"code":0,"message":"Success","sid":"s1",%b,%b}' % (choice, usage))
    head = b'data:{"code":0,"message":"Success","sid":"s1","created":5,'
    _, stream = _native(
        "spark",
        STREAMED,
        head + choice.replace(b"message", b"delta") + b"}\n\n" + head + b'"choices":[{"delta":{},"index":0}],' + usage
        + b"}\n\ndata:[DONE]\n\n",
    )  # fmt: skip

    found = json.loads(body)
    assert (found["id"], found["object"], found["model"]) == ("s1", "chat.completion", "m")
    assert found["choices"][0]["finish_reason"] == "stop"
    chunks = _documents(stream)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [None, None, "stop"]
    assert chunks[-1]["usage"]["total_tokens"] == 3
    assert stream.endswith(b"data: [DONE]\n\n")
