"""What holds for every vendor of the table below, in both dialects: base paths, models, contexts, media, errors."""

from __future__ import annotations

import functools
import json
import re
from typing import Any, Final, NamedTuple

import pytest

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Head, NeedsBody, Pass, Upstream
from mitm_ai_proxy.providers.base import Provider
from tests.providers.chats import CHAT, HELLO, MESSAGES, Json, fields_of, head_of, upstream_of
from tests.providers.vendor_answers import EVENTS, chunks_of, document_of, events, stream_of, text_in, whole_of
from tests.tables import table

OWN_MESSAGES: Final = "/anthropic/v1/messages"


class Vendor(NamedTuple):
    """A block, and the targets of a chat of OpenAI's dialect and of one of Anthropic's ("": the same), for a model."""

    block: str
    chat: str
    messages: str = ""
    model: str = "m"
    other: str = "n"
    """Another model."""


VENDORS: Final = {
    "gemini": Vendor("gemini", "/v1beta/models/m:generateContent"),
    "vertex": Vendor("vertex", "/v1/publishers/google/models/m:generateContent"),
    "claude at vertex": Vendor(
        "vertex",
        "/v1/publishers/anthropic/models/claude-m:rawPredict",
        model="claude-m",
        other="claude-n",
    ),
    "bedrock": Vendor("bedrock, awsRegion: us-east-1", "/model/m/converse"),
    "claude at bedrock": Vendor(
        "bedrock, awsRegion: us-east-1",
        "/model/anthropic.m/converse",
        OWN_MESSAGES,
        model="anthropic.m",
        other="anthropic.n",
    ),
    "qwen": Vendor("qwen", "/compatible-mode/v1/chat/completions", "/apps/anthropic/v1/messages"),
    "qwen's own": Vendor(
        "qwen, qwenEnableCompatible: false",
        "/api/v1/services/aigc/text-generation/generation",
        "/apps/anthropic/v1/messages",
    ),
    "doubao": Vendor("doubao", "/api/v3/chat/completions"),
    "doubao's bots": Vendor("doubao", "/api/v3/bots/chat/completions", model="bot-m", other="bot-n"),
    "zhipuai": Vendor("zhipuai", "/api/paas/v4/chat/completions", "/api/anthropic/v1/messages"),
    "moonshot": Vendor("moonshot", "/v1/chat/completions"),
    "hunyuan": Vendor("hunyuan", "/v1/chat/completions"),
    "hunyuan's own": Vendor(f"hunyuan, hunyuanAuthId: {'A' * 36}, hunyuanAuthKey: {'B' * 32}", "/"),
    "minimax": Vendor("minimax", "/v1/chat/completions", OWN_MESSAGES),
    "minimax pro": Vendor(
        "minimax, minimaxApiType: pro, minimaxGroupId: g", "/v1/text/chatcompletion_pro?GroupId=g", OWN_MESSAGES
    ),
    "spark": Vendor("spark", "/v1/chat/completions"),
    "cloudflare": Vendor("cloudflare, cloudflareAccountId: acc", "/client/v4/accounts/acc/ai/v1/chat/completions"),
    "cohere": Vendor("cohere", "/v2/chat"),
    "deepl": Vendor("deepl, targetLang: ZH", "/v2/translate", model="Free", other="Pro"),
    "dify": Vendor("dify", "/v1/chat-messages"),
    "coze": Vendor("coze", "/v3/chat"),
    "triton": Vendor("triton, tritonDomain: h.test", "/v2/models/m/generate"),
    "baidu": Vendor("baidu", "/v2/chat/completions"),
}
EACH: Final = [(name, target) for name in VENDORS for target in (CHAT, MESSAGES)]
GOOGLE: Final = ("gemini", "vertex", "claude at vertex")
TEXT_ONLY: Final = ("deepl", "dify", "coze", "triton")


@functools.cache
def _provider(name: str, *keys: str) -> Provider:
    text = ", ".join([VENDORS[name].block, "apiTokens: token-of-ours", *keys])
    read = registry.fetched(registry.read(f"provider: {{type: {text}}}", {}), lambda fetch: "CONTEXT")
    return registry.provider(read, lambda: 1700000000.0)


def _sent(name: str, target: str, *keys: str, prefix: str = "", model: str = "", **members: Any) -> Upstream:
    """What is sent for a small chat, with further keys in the block."""
    document = {**HELLO, "model": model or VENDORS[name].model, **members}
    sent = upstream_of(_provider(name, *keys), prefix + target, document)
    return sent if sent.body is not None else sent._replace(body=json.dumps(document).encode())


def _place(sent: Upstream) -> tuple[str, str, bytes]:
    return str(sent.origin), sent.target, sent.body or b""


