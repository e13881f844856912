"""Flows without sockets: mitmproxy's hooks called in its order, and a fake provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mitmproxy import flow as base
from mitmproxy import http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.hooks import Hook
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.layers.http._hooks import (
    HttpErrorHook,
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)
from mitmproxy.test import taddons, tflow

from mitm_ai_proxy import registry
from mitm_ai_proxy.exchange import PASS, Handling, Head, NeedsBody, Upstream
from mitm_ai_proxy.gateway import sealed
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.guard import NAME, Guard
from mitm_ai_proxy.gateway.stages import Stage
from mitm_ai_proxy.wire.header_fields import Fields
from tests.completed import Generic

REVERSE = "reverse:http://x.test"
PORT = 8123
HERE = f"http://127.0.0.1:{PORT}"
JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream"}


class Fake(Generic):
    """A provider that needs the request's body for the path /body, and handles answers as a test sets."""

    type = "fake"
    handling: Handling = PASS
    rewrite: Callable[[bytes, Upstream], Upstream] = staticmethod(lambda body, upstream: upstream)

    def requestheaders(self, head: Head) -> Upstream | NeedsBody:
        upstream = super().requestheaders(head)
        if isinstance(upstream, NeedsBody) or not head.target.startswith("/body"):
            return upstream
        return NeedsBody(self.origin, lambda body: self.rewrite(body, upstream), upstream.notes)

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        return self.handling


class Sent(NamedTuple):
    """A request as the upstream gets it."""

    method: str
    url: str
    fields: Fields
    body: bytes

    def values(self, name: str) -> list[str]:
        """The values of all fields of a name."""
        return [value.decode() for key, value in self.fields if key.lower() == name.lower().encode()]


class Said(NamedTuple):
    """An answer as the upstream sends it. `reason` is that of HTTP/1."""

    pieces: Sequence[bytes] = (b"",)
    fields: Mapping[str, str] = JSON
    status: int = 200
    reason: str = "OK"


class Got(NamedTuple):
    """An answer as the client gets it."""

    status: int
    headers: http.Headers
    body: bytes
    is_streamed: bool = False


class Proxy:
    """A gateway in mitmproxy's chain of addons."""

    def __init__(self, gateway: Gateway, context: taddons.context) -> None:
        self.gateway, self.context = gateway, context
        self.addons = context.master.addons

    @property
    def guard(self) -> Guard:
        """The gateway's guard."""
        guard = self.addons.get(NAME)
        assert isinstance(guard, Guard)
        return guard

    @property
    def fake(self) -> Fake:
        """The provider, which has to be the fake one."""
        assert self.gateway.providers
        fake = self.gateway.providers.main
        assert isinstance(fake, Fake)
        return fake

    def use(self, **document: Any) -> None:
        """Use a configuration with these blocks; `provider` is the fake one if it is not given."""
        self.gateway.use(registry.read({"provider": FAKE, **document}, offline=True))

    async def hook(self, hook: Hook) -> None:
        """Call a hook of all addons; raises what an addon raises."""
        for addon in list(self.addons.chain):
            await self.addons.invoke_addon(addon, hook)

    async def send(self, flow: http.HTTPFlow, body: bytes = b"") -> Sent | None:
        """Call the hooks of a request; returns what is sent, None if it was answered here or its connection closed."""
        flow.request.data.content = None
        await self.hook(HttpRequestHeadersHook(flow))
        if not flow.request.stream:
            flow.request.data.content = body
        await self.hook(HttpRequestHook(flow))
        if flow.error:
            await self.hook(HttpErrorHook(flow))
        if flow.error or flow.response:
            return None
        request = sealed.sent(flow)
        held = request.data.content
        return Sent(request.method, request.url, request.headers.fields, body if held is None else held)

    async def answer(self, flow: http.HTTPFlow, said: Said | None = None) -> Got:
        """Call the hooks of an answer, the upstream's or the one made here; returns what the client gets."""
        if said:
            fields = tuple((name.encode(), value.encode()) for name, value in said.fields.items())
            reason = said.reason.encode()
            flow.response = http.Response(b"HTTP/1.1", said.status, reason, fields, None, None, 0, None)
        response = flow.response
        assert response
        await self.hook(HttpResponseHeadersHook(flow))
        stream: Any = response.stream
        streamed = b""
        if said and callable(stream):
            for piece in [*said.pieces, b""]:
                streamed += b"".join(stream(piece))
        elif said and stream:
            streamed = b"".join(said.pieces)
        elif said:
            response.data.content = b"".join(said.pieces)
        await self.hook(HttpResponseHook(flow))
        response = flow.response
        assert response
        body = streamed if stream else response.raw_content or b""
        return Got(response.status_code, response.headers, body, bool(stream))

    async def ask(self, flow: http.HTTPFlow, said: Said | None = None, body: bytes = b"") -> Got:
        """Send a request, and answer it. Without `said`, it has to be answered here."""
        sent = await self.send(flow, body)
        assert (sent is not None) == (said is not None), flow.comment
        return await self.answer(flow, said)

    async def break_off(self, flow: http.HTTPFlow) -> None:
        """Call the error hook: the connection is lost."""
        flow.error = base.Error("lost")
        await self.hook(HttpErrorHook(flow))


class _Script:
    """The parent of the gateway, as if it were loaded as a script: it stands before the guard in the chain."""

    name = "script"

    def __init__(self) -> None:
        self.addons: list[object] = []


FAKE = {"type": "fake", "providerDomain": "http://provider.test:81"}


def make(
    request: str = "GET /a", headers: Mapping[str, str] | None = None, *, mode: str = REVERSE, peer: str = "127.0.0.1"
) -> http.HTTPFlow:
    """A flow with a request, given as `METHOD target`."""
    method, _, target = request.partition(" ")
    flow = tflow.tflow(req=http.Request.make(method, "http://api.openai.com/", b"", {}))
    flow.request.path = target
    flow.request.headers.update(headers or {})
    flow.client_conn.proxy_mode = mode_specs.ProxyMode.parse(mode)
    flow.client_conn.peername = (peer, 50000)
    flow.client_conn.sockname = ("127.0.0.1", PORT)
    flow.client_conn.timestamp_tls_setup = None
    return flow


def run(
    work: Callable[[Proxy], Awaitable[None]],
    *stages: Stage,
    before: Sequence[object] = (),
    options: Mapping[str, Any] | None = None,
    limit: float | None = 60,
    **document: Any,
) -> None:
    """Run `work(proxy)` with a gateway that has these stages, and these blocks in its configuration.

    `before` are addons before it in the chain. Without `options` of mitmproxy, the test sets the stages itself. `limit`
    is the number of seconds after which it fails.
    """

    async def test() -> None:
        gateway, script = Gateway(stages), _Script()
        # mitmproxy's core has commands only, and takes half of the time of a context.
        with taddons.context(Proxyserver(), *before, script, loadcore=False) as context:
            script.addons.append(context.master.addons.register(gateway))
            proxy = Proxy(gateway, context)
            if options:
                context.options.update(**options)
            try:
                proxy.use(**document)
                await work(proxy)
            finally:
                # It would go on to log to the loop of this run in the next one.
                context.master._legacy_log_events.uninstall()

    asyncio.run(asyncio.wait_for(test(), limit))
