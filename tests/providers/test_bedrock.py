"""Amazon Bedrock: where each request goes, how it is signed, Claude's own Messages, embeddings, pictures, keys."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.auth import sigv4
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.chat.invoked_messages import BETAS
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Head, NeedsBody, Pieces, Upstream, Whole
from mitm_ai_proxy.pipeline import Outgoing
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.wire.aws_event_stream import Message, written
from tests.chat.converse import AWS_FIELDS, STREAM, answer
from tests.providers.chats import CHAT, COUNT, HELLO, MESSAGES, Json, fields_of, head_of, outgoing_of, upstream_of
from tests.providers.vendor_answers import whole_of
from tests.tables import table
from tests.upstream_of import requested

RUNTIME, MANTLE = "https://bedrock-runtime.us-east-1.amazonaws.com", "https://bedrock-mantle.us-east-1.api.aws"
CONTROL = "https://bedrock.us-east-1.amazonaws.com"
NOVA, CLAUDE, PROFILE = "amazon.nova-pro-v1:0", "anthropic.claude-opus-4-7", "us.anthropic.claude-opus-4-7"
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.amazon.nova-2-lite-v1:0"
ESCAPED = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fglobal.amazon.nova-2-lite-v1%3A0"
TOKEN = "apiTokens: token"
PAIR = "awsAccessKey: AKID, awsSecretKey: secret"
EMBEDDINGS, PICTURES = "/v1/embeddings", "/v1/images/generations"
WHOLE = ((b"Content-Type", b"application/json"),)


def provider_with(keys: str = TOKEN) -> Provider:
    read = registry.read(f"provider: {{type: bedrock, awsRegion: us-east-1, {keys}}}", {})
    return registry.provider(read, lambda: 1773325782.0)


def _url(outgoing: Outgoing) -> str:
    return f"{outgoing.upstream.origin}{outgoing.target}"


# Where requests go


@table(
    ("keys", "target", "members", "url"),
    [
        (TOKEN, CHAT, {"model": NOVA}, f"{RUNTIME}/model/amazon.nova-pro-v1%3A0/converse"),
        (
            TOKEN,
            f"{CHAT}?a=1",
            {"model": NOVA, "stream": True},
            f"{RUNTIME}/model/amazon.nova-pro-v1%3A0/converse-stream?a=1",
        ),
        (TOKEN, CHAT, {"model": ARN}, f"{RUNTIME}/model/{ESCAPED}/converse"),
        (TOKEN, CHAT, {"model": ESCAPED}, f"{RUNTIME}/model/{ESCAPED}/converse"),
        (TOKEN, CHAT, {"model": PROFILE}, f"{RUNTIME}/model/{PROFILE}/converse"),
        (f"{TOKEN}, modelMapping: {{x: 'a:1'}}", CHAT, {"model": "x"}, f"{RUNTIME}/model/a%3A1/converse"),
        (TOKEN, f"{MESSAGES}?beta=true", {"model": NOVA}, f"{RUNTIME}/model/amazon.nova-pro-v1%3A0/converse"),
        (TOKEN, MESSAGES, {"model": NOVA, "stream": True}, f"{RUNTIME}/model/amazon.nova-pro-v1%3A0/converse-stream"),
        (TOKEN, f"{MESSAGES}?beta=true", {"model": CLAUDE}, f"{MANTLE}/anthropic/v1/messages?beta=true"),
        (f"{TOKEN}, modelMapping: {{'*': {CLAUDE}}}", MESSAGES, {"model": "x"}, f"{MANTLE}/anthropic/v1/messages"),
        (TOKEN, f"{MESSAGES}?beta=true", {"model": PROFILE}, f"{RUNTIME}/model/{PROFILE}/invoke"),
        (TOKEN, MESSAGES, {"model": PROFILE, "stream": True}, f"{RUNTIME}/model/{PROFILE}/invoke-with-response-stream"),
        (
            f"{TOKEN}, providerDomain: 'http://h.test:1'",
            MESSAGES,
            {"model": CLAUDE},
            "http://h.test:1/anthropic/v1/messages",
        ),
        (
            f"{TOKEN}, providerDomain: h.test, providerBasePath: /p",
            CHAT,
            {"model": "a"},
            "https://h.test/p/model/a/converse",
        ),
        (f"{TOKEN}, providerBasePath: /p", MESSAGES, {"model": PROFILE}, f"{RUNTIME}/p/model/{PROFILE}/invoke"),
        (f"{TOKEN}, baseUrl: 'https://h.test/q'", CHAT, {"model": "a"}, "https://h.test/q/model/a/converse"),
        (f"{TOKEN}, basePath: /b", f"/b{CHAT}", {"model": "a"}, f"{RUNTIME}/model/a/converse"),
        (TOKEN, COUNT, {"model": PROFILE}, f"{RUNTIME}/model/{CLAUDE}/count-tokens"),
        (
            TOKEN,
            EMBEDDINGS,
            {"model": "amazon.titan-embed-text-v2:0", "input": "a"},
            f"{RUNTIME}/model/amazon.titan-embed-text-v2%3A0/invoke",
        ),
        (
            TOKEN,
            PICTURES,
            {"model": "amazon.nova-canvas-v1:0", "prompt": "a"},
            f"{RUNTIME}/model/amazon.nova-canvas-v1%3A0/invoke",
        ),
        (TOKEN, "/model/a%3A0/converse", {}, f"{RUNTIME}/model/a%3A0/converse"),
        (f"{TOKEN}, protocol: original", "/model/a%3A0/converse?x", {}, f"{RUNTIME}/model/a%3A0/converse?x"),
        (f"{TOKEN}, protocol: original", "/anthropic/v1/messages", {}, f"{MANTLE}/anthropic/v1/messages"),
    ],
)
def test_each_request_goes_to_the_action_of_its_model(keys: str, target: str, members: Json, url: str) -> None:
    assert _url(outgoing_of(provider_with(keys), target, {**HELLO, **members})) == url


@table(
    ("target", "members", "param"),
    [
        (CHAT, {"model": ".."}, "model"),
        (CHAT, {"model": "%2E%2e"}, "model"),
        (CHAT, {"model": "a\n"}, "model"),
        (MESSAGES, {"model": ""}, "model"),
        (CHAT, {"model": 1}, "model"),
        (EMBEDDINGS, {"model": "x", "input": "a"}, "model"),
        (EMBEDDINGS, {"model": "amazon.titan-embed-text-v2:0", "input": ["a", "b"]}, "input"),
        (EMBEDDINGS, {"model": "amazon.titan-embed-text-v2:0"}, "input"),
        (PICTURES, {"model": "amazon.nova-canvas-v1:0"}, "prompt"),
        (PICTURES, {"model": "amazon.nova-canvas-v1:0", "prompt": "a", "size": "big"}, "size"),
        (PICTURES, {"model": "stability.sd3-5-large-v1:0", "prompt": "a", "n": 2}, "n"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(target: str, members: Json, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        upstream_of(provider_with(), target, {**HELLO, **members})

    assert (caught.value.status, caught.value.param) == (400, param)


def test_an_api_that_bedrock_lacks_and_a_list_of_chats_are_refused() -> None:
    for method, target in (("POST", "/v1/files"), ("GET", CHAT), ("GET", MESSAGES)):
        with pytest.raises(Refusal, match="bedrock has no ") as caught:
            provider_with().requestheaders(head_of(target)._replace(method=method))
        assert caught.value.status == 404


# Credentials


@table(
    ("target", "model", "field"),
    [
        (CHAT, NOVA, ("authorization", "Bearer token")),
        (MESSAGES, PROFILE, ("authorization", "Bearer token")),
        (MESSAGES, CLAUDE, ("x-api-key", "token")),
        ("/anthropic/v1/messages", CLAUDE, ("x-api-key", "token")),
        ("/model/a/converse", NOVA, ("authorization", "Bearer token")),
    ],
)
def test_a_token_is_sent_as_the_host_takes_it(target: str, model: str, field: tuple[str, str]) -> None:
    outgoing = outgoing_of(
        provider_with(), target, {**HELLO, "model": model}, "x-api-key: client", "Authorization: Bearer c"
    )
    fields = fields_of(outgoing)

    assert {name: fields[name] for name in ("authorization", "x-api-key") if name in fields} == dict([field])


@table(
    "keys",
    [PAIR, f"{PAIR}, awsSessionToken: session", f"{PAIR}, providerDomain: 'http://vpce.test:81', providerBasePath: /p"],
)
@table(
    ("target", "model", "service"),
    [
        (f"{CHAT}?b=1&a", ARN, "bedrock"),
        (MESSAGES, CLAUDE, "bedrock-mantle"),
        (MESSAGES, PROFILE, "bedrock"),
        ("/model/a%3A0/invoke", "x", "bedrock"),
    ],
)
def test_a_signature_is_of_the_request_as_it_is_sent(target: str, model: str, service: str, keys: str) -> None:
    provider = provider_with(keys)
    body = json.dumps({**HELLO, "model": model}).encode()
    head = head_of(target, "X-Amz-Date: client", "X-Amz-Security-Token: client", "X-Amzn-Bedrock-Trace: ENABLED")
    needs = provider.requestheaders(head)
    assert isinstance(needs, NeedsBody)
    upstream = pipeline.request(needs, head, body)
    assert isinstance(upstream, Upstream)
    outgoing = pipeline.outgoing(provider, head, upstream, raw=body)
    fields = fields_of(outgoing)
    sent = body if outgoing.body is None else outgoing.body
    token = Secret("session") if "session" in keys else Secret("")
    request = sigv4.Request("POST", fields["host"], outgoing.target, sent)
    expected = sigv4.sign(
        request, sigv4.AwsKeys("AKID", Secret("secret"), token), sigv4.Scope("us-east-1", service), 1773325782
    )

    assert fields["authorization"] == expected.fields[b"authorization"].decode()
    assert fields["x-amz-date"] == "20260312T142942Z"
    assert fields.get("x-amz-security-token") == (token.reveal() or None)
    assert fields["x-amzn-bedrock-trace"] == "ENABLED"


def test_a_replayed_request_is_signed_anew_and_a_get_too() -> None:
    provider = provider_with(PAIR)
    body = json.dumps({**HELLO, "model": CLAUDE}).encode()
    first = head_of(MESSAGES)
    sent = pipeline.outgoing(provider, first, upstream_of(provider, MESSAGES, body), raw=body)
    head = head_of(sent.target)
    again = pipeline.resend(provider, head, sent.upstream.origin, sent.upstream.memo, body)

    assert fields_of(again)["authorization"] == fields_of(sent)["authorization"]
    get = head_of("/async-invoke")._replace(method="GET")
    needs = provider.requestheaders(get)
    assert isinstance(needs, NeedsBody)
    upstream = pipeline.request(needs, get, b"")
    assert isinstance(upstream, Upstream)
    assert b"authorization" in pipeline.outgoing(provider, get, upstream).secret_fields


def test_tokens_win_over_an_access_key() -> None:
    fields = fields_of(outgoing_of(provider_with(f"{TOKEN}, {PAIR}"), CHAT, {**HELLO, "model": NOVA}))

    assert fields["authorization"] == "Bearer token"
    assert "x-amz-date" not in fields


# Claude's own Messages

SAID = '{ "model":"%s", "max_tokens":9, "n":1.50,"messages":[{"role":"user","content":"\\u00e9"}] , "stream":true}'


def test_messages_for_the_host_of_claude_stay_to_the_byte_but_for_the_model() -> None:
    provider = provider_with(f"{TOKEN}, modelMapping: {{m: {CLAUDE}}}")
    sent = outgoing_of(provider, MESSAGES, (SAID % "m").encode())
    own = outgoing_of(
        provider, MESSAGES, (SAID % CLAUDE).encode(), "anthropic-version: 2026-10-21", "anthropic-beta: b"
    )

    assert sent.body == (SAID % CLAUDE).encode()
    assert fields_of(sent)["anthropic-version"] == "2023-06-01"
    assert (fields_of(own)["anthropic-version"], fields_of(own)["anthropic-beta"]) == ("2026-10-21", "b")
    assert not isinstance(provider.responseheaders(sent.upstream, 200, WHOLE), Whole)


def test_errors_of_the_host_of_claude_are_anthropic_s_also_where_amazon_answers() -> None:
    sent = upstream_of(provider_with(), MESSAGES, {**HELLO, "model": CLAUDE})
    handling = provider_with().responseheaders(sent, 403, (*WHOLE, (b"x-amzn-ErrorType", b"AccessDeniedException")))
    assert isinstance(handling, Whole)
    own = Answer(403, b'{"type":"error", "error":{"type":"x","message":"m"}}')

    assert handling.rewrite(own) is own
    found = handling.rewrite(Answer(403, b'{"Message":"no"}'))
    error = {"type": "permission_error", "message": "no (AccessDeniedException)"}
    assert json.loads(found.body)["error"] == error
    assert not isinstance(provider_with(f"{TOKEN}, protocol: original").responseheaders(sent, 403, WHOLE), Whole)


def test_messages_through_invoke_lose_model_and_stream_and_have_version_and_known_betas() -> None:
    beta = min(BETAS)
    lines = ("anthropic-version: 2023-06-01", f"anthropic-beta: claude-code-20250219, {beta}")
    sent = outgoing_of(provider_with(), MESSAGES, (SAID % PROFILE).encode(), *lines)

    own = f'"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["{beta}"]'
    assert (
        sent.body
        == ('{ "max_tokens":9, "n":1.50,"messages":[{"role":"user","content":"\\u00e9"}],' + own + "}").encode()
    )
    fields = fields_of(sent)
    assert not {"anthropic-version", "anthropic-beta"} & fields.keys()
    assert sent.upstream.notes[-1] == "betas that Bedrock does not know left out: claude-code-20250219"


EVENTS: list[Json] = [
    {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "é"}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 1}},
]


def chunk_of(event: Json) -> bytes:
    payload = {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "ab"}
    return written(Message({":message-type": "event", ":event-type": "chunk"}, json.dumps(payload).encode()))


def _invoked(*frames: bytes) -> list[str]:
    """The events of a stream, by whatever cut."""
    sent = upstream_of(provider_with(), MESSAGES, {**HELLO, "model": PROFILE, "stream": True})
    stream = b"".join(frames)
    found = set()
    for size in (1, 7, len(stream)):
        handling = provider_with().responseheaders(sent, 200, AWS_FIELDS)
        assert isinstance(handling, Pieces)
        assert (handling.fields[b"request-id"], handling.tells_end) == (b"r-1", True)
        pieces = [handling.transducer.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
        found.add(b"".join([*pieces, handling.transducer.end()]))
    (whole,) = found
    return whole.decode().split("\n\n")


def test_a_stream_of_claude_that_was_invoked_has_claude_s_own_events() -> None:
    expected = [f"event: {event['type']}\ndata: {json.dumps(event)}" for event in EVENTS]

    assert _invoked(*map(chunk_of, EVENTS)) == [*expected, ""]


@table(
    ("tail", "kind", "message"),
    [
        (b"", "api_error", "ended before it was complete"),
        (
            written(
                Message({":message-type": "exception", ":exception-type": "throttlingException"}, b'{"message":"m"}')
            ),
            "rate_limit_error",
            "m (throttlingException)",
        ),
        (
            written(Message({":message-type": "error", ":error-code": "X", ":error-message": "m"}, b"")),
            "api_error",
            "m (X)",
        ),
        (chunk_of(EVENTS[1])[:-1] + b"x", "api_error", "checksum"),
        (written(Message({":event-type": "chunk"}, b'{"bytes":"%"}')), "api_error", "wrong form"),
        (written(Message({":event-type": "chunk"}, b"[]")), "api_error", "wrong form"),
    ],
)
def test_a_stream_of_claude_that_fails_ends_with_an_error(tail: bytes, kind: str, message: str) -> None:
    *_, last, end = _invoked(chunk_of(EVENTS[0]), tail)
    error = json.loads(last.partition("data: ")[2])

    assert end == ""
    assert last.startswith("event: error\n")
    assert error["error"]["type"] == kind
    assert message in error["error"]["message"]


def test_errors_of_claude_that_was_invoked_are_anthropic_s() -> None:
    sent = upstream_of(provider_with(), MESSAGES, {**HELLO, "model": PROFILE})
    fields = (*WHOLE, (b"x-amzn-ErrorType", b"AccessDeniedException:x"), (b"x-amzn-requestid", b"r"))
    handling = provider_with().responseheaders(sent, 403, fields)
    assert isinstance(handling, Whole)
    found = handling.rewrite(Answer(403, b'{"message":"no"}'))

    assert (found.status, found.headers["request-id"]) == (403, "r")
    assert json.loads(found.body)["error"] == {"type": "permission_error", "message": "no (AccessDeniedException)"}
    whole = provider_with().responseheaders(sent, 200, fields)
    assert isinstance(whole, Whole)
    assert whole.rewrite(Answer(200, b'{"type": "message" }')).body == b'{"type": "message" }'


def test_edits_of_the_configuration_reach_claude_s_own_answers() -> None:
    provider = provider_with(f"{TOKEN}, promoteThinkingOnEmpty: true, mergeConsecutiveMessages: true")
    document = {**HELLO, "model": PROFILE, "messages": HELLO["messages"] * 2}
    sent = upstream_of(provider, MESSAGES, document)
    handling = provider.responseheaders(sent, 200, WHOLE)
    assert isinstance(handling, Whole)
    said = {"type": "message", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}]}

    assert len(json.loads(sent.body or b"")["messages"]) == 1
    assert b'"text":"hm"' in handling.rewrite(Answer(200, json.dumps(said).encode())).body


# Counts of tokens


def test_tokens_for_claude_are_counted_and_else_estimated() -> None:
    provider = provider_with()
    document: Json = {
        "model": PROFILE,
        "system": "s",
        "messages": HELLO["messages"],
        "tools": [{"name": "f", "input_schema": {}}],
    }
    sent = upstream_of(provider, COUNT, document)
    handling = provider.responseheaders(sent, 200, WHOLE)
    assert isinstance(handling, Whole)
    counted, failed = (handling.rewrite(answer) for answer in (Answer(200, b'{"inputTokens": 7}'), Answer(403, b"{}")))

    converse = json.loads(sent.body or b"")["input"]["converse"]
    assert converse.keys() == {"system", "messages", "toolConfig"}
    assert json.loads(counted.body) == {"input_tokens": 7}
    assert failed.status == 200
    assert json.loads(failed.body)["input_tokens"] > 0
    assert "estimated" in failed.notes[0]
    for other in ({**document, "model": NOVA}, {"model": CLAUDE, "messages": [{"role": "assistant", "content": "a"}]}):
        needs = provider.requestheaders(head_of(COUNT))
        assert isinstance(needs, NeedsBody)
        found = needs.rewrite(json.dumps(other).encode())
        assert isinstance(found, Answer)
        assert json.loads(found.body)["input_tokens"] > 0


# Embeddings and pictures


@table(
    ("target", "members", "sent"),
    [
        (
            EMBEDDINGS,
            {"model": "amazon.titan-embed-text-v2:0", "input": "a", "dimensions": 256},
            {"inputText": "a", "dimensions": 256},
        ),
        (EMBEDDINGS, {"model": "amazon.titan-embed-text-v1", "input": ["a"]}, {"inputText": "a"}),
        (
            EMBEDDINGS,
            {"model": "cohere.embed-v4:0", "input": ["a", "b"]},
            {"texts": ["a", "b"], "input_type": "search_document"},
        ),
        (
            EMBEDDINGS,
            {"model": "amazon.nova-2-multimodal-embeddings-v1:0", "input": "a", "dimensions": 256},
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX",
                    "embeddingDimension": 256,
                    "text": {"truncationMode": "NONE", "value": "a"},
                },
            },
        ),
        (
            PICTURES,
            {"model": "amazon.nova-canvas-v1:0", "prompt": "a", "size": "512x768", "n": 2, "quality": "hd"},
            {
                "taskType": "TEXT_IMAGE",
                "textToImageParams": {"text": "a"},
                "imageGenerationConfig": {"width": 512, "height": 768, "numberOfImages": 2, "quality": "premium"},
            },
        ),
        (
            PICTURES,
            {"model": "amazon.titan-image-generator-v2:0", "prompt": "a"},
            {
                "taskType": "TEXT_IMAGE",
                "textToImageParams": {"text": "a"},
                "imageGenerationConfig": {"width": 1024, "height": 1024, "numberOfImages": 1},
            },
        ),
        (
            PICTURES,
            {"model": "stability.sd3-5-large-v1:0", "prompt": "a", "size": "1792x1024"},
            {"prompt": "a", "aspect_ratio": "16:9", "output_format": "png"},
        ),
    ],
)
def test_models_of_embeddings_and_pictures_are_asked_in_their_own_forms(target: str, members: Json, sent: Json) -> None:
    outgoing = outgoing_of(provider_with(), target, members)

    assert json.loads(outgoing.body or b"") == sent
    assert fields_of(outgoing)["accept"] == "application/json"


def _made(target: str, members: Json, document: Json, status: int = 200) -> Answer:
    sent = upstream_of(provider_with(), target, members)
    handling = provider_with().responseheaders(sent, status, (*WHOLE, (b"x-amzn-ErrorType", b"ValidationException")))
    assert isinstance(handling, Whole)
    return handling.rewrite(Answer(status, json.dumps(document).encode()))


@table(
    "document",
    [
        {"embedding": [0.5, 1], "inputTextTokenCount": 3},
        {"embeddings": [[0.5, 1]]},
        {"embeddings": {"float": [[0.5, 1]]}},
        {"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5, 1]}]},
    ],
)
def test_every_form_of_embeddings_is_openai_s(document: Json) -> None:
    members = {"model": "amazon.titan-embed-text-v2:0", "input": "a"}
    plain = json.loads(_made(EMBEDDINGS, members, document).body)
    packed = json.loads(_made(EMBEDDINGS, {**members, "encoding_format": "base64"}, document).body)

    assert plain["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}]
    assert plain["usage"]["prompt_tokens"] == document.get("inputTextTokenCount", 0)
    assert struct.unpack("<2f", base64.b64decode(packed["data"][0]["embedding"])) == (0.5, 1.0)


def test_pictures_are_openai_s_and_what_a_filter_takes_away_is_an_error() -> None:
    members = {"model": "amazon.nova-canvas-v1:0", "prompt": "a"}
    made = json.loads(_made(PICTURES, members, {"images": ["AAAA", "BBBB"], "error": None}).body)
    linked = json.loads(_made(PICTURES, {**members, "response_format": "url"}, {"images": ["AAAA"]}).body)

    assert made == {"created": 1773325782, "data": [{"b64_json": "AAAA"}, {"b64_json": "BBBB"}]}
    assert linked["data"] == [{"url": "data:image/png;base64,AAAA"}]
    for document in ({"images": None, "error": "blocked"}, {"images": [], "finish_reasons": ["blocked"]}):
        found = _made(PICTURES, members, document)
        assert (found.status, json.loads(found.body)["error"]["message"]) == (400, "blocked")
    assert _made(PICTURES, members, {"images": []}).status == 502
    failed = _made(PICTURES, members, {"message": "m"}, 400)
    assert json.loads(failed.body)["error"]["code"] == "ValidationException"


# The blocks of the plugin's documentation, and keys of the wrong form

SEED: list[tuple[str, dict[str, str]]] = [
    ('awsAccessKey: "YOUR_AWS_ACCESS_KEY_ID", awsSecretKey: "YOUR_AWS_SECRET_ACCESS_KEY"', {}),
    ('apiTokens: ["YOUR_AWS_BEARER_TOKEN"]', {"authorization": "Bearer YOUR_AWS_BEARER_TOKEN"}),
]


@table(("keys", "fields"), SEED)
def test_the_plugins_example_works(keys: str, fields: dict[str, str]) -> None:
    provider = provider_with(f"{keys}, bedrockAdditionalFields: {{top_k: 200}}")
    model = "us.anthropic.claude-3-5-haiku-20241022-v1:0"
    document = {"model": model, "messages": [{"role": "user", "content": "who are you"}], "stream": False}
    outgoing = outgoing_of(provider, CHAT, document)

    assert json.loads(outgoing.body or b"")["additionalModelRequestFields"] == {"top_k": 200}
    assert fields.items() <= fields_of(outgoing).items()
    handling = provider.responseheaders(outgoing.upstream, 200, WHOLE)
    assert isinstance(handling, Whole)
    usage = {"inputTokens": 10, "outputTokens": 57, "totalTokens": 67}
    found = json.loads(
        handling.rewrite(Answer(200, json.dumps({**answer({"text": "I'm Claude"}), "usage": usage}).encode())).body
    )
    assert found["choices"] == [
        {**found["choices"][0], "index": 0, "finish_reason": "stop"},
    ]
    assert found["choices"][0]["message"]["content"] == "I'm Claude"
    assert found["model"] == model
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [found["usage"][name] for name in counts] == [10, 57, 67]


@table(
    ("keys", "problem"),
    [
        ("", "provider.awsRegion: is missing, such as us-east-1; or give baseUrl"),
        ("awsAccessKey: a, awsSecretKey: b", "provider.awsRegion: is missing, such as us-east-1: signatures are"),
        ("awsRegion: us east", "provider.awsRegion: expected a region of AWS, such as us-east-1"),
        (
            "awsRegion: us-east-1, apiTokens: null",
            "provider.apiTokens: is missing: give it here, or set AWS_BEARER_TOKEN_BEDROCK",
        ),
        ("awsRegion: us-east-1, awsAccessKey: a", "provider.awsSecretKey: is missing beside awsAccessKey"),
        ("awsRegion: us-east-1, awsSecretKey: a", "provider.awsAccessKey: is missing beside awsSecretKey"),
        ("awsRegion: us-east-1, awsSessionToken: a", "provider.awsSessionToken: belongs to an awsAccessKey"),
        (
            "awsAccessKey: a, awsSecretKey: b, baseUrl: 'http://h.test'",
            "provider.awsRegion: is missing, such as us-east-1",
        ),
        ("awsRegion: us-east-1, promptCacheRetention: 1h", "provider.promptCacheRetention: expected in_memory or 24h"),
        (
            "awsRegion: us-east-1, bedrockPromptCachePointPositions: {first: true}",
            "provider.bedrockPromptCachePointPositions: has no position first",
        ),
        ("awsRegion: us-east-1, bedrockAdditionalFields: [a]", "provider.bedrockAdditionalFields: expected a mapping"),
    ],
)
def test_a_missing_or_wrong_key_is_named_at_the_start(keys: str, problem: str) -> None:
    tokens = "" if "Token" in keys or "awsAccess" in keys or "awsSecret" in keys else ", apiTokens: t"
    with pytest.raises(ConfigurationError) as caught:
        registry.read(f"provider: {{type: bedrock{tokens}{', ' if keys else ''}{keys}}}", {})

    assert any(str(found).startswith(problem) for found in caught.value.problems), caught.value.problems
    assert "secret" not in str(caught.value)


@table(
    ("keys", "fields"),
    [
        ("", {"authorization": "Bearer of-the-environment"}),
        (PAIR, {"x-amz-date": "20260312T142942Z"}),
    ],
)
def test_the_environment_has_the_token_unless_there_is_an_access_key(keys: str, fields: dict[str, str]) -> None:
    environment = {"AWS_BEARER_TOKEN_BEDROCK": "of-the-environment"}
    read = registry.read(f"provider: {{type: bedrock, awsRegion: us-east-1, {keys}}}", environment)
    outgoing = outgoing_of(registry.provider(read, lambda: 1773325782.0), CHAT, {**HELLO, "model": NOVA})

    assert fields.items() <= fields_of(outgoing).items()


def test_custom_settings_are_members_of_the_clients_request() -> None:
    settings = "customSettings: [{name: max_tokens, value: 7}, {name: guardrailConfig.a, value: 1, mode: raw}]"
    sent = json.loads(outgoing_of(provider_with(f"{TOKEN}, {settings}"), CHAT, {**HELLO, "model": NOVA}).body or b"")

    assert sent["inferenceConfig"] == {"maxTokens": 7}
    assert sent["guardrailConfig"] == {"a": 1}


def test_positions_and_retention_of_the_configuration_reach_the_request() -> None:
    keys = "promptCacheRetention: 24h, bedrockPromptCachePointPositions: {system_prompt: false, LASTMESSAGE: 'true'}"
    document: Json = {"model": PROFILE, "messages": [{"role": "system", "content": "s"}, *HELLO["messages"]]}
    sent = json.loads(outgoing_of(provider_with(f"{TOKEN}, {keys}"), CHAT, document).body or b"")

    assert sent["system"] == [{"text": "s"}]
    assert sent["messages"][-1]["content"][-1] == {"cachePoint": {"type": "default", "ttl": "1h"}}


def test_the_answer_to_a_stream_of_converse_is_translated() -> None:
    provider = provider_with()
    sent = upstream_of(provider, MESSAGES, {**HELLO, "model": NOVA, "stream": True})
    handling: Any = provider.responseheaders(sent, 200, AWS_FIELDS)

    assert b"event: message_stop" in handling.transducer.feed(STREAM)


def test_all_hosts_are_those_of_the_provider() -> None:
    origins = [str(origin) for origin in provider_with().origins]

    assert origins == [RUNTIME, MANTLE, CONTROL]
    read = registry.read(f"provider: {{type: bedrock, awsRegion: us-east-1, {TOKEN}}}", {})
    hosts = [str(host) for host in registry.hosts(read, provider_with())]
    assert all(any(origin.removeprefix("https://") in host for host in hosts) for origin in origins)


@table(
    ("host", "target", "origin"),
    [
        ("h", "/foundation-models?byProvider=x", CONTROL),
        ("h", "/inference-profiles/a", CONTROL),
        ("bedrock.us-east-1.amazonaws.com", "/guardrails", CONTROL),
        ("h", "/guardrail/x/version/1/apply", RUNTIME),
        ("h", "/foundation-modelsx", RUNTIME),
    ],
)
def test_paths_of_aws_s_own_clients_go_to_the_host_that_has_them(host: str, target: str, origin: str) -> None:
    fields = ((b"host", host.encode()),)
    found = provider_with().requestheaders(Head("GET", target, callers.read(target, fields), fields))

    assert isinstance(found, Upstream)
    assert (str(found.origin), found.target) == (origin, target)


FOUNDATION = {
    "modelSummaries": [
        {"modelArn": "arn:1", "modelId": "amazon.nova-pro-v1:0", "modelName": "Nova Pro", "providerName": "Amazon"},
        {"modelId": "a.b"},
    ]
}


@table("keys", ["apiTokens: t", "awsAccessKey: a, awsSecretKey: b", "apiTokens: t, providerDomain: 'http://h.test'"])
def test_models_are_those_of_the_region(keys: str) -> None:
    provider = registry.provider(registry.read(f"provider: {{type: bedrock, awsRegion: eu-west-1, {keys}}}", {}))
    head = Head("GET", "/v1/models", callers.read("/v1/models", ()), ((b"host", b"h"),))
    found = provider.requestheaders(head)
    upstream = found if isinstance(found, Upstream) else requested(found, head, b"")
    assert upstream.target == "/foundation-models"
    where = "http://h.test" if "Domain" in keys else "https://bedrock.eu-west-1.amazonaws.com"
    assert str(upstream.origin) == where
    assert upstream.origin in provider.origins
    credential = fields_of(pipeline.outgoing(provider, head, upstream))["authorization"]
    assert credential == "Bearer t" or "/eu-west-1/bedrock/aws4_request" in credential


def test_the_list_of_models_is_one_of_the_client_s_dialect() -> None:
    provider = provider_with()
    fields = ((b"anthropic-version", b"2023-06-01"),)
    made = {}
    for client, given in (("openai", ()), ("anthropic", fields)):
        sent = provider.requestheaders(Head("GET", "/v1/models", callers.read("/v1/models", given), given))
        assert isinstance(sent, Upstream)
        made[client] = [
            whole_of(provider, sent, body, status)
            for body, status in ((FOUNDATION, 200), ({"message": "no"}, 403), ([], 200))
        ]
    openai, anthropic = (json.loads(made[name][0].body) for name in ("openai", "anthropic"))
    assert [one["id"] for one in openai["data"]] == ["amazon.nova-pro-v1:0", "a.b"]
    assert openai["data"][0] == {**openai["data"][0], "object": "model", "owned_by": "Amazon"}
    assert (anthropic["data"][0]["display_name"], anthropic["last_id"]) == ("Nova Pro", "a.b")
    assert [answer.status for answer in made["openai"]] == [200, 403, 502]
    assert json.loads(made["anthropic"][1].body)["error"]["type"] == "permission_error"


@table(
    ("mapping", "status", "kind", "ids"),
    [
        ("{gpt-4o: us.amazon.nova-pro-v1:0, 'x*': b, '*': a}", 403, "AccessDeniedException", ["gpt-4o"]),
        ("{gpt-4o: a, claude: b}", 404, "UnknownOperationException", ["gpt-4o", "claude"]),
        ("{gpt-4o: a}", 403, "UnrecognizedClientException", None),
        ("{gpt-4o: a}", 429, "ThrottlingException", None),
        ("{'*': a}", 403, "AccessDeniedException", None),
    ],
)
def test_where_a_key_may_not_list_models_they_are_those_of_the_mapping(
    mapping: str, status: int, kind: str, ids: list[str] | None
) -> None:
    provider = provider_with(f"{TOKEN}, modelMapping: {mapping}")
    for given, member in (((), "object"), (((b"anthropic-version", b"2023-06-01"),), "display_name")):
        sent = provider.requestheaders(Head("GET", "/v1/models", callers.read("/v1/models", given), given))
        assert isinstance(sent, Upstream)
        fields = (*WHOLE, (b"x-amzn-errortype", kind.encode()))
        answer = whole_of(provider, sent, {"message": "no"}, status, fields)
        if ids is None:
            assert answer.status == status
        else:
            found = json.loads(answer.body)["data"]
            assert (answer.status, [one["id"] for one in found]) == (200, ids)
            assert member in found[0]
            assert answer.notes == (f"Bedrock answered {status}: these are the models of modelMapping",)
