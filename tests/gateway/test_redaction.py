"""Secrets reach the provider only: they are redacted in the flow, however it ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from mitmproxy import http
from mitmproxy.io import tnetstring
from mitmproxy.proxy.layers.http._hooks import HttpRequestHeadersHook, HttpRequestHook

from mitm_ai_proxy import registry
from mitm_ai_proxy.auth.header import CLIENT_FIELDS, Credential
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.cassette.entry import Request
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import PASS, Answer, Head, NeedsBody, Pieces, Upstream, Whole
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.pipeline import BODY_LIMIT
from tests.gateway.literal import EVENTS, FAKE, JSON, Fake, Proxy, Said, Sent, make, run

KEY = "provider-key-0123456789"
DERIVED = KEY[::-1]
"""A credential made from the key; a search for the key itself does not find it."""

CLIENT = {
    name: f"client-secret-{number}"
    for number, name in enumerate(
        (
            *("Authorization", "X-Api-Key", "api-key", "Cookie", "X-Goog-Api-Key", "xi-api-key"),
            *("Ocp-Apim-Subscription-Key", "Proxy-Authorization", "My-Secret-Token", "X-Authorization"),
        )
    )
}


class Keyed(Fake):
    """Has its credential in a field of an unsuspicious name, in one that clients use too, and in the query."""

    type = "keyed"
    fails: ClassVar[str] = ""
    """Name of the method that raises, with a secret in the text of its error."""

    def requestheaders(self, head: Head) -> Upstream | NeedsBody:
        if head.target.startswith("/refused"):
            raise Refusal(404, "No.", code="no")
        self.fail("requestheaders")
        return super().requestheaders(head)

    def credential(self, upstream: Upstream, token: Secret | None) -> Credential:
        self.fail("credential")
        if token is None:
            return Credential()
        made = token.reveal()[::-1].encode()
        return Credential({b"x-goog-thing": made, b"x-api-key": made}, f"key={made.decode()}")

    def responseheaders(self, sent: Upstream, status: int, fields: Any) -> Any:
        self.fail("responseheaders")
        return super().responseheaders(sent, status, fields)

    def error(self, sent: Upstream) -> None:
        self.fail("error")

    def fail(self, where: str) -> None:
        """Raise if `where` is the method that fails."""
        if self.fails == where:
            raise RuntimeError(f"{DERIVED} of {list(CLIENT.values())}")


class Raising:
    """A transducer that raises at its first piece."""

    def feed(self, data: bytes) -> bytes:
        raise RuntimeError(DERIVED)

    def end(self) -> bytes:
        return b""


Way = Callable[[Proxy, http.HTTPFlow], Awaitable[Sent | None]]


def _answered(handling: Any, said: Said) -> Way:
    async def way(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
        sent = await proxy.send(flow, b"{}")
        proxy.fake.handling = handling
        await proxy.answer(flow, said)
        return sent

    return way


async def _refused(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    sent = await proxy.send(flow, b"{}")
    await proxy.answer(flow)
    return sent


async def _refused_by_body(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    def refuse(body: bytes, upstream: Upstream) -> Upstream:
        raise Refusal(400, "No.", code="no")

    proxy.fake.rewrite = refuse
    return await _refused(proxy, flow)


async def _broken_off(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    sent = await proxy.send(flow, b"{}")
    await proxy.break_off(flow)
    return sent


async def _broken_off_in_the_body(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    flow.request.data.content = None
    await proxy.hook(HttpRequestHeadersHook(flow))
    await proxy.break_off(flow)
    return None


async def _ended_in_the_body(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    flow.request.data.content = None
    await proxy.hook(HttpRequestHeadersHook(flow))
    proxy.context.master.should_exit.set()
    proxy.gateway.done()
    return None


async def _ended(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    sent = await proxy.send(flow, b"{}")
    proxy.context.master.should_exit.set()
    proxy.gateway.done()
    return sent


async def _sent_elsewhere(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    flow.request.data.content = None
    await proxy.hook(HttpRequestHeadersHook(flow))
    await proxy.addons.invoke_addon(proxy.gateway, HttpRequestHook(flow))
    flow.request.host = "elsewhere.test"
    proxy.guard.request(flow)
    await proxy.answer(flow)
    return None


async def _answered_by_another_addon(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    sent = await proxy.send(flow, b"{}")
    flow.response = http.Response.make(200, b"{}", {"Content-Type": "application/json"})
    await proxy.answer(flow)
    return sent


def _failing(where: str, way: Way) -> Way:
    async def failing(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
        proxy.fake.fails = where  # type: ignore[attr-defined]
        return await way(proxy, flow)

    return failing


def _raise(answer: Answer) -> Answer:
    raise RuntimeError(DERIVED)


async def _unwritable(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    """The provider's upstream request cannot be written into mitmproxy's flow."""
    proxy.fake.rewrite = lambda body, upstream: upstream._replace(method="\ud800")
    return await _refused(proxy, flow)


async def _sent_again(proxy: Proxy, flow: http.HTTPFlow) -> Sent | None:
    sent = await _answered(PASS, Said())(proxy, flow)
    flow.is_replay, flow.response = "request", None
    again = await proxy.send(flow, b"{}")
    if proxy.fake.has_credential:
        assert again
        assert again.values("x-goog-thing") == [DERIVED]
    await proxy.answer(flow, Said())
    return sent


WAYS: dict[str, tuple[str, Way, bool]] = {
    # The request, what happens to it, and whether it is sent.
    "answered": ("GET /a", _answered(PASS, Said()), True),
    "answered, with a body": ("POST /body", _answered(PASS, Said()), True),
    "answered, rewritten": ("GET /a", _answered(Whole(lambda answer: answer._replace(body=b"x")), Said([b"{}"])), True),
    "answered, in pieces": ("GET /a", _answered(PASS, Said([b"a", b"b"], EVENTS)), True),
    "answered by another addon": ("GET /a", _answered_by_another_addon, True),
    "refused by the head": ("GET /refused", _refused, False),
    "refused by the body": ("POST /body", _refused_by_body, False),
    "refused by the guard": ("GET /a", _sent_elsewhere, False),
    "refused by the guard, with a body": ("POST /body", _sent_elsewhere, False),
    "broken off": ("GET /a", _broken_off, True),
    "broken off in the body": ("POST /body", _broken_off_in_the_body, False),
    "at the end of the process": ("GET /a", _ended, True),
    "at the end of the process, with a body": ("POST /body", _ended, True),
    "at the end of the process, in the body": ("POST /body", _ended_in_the_body, False),
    "sent again": ("GET /a", _sent_again, True),
    "the head raises": ("GET /a", _failing("requestheaders", _refused), False),
    "the credential raises": ("GET /a", _failing("credential", _refused), False),
    "the credential raises, with a body": ("POST /body", _failing("credential", _refused), False),
    "the flow cannot be written": ("POST /body", _unwritable, False),
    "the answer's head raises": ("GET /a", _failing("responseheaders", _answered(PASS, Said())), True),
    "the answer raises": ("GET /a", _answered(Whole(_raise), Said([b"{}"])), True),
    "the stream raises": ("GET /a", _answered(Pieces(Raising()), Said([b"a"], EVENTS)), True),
    "the error hook raises": ("GET /a", _failing("error", _broken_off), True),
}


@pytest.fixture(autouse=True)
def _keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(dict[str, Any], registry.TYPES), Keyed.type, Keyed)


def _kept(flow: http.HTTPFlow) -> bytes:
    """The bytes that mitmproxy would save of a flow."""
    return bytes(tnetstring.dumps(flow.get_state()))


def _provider(tokens: list[str]) -> dict[str, Any]:
    return {**FAKE, "type": "keyed", "apiTokens": tokens}


@pytest.mark.parametrize("tokens", [[KEY], []], ids=["own credential", "the client's"])
@pytest.mark.parametrize("name", WAYS)
def test_what_was_sent_is_not_kept(name: str, tokens: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request, way, is_sent = WAYS[name]

    async def work(proxy: Proxy) -> None:
        flow = make(request, {**JSON, **CLIENT, "X-Kept": "kept-value", "Content-Length": "2"})
        sent = await way(proxy, flow)
        assert (sent is not None) == is_sent
        if sent:
            withheld = CLIENT_FIELDS if tokens else ()
            for field, value in CLIENT.items():
                expected = [] if field.lower().encode() in withheld else [value]
                own = [DERIVED] if tokens and field == "X-Api-Key" else []
                assert sent.values(field) == expected + own
            assert sent.values("x-goog-thing") == ([DERIVED] if tokens else [])
            assert sent.url.endswith(f"?key={DERIVED}") == bool(tokens)
        kept = _kept(flow)
        assert b"kept-value" in kept
        for secret in (KEY, DERIVED, *CLIENT.values()):
            assert secret.encode() not in kept
            assert secret not in caplog.text

    run(work, provider=_provider(tokens))


@pytest.mark.parametrize("ending", ["missed", "no cassette", "raises", "recorded", "broken off", "ended"])
@pytest.mark.parametrize("tokens", [[KEY], []], ids=["own credential", "the client's"])
def test_a_recorder_keeps_nothing_of_it_either(
    ending: str, tokens: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stage, path = Recorded(), tmp_path / "a.har"
    stage.insert(Opening(path, Mode.NONE if ending == "missed" else Mode.APPEND, may_be_missing=True))
    seen: list[Request] = []
    stage.seen = seen.append

    async def work(proxy: Proxy) -> None:
        if ending == "no cassette":
            stage.insert(None)
        if ending == "raises":
            assert stage.cassette
            stage.cassette.answer = None  # type: ignore[assignment, method-assign]
        flow = make("POST /a?b=c", {**JSON, **CLIENT, "X-Kept": "kept-value"})
        sent = await proxy.send(flow, b"{}")
        answer = b""
        if sent is None:
            answer = (await proxy.answer(flow)).body
        elif ending == "broken off":
            await proxy.break_off(flow)
        elif ending == "ended":
            proxy.context.master.should_exit.set()
            proxy.gateway.done()
        else:
            answer = (await proxy.answer(flow, Said())).body
        assert (sent is not None) == (ending in ("recorded", "broken off", "ended"))
        if sent and tokens:
            assert sent.values("x-goog-thing") == [DERIVED]
            assert sent.url.endswith(f"/a?b=c&key={DERIVED}")
        kept = _kept(flow) + answer + str(seen).encode() + caplog.text.encode()
        assert b"kept-value" in kept
        if ending in ("recorded", "broken off"):
            kept += path.read_bytes()
            assert b"b=c" in path.read_bytes()
        for secret in (KEY, DERIVED, *CLIENT.values()):
            assert secret.encode() not in kept

    run(work, stage, provider=_provider(tokens))


def test_a_request_with_a_credential_in_its_query_is_found_again(tmp_path: Path) -> None:
    stage, path = Recorded(), tmp_path / "a.har"
    stage.insert(Opening(path, Mode.APPEND))

    async def work(proxy: Proxy) -> None:
        await proxy.ask(make("GET /a?b=c"), Said([b'{"a":1}']))
        stage.insert(Opening(path, Mode.NONE))
        proxy.use(provider=_provider(["another-key"]))
        assert json.loads((await proxy.ask(make("GET /a?b=c"))).body) == {"a": 1}

    run(work, stage, provider=_provider([KEY]))


def test_a_long_request_that_is_refused_while_it_comes_in_is_redacted() -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("POST /body", {**CLIENT, "Content-Length": str(BODY_LIMIT + 1)})
        await proxy.send(flow)
        assert flow.error
        for secret in CLIENT.values():
            assert secret.encode() not in _kept(flow)

    run(work, provider=_provider([]))
