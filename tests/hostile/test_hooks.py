"""Whatever clients and providers send, no hook fails, nothing goes astray, and no secret is seen."""

from __future__ import annotations

import gzip
import json
import logging
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, cast
from urllib.parse import unquote_to_bytes

import pytest
from mitmproxy import http
from mitmproxy.proxy.layers.http._hooks import (
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)

from mitm_ai_proxy import registry
from mitm_ai_proxy.auth.header import CLIENT_FIELDS
from mitm_ai_proxy.exchange import Pieces
from mitm_ai_proxy.gateway import engine, sealed
from mitm_ai_proxy.gateway.error_log import LOGGER
from mitm_ai_proxy.gateway.flows import FlowState
from tests.gateway.literal import Fake, Proxy, make, run
from tests.hostile import configurations, traffic
from tests.hostile.configurations import MEMBERS, SECRETS, TOKEN
from tests.hostile.inputs import Inputs, mutated
from tests.hostile.traffic import CLIENT_KEY, Answered, Asked


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the type of the fake provider, and have the layers that literal flows do not have obey."""
    monkeypatch.setitem(cast(dict[str, Any], registry.TYPES), Fake.type, Fake)
    monkeypatch.setattr(engine, "lay_over", lambda flow, changes: True)


class _Log(logging.Handler):
    """Keeps the lines of a conversation."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def _log() -> Iterator[_Log]:
    log, level, propagates = _Log(), LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(log)
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    try:
        yield log
    finally:
        LOGGER.removeHandler(log)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagates


def test_no_exchange_fails_goes_astray_or_shows_a_secret(inputs: Inputs) -> None:
    """A conversation of some requests through one configuration; each is refused or sent, and perhaps answered."""
    configured = configurations.read()

    async def work(proxy: Proxy) -> None:
        for random in inputs.of(400):
            configuration = random.choice(configured)
            proxy.gateway.use(configuration)
            log.records.clear()
            asked = traffic.request(random)
            for _ in range(random.choice((1, 1, 2, 3))):
                await _exchange(random, proxy, asked, log, inputs)
                asked = _next(random, asked)

    with _log() as log:
        run(work, limit=None)


def _next(random: Random, asked: Asked) -> Asked:
    """The same request again, as SDKs repeat it, or another one."""
    if random.random() < 0.5:
        return asked._replace(fields=(*asked.fields, (b"X-Stainless-Retry-Count", b"1")))
    return traffic.request(random)


def _flow(random: Random, asked: Asked) -> http.HTTPFlow:
    flow = make("GET /", mode=random.choice(("reverse:http://x.test", "reverse:http://x.test", "regular")))
    data = flow.request.data
    data.http_version, data.method, data.path, data.authority = (
        asked.version,
        asked.method,
        asked.target,
        asked.authority,
    )
    flow.request.headers.fields = asked.fields
    return flow


async def _exchange(random: Random, proxy: Proxy, asked: Asked, log: _Log, inputs: Inputs) -> None:
    inputs.tally["exchanges"] += 1
    flow = _flow(random, asked)
    data = flow.request.data
    data.content = None
    await proxy.hook(HttpRequestHeadersHook(flow))
    state = proxy.guard.states.get(flow)
    if state is None:
        assert flow.client_conn.proxy_mode.type_name == "regular"
        return
    if not flow.request.stream:
        data.content = asked.body
        flow.request.trailers = http.Headers(asked.trailers) if asked.trailers else None
        await proxy.hook(HttpRequestHook(flow))
    secrets = {*SECRETS, *(token for token in _tokens(sealed.fields_of(flow)) if CLIENT_KEY not in token)}
    assert flow.error is None
    _check_log(log, secrets)
    seen = repr(flow.get_state())
    assert not any(secret in seen for secret in secrets), seen
    if flow.response:
        inputs.tally["refused"] += 1
        _check_refusal(flow, state, asked)
        answered = None
    else:
        inputs.tally["sent"] += 1
        _check_sent(flow, state, asked)
        answered = traffic.answer(random)
        if random.random() < 0.1:
            await proxy.break_off(flow)
    if not flow.error:
        await _answer(proxy, flow, answered, secrets)
    assert flow not in proxy.guard.states
    _check_log(log, secrets)
    saved = repr(flow.get_state())
    assert not any(secret in saved for secret in secrets), saved
    client_secrets = [v for k, v in asked.fields if k.lower() in CLIENT_FIELDS and CLIENT_KEY.encode() in v]
    assert not client_secrets or CLIENT_KEY not in saved, saved


def _tokens(fields: Any) -> Iterator[str]:
    for name, value in fields:
        if name.lower() == b"authorization":
            yield value.decode("utf-8", "replace").removeprefix("Bearer ")


def _check_sent(flow: http.HTTPFlow, state: FlowState, asked: Asked) -> None:
    request, provider = sealed.sent(flow), state.provider
    assert provider
    data, fields = request.data, request.headers.fields
    keys = provider.keys
    origin = provider.origin
    assert (data.scheme.decode(), data.host, data.port) == (origin.scheme, origin.host, origin.port)
    assert TOKEN.fullmatch(data.method)
    path = data.path.partition(b"?")[0]
    assert re.fullmatch(rb"/(?!/)[^\x00-\x20\x7f]*", data.path), data.path
    base = keys.provider_base_path.encode()
    assert path == base or path.startswith(base + b"/"), path
    assert not {b".", b".."} & set(re.split(rb"[/\\]", unquote_to_bytes(path))), path
    for name, value in fields:
        assert TOKEN.fullmatch(name), name
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value), (name, value)
    names = [name.lower() for name, _ in fields]
    hosts = [value.decode() for name, value in fields if name.lower() == b"host"]
    assert hosts == ([origin.authority] if data.http_version.startswith(b"HTTP/1") else [])
    assert data.authority in (b"", origin.authority.encode())
    assert data.trailers is None
    sent = asked.body if request.stream or data.content is None else data.content
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    assert lengths in ([], [b"%d" % len(sent)])
    assert not (lengths and b"transfer-encoding" in names)
    if provider.has_credential:
        assert names.count(b"authorization") == 1
        assert not any(CLIENT_KEY.encode() in value for _, value in fields)


