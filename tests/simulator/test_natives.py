"""The simulated model in vendors' own forms: what the translators make of its answers, and what it refuses."""

from __future__ import annotations

import functools
import json
from typing import Any, Final
from urllib.parse import unquote

from werkzeug.test import EnvironBuilder, run_wsgi_app

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.exchange import Answer, Pieces, Upstream, Whole
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.simulator.chat import paths
from mitm_ai_proxy.simulator.settings import API_KEY
from mitm_ai_proxy.wire import aws_event_stream
from tests.providers.chats import CHAT, COUNT, MESSAGES, head_of, upstream_of
from tests.providers.vendor_answers import text_in
from tests.simulator.chats import Model, anthropic, document, openai, simulator
from tests.tables import table

Json = dict[str, Any]

CLAUDE: Final = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
BLOCKS: Final = {
    "gemini": ("gemini", "gemini-3-pro"),
    "vertex": ("vertex, vertexRegion: us-central1", "gemini-2.5-pro"),
    "vertex's Claude": ("vertex", "claude-sonnet-4-5@20250929"),
    "vertex, compatible": ("vertex, vertexOpenAICompatible: true", "gemini-2.5-pro"),
    "bedrock": ("bedrock, awsRegion: us-east-1, awsAccessKey: a, awsSecretKey: b", "amazon.nova-pro-v1:0"),
    "bedrock's Claude": ("bedrock, awsRegion: us-east-1", CLAUDE),
    "dify": ("dify", "m"),
    "an agent of dify": ("dify, botType: Agent", "m"),
    "dify, completion": ("dify, botType: Completion", "m"),
    "a workflow of dify": ("dify, botType: Workflow, inputVariable: q, outputVariable: o", "m"),
    "coze": ("coze", "73"),
    "deepl": ("deepl, targetLang: ZH", "Free"),
    "triton": ("triton, tritonDomain: h, tritonModelVersion: 2", "gpt2"),
}
CALLING: Final = ("gemini", "vertex", "vertex's Claude", "vertex, compatible", "bedrock", "bedrock's Claude")
THINKING: Final = ("gemini", "vertex", "vertex's Claude", "bedrock's Claude", "vertex, compatible")
NAMES: Final = tuple(BLOCKS)


_SIMULATOR: Final = simulator()


@functools.cache
def _provider(name: str) -> tuple[Provider, str]:
    block, model = BLOCKS[name]
    configuration = registry.read(f"provider: {{type: {block}}}\nsimulator: {{speed: instant}}", {}, simulated=True)
    return registry.providers(configuration, simulated=True).main, model


def _asked(name: str, target: str, body: Json) -> tuple[int, bytes]:
    """What a client gets of the simulator, through the provider."""
    provider, model = _provider(name)
    body = {**body, "model": model}
    sent = upstream_of(provider, target, body)
    outgoing = pipeline.outgoing(provider, head_of(target), sent)
    path, _, query = outgoing.target.partition("?")
    fields = [(key.decode(), value.decode()) for key, value in outgoing.fields if key.lower() != b"content-length"]
    raw = outgoing.body if outgoing.body is not None else json.dumps(body).encode()
    environ = EnvironBuilder(path=unquote(path), query_string=query, method="POST", headers=fields, data=raw)
    found, status, headers = run_wsgi_app(_SIMULATOR, environ.get_environ(), True)
    return _read(provider, sent, int(status.split()[0]), dict(headers.items()), b"".join(found))