@table(("name", "target"), EACH)
def test_a_chat_goes_to_its_place_below_the_base_paths(name: str, target: str) -> None:
    vendor = VENDORS[name]
    sent = _sent(name, target)
    assert sent.target == ((vendor.messages if target == MESSAGES else "") or vendor.chat)

    below = _sent(name, target, "providerBasePath: /outer", "basePath: /in", prefix="/in")
    assert _place(below) == (str(sent.origin), f"/outer{sent.target}", sent.body)
    put_before = _sent(name, target, "providerBasePath: /outer", "basePath: /in", "basePathHandling: prepend")
    assert _place(put_before) == (str(sent.origin), f"/outer/in{sent.target}", sent.body)
    elsewhere = _sent(name, target, "providerDomain: 'http://own.test:81'")
    assert _place(elsewhere) == ("http://own.test:81", sent.target, sent.body)


@table(("name", "target"), EACH)
def test_a_capability_may_have_another_path(name: str, target: str) -> None:
    is_own = bool(target == MESSAGES and VENDORS[name].messages) or name == "claude at vertex"
    api = "anthropic/v1/messages" if is_own else "openai/v1/chatcompletions"
    has_model = "{model}" in _provider(name).capabilities[api]
    sent = _sent(name, target, f"capabilities: {{{api}: '/own/{'{model}' if has_model else 'chat'}?x=1'}}")

    assert sent.target.startswith("/own/")
    assert "x=1" in sent.target
    assert (VENDORS[name].model in sent.target) is has_model


@table(("name", "target"), EACH)
def test_a_mapped_model_is_asked_as_if_the_client_had_named_it(name: str, target: str) -> None:
    vendor = VENDORS[name]
    mapped = _sent(name, target, f"modelMapping: {{'c*': wrong, client: {vendor.other}, '*': wrong}}", model="client")

    assert _place(mapped) == _place(_sent(name, target, model=vendor.other))
    assert any(note.startswith(f"model client mapped to {vendor.other}") for note in mapped.notes)


@table("name", [name for name in VENDORS if name not in GOOGLE])
def test_the_model_of_a_form_is_mapped(name: str) -> None:
    found = _form(name, "/v1/some/thing", b"")

    assert found.body == FORM.replace(b"client", VENDORS[name].other.encode())


@table("name", GOOGLE[:2])
def test_the_model_of_a_form_with_a_picture_is_mapped_into_the_path(name: str) -> None:
    found = _form(name, "/v1/images/edits", PICTURE_PARTS)

    assert "/models/n:generateContent" in found.target
    assert b"QUFB" in (found.body or b"")


FORM: Final = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nclient\r\n--b--\r\n'
PICTURE_PARTS: Final = (
    b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na\r\n--b\r\nContent-Disposition: form-data;'
    b' name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\nAAA\r\n'
)


def _form(name: str, path: str, before: bytes) -> Upstream:
    """What is sent for a form with the model `client`, which is mapped."""
    body = before + FORM
    fields = ((b"content-type", b"multipart/form-data; boundary=b"), (b"content-length", str(len(body)).encode()))
    found = _provider(name, f"modelMapping: {{client: {VENDORS[name].other}}}").requestheaders(
        Head("POST", path, callers.read(path, fields), fields)
    )
    assert isinstance(found, NeedsBody)
    sent = found.rewrite(body)
    assert isinstance(sent, Upstream)
    return sent


@table(("name", "target"), EACH)
def test_the_context_is_in_every_chat(name: str, target: str) -> None:
    key = "context: {fileUrl: 'http://files.test/a', serviceName: files.dns, servicePort: 80}"
    plain, sent = _sent(name, target), _sent(name, target, key)

    assert b"CONTEXT" in (sent.body or b"")
    assert b"hello" in (sent.body or b"")
    assert sent.target == plain.target


@table("name", VENDORS)
def test_under_original_only_host_base_path_and_credential_change(name: str) -> None:
    keys = ("protocol: original", "providerBasePath: /outer", "basePath: /in", "modelMapping: {'*': x}")
    provider = _provider(name, *keys)
    body = b'{ "model":"m", "x":1e400, "stream":true }'
    path = "/v1/chat/completions?x=%20"
    sent = upstream_of(provider, f"/in{path}", body, "Authorization: Bearer of-the-client", "X-Api-Key: of-the-client")
    outgoing = pipeline.outgoing(provider, head_of(f"/in{path}"), sent)

    assert (sent.target, sent.body) in (("/outer" + path, None), ("/outer" + path, body))
    assert str(sent.origin) == str(_sent(name, CHAT).origin) or name == "deepl"
    assert sent.memo.keys() <= {"service"}
    fields = f"{fields_of(outgoing)} {outgoing.target}"
    assert "token-of-ours" in fields or "Signature=" in fields
    assert "of-the-client" not in fields
    assert isinstance(provider.responseheaders(sent, 200, EVENTS), Pass)
    assert isinstance(provider.responseheaders(sent, 429, EVENTS), Pass)