def _check_refusal(flow: http.HTTPFlow, state: FlowState, asked: Asked) -> None:
    response = flow.response
    assert response
    assert response.raw_content is not None
    if response.status_code == 204:
        assert asked.method == b"OPTIONS"
        return
    if response.status_code == 200:
        assert any(note.startswith("answered here: ") for note in state.notes)
        return
    assert 400 <= response.status_code < 500, (response.status_code, response.raw_content)
    assert asked.method not in (b"OPTIONS",) or response.status_code != 204
    assert CLIENT_KEY.encode() not in response.raw_content
    if asked.method == b"HEAD":
        assert response.raw_content == b""
        return
    document = json.loads(response.raw_content)
    error = document.get("error", document)
    assert set(error) == MEMBERS[state.dialect.name]
    assert isinstance(error["message"], str)
    assert error["message"]


async def _answer(proxy: Proxy, flow: http.HTTPFlow, answered: Answered | None, secrets: set[str]) -> None:
    """Call the hooks of an answer, and look at what the client gets."""
    if answered:
        flow.response = http.Response(
            answered.version, answered.status, answered.reason, answered.fields, None, None, 0, None
        )
    assert flow.response
    await proxy.hook(HttpResponseHeadersHook(flow))
    stream: Any = flow.response.stream
    got = b""
    if answered and callable(stream):
        got = b"".join(b"".join(stream(piece)) for piece in (*answered.pieces, b""))
    elif answered and stream:
        got = b"".join(answered.pieces)
    elif answered:
        flow.response.data.content = b"".join(answered.pieces)
    await proxy.hook(HttpResponseHook(flow))
    response = flow.response
    assert response
    if not stream:
        got = response.raw_content or b""
    assert 200 <= response.status_code < 600
    known = set(answered.fields) if answered else set()
    for name, value in response.headers.fields:
        assert (name, value) in known or (TOKEN.fullmatch(name) and not re.search(rb"[\r\n\0]", value)), (name, value)
    lengths = [v for n, v in response.headers.fields if n.lower() == b"content-length"]
    assert lengths in ([], [b"%d" % len(got)])
    shown = repr(response.headers.fields) + got.decode("utf-8", "replace")
    assert not any(secret in shown for secret in secrets), shown


def _check_log(log: _Log, secrets: set[str]) -> None:
    for record in log.records:
        text = record.getMessage()
        assert record.levelno < logging.ERROR, text
        assert "was stopped" not in text, text
        assert "not rewritten completely" not in text, text
        assert text.isprintable(), text
        assert CLIENT_KEY not in text, text
        assert not any(secret in text for secret in secrets), text


class _Upper:
    """A translation that can be undone: b"A" comes before each piece that it is fed, which it may fail at."""

    def __init__(self, fails_at: int) -> None:
        self.left = fails_at
        self.fed = b""

    def feed(self, data: bytes) -> bytes:
        self.left -= 1
        if self.left == 0:
            raise RuntimeError
        self.fed += data
        return data

    def end(self) -> bytes:
        self.left -= 1
        if self.left == 0:
            raise RuntimeError
        return b"the end"


def test_a_stream_is_translated_however_it_is_cut_and_ends_with_an_error_where_that_fails(
    inputs: Inputs,
) -> None:
    async def work(proxy: Proxy) -> None:
        for random in inputs.of(500):
            plain = b"".join(random.choices((b"data: {}\n\n", b": x\r\n\r\n", b"\xff", b"\n", b"", b"x" * 3000), k=8))
            encoding = random.choice(("", "gzip", "deflate", "identity"))
            body = zlib.compress(plain) if encoding == "deflate" else plain
            body = gzip.compress(plain) if encoding == "gzip" else body
            is_broken = encoding in ("gzip", "deflate") and random.random() < 0.4
            body = mutated(random, body, traffic.BODY_WORDS, 2) if is_broken else body
            cut = traffic.pieces(random, body)
            fails_at = random.randint(1, 4) if random.random() < 0.2 else 0
            transducer = _Upper(fails_at)
            proxy.fake.handling = Pieces(transducer)
            log.records.clear()
            flow = make()
            assert await proxy.send(flow)
            fields = ((b"content-type", b"text/event-stream"), (b"content-encoding", encoding.encode()))
            flow.response = http.Response(b"HTTP/1.1", 200, b"OK", fields, None, None, 0, None)
            await proxy.hook(HttpResponseHeadersHook(flow))
            stream: Any = flow.response.stream
            got = b"".join(b"".join(stream(piece)) for piece in (*cut, b"", *random.choice(((), (b"more", b"")))))
            await proxy.hook(HttpResponseHook(flow))
            has_failed = bool(log.records) and "while an answer was translated" in log.records[-1].getMessage()
            assert got.startswith(transducer.fed)
            rest = got.removeprefix(transducer.fed)
            if has_failed:
                inputs.tally["failed"] += 1
                assert is_broken or fails_at
                assert json.loads(rest.removeprefix(b"data: "))["error"]["code"] == "stream_failed"
            else:
                assert rest == b"the end"
                assert is_broken or transducer.fed == plain
            assert flow not in proxy.guard.states

    with _log() as log:
        run(work, limit=None)
