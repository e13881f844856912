"""Reading requests from mitmproxy's flows, and writing requests and answers into them."""

from __future__ import annotations

from typing import Any

from mitmproxy import http
from mitmproxy.test import tflow

from mitm_ai_proxy.auth.header import REDACTED
from mitm_ai_proxy.auth.masking import mask_of
from mitm_ai_proxy.chat.dialects import DIALECTS
from mitm_ai_proxy.exchange import NO_MEMO, Head, NeedsBody, Upstream
from mitm_ai_proxy.gateway import flows, sealed
from mitm_ai_proxy.gateway.flows import MARK, NOWHERE, FlowState
from mitm_ai_proxy.pipeline import Outgoing, Reply
from mitm_ai_proxy.wire.header_fields import Fields
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table

ORIGIN = Origin("http", "provider.test", 81)
UPSTREAM = Upstream(ORIGIN, "POST", "/b", memo={"a": 1}, notes=("first", "second"))
FIELDS: Fields = ((b"Host", b"provider.test:81"), (b"X-Thing", b"key"))


def _flow(request: str = "POST /a?b=c", version: str = "HTTP/1.1", **headers: str) -> http.HTTPFlow:
    method, _, target = request.partition(" ")
    flow = tflow.tflow(req=http.Request.make(method, f"https://api.openai.com{target}", b"body"))
    flow.request.http_version = version
    flow.request.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return flow


def _state(flow: http.HTTPFlow) -> FlowState:
    return FlowState(flows.head_of(flow), None)


@table(("version", "has_host"), [("HTTP/1.0", True), ("HTTP/1.1", True), ("HTTP/2.0", False)])
def test_the_head_of_a_flow(version: str, has_host: bool) -> None:
    flow = _flow("PUT /v1/messages?b=c", version, Content_Type="application/json")

    head = flows.head_of(flow)

    assert (head.method, head.target, head.has_host) == ("PUT", "/v1/messages?b=c", has_host)
    assert head.fields == flow.request.headers.fields
    assert (head.caller.dialect, head.caller.content_type) == ("anthropic", "application/json")


def test_a_placed_request_goes_there_and_keeps_its_header_fields() -> None:
    flow = _flow(Host="api.openai.com")

    flows.place(flow, NOWHERE)

    request = flow.request
    assert (request.scheme, request.host, request.port) == ("http", "127.0.0.1", 0)
    assert request.headers["Host"] == "api.openai.com"


def _form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\nContent-Disposition: form-data; name=" + part + b"\r\n" for part in parts) + b"--b--\r\n"


MODEL = b'"model"\r\n\r\nsora-2'
PICTURE = b'"input_reference"; filename="a.png"\r\n\r\n' + b"\r\n--c" * 40_000
FORM = "multipart/form-data; boundary=b"


@table(
    "kind, body, model",
    [
        ("", b"x" * 70_000, ""),
        ("application/json", b'{"input": "' + b"x" * 2_000_000 + b'", "model": "gpt-4o"}', "gpt-4o"),
        ("application/json", b'{"model": 7, "input": "' + b"x" * 70_000 + b'"}', ""),
        (FORM, _form(MODEL, PICTURE), "sora-2"),
        (FORM, _form(PICTURE, MODEL), "sora-2"),
        (FORM, _form(MODEL, PICTURE)[:-9], "sora-2"),
        (FORM, _form(PICTURE), ""),
        (FORM, _form(PICTURE, b'"model"; filename="m"\r\n\r\nx'), ""),
        ("multipart/form-data", _form(MODEL, PICTURE), ""),
    ],
)
def test_of_a_long_body_the_model_is_kept_and_of_a_target_no_query(kind: str, body: bytes, model: str) -> None:
    flow = _flow("POST /a?key=secret", Content_Type=kind)
    flow.request.raw_content = body
    state = _state(flow)
    outgoing = Outgoing(UPSTREAM, "/b", FIELDS, b"new", {b"x-thing"}, "/b")

    flows.send(flow, state, outgoing)
    flows.send(flow, state, outgoing)

    assert flow.metadata[MARK]["client"] == {"method": "POST", "path": "/a", "type": kind, "body": b"", "model": model}
    client = flows.client_request(flow)
    assert client
    assert (client.body, client.is_whole, client.model) == (b"", False, model)


@table(("body", "expected"), [(b"new", b"new"), (b"", b""), (None, b"body")])
def test_what_is_sent_is_put_into_the_flow(body: bytes | None, expected: bytes) -> None:
    flow = _flow("GET /a")
    state = _state(flow)

    flows.send(flow, state, Outgoing(UPSTREAM, "/b?key=k", FIELDS, body, {b"x-thing"}, "/b?key=redacted"))

    request = sealed.sent(flow)
    assert (request.method, request.url) == ("POST", "http://provider.test:81/b?key=k")
    assert (request.headers.fields, request.raw_content) == (FIELDS, expected)
    client = {"method": "GET", "path": "/a", "type": "", "body": None if body is None else b"body"}
    assert flow.metadata[MARK] == {"memo": {"a": 1}, "client": client}
    assert flow.comment == "first; second"
    assert state.is_ready
    assert (state.upstream, state.secret_fields, state.redacted_target) == (UPSTREAM, {b"x-thing"}, "/b?key=redacted")


def test_a_request_over_http_2_names_the_provider_in_its_authority_alone() -> None:
    flow = _flow(version="HTTP/2.0")
    flow.request.authority = "api.openai.com"

    flows.send(flow, _state(flow), Outgoing(UPSTREAM, "/b", ((b"x-a", b"1"),)))

    assert flow.request.authority == "provider.test:81"
    assert flow.request.headers.fields == ((b"x-a", b"1"),)


