"""The steps of one request on literal values: what is sent, what is redacted, what the client gets."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.auth.header import Credential
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.chat.dialects import ANTHROPIC, DIALECTS, OPENAI
from mitm_ai_proxy.config.model_mapping import ModelMapping
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import PASS, Answer, Head, NeedsBody, Upstream, Whole
from mitm_ai_proxy.kling.provider import Kling
from mitm_ai_proxy.pipeline import Outgoing, Reply
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.wire import json_edit
from mitm_ai_proxy.wire.header_fields import Fields
from mitm_ai_proxy.wire.json_edit import JSONError
from mitm_ai_proxy.wire.targets import Origin
from tests.completed import Generic
from tests.tables import table
from tests.upstream_of import requested

OpenAI = registry.TYPES["openai"]
HOST = Origin("http", "host.test", 8000)
TOKEN = (Secret("provider-key"),)
MAPPING = ModelMapping({"gpt-*": "gpt-5"})
# Without the time, which would be another one in each name of a test.
GZIPPED = gzip.compress(b"{}", mtime=0)


class Keyed(Generic):
    """Sends its key in a query parameter and in two header fields, one of them with an unusual name."""

    def credential(self, upstream: Upstream, token: Secret | None) -> Credential:
        """The token, three times."""
        assert token
        text = token.reveal()
        return Credential({b"x-api-key": text.encode(), b"x-pass": text.encode()}, f"key={text}")


def _provider(kind: type[Provider], **keys: Any) -> Provider:
    defaults = {"generic_host": HOST} if issubclass(kind, Generic) else {}
    return kind(kind.Keys(kind.type, **{**defaults, **keys}), lambda: 1795212100.0)


def _fields(*lines: str) -> Fields:
    """Header fields, each written as `name: value`."""
    pairs = (line.partition(": ") for line in lines)
    return tuple((name.encode(), value.encode()) for name, _, value in pairs)


def _lines(fields: Fields) -> list[str]:
    return [f"{name.decode()}: {value.decode()}" for name, value in fields]


def _head(request: str, *lines: str) -> Head:
    """The head of a request, written as `METHOD target` and its header fields."""
    method, _, target = request.partition(" ")
    fields = _fields(*lines)
    return Head(method, target, callers.read(target, fields), fields)


def _sent(provider: Provider, head: Head, raw: bytes = b"") -> Outgoing:
    """The request as it is sent: all steps before the provider."""
    upstream = pipeline.requestheaders(provider, head)
    if isinstance(upstream, NeedsBody):
        upstream = requested(upstream, head, raw)
    return pipeline.outgoing(provider, head, upstream, raw=raw)


CREATE = b'{"model":"kling-v3","prompt":"p"}'
CREATED = b'{"model_name":"kling-v3","prompt":"p"}'


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        # Host stands where it stood, or at the end; the credential at the end.
        (
            [
                "Host: a",
                "Authorization: Bearer c",
                "Content-Type: application/json",
                "Content-Length: 33",
                "Accept: */*",
            ],
            [
                "Host: api-singapore.klingai.com",
                "Content-Type: application/json",
                "Content-Length: 38",
                "Accept: */*",
                "Accept-Encoding: identity",
                "Authorization: Bearer provider-key",
            ],
        ),
        (
            ["accept-encoding: gzip, br", "content-length: 33", "host: a", "X-Stainless: 1", "authorization: c"],
            [
                "accept-encoding: identity",
                "content-length: 38",
                "host: api-singapore.klingai.com",
                "X-Stainless: 1",
                "Authorization: Bearer provider-key",
            ],
        ),
        # No length where there was none: the body comes in chunks.
        (
            ["Transfer-Encoding: chunked", "X-A: 1", "x-a: 2", "Cookie: s", "Idempotency-Ke: k"],
            [
                "Transfer-Encoding: chunked",
                "X-A: 1",
                "x-a: 2",
                "Idempotency-Ke: k",
                "Accept-Encoding: identity",
                "Host: api-singapore.klingai.com",
                "Authorization: Bearer provider-key",
            ],
        ),
    ],
)
def test_header_fields_of_a_rewritten_body_keep_names_order_and_framing(lines: list[str], sent: list[str]) -> None:
    outgoing = _sent(_provider(Kling, api_tokens=TOKEN), _head("POST /v1/videos", *lines), CREATE)

    assert (outgoing.body, outgoing.target) == (CREATED, "/v1/videos/text2video")
    assert _lines(outgoing.fields) == sent
    assert set(outgoing.secret_fields) == {b"authorization"}
    assert outgoing.redacted_target == ""


def test_what_an_openai_sdk_says_of_itself_is_withheld_from_kling_and_nothing_else() -> None:
    lines = [
        "User-Agent: OpenAI/Python 3.52.0",
        "X-Stainless-Lang: python",
        "OpenAI-Organization: o",
        "Idempotency-Key: k",
        "Accept: application/json",
    ]
    head = _head("GET /v1/videos/7", *lines)

    outgoing = _sent(_provider(Kling, api_tokens=TOKEN), head)
    assert _lines(outgoing.fields) == [
        "User-Agent: OpenAI/Python 3.52.0",
        "Accept: application/json",
        "Host: api-singapore.klingai.com",
        "Authorization: Bearer provider-key",
    ]
    original = _sent(_provider(Kling, api_tokens=TOKEN, protocol="original"), head)
    assert _lines(original.fields)[: len(lines)] == lines


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("gpt-4", b'{"model":"gpt-5"}'),
        # Nothing was rewritten, but it is not what was sent, either.
        ("o3", b'{"model":"o3"}'),
    ],
)
def test_a_body_that_was_decoded_goes_without_a_content_encoding(model: str, body: bytes) -> None:
    raw = gzip.compress(json.dumps({"model": model}, separators=(",", ":")).encode())
    head = _head(
        "POST /v1/responses",
        "Content-Type: application/json",
        "Content-Encoding: gzip",
        f"Content-Length: {len(raw)}",
    )
    outgoing = _sent(_provider(OpenAI, api_tokens=TOKEN, model_mapping=MAPPING), head, raw)

    assert outgoing.body == body
    assert _lines(outgoing.fields)[:2] == ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    assert b"Content-Encoding" not in dict(outgoing.fields)


@pytest.mark.parametrize(
    ("mapping", "encoding"), [(MAPPING, "Identity"), (ModelMapping({}), "gzip"), (ModelMapping({}), "br")]
)
def test_a_body_that_stays_keeps_its_content_encoding_and_length(mapping: ModelMapping, encoding: str) -> None:
    raw = b'{ "model" : "o3" }'
    lines = ["Content-Encoding: " + encoding, "Content-Type: application/json", "Content-Length: 18", "Expect: x"]
    outgoing = _sent(
        _provider(OpenAI, api_tokens=TOKEN, model_mapping=mapping), _head("POST /v1/responses", *lines), raw
    )

    assert outgoing.body is None
    assert _lines(outgoing.fields)[:4] == lines


LONG_NAME = b"m" * (json_edit.LONG + 1)


@table("end", [b"\xff", b"\xc3", b"\\q", b"\\u12", b"\\n\0"])
@table(
    ("kind", "body"),
    [
        (OpenAI, b'{"model":"%s%s"}'),
        (Kling, b'{"model":"%s%s"}'),
        (Kling, b'{"model_name":"%s%s"}'),
        (Kling, b'{"model":"sora-2%s%s"}'),
        (Kling, b'{"seconds":"4","model":"%s%s"}'),
        (Kling, b'{"size":"1280x720","prompt":"%s%s"}'),
    ],
)
def test_a_long_text_that_does_not_end_well_is_refused_with_its_name(
    kind: type[Provider], body: bytes, end: bytes
) -> None:
    head = _head("POST /v1/videos" if kind is Kling else "POST /v1/responses", "Content-Type: application/json")
    needs = pipeline.requestheaders(_provider(kind, api_tokens=TOKEN, model_mapping=MAPPING), head)
    assert isinstance(needs, NeedsBody)
    with pytest.raises(Refusal) as caught:
        requested(needs, head, body % (LONG_NAME, end))
    assert (caught.value.status, caught.value.param) == (400, json.loads(body.replace(b"%s", b"")).popitem()[0])


@table(
    ("lines", "framing"),
    [
        ([], ["Content-Length: 2"]),
        (["content-length: 0"], ["content-length: 2"]),
        (["Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked"]),
        (["TRANSFER-ENCODING: gzip, chunked"], ["TRANSFER-ENCODING: gzip, chunked"]),
        (["transfer-encoding: chunked", "X: y"], ["transfer-encoding: chunked"]),
    ],
)
@table("method", ["GET", "DELETE", "HEAD"])
def test_a_body_that_is_sent_by_another_method_is_framed_in_one_way(
    method: str, lines: list[str], framing: list[str]
) -> None:
    provider, head = _provider(Generic), _head(f"{method} /a", "Host: a", *lines)
    fields = pipeline.outgoing(provider, head, Upstream(HOST, "POST", "/b", body=b"{}")).fields
    found = [line for line in _lines(fields) if line.lower().startswith(("content-length", "transfer-encoding"))]
    assert found == framing


@pytest.mark.parametrize(("encoding", "raw"), [("br", b"x"), ("gzip", b"x"), ("gzip, gzip", GZIPPED)])
def test_a_body_that_cannot_be_decoded_is_refused(encoding: str, raw: bytes) -> None:
    head = _head("POST /v1/videos", f"Content-Encoding: {encoding}")
    needs = pipeline.requestheaders(_provider(Kling, api_tokens=TOKEN), head)
    assert isinstance(needs, NeedsBody)
    with pytest.raises(Refusal) as caught:
        requested(needs, head, raw)

    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_body", "Content-Encoding")


@table(
    ("length", "is_taken"),
    [(pipeline.SMALL_BODY - 20, True), (pipeline.SMALL_BODY + 20, False), (20_000_000, False)],
)
@table("encoding", ["gzip", "deflate"])
def test_a_body_that_becomes_far_longer_when_it_is_decoded_is_refused(
    encoding: str, length: int, is_taken: bool
) -> None:
    body = b'{"model":"gpt-4"' + b"\n" * length + b"}"
    raw = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    head = Head("POST", "/", callers.read("/", ((b"content-encoding", encoding.encode()),)))
    needs = NeedsBody(HOST, lambda body: Upstream(HOST, "POST", "/", body=body))

    if is_taken:
        assert requested(needs, head, raw).body == body
    else:
        with pytest.raises(Refusal, match="when decoded") as caught:
            requested(needs, head, raw)
        assert caught.value.status == 400


def test_text_that_compresses_well_is_taken() -> None:
    lines = [
        f'{{"role":"user","content":"line {number} of a log, as like to the others as a log is"}}'
        for number in range(50_000)
    ]
    body = f'{{"messages":[{",".join(lines)}]}}'.encode()
    raw = gzip.compress(body, 9)
    assert len(body) > 3 * pipeline.SMALL_BODY
    needs = NeedsBody(HOST, lambda body: Upstream(HOST, "POST", "/", body=body))
    head = Head("POST", "/", callers.read("/", ((b"content-encoding", b"gzip"),)))
    assert requested(needs, head, raw).body == body


def test_a_body_longer_than_the_limit_is_refused_before_it_is_all_decoded() -> None:
    raw = gzip.compress(bytes(pipeline.BODY_LIMIT + 1), 1)
    with pytest.raises(Refusal):
        pipeline.decoded(raw, "gzip")


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        (
            ["Host: a", "Accept: */*"],
            [
                "Host: api-singapore.klingai.com",
                "Accept: */*",
                "Content-Length: 12",
                "Accept-Encoding: identity",
                "Content-Type: application/json",
                "Authorization: Bearer provider-key",
            ],
        ),
        (
            ["content-length: 0", "content-type: text/plain", "Host: a"],
            [
                "content-length: 12",
                "content-type: application/json",
                "Host: api-singapore.klingai.com",
                "Accept-Encoding: identity",
                "Authorization: Bearer provider-key",
            ],
        ),
    ],
)
def test_a_get_that_becomes_a_post_gets_a_length(lines: list[str], sent: list[str]) -> None:
    provider = _provider(Kling, api_tokens=TOKEN, kling_api="v2", video_response="openai")
    outgoing = _sent(provider, _head("GET /v1/videos?limit=5", *lines))

    assert (outgoing.upstream.method, outgoing.target, outgoing.body) == ("POST", "/tasks", b'{"limit": 5}')
    assert _lines(outgoing.fields) == sent


def test_a_post_that_becomes_a_get_loses_what_describes_its_body() -> None:
    lines = [
        "Host: a",
        "Content-Type: application/json",
        "Content-Length: 14",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Content-Encoding: identity",
        "Accept: */*",
    ]
    head = _head("POST /v1/videos/kling-t2v-7/remix", *lines)
    outgoing = _sent(_provider(Kling, api_tokens=TOKEN), head, b'{"prompt":"q"}')

    assert (outgoing.upstream.method, outgoing.target, outgoing.body) == ("GET", "/v1/videos/text2video/7", b"")
    assert _lines(outgoing.fields) == [
        "Host: api-singapore.klingai.com",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Authorization: Bearer provider-key",
    ]


@table(
    ("request_line", "raw", "lines", "sent"),
    [
        # Rewritten, and held but not changed: HTTP/2 needs no length, the provider may.
        ("POST /v1/videos", CREATE, [], ["content-length: 38"]),
        ("POST /v1/videos", CREATE, ["content-length: 33"], ["content-length: 38"]),
        ("POST /v1/images/generations", CREATE, [], ["content-length: 33"]),
        ("POST /v1/images/generations", CREATE, ["content-length: 33"], ["content-length: 33"]),
        # Not held, or none: nothing is known.
        ("POST /v1/images/generations", b"", [], []),
        ("GET /v1/videos/7", b"", [], []),
    ],
)
def test_a_request_of_http_2_names_no_host_in_its_fields_and_has_the_length_of_a_body(
    request_line: str, raw: bytes, lines: list[str], sent: list[str]
) -> None:
    outgoing = _sent(
        _provider(Kling, api_tokens=TOKEN), _head(request_line, *lines, "x: y")._replace(has_host=False), raw
    )
    got = [line.lower() for line in _lines(outgoing.fields)]

    assert [line for line in got if line.startswith(("host", "content-length"))] == sent
    assert ("x: y" in got, "authorization: bearer provider-key" in got) == (True, True)


SECRETS = [
    "Authorization: Bearer c",
    "PROXY-Authorization: Basic c",
    "X-API-Key: c",
    "x-authorization: c",
    "Api-Key: c",
    "X-Goog-Api-Key: c",
    "Cookie: c",
    "cookie: d",
]


@pytest.mark.parametrize("kind", [OpenAI, Generic])
def test_no_credential_of_a_client_goes_to_a_provider_that_has_one(kind: type[Provider]) -> None:
    provider = _provider(kind, api_tokens=TOKEN)
    outgoing = _sent(provider, _head("POST /v1/responses", *SECRETS, "X-Mine: 1"), b"{}")

    assert _lines(outgoing.fields) == [
        "X-Mine: 1",
        f"Host: {provider.origin.authority}",
        "Authorization: Bearer provider-key",
    ]


def test_a_client_s_credentials_stay_where_the_provider_has_none() -> None:
    outgoing = _sent(_provider(Generic), _head("POST /x", "Host: a", *SECRETS), b"{}")
    assert _lines(outgoing.fields) == ["Host: host.test:8000", *SECRETS]
    assert set(outgoing.secret_fields) == set()

    outgoing = _sent(_provider(OpenAI), _head("POST /v1/responses", "Host: a", *SECRETS), b"{}")
    assert _lines(outgoing.fields) == ["Host: api.openai.com", "Authorization: Bearer c", *SECRETS[1:]]
    assert set(outgoing.secret_fields) == {b"authorization"}


@pytest.mark.parametrize(
    ("target", "sent", "shown"),
    [
        ("/x", "/x?key=provider-key", "/x?key=redacted"),
        ("/x?a=1&&b", "/x?a=1&&b&key=provider-key", "/x?a=1&&b&key=redacted"),
        # A client's own goes to nobody else.
        ("/x?key=c&a=1&k%65y=d", "/x?a=1&key=provider-key", "/x?a=1&key=redacted"),
        ("/x?keys=1", "/x?keys=1&key=provider-key", "/x?keys=1&key=redacted"),
    ],
)
def test_a_credential_may_be_parameters_and_fields_of_any_name(target: str, sent: str, shown: str) -> None:
    lines = ["X-Pass: mine", "Host: a", "X-Api-Key: c", "Authorization: c"]
    outgoing = _sent(_provider(Keyed, api_tokens=TOKEN), _head(f"GET {target}", *lines))

    assert (outgoing.target, outgoing.redacted_target) == (sent, shown)
    assert _lines(outgoing.fields) == ["X-Pass: provider-key", "Host: host.test:8000", "X-Api-Key: provider-key"]
    assert set(outgoing.secret_fields) == {b"x-api-key", b"x-pass"}
    assert "provider-key" not in outgoing.redacted_target + repr(outgoing.upstream)


def test_a_flow_that_was_rewritten_before_is_sent_again_with_its_credential_anew() -> None:
    provider = _provider(Keyed, api_tokens=TOKEN)
    kept = "[sent to the provider, not kept]"
    head = _head(
        "POST /x?a=1&key=redacted", f"X-Pass: {kept}", "host: host.test:8000", f"X-Api-Key: {kept}", "Cookie: c"
    )
    memo = {"what": "create"}
    outgoing = pipeline.resend(provider, head, HOST, memo, b"{}")

    assert (outgoing.target, outgoing.redacted_target) == ("/x?a=1&key=provider-key", "/x?a=1&key=redacted")
    assert _lines(outgoing.fields) == ["X-Pass: provider-key", "host: host.test:8000", "X-Api-Key: provider-key"]
    assert (outgoing.upstream.memo, outgoing.body, outgoing.upstream.method) == (memo, None, "POST")
    assert outgoing.upstream.notes == (
        f"sent to {HOST} again, as a person asked, which may cost again: rewritten before, the credential is new",
    )


def test_a_redacted_client_key_is_not_sent_again() -> None:
    head = _head("POST /v1/responses", "Authorization: [sent to the provider, not kept]", "Content-Length: 2")
    origin = Origin("https", "api.openai.com", 443)

    outgoing = pipeline.resend(_provider(OpenAI), head, origin, {}, b"{}")
    assert _lines(outgoing.fields) == ["Content-Length: 2", "Host: api.openai.com"]
    outgoing = pipeline.resend(_provider(OpenAI), head._replace(fields=(), has_host=False), origin, {}, b"{}")
    assert _lines(outgoing.fields) == ["Content-Length: 2"]


@pytest.mark.parametrize(
    "origin", [Origin("https", "host.test", 8000), Origin("http", "host.test", 80), Origin("http", "a.test", 8000)]
)
def test_a_flow_for_another_provider_is_not_sent_again(origin: Origin) -> None:
    with pytest.raises(Refusal) as caught:
        pipeline.resend(_provider(Generic, api_tokens=TOKEN), _head("GET /x"), origin, {}, b"")

    assert (caught.value.status, caught.value.code) == (400, "provider_changed")


def test_a_request_to_another_host_has_no_credential() -> None:
    head = _head("GET /ai-proxy/link?a", "Range: bytes=0-1", *SECRETS, "Host: localhost", "X-Stainless-Lang: js")
    elsewhere = Origin("https", "files.test", 443)
    outgoing = pipeline.without_credential(head, elsewhere, "/v.mp4?sign=1", "sent there")

    assert (outgoing.upstream.origin, outgoing.upstream.method, outgoing.body) == (elsewhere, "GET", None)
    assert (outgoing.target, outgoing.redacted_target, outgoing.secret_fields) == (
        "/v.mp4?sign=1",
        "",
        {}.keys(),
    )
    assert _lines(outgoing.fields) == ["Range: bytes=0-1", "Host: files.test", "X-Stainless-Lang: js"]
    assert outgoing.upstream.notes == ("sent there",)

    outgoing = pipeline.without_credential(head._replace(has_host=False), elsewhere, "/v.mp4", "sent there")
    assert "Host: files.test" not in _lines(outgoing.fields)


@table(
    ("request_line", "body", "status", "anthropic"),
    [
        ("POST /v1/videos?a=MARKER", b'{"prompt":"MARKER"', 400, "invalid_request_error"),
        ("POST /v1/videos?a=MARKER", b'{"prompt":"MARKER","model":5}', 400, "invalid_request_error"),
        ("POST /v1/videos?a=MARKER", b"MARKER", 400, "invalid_request_error"),
        ("GET /MARKER/../x", b"", 400, "invalid_request_error"),
        ("GET /v1/videos/MARKER%2F", b"", 400, "invalid_request_error"),
        ("POST /MARKER/v1/messages?MARKER", b'{"model":"MARKER"}', 404, "not_found_error"),
        ("DELETE /v1/videos/MARKER", b"", 404, "not_found_error"),
    ],
)
def test_a_refusal_has_nothing_of_the_request_in_either_dialect(
    request_line: str, body: bytes, status: int, anthropic: str
) -> None:
    head = _head(request_line, "Authorization: Bearer MARKER", "Cookie: MARKER", "User-Agent: MARKER")
    with pytest.raises(Refusal) as caught:
        _sent(_provider(Kling, api_tokens=TOKEN), head, body)

    openai, anthropics = (DIALECTS[name].refusal(caught.value) for name in (OPENAI, ANTHROPIC))
    assert (caught.value.status, json.loads(openai)["error"]["type"]) == (status, "invalid_request_error")
    assert json.loads(anthropics)["error"]["type"] == anthropic
    assert b"MARKER" not in openai + anthropics


# The way back


def _reply(rewritten: Answer, *lines: str, raw: bytes = b"{}") -> Reply | None:
    """The reply to an answer with these header fields, rewritten to `rewritten`."""
    return pipeline.response(Whole(lambda answer: rewritten), 200, _fields(*lines), raw)


def test_an_answer_that_is_not_changed_passes_as_it_came() -> None:
    fields = _fields("Content-Encoding: gzip")

    assert pipeline.response(Whole(lambda answer: answer), 200, fields, GZIPPED) is None


@pytest.mark.parametrize(
    ("encoding", "raw", "seen"),
    [
        ("gzip", GZIPPED, b"{}"),
        ("identity", b"{}", b"{}"),
        ("", b"{}", b"{}"),
        # As it came, what cannot be decoded.
        ("br", b"\x0b\x01", b"\x0b\x01"),
        ("gzip", b"{}", b"{}"),
    ],
)
def test_an_answer_is_read_without_its_content_encoding(encoding: str, raw: bytes, seen: bytes) -> None:
    got = []

    def rewrite(answer: Answer) -> Answer:
        got.append(answer)
        return Answer(201, b"[]", {"x-request-id": "é"}, ("why",))

    fields = _fields("Server: s", "Content-Length: 9", f"Content-Encoding: {encoding}", "Content-Type: a/b")
    reply = pipeline.response(Whole(rewrite), 200, fields, raw)

    assert got == [Answer(200, seen)]
    sent = _fields("Server: s", "Content-Length: 2", "Content-Type: a/b", "X-Request-Id: é")
    assert reply == Reply(201, sent, b"[]", ("why",))


@table(
    ("lines", "headers", "sent"),
    [
        (["Retry-After: 9", "A: b"], {"retry-after": "5"}, ["Retry-After: 9", "A: b"]),
        (["retry-after: 9"], {"retry-after": "5", "retry-after-ms": "1"}, ["retry-after: 9", "Retry-After-Ms: 1"]),
        (["A: b"], {"retry-after": "5"}, ["A: b", "Retry-After: 5"]),
        (["Content-Type: a/b", "content-type: c/d", "A: b"], {"content-type": None}, ["A: b"]),
        (["Location: x"], {"location": "/a"}, ["Location: /a"]),
        (["Transfer-Encoding: chunked"], {}, ["Transfer-Encoding: chunked"]),
        (["CONTENT-LENGTH: 2"], {}, ["CONTENT-LENGTH: 3"]),
    ],
)
def test_header_fields_of_an_answer_are_set_but_the_upstream_s_retry_after_is_kept(
    lines: list[str], headers: dict[str, str | None], sent: list[str]
) -> None:
    reply = _reply(Answer(429, b"abc", headers), *lines)

    assert reply
    assert (_lines(reply.fields), reply.status, reply.body) == (sent, 429, b"abc")


def test_a_redirect_repeats_the_client_s_bytes() -> None:
    reply = _reply(Answer(302, b"", {"location": "/a?\udcff"}))

    assert reply
    assert reply.fields == ((b"Location", b"/a?\xff"),)


def test_an_answer_that_cannot_be_read_raises_json_error() -> None:
    def rewrite(answer: Answer) -> Answer:
        raise JSONError("no")

    with pytest.raises(JSONError):
        pipeline.response(Whole(rewrite), 200, (), b"x")


def test_a_create_and_its_answer_go_the_whole_way() -> None:
    provider = _provider(Kling, api_tokens=TOKEN)
    outgoing = _sent(provider, _head("POST /v1/videos"), CREATE)
    handling = pipeline.responseheaders(provider, outgoing.upstream, 200, ())
    assert isinstance(handling, Whole)

    raw = b'{"code":0,"data":{"task_id":"7"}}'
    reply = pipeline.response(handling, 200, _fields(f"Content-Length: {len(raw)}", "Server: s"), raw)
    assert reply
    assert reply.body == b'{"code":0,"data":{"task_id":"kling-t2v-7"}}'
    assert _lines(reply.fields) == [f"Content-Length: {len(reply.body)}", "Server: s"]
    assert reply.notes == ("task_id prefixed with kling-t2v-: a later retrieve finds text2video by it",)
    assert pipeline.response(handling, 400, (), b'{"code":1201}') is None

    passed = _sent(provider, _head("GET /v1/videos/7"))
    assert pipeline.responseheaders(provider, passed.upstream, 200, ()) == PASS


@table(
    ("keys", "target"),
    [
        ({"base_path": "/v1"}, "/v1//evil.test/a"),
        ({"base_path": "/v1"}, "/v1//chat/completions?a"),
    ],
)
def test_a_path_that_begins_with_two_slashes_behind_its_prefix_is_refused(keys: dict[str, Any], target: str) -> None:
    provider = _provider(OpenAI, **keys)
    with pytest.raises(Refusal, match="two slashes"):
        pipeline.rewritten(provider, Head("GET", target), b"")
    assert isinstance(pipeline.rewritten(provider, Head("GET", "/v1/a//b"), b""), Upstream)