def _read(provider: Provider, sent: Upstream, status: int, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    fields = tuple((key.lower().encode(), value.encode()) for key, value in headers.items())
    handling = provider.responseheaders(sent, status, fields)
    if isinstance(handling, Pieces):
        return status, handling.transducer.feed(body) + handling.transducer.end()
    if isinstance(handling, Whole):
        answer = handling.rewrite(Answer(status, body))
        return answer.status, answer.body
    return status, body


def _request(target: str, *messages: Any, **more: Any) -> Json:
    return (openai if target == CHAT else anthropic)(*messages, **more)


def _text(target: str, body: bytes) -> str:
    found = json.loads(body)
    return str(found["choices"][0]["message"]["content"] if target == CHAT else found["content"][-1]["text"])


@table("target", [CHAT, MESSAGES])
@table("name", NAMES)
def test_every_type_is_answered_in_both_dialects_whole_and_streamed(name: str, target: str) -> None:
    status, whole = _asked(name, target, _request(target, "hello there"))
    assert (status, _text(target, whole)) == (200, "hello there")
    _, stream = _asked(name, target, _request(target, "hello there", stream=True))
    assert text_in(stream) == "hello there"
    assert stream.rstrip().endswith((b"data: [DONE]", b'{"type":"message_stop"}'))
    assert b"error" not in stream


@table("stream", [False, True])
@table("target", [CHAT, MESSAGES])
@table("name", NAMES)
def test_a_fault_is_an_error_of_the_client_s_dialect(name: str, target: str, stream: bool) -> None:
    for status in (429, 401, 503):
        found, answer = _asked(name, target, _request(target, f"hi [simulate:{status}]", stream=stream))
        # Coze has no other error of the service, and a wrong key is 403 at DeepL.
        told = {("coze", 503): 500, ("deepl", 401): 403}.get((name, status), status)
        error = json.loads(answer)["error"]
        assert (found, bool(error["message"])) == (told, True)
        if (name, target, status) == ("bedrock", CHAT, 429):
            assert error["code"] == "ThrottlingException"


@table("target", [CHAT, MESSAGES])
@table("name", [name for name in NAMES if name != "deepl"])
def test_a_stream_that_fails_in_its_middle_is_an_error(name: str, target: str) -> None:
    status, stream = _asked(name, target, _request(target, "one two three [simulate:accepted=529]", stream=True))

    assert status == 200
    assert b'"error"' in stream
    assert b"[DONE]" not in stream
    assert b"message_stop" not in stream


@table("target", [CHAT, MESSAGES])
@table("name", CALLING)
def test_tools_are_called_and_their_results_told(name: str, target: str) -> None:
    asked = _request(target, "get_weather and get_time city=Paris", tools=True)
    said = json.loads(_asked(name, target, asked)[1])
    turns: list[Json]
    if target == CHAT:
        message = said["choices"][0]["message"]
        turns = [message]
        calls = [(call["id"], call["function"]["name"]) for call in message["tool_calls"]]
        turns += [{"role": "tool", "tool_call_id": id, "content": "18"} for id, _ in calls]
    else:
        calls = [(block["id"], block["name"]) for block in said["content"] if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": id, "content": "18"} for id, _ in calls]
        turns = [{"role": "assistant", "content": said["content"]}, {"role": "user", "content": results}]
    assert [name for _, name in calls] == ["get_weather", "get_time"]
    for stream in (False, True):
        _, answer = _asked(name, target, {**asked, "messages": [*asked["messages"], *turns], "stream": stream})
        text = text_in(answer) if stream else _text(target, answer)
        assert text == "get_weather says: 18\nget_time says: 18"


@table("name", THINKING)
def test_thoughts_come_and_go_back(name: str) -> None:
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 9000}
    asked = _request(MESSAGES, "hello there", **more)
    said = json.loads(_asked(name, MESSAGES, asked)[1])
    assert [block["type"] for block in said["content"]] == ["thinking", "text"]
    turns = [{"role": "assistant", "content": said["content"]}, {"role": "user", "content": "and you"}]
    status, answer = _asked(name, MESSAGES, {**asked, "messages": [*asked["messages"], *turns]})
    assert (status, _text(MESSAGES, answer)) == (200, "and you")


@table("name", [name for name in CALLING if name != "vertex, compatible"])
def test_tokens_are_counted(name: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello there"}]}
    if name == "bedrock":
        return  # no Claude's are estimated
    assert json.loads(_asked(name, COUNT, body)[1])["input_tokens"] > 0


# The vendors' own forms, as their own clients write them

GEMINI, CONVERSE = "/v1beta/models/gemini-3-pro:generateContent", "/model/a.b/converse"
SAY: Final = {"contents": [{"parts": [{"text": "hello"}]}]}
TURN: Final = {"role": "user", "content": [{"text": "hello"}]}
CALL: Final = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
USE: Final = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]}
DIFY: Final = {"inputs": {}, "query": "hello", "user": "u"}


