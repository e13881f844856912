"""The links in what is recorded and replayed: rewritten to lead through the proxy, which remembers them."""

from __future__ import annotations

import functools
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mitmproxy import http

from .. import pipeline
from ..cassette import links, links_through_proxy
from ..cassette.link_streams import LONGEST, LedStream
from ..cassette.links_through_proxy import Address
from ..routing.providers import Providers
from ..wire import header_fields
from ..wire.printable import printable
from ..wire.targets import Origin
from . import flows
from .flows import FlowState
from .recorded_exchange import Exchange
from .recorded_messages import LOCATIONS, POLL_AFTER, Links, decoded, files_in, sooner

logger = logging.getLogger(__name__)

MOST_LINKS: Final = 10_000
"""The number of links to results that are remembered, so that they can be fetched through the proxy."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownLinks:
    """The links of one cassette's use.

    issued: paths on the proxy that answers have led clients to.
    sent: links that clients sent, which an API may echo.
    warned: hosts of links that do not lead through the proxy, and of which that was said.
    """

    issued: OrderedDict[str, None] = field(default_factory=OrderedDict)
    sent: OrderedDict[str, None] = field(default_factory=OrderedDict)
    warned: set[str] = field(default_factory=set)


class LinkRewriter:
    """Rewrites the links in answers so that they lead through the proxy. `known` is replaced with the cassette."""

    def __init__(self) -> None:
        self.known = KnownLinks()

    def address(self, proxy: str, state: FlowState) -> Address:
        """The addresses of the proxy and of the provider of a flow."""
        provider, providers = state.provider, state.providers
        assert provider
        assert providers
        return Address(
            proxy,
            str(provider.origin),
            lambda target: provider.links_need_credential and pipeline.keeps(providers, provider, target),
            self.known.sent,
            lambda target: str((providers.serving(target) or provider).origin),
        )

    def note_sent(self, address: Address, target: str, body: bytes) -> None:
        """Remember links that a client sends, which an API may echo."""
        for link in address.near_links(target + body[:LONGEST].decode("utf-8", "replace")):
            self.known.sent[link] = None
        while len(self.known.sent) > MOST_LINKS:
            self.known.sent.popitem(last=False)

    def lead_locations(self, response: http.Response, exchange: Exchange, address: Address, sent_to: str) -> None:
        """Rewrite header fields with links, which came from the URL `sent_to`."""
        listeners = self._listeners(exchange)
        asked = f"{address.proxy}{exchange.state.head.target}"
        response.headers.fields = tuple(
            [
                (name, _location(address, value, sent_to, asked, listeners))
                if name.lower() in LOCATIONS
                else (name, value)
                for name, value in response.headers.fields
            ]
        )

    def lead_here(self, response: http.Response, exchange: Exchange, pace: float | None) -> bytes:
        """Rewrite the links in an answer that was held; returns its body, decoded. `pace` is as in sooner()."""
        changes: dict[bytes, bytes | None] = {}
        location = header_fields.value(response.headers.fields, b"location")
        if links.is_link(location):
            # The gateway's own: those of the provider's are rewritten already, and relative ones are for the client.
            self.lead_locations(response, exchange, exchange.address, location)
        _, body = decoded(response.headers.fields, response.raw_content or b"")
        here = self._led(body, exchange)
        if here != body:
            flows.replace_body(response, here)
        if exchange.recorded and exchange.head:
            # The gateway has set it for the real provider; the recorded one is shortened already.
            name = POLL_AFTER.encode()
            waits = header_fields.value(response.headers.fields, name)
            if waits and waits != header_fields.value(exchange.head[2], name):
                changes[name] = sooner(POLL_AFTER, waits, pace).encode()
        response.headers.fields = header_fields.changed(response.headers.fields, changes)
        return here

    def _led(self, body: bytes, exchange: Exchange) -> bytes:
        if exchange.links is Links.STAY:
            return body
        if exchange.links is Links.WHOLE:
            return exchange.address.lead_here(body, *self._listeners(exchange))
        stream = self.stream(exchange)
        return stream.feed(body) + stream.end()

    def stream(self, exchange: Exchange) -> LedStream:
        """A transducer that rewrites the links in an answer that arrives in pieces."""
        return exchange.address.stream(*self._listeners(exchange))

    def _listeners(self, exchange: Exchange) -> tuple[Callable[[str], None], Callable[[str], None]]:
        """What is told of each link that is led, and of each one that cannot be."""
        return lambda link: self._issue(link, exchange.address), exchange.left.append

    def _issue(self, link: str, address: Address) -> None:
        """Remember a link, so that the client can fetch it by its path on the proxy."""
        path = address.here(link).removeprefix(address.proxy)
        if not path.startswith(links_through_proxy.PREFIX):
            return
        self.known.issued[path] = None
        while len(self.known.issued) > MOST_LINKS:
            self.known.issued.popitem(last=False)

    def warn(self, flow: http.HTTPFlow, exchange: Exchange, shown: bytes | None) -> None:
        """Say, once for each host, that an answer has links that do not lead through the proxy.

        Those that cannot be led, and in a replay all links to files. `shown` is the body, None if it was streamed.
        """
        entry, files = exchange.recorded, []
        if entry and entry.response:
            files = files_in(entry.response, self._led(entry.response.body, exchange) if shown is None else shown)
        for link in (*exchange.left, *files):
            host = links.origin(link)
            if exchange.address.leads_here(link) or exchange.address.here(link) == link or host in self.known.warned:
                continue
            self.known.warned.add(host)
            logger.warning(
                "ai-proxy: %s: the answer to %s has a link to %s that does not lead through the proxy: "
                "a client that follows it goes to the network.",
                exchange.cassette.name, flows.describe(flow), printable(host),
            )  # fmt: skip


def api_address(exchange: Exchange) -> Address:
    """The addresses for redirects: those of an API lead to the API, with any provider."""
    state, address = exchange.state, exchange.address
    provider, providers = state.provider, state.providers
    if provider is None or providers is None or exchange.state.head.target.startswith(links_through_proxy.PREFIX):
        return address
    return replace(address, keeps=functools.partial(pipeline.keeps, providers, provider))


def is_of_api(providers: Providers | None, origin: Origin, target: str) -> bool:
    """Whether a link is one of a provider's own API."""
    provider = providers.at(origin) if providers else None
    return provider is not None and provider.links_need_credential and not links.is_signed(target)


def _location(
    address: Address,
    value: bytes,
    sent_to: str,
    asked: str,
    listeners: tuple[Callable[[str], None], Callable[[str], None]],
) -> bytes:
    """The value of a header field, so that it leads through the proxy."""
    location = value.decode("utf-8", "surrogateescape")
    return address.location_here(location, sent_to, asked, *listeners).encode("utf-8", "surrogateescape")