def test_a_request_in_absolute_form_stays_one() -> None:
    flow = _flow()
    flow.request.authority = "api.openai.com:443"

    flows.send(flow, _state(flow), Outgoing(UPSTREAM, "/b", FIELDS))

    assert flow.request.data.authority == b"provider.test:81"


def test_notes_that_are_known_since_the_head_are_not_repeated() -> None:
    flow = _flow()
    state = _state(flow)
    state.needs = NeedsBody(ORIGIN, lambda body: UPSTREAM, ("first",))
    state.note("first")

    flows.send(flow, state, Outgoing(UPSTREAM, "/b", FIELDS))

    assert flow.comment == "first; second"


@table(
    ("mark", "memo"),
    [({"memo": {"a": 1}}, {"a": 1}), ({}, NO_MEMO), ({"memo": 5}, NO_MEMO), ("text", NO_MEMO), (None, NO_MEMO)],
)
def test_the_memo_of_a_flow_that_was_loaded_from_a_file(mark: Any, memo: dict[str, int]) -> None:
    flow = _flow()
    flow.metadata[MARK] = mark
    copy = _flow()
    copy.set_state(flow.get_state())

    assert flows.memo_of(copy) == memo
    assert flows.memo_of(_flow()) == NO_MEMO


@table(("status", "reason"), [(200, "Fine"), (404, "Not Found"), (599, "")], ids=["the same", "another", "unknown"])
def test_an_answer_takes_the_place_of_the_providers(status: int, reason: str) -> None:
    response = http.Response.make(200, b"old", {"X-A": "1"})
    response.reason = "Fine"

    flows.reply(response, Reply(status, ((b"X-B", b"2"),), b"new", ()))

    assert (response.status_code, response.reason, response.raw_content) == (status, reason, b"new")
    assert response.headers.fields == ((b"X-B", b"2"),)


def test_another_body_has_its_own_length_and_no_coding() -> None:
    response = http.Response.make(200, b"old", {"Content-Encoding": "gzip", "X-A": "1"})

    flows.replace_body(response, b"longer")

    assert response.raw_content == b"longer"
    assert dict(response.headers.items()) == {"X-A": "1", "content-length": "6"}


@table(
    ("state", "shown", "path"),
    [
        (None, {"X-Thing": "set", "Authorization": REDACTED, "X-A": "1"}, "/a?key=redacted"),
        (
            FlowState(Head("GET", "/"), None),
            {"X-Thing": "set", "Authorization": REDACTED, "X-A": "1"},
            "/a?key=redacted",
        ),
        (
            FlowState(Head("GET", "/"), None, secret_fields={b"x-thing"}, redacted_target="/a?key=redacted"),
            {"X-Thing": REDACTED, "Authorization": REDACTED, "X-A": "1"},
            "/a?key=redacted",
        ),
    ],
)
def test_what_was_set_and_what_the_client_sent_is_redacted(
    state: FlowState | None, shown: dict[str, str], path: str
) -> None:
    flow = _flow("GET /a?key=k", X_Thing="set", Authorization="Bearer c", X_A="1")

    flows.redact(flow, state)

    assert {name: value for name, value in flow.request.headers.items() if name in shown} == shown
    assert flow.request.path == path


def test_notes_are_shown_in_one_line_that_can_be_saved() -> None:
    flow = _flow()
    state = _state(flow)
    state.note("a", "\ud800 é")

    flows.show_notes(flow, state)

    assert flow.comment == "a; ? é"


def test_a_description_has_no_query() -> None:
    assert flows.describe(_flow("GET /a?key=secret")) == "GET /a"


def test_where_a_flow_goes_as_far_as_that_is_known() -> None:
    flow = _flow(anthropic_version="2023-06-01")
    state = _state(flow)

    assert _state(flow).origin is None
    state.needs = NeedsBody(ORIGIN, lambda body: UPSTREAM)
    assert state.origin == ORIGIN
    state.upstream = UPSTREAM._replace(origin=NOWHERE)
    assert state.origin == NOWHERE
    assert state.dialect is DIALECTS["anthropic"]


TOKEN = b"token-of-the-tests"
STARS = b"*" * len(TOKEN)


def _masked(response: http.Response) -> FlowState:
    state = FlowState(Head("GET", "/"), None, mask=mask_of((b"Bearer " + TOKEN,)))
    flows.mask_head(response, state)
    flows.mask_body(response, state)
    return state


def test_a_credential_that_an_answer_repeats_is_masked_wherever_it_stands() -> None:
    response = http.Response.make(401, b"no " + TOKEN, {"X-Key": TOKEN.decode()})
    response.reason = f"bad {TOKEN.decode()}"
    response.trailers = http.Headers([(b"x-key", TOKEN)])

    state = _masked(response)

    assert response.data.reason == b"bad " + STARS
    assert response.headers["X-Key"] == STARS.decode()
    assert response.raw_content == b"no " + STARS
    assert response.trailers["x-key"] == STARS.decode()
    assert set(state.notes) == {flows.MASKED}


@table("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_is_decoded_to_look_for_the_credential_and_stays_encoded_without_it(encoding: str) -> None:
    with_it, without = (http.Response.make(401, b"no " + text) for text in (TOKEN, b"such token"))
    for response in (with_it, without):
        response.encode(encoding)
    before = without.raw_content
    _masked(with_it)
    state = _masked(without)

    assert (with_it.raw_content, "content-encoding" in with_it.headers) == (b"no " + STARS, False)
    assert (without.raw_content, without.headers["content-encoding"]) == (before, encoding)
    assert state.notes == []


def test_a_body_that_is_not_what_its_encoding_says_passes() -> None:
    response = http.Response.make(401, b"x", {"Content-Encoding": "gzip"})
    response.raw_content = b"no gzip"
    _masked(response)
    assert response.raw_content == b"no gzip"