OPENAI_TOOL: Final[Json] = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
TOOLS: Final = {CHAT: OPENAI_TOOL, MESSAGES: {"name": "weather", "input_schema": {"type": "object"}}}
PICTURES: Final = {
    CHAT: {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUFB"}},
    MESSAGES: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUFB"}},
}


@table(("name", "target"), EACH)
def test_tools_are_sent_or_their_loss_is_noted(name: str, target: str) -> None:
    sent = _sent(name, target, tools=[TOOLS[target]])

    assert (b"weather" in (sent.body or b"")) is (name not in TEXT_ONLY)
    assert any("tools left out" in note for note in sent.notes) is (name in TEXT_ONLY)


@table(("name", "target"), EACH)
def test_a_picture_is_sent_or_refused_by_its_place(name: str, target: str) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "what?"}, PICTURES[target]]}]
    if name in TEXT_ONLY or (name == "minimax pro" and target == CHAT):
        with pytest.raises(Refusal) as caught:
            _sent(name, target, messages=messages)
        assert (caught.value.status, (caught.value.param or "")[:22]) == (400, "messages[0].content[1]")
    else:
        assert b"QUFB" in (_sent(name, target, messages=messages).body or b"")


# Vendors of OpenAI's dialect: what their answers are to clients of both


ALIKE: Final = ("doubao", "doubao's bots", "zhipuai", "moonshot", "hunyuan", "minimax", "spark", "cloudflare", "baidu")
ALIKE_MESSAGES: Final = [name for name in ALIKE if not VENDORS[name].messages]
"""Those that do not have Anthropic's API, too."""
CALL: Final = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1.0}'}}
USAGE: Final = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 2},
}
HEAD: Final[Json] = {"id": "x-1", "created": 5, "model": "m"}
WHOLE: Final[Json] = {
    **HEAD,
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hé", "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
        }
    ],
    "usage": USAGE,
}


def _chunk(reason: str | None = None, **delta: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice]}


STREAM: Final = (
    events(
        _chunk(role="assistant", content="H"),
        _chunk(content="é"),
        _chunk(tool_calls=[{"index": 0, **CALL}]),
        _chunk("tool_calls"),
        {**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE},
    )
    + b"data: [DONE]\n\n"
)


@table("name", ALIKE_MESSAGES)
def test_an_answer_of_openai_s_form_comes_back_in_anthropic_s(name: str) -> None:
    provider = _provider(name)
    whole = document_of(whole_of(provider, _sent(name, MESSAGES), WHOLE))
    stream = chunks_of(stream_of(provider, _sent(name, MESSAGES, stream=True), STREAM))

    assert [block["type"] for block in whole["content"]] == ["text", "tool_use"]
    assert whole["content"][1] == {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"a": 1.0}}
    told = {"input_tokens": 7, "output_tokens": 4, "cache_read_input_tokens": 2}
    assert told.items() <= whole["usage"].items()
    assert whole["stop_reason"] == "tool_use"
    ended = next(event for event in stream if event["type"] == "message_delta")
    assert (ended["delta"]["stop_reason"], ended["usage"]["output_tokens"]) == ("tool_use", 4)
    assert stream[-1] == {"type": "message_stop"}


@table("name", ALIKE)
def test_a_stream_of_openai_s_form_says_the_same_to_openai_s_clients(name: str) -> None:
    provider = _provider(name)
    sent = _sent(name, CHAT, stream=True, stream_options={"include_usage": True})
    handling = provider.responseheaders(sent, 200, EVENTS)
    stream = STREAM if isinstance(handling, Pass) else stream_of(provider, sent, STREAM)

    assert text_in(stream) == "Hé"
    *_, usage, done = chunks_of(stream)
    assert (usage["usage"]["total_tokens"], usage["usage"]["prompt_tokens_details"]["cached_tokens"]) == (13, 2)
    assert done == "[DONE]"


@table("name", ALIKE_MESSAGES)
def test_an_error_of_openai_s_form_keeps_status_code_and_id(name: str) -> None:
    provider = _provider(name)
    error: Json = {"error": {"message": "m", "type": "t", "param": None, "code": "own_code"}}
    fields = ((b"content-type", b"application/json"), (b"x-request-id", b"r-1"), (b"retry-after", b"3"))
    for status in (400, 401, 429, 503):
        answer = whole_of(provider, _sent(name, MESSAGES), error, status, fields)
        assert (answer.status, answer.headers["request-id"]) == (status, "r-1")
        assert document_of(answer)["error"]["message"] == "m (own_code)"
    # Baidu, among others, has the id in the body alone, and Moonshot in the error.
    inner: Json = {"error": {**error["error"], "request_id": "as-1"}, "id": "other"}
    for told in ({**error, "id": "as-1"}, inner):
        assert whole_of(provider, _sent(name, MESSAGES), told, 401).headers["request-id"] == "as-1"
    last = chunks_of(stream_of(provider, _sent(name, MESSAGES, stream=True), STREAM.split(b"\n\n")[0] + b"\n\n"))[-1]
    assert last["type"] == "error"
    assert re.search("ended before it was complete", json.dumps(last))