@table(
    ("path", "body", "status", "member", "told"),
    [
        (GEMINI, {}, 400, "error", "contents is not specified"),
        (GEMINI, {**SAY, "content": 1}, 400, "error", "Unknown name"),
        (GEMINI, {"contents": [{"role": "bot", "parts": []}]}, 400, "error", "valid role: user, model"),
        (GEMINI, {"contents": [{"parts": [{"text": "a", "inlineData": {}}]}]}, 400, "error", "exactly one"),
        (GEMINI, {"contents": [*SAY["contents"], CALL]}, 400, "error", "missing a thought_signature"),
        (GEMINI.replace("3", "2"), {"contents": [*SAY["contents"], CALL]}, 200, "candidates", ""),
        (GEMINI, {**SAY, "generationConfig": {"maxOutputTokens": 0}}, 400, "error", "maxOutputTokens"),
        (GEMINI, {**SAY, "generationConfig": {"responseSchema": {}}}, 400, "error", "mime type"),
        (GEMINI, {**SAY, "toolConfig": {"functionCallingConfig": {"mode": "MUST"}}}, 400, "error", "MUST"),
        (GEMINI, SAY, 200, "candidates", ""),
        (GEMINI, {**SAY, "generation_config": {"max_output_tokens": 0}}, 400, "error", "maxOutputTokens"),
        (CONVERSE, {}, 400, "message", "at least one message"),
        (CONVERSE, {"messages": [TURN], "stop": []}, 400, "message", "stop is no member"),
        (CONVERSE, {"messages": [USE]}, 400, "message", "start with a user message"),
        (CONVERSE, {"messages": [TURN, USE], "toolConfig": {}}, 400, "message", "Expected toolResult"),
        (CONVERSE, {"messages": [TURN, USE, TURN]}, 400, "message", "for the following Ids: t"),
        (CONVERSE, {"messages": [{"role": "user", "content": [{"text": " "}]}]}, 400, "message", "is blank"),
        (CONVERSE, {"messages": [TURN], "inferenceConfig": {"temperature": 2}}, 400, "message", "from 0 to 1"),
        (CONVERSE, {"messages": [TURN]}, 200, "output", ""),
        ("/model/a/invoke", {"messages": [], "max_tokens": 1}, 400, "message", "anthropic_version"),
        ("/v1/chat-messages", {"inputs": {}, "user": "u"}, 400, "message", "query is required"),
        ("/v1/chat-messages", {"inputs": {}, "query": "q"}, 400, "message", "user: is missing"),
        ("/v1/chat-messages", {**DIFY, "response_mode": "now"}, 400, "message", "response_mode"),
        ("/v1/chat-messages", DIFY, 200, "answer", ""),
        ("/v3/chat", {"bot_id": "1"}, 200, "msg", "user_id: is missing"),
        ("/v3/chat", {"bot_id": "1", "user_id": "u", "stream": False}, 200, "msg", "auto_save_history"),
        ("/v2/translate", {"text": ["a"]}, 400, "message", "target_lang: is missing"),
        ("/v2/translate", {"text": "a", "target_lang": "ZH"}, 400, "message", "1 to 50 strings"),
        ("/v2/models/m/generate", {"text": "a"}, 400, "error", "text_input: is missing"),
        ("/v2/models/m/generate", {"text_input": "a", "max_tokens": "b"}, 400, "error", "max_tokens"),
    ],
)
def test_a_request_is_checked_as_the_vendor_does(path: str, body: Json, status: int, member: str, told: str) -> None:
    got = Model().post(path, body)
    found = document(got)

    assert (got.status_code, member in found) == (status, True), found
    assert told in json.dumps(found[member])


@table("path", [GEMINI, CONVERSE, "/v1/chat-messages", "/v2/translate", "/v2/models/m/generate", "/v1/workflows/run"])
def test_a_wrong_key_body_or_method_is_refused_in_the_vendor_s_form(path: str) -> None:
    model = Model()
    wrong = model.client.post(path, json=SAY, headers={"Authorization": "Bearer other"})
    broken = model.post(path, b"{")

    # Google says 400 of a wrong key, DeepL 403.
    assert wrong.status_code in (400, 401, 403)
    assert broken.status_code == 400
    for got in (wrong, broken):
        assert set(document(got)) <= {"error", "message", "__type", "code", "status"}
    assert not paths.serves("GET", path)


def test_the_key_is_taken_where_each_vendor_s_clients_put_it() -> None:
    client = Model().client
    for headers, query in (
        ({"x-goog-api-key": API_KEY}, ""),
        ({"Authorization": f"DeepL-Auth-Key {API_KEY}"}, ""),
        ({}, f"?key={API_KEY}"),
    ):
        assert client.post(f"{GEMINI}{query}", json=SAY, headers=headers).status_code == 200
    assert client.post(f"{GEMINI}?key=other", json=SAY).status_code == 400


def test_models_are_listed_as_google_does_for_its_own_clients() -> None:
    model = Model(chat_models=("a", "b"))
    key = {"x-goog-api-key": API_KEY}

    assert [one["name"] for one in model.listed("/v1beta/models", key)["models"]] == ["models/a", "models/b"]
    vertex = model.listed("/v1beta1/publishers/google/models", key)["publisherModels"]
    assert vertex[0] == {"name": "publishers/google/models/a"}
    assert model.post("/v1beta/models/c:generateContent", SAY).status_code == 404
    assert model.post("/v1beta/models/a:countTokens", SAY).status_code == 200


def test_bedrock_s_stream_is_one_of_amazon_s_event_stream() -> None:
    got = Model().post("/model/a.b/converse-stream", {"messages": [TURN]})
    reader = aws_event_stream.Reader()
    names = [message.headers[":event-type"] for message in reader.feed(got.data)]
    reader.end()

    assert (got.mimetype, reader.problem) == ("application/vnd.amazon.eventstream", "")
    assert [names[0], *names[-3:]] == ["messageStart", "contentBlockStop", "messageStop", "metadata"]
